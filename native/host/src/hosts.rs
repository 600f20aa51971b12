//! `allowed_outbound_hosts`: where a component may send requests.
//!
//! The grammar is Spin's: `<scheme>://<host>[:<port>]` with `*` for any scheme, host or port; `*.domain` for its
//! subdomains; a CIDR block (RFC 4632) for addresses; `first..end` for a range of ports that does not include `end`; and
//! the host `self` for requests to this application.

use std::net::IpAddr;

use http::Uri;

/// The domain of in-process requests from one component to another (Spin's service chaining).
pub(crate) const CHAINING_SUFFIX: &str = ".spin.internal";

/// The authority by which SDKs that insist on one ask for the application itself.
pub(crate) const SELF_AUTHORITY: &str = "self.alt";

/// Where a component may send requests: one entry of `allowed_outbound_hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AllowedHost {
    scheme: Option<String>,
    host: Host,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// `.example.com`
    Subdomain(String),
    Itself,
    Name(String),
    Block(IpAddr, u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Port {
    Any,
    One(u16),
    Range(std::ops::Range<u16>),
}

impl AllowedHost {
    /// Whether a request may go to this absolute URI.
    pub(crate) fn allows(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        self.allows_scheme(scheme)
            && self.host.allows(&host.to_ascii_lowercase())
            && self.port.allows(uri.port_u16(), scheme)
    }

    /// Whether a connection of this scheme may go to this host (in lower case) and port.
    pub(crate) fn allows_server(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.allows_scheme(scheme) && self.host.allows(host) && self.port.allows(Some(port), scheme)
    }

    /// Whether a request may go to this application itself.
    pub(crate) fn allows_self(&self) -> bool {
        (self.allows_scheme("http") || self.allows_scheme("https")) && matches!(self.host, Host::Any | Host::Itself)
    }

    /// Reads an entry whose template is filled in already. The error names the entry.
    pub(crate) fn parse(entry: &str) -> Result<Self, String> {
        Self::read(entry).map_err(|reason| format!("{entry:?} {reason}"))
    }

    fn read(entry: &str) -> Result<Self, String> {
        let (scheme, rest) =
            entry.trim().split_once("://").ok_or("has no scheme (http://, https://, mysql:// or *://)")?;
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
        let port = match port.split_once('/') {
            Some((port, "")) => port,
            Some(_) => return Err("has a path".to_owned()),
            None => port,
        };
        let port = Port::parse(port, scheme)?;
        let host = Host::parse(host)?;
        let scheme = match scheme {
            "*" => None,
            "http" | "https" | "mysql" => Some(scheme.to_owned()),
            other => return Err(format!("is for {other}, and this host offers outbound http, https and mysql only")),
        };
        Ok(Self { scheme, host, port })
    }

    fn allows_scheme(&self, scheme: &str) -> bool {
        self.scheme.as_deref().is_none_or(|own| own == scheme)
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, String> {
        let host = host.trim();
        match host {
            "*" => return Ok(Self::Any),
            "self" | "self.alt" => return Ok(Self::Itself),
            _ => {}
        }
        if let Some((address, prefix)) = host.split_once('/')
            && let (Ok(address), Ok(prefix)) = (address.parse::<IpAddr>(), prefix.parse::<u8>())
            && prefix <= if address.is_ipv4() { 32 } else { 128 }
        {
            return Ok(Self::Block(address, prefix));
        }
        let name = host.trim_end_matches('/');
        if name.contains('/') {
            return Err("has a path".to_owned());
        }
        if name.is_empty() || name.starts_with('{') {
            return Err("has no single host".to_owned());
        }
        match name.strip_prefix("*.") {
            Some(domain) if !domain.contains('*') => Ok(Self::Subdomain(format!(".{}", domain.to_ascii_lowercase()))),
            None if !name.contains('*') => Ok(Self::Name(name.to_ascii_lowercase())),
            _ => Err("has * elsewhere than as the whole first label".to_owned()),
        }
    }

    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Subdomain(suffix) => host.ends_with(suffix),
            Self::Itself => false,
            Self::Name(name) => name == host,
            Self::Block(block, prefix) => host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
                .is_ok_and(|address| in_block(address, *block, *prefix)),
        }
    }
}

/// Whether an address lies in a CIDR block (RFC 4632, RFC 4291).
fn in_block(address: IpAddr, block: IpAddr, prefix: u8) -> bool {
    let (address, block, width) = match (address, block) {
        (IpAddr::V4(address), IpAddr::V4(block)) => (u128::from(address.to_bits()), u128::from(block.to_bits()), 32),
        (IpAddr::V6(address), IpAddr::V6(block)) => (address.to_bits(), block.to_bits(), 128),
        _ => return false,
    };
    (address ^ block).checked_shr(width - u32::from(prefix)).is_none_or(|difference| difference == 0)
}

impl Port {
    fn parse(port: &str, scheme: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u16>().map_err(|_| format!("has {text:?} where a port number belongs"));
        match port {
            "" => default_port(scheme).map(Self::One).ok_or_else(|| "needs a port".to_owned()),
            "*" => Ok(Self::Any),
            range if range.contains("..") => {
                let (start, end) = range.split_once("..").unwrap_or_default();
                Ok(Self::Range(number(start)?..number(end)?))
            }
            one => number(one).map(Self::One),
        }
    }

