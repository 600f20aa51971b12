use mysql_async::{Opts, OptsBuilder, SslOpts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::Error;

/// Longest name of a database: the server's own bound, in characters.
const DATABASE_NAME_CHARS_MAX: usize = 64;

/// What an address says: `mysql://user:password@host:port/database`, with TLS by `?require_ssl=true` (and `verify_ca=false`,
/// `verify_identity=false`, `built_in_roots=false`), or by `?ssl-mode=…`, which Spin knows, too.
///
/// The server is always reached over TCP, at the host and port that the address names: never over a socket file that
/// happens to be there, nor one that the address names.
pub fn options(url: &str) -> Result<Opts, Error> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let is_ssl_mode = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("ssl-mode") || name.eq_ignore_ascii_case("sslmode")
    };
    let (ssl_modes, rest): (Vec<_>, Vec<_>) = query.split('&').filter(|pair| !pair.is_empty()).partition(is_ssl_mode);
    if rest.iter().any(|pair| pair.split('=').next() == Some("socket")) {
        return Err(Error::Address("names a socket file; only hosts can be reached".to_owned()));
    }
    let url = if rest.is_empty() { address.to_owned() } else { format!("{address}?{}", rest.join("&")) };
    let mut builder = OptsBuilder::from_opts(Opts::from_url(&url)?).prefer_socket(false);
    let encrypted = |pair: &str| !pair.split('=').nth(1).unwrap_or_default().eq_ignore_ascii_case("disabled");
    if ssl_modes.iter().any(|pair| encrypted(pair)) {
        builder = builder.ssl_opts(SslOpts::default());
    }
    Ok(builder.into())
}

/// The address of a context's database: `mysql://…/plaza` and `chat` make `mysql://…/plaza_chat`.
pub fn context_url(base: &str, context: &str) -> Result<String, Error> {
    let name = format!("{}_{context}", database_name(base)?);
    with_database(base, &name)
}

/// The name of the database in an address.
pub fn database_name(url: &str) -> Result<String, Error> {
    let options = options(url)?;
    let name = options.db_name().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::Address("names no database".to_owned()))?;
    if name.chars().count() > DATABASE_NAME_CHARS_MAX {
        return Err(Error::Address(format!("names a database longer than {DATABASE_NAME_CHARS_MAX} characters")));
    }
    Ok(name.to_owned())
}

/// The name of a lock (`GET_LOCK`) that concerns one database. Such names are the server's, not the database's, and have at
/// most 64 characters.
pub fn lock_name(purpose: &str, database: &str) -> String {
    const DIGEST_BYTES: usize = 16;
    let digest = Sha256::digest(database);
    digest.iter().take(DIGEST_BYTES).fold(format!("plaza-{purpose}-"), |name, byte| format!("{name}{byte:02x}"))
}

/// An address without what is secret in it, for logs and messages.
pub fn redacted(url: &str) -> String {
    match options(url) {
        Ok(options) => format!(
            "mysql://{}:{}/{}",
            options.ip_or_hostname(),
            options.tcp_port(),
            options.db_name().unwrap_or_default()
        ),
        Err(_) => "mysql://(not valid)".to_owned(),
    }
}

fn with_database(url: &str, name: &str) -> Result<String, Error> {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    // The password may contain a slash only percent-encoded, so the last one is the path's.
    let (server, _old) = address.rsplit_once('/').unwrap_or((address, ""));
    let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string().replace("%5F", "_").replace("%2D", "-");
    let url = query.map_or_else(|| format!("{server}/{encoded}"), |query| format!("{server}/{encoded}?{query}"));
    database_name(&url)?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_stands_for_all_contexts() {
        let url = |base| context_url(base, "chat").unwrap();
        assert_eq!(url("mysql://u:p@h:3306/plaza"), "mysql://u:p@h:3306/plaza_chat");
        assert_eq!(
            url("mysql://u:p%2F%40@h/pla-za?require_ssl=true"),
            "mysql://u:p%2F%40@h/pla-za_chat?require_ssl=true"
        );
        for bad in ["mysql://h:3306", "mysql://h/", "http://h/plaza", "plaza", ""] {
            assert!(matches!(context_url(bad, "chat"), Err(Error::Address(_))), "{bad}");
        }
        assert!(context_url(&format!("mysql://h/{}", "x".repeat(60)), "chat").is_err());
    }

    #[test]
    fn no_message_repeats_a_password() {
        for bad in
            ["mysql://u:hunter2@h/x?socket=/run/x", "mysql://u:hunter2@h:port/x", "mysql://u:hunter2@h/x?a=hunter2"]
        {
            let message = options(bad).unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
        assert_eq!(redacted("mysql://u:hunter2@h:1/x?require_ssl=true"), "mysql://h:1/x");
        assert!(!redacted("mysql://u:hunter2@h:port/x").contains("hunter2"));
    }

    #[test]
    fn encryption_by_either_name() {
        let encrypted = |query: &str| options(&format!("mysql://h/x{query}")).unwrap().ssl_opts().is_some();
        assert!(!encrypted(""));
        assert!(!encrypted("?ssl-mode=DISABLED"));
        assert!(!encrypted("?require_ssl=false"));
        assert!(encrypted("?sslMode=VERIFY_CA"));
        assert!(encrypted("?require_ssl=true"));
        assert!(encrypted("?require_ssl=true&verify_ca=false"));
    }

    #[test]
    fn never_over_a_socket_file() {
        let options = options("mysql://127.0.0.1/x?prefer_socket=true").unwrap();
        assert!(!options.prefer_socket() && options.socket().is_none());
    }
}
