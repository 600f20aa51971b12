//! Who a client is by its network address, whichever proxies it came through.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The bits of an IPv6 address that one subscriber has to themselves, at the least (RFC 6177): what they count as.
const IPV6_SUBSCRIBER_BITS: u8 = 64;

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANetwork;

impl std::fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not an address or a range of addresses (10.0.0.0/8)")
    }
}

impl std::error::Error for NotANetwork {}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(longest), str::parse).map_err(|_| NotANetwork)?;
        if bits > longest { Err(NotANetwork) } else { Ok(Self { address, bits }) }
    }
}

impl Network {
    /// Whether the address is in the range. An IPv4 address that is written as IPv6 is an IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                first_bits(ours.to_bits(), self.bits) == first_bits(theirs.to_bits(), self.bits)
            }
            _ => false,
        }
    }
}

/// The ranges of a list that is separated by commas; an empty list has none.
pub fn networks(list: &str) -> Result<Vec<Network>, NotANetwork> {
    list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::parse).collect()
}

/// The address of the client of a request that came from `peer` with these `X-Forwarded-For` headers.
///
/// What a header says is believed as far as those who said it are trusted: from the nearest on, each proxy names whom it had the
/// request from; the first that is no trusted proxy is the client.
pub fn client<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[Network],
) -> IpAddr {
    let mut client = peer.to_canonical();
    for named in forwarded_for.rev().flat_map(|header| header.rsplit(',')) {
        let is_trusted = trusted.iter().any(|network| network.contains(client));
        let Some(named) = is_trusted.then(|| address(named.trim())).flatten() else { break };
        client = named.to_canonical();
    }
    client
}

/// What counts as one client: an IPv4 address, or the network of an IPv6 address.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(first_bits(address.to_bits(), IPV6_SUBSCRIBER_BITS)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

fn first_bits(address: u128, bits: u8) -> u128 {
    address & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// An address as it stands in `X-Forwarded-For`: some write its port as well.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_has_its_addresses() {
        let has = |network: &str, address: &str| network.parse::<Network>().unwrap().contains(ip(address));
        assert!(has("10.0.0.0/8", "10.255.1.2") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("10.0.0.0/8", "::ffff:10.1.1.1") && !has("10.0.0.0/8", "::1"));
        assert!(has("127.0.0.1", "127.0.0.1") && !has("127.0.0.1", "127.0.0.2"));
        assert!(has("0.0.0.0/0", "192.0.2.1") && has("::/0", "2001:db8::1") && !has("::/0", "192.0.2.1"));
        assert!(has("2001:db8::/32", "2001:db8:1::1") && !has("2001:db8::/32", "2001:db9::1"));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "localhost"] {
            assert_eq!(bad.parse::<Network>(), Err(NotANetwork), "{bad}");
        }
        assert_eq!(networks(" 10.0.0.0/8, ::1 ,").unwrap().len(), 2);
        assert!(networks("").unwrap().is_empty() && networks("x").is_err());
    }

    #[test]
    fn a_header_is_believed_as_far_as_those_who_say_it_are_trusted() {
        let trusted = networks("10.0.0.0/8, 192.0.2.1").unwrap();
        let of = |peer: &str, headers: &[&str]| client(ip(peer), headers.iter().copied(), &trusted).to_string();
        assert_eq!(of("203.0.113.9", &["1.1.1.1"]), "203.0.113.9", "a client cannot name itself");
        assert_eq!(of("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(of("10.0.0.1", &["1.1.1.1, 203.0.113.9"]), "203.0.113.9", "what it says of itself is not believed");
        assert_eq!(of("10.0.0.1", &["1.1.1.1", "203.0.113.9, 192.0.2.1"]), "203.0.113.9", "two proxies, two headers");
        assert_eq!(of("10.0.0.1", &["10.0.0.7, 10.0.0.8"]), "10.0.0.7", "all are trusted: the furthest");
        assert_eq!(of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(of("10.0.0.1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(of("10.0.0.1", &["203.0.113.9:80"]), "203.0.113.9");
        assert_eq!(of("::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(ip("10.0.0.1"), ["1.1.1.1"].into_iter(), &[]).to_string(), "10.0.0.1");
    }

    #[test]
    fn a_subscriber_is_an_address_or_a_network() {
        assert_eq!(subscriber(ip("192.0.2.7")), ip("192.0.2.7"));
        assert_eq!(subscriber(ip("::ffff:192.0.2.7")), ip("192.0.2.7"));
        assert_eq!(subscriber(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
    }
}