    fn allows(&self, port: Option<u16>, scheme: &str) -> bool {
        let port = port.or_else(|| default_port(scheme));
        match self {
            Self::Any => true,
            Self::One(own) => port == Some(*own),
            Self::Range(range) => port.is_some_and(|port| range.contains(&port)),
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "mysql" => Some(3306),
        "postgres" => Some(5432),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        _ => None,
    }
}

/// The component that an authority names, if it is one for service chaining: `<component>.spin.internal[:port]`.
pub(crate) fn chaining_target(host: &str) -> Option<&str> {
    let host = host.trim();
    let host = host.rsplit_once(':').map_or(host, |(host, _port)| host);
    let (component, suffix) = host.split_at_checked(host.len().checked_sub(CHAINING_SUFFIX.len())?)?;
    if !suffix.eq_ignore_ascii_case(CHAINING_SUFFIX) {
        return None;
    }
    (!component.is_empty() && !component.contains('.')).then_some(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entries: &[&str], uri: &str) -> bool {
        entries.iter().any(|entry| AllowedHost::parse(entry).unwrap().allows(&uri.parse().unwrap()))
    }

    #[test]
    fn a_port_that_is_not_named_is_the_schemes_own() {
        assert!(allows(&["http://example.com"], "http://example.com/x"));
        assert!(allows(&["http://example.com/"], "http://example.com:80"));
        assert!(!allows(&["http://example.com"], "http://example.com:8080"));
        assert!(!allows(&["http://example.com"], "https://example.com"));
        assert!(allows(&["*://example.com:443"], "https://example.com"));
        assert!(allows(&["http://example.com:8383"], "http://example.com:8383/foo/bar"));
        assert!(AllowedHost::parse("*://example.com").is_err());
    }

    #[test]
    fn wildcards() {
        assert!(allows(&["*://*:*"], "https://example.com:1"));
        assert!(allows(&["http://*.example.com"], "http://a.b.example.com/"));
        assert!(allows(&["http://*.example.com"], "http://A.EXAMPLE.com/"));
        for other in
            ["http://example.com", "http://myexample.com", "http://a.example.com:81", "http://example.com.evil.org"]
        {
            assert!(!allows(&["http://*.example.com"], other), "{other}");
        }
    }

    #[test]
    fn port_ranges_exclude_their_end() {
        for (port, allowed) in [(4443, false), (4444, true), (5554, true), (5555, false)] {
            assert_eq!(allows(&["http://example.com:4444..5555"], &format!("http://example.com:{port}")), allowed);
        }
    }

    #[test]
    fn address_blocks() {
        assert!(allows(&["*://127.0.0.1/24:63551"], "http://127.0.0.200:63551"));
        assert!(!allows(&["*://127.0.0.1/24:63551"], "http://127.0.1.1:63551"));
        assert!(allows(&["*://10.0.0.0/0:80"], "http://1.2.3.4"));
        assert!(allows(&["*://ff00::/8:80"], "http://[ff01::1]/"));
        assert!(!allows(&["*://ff00::/8:80"], "http://[fe80::1]/"));
        assert!(!allows(&["*://127.0.0.0/24:80"], "http://localhost"));
        assert!(AllowedHost::parse("*://127.0.0.0/24").is_err());
    }

    #[test]
    fn what_is_not_an_entry_is_refused() {
        for bad in [
            "example.com",
            "localhost:3001",
            "*",
            "",
            "http://a/b",
            "http://*.a.com/b",
            "http://a:80/b",
            "http://a*.com",
            "http://*.*.com",
            "http://[::1]",
            "http://a:b",
            "http://",
            "insecure:allow-all",
            "redis://a",
        ] {
            assert!(AllowedHost::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_application_itself() {
        let own = |entry| AllowedHost::parse(entry).unwrap().allows_self();
        assert!(own("http://self"));
        assert!(own("https://self.alt"));
        assert!(own("*://*:*"));
        assert!(!own("http://example.com"));
        assert!(!allows(&["http://self"], "http://self"), "`self` is a keyword, not a name");
    }

    #[test]
    fn database_servers() {
        let allows = |entry, host, port| AllowedHost::parse(entry).unwrap().allows_server("mysql", host, port);
        assert!(allows("mysql://db.example.com", "db.example.com", 3306));
        assert!(!allows("mysql://db.example.com", "db.example.com", 3307));
        assert!(!allows("mysql://db.example.com", "other.example.com", 3306));
        assert!(allows("mysql://127.0.0.0/8:*", "127.0.0.1", 33060));
        assert!(allows("*://*:*", "db", 1));
        assert!(!allows("https://db:3306", "db", 3306));
        assert!(!allows("mysql://self:3306", "self", 3306));
    }

    #[test]
    fn chaining() {
        assert!(allows(&["http://*.spin.internal"], "http://back.spin.internal/x"));
        assert!(allows(&["http://back.spin.internal"], "http://back.spin.internal/x"));
        assert!(!allows(&["http://other.spin.internal"], "http://back.spin.internal/x"));
        assert_eq!(chaining_target("back-1.spin.internal:80"), Some("back-1"));
        assert_eq!(chaining_target("back.SPIN.Internal"), Some("back"));
        for other in
            ["spin.internal", ".spin.internal", "a.b.spin.internal", "back.spin.internal.evil.org", "xspin.internal"]
        {
            assert_eq!(chaining_target(other), None, "{other}");
        }
    }
}
