//! Networks of IP addresses, and whom a request comes from that passed through proxies in some of
//! them.
//! Does not know headers or connections: addresses and texts come in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::quote::Quoted;

/// A network: all addresses that begin with the same bits.
///
/// Reads and shows as `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// The first address, the bits beyond the prefix being 0.
    first: IpAddr,
    /// How many bits are the same: at most 32, or 128 of IPv6.
    prefix: u32,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no network: {rule}", Quoted(.value))]
pub struct BadNetwork {
    value: String,
    rule: &'static str,
}

impl Network {
    /// The network of the addresses that share the first `prefix` bits with this one.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u32) -> Self {
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(first_v4(address, prefix)),
            IpAddr::V6(address) => IpAddr::V6(first_v6(address, prefix)),
        };
        Self { first, prefix }
    }

    /// Its first address.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// How many bits are the same.
    #[must_use]
    pub fn prefix(&self) -> u32 {
        self.prefix
    }

    /// Whether it is all addresses of its kind.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.prefix == 0
    }

    /// Whether the address is in the network. An IPv4 address in its IPv6 form counts as itself.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => first == first_v4(address, self.prefix),
            (IpAddr::V6(first), IpAddr::V6(address)) => first == first_v6(address, self.prefix),
            _ => false,
        }
    }

    /// Reads networks with commas between them; none for a text without any.
    ///
    /// # Errors
    /// The first that is no network.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, BadNetwork> {
        text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::parse).collect()
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).map_err(|rule| BadNetwork { value: text.to_owned(), rule })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

fn read(text: &str) -> Result<Network, &'static str> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr =
        address.parse().map_err(|_| "expected an address, or ADDRESS/BITS such as 10.0.0.0/8")?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => most,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| "the bits behind the slash are no number")?
        }
        Some(_) => return Err("the bits behind the slash are no number"),
    };
    if prefix > most {
        return Err("it has more bits than an address");
    }
    let network = Network::new(address, prefix);
    if network.first != address {
        return Err("bits are set beyond its prefix");
    }
    Ok(network)
}

fn first_v4(address: Ipv4Addr, prefix: u32) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn first_v6(address: Ipv6Addr, prefix: u32) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

/// Where a request came through: the client first, then the proxies that it passed, the one that
/// brought it here last.
///
/// `peer` brought it, and `told` is what the proxies say, the last one's word last. Each word is
/// believed as long as whoever said it is in one of the `trusted` networks; so the client is the
/// last that is in none, and what stands before it is only the client's own word. Where a word is no
/// address, whoever said it counts as the client.
#[must_use]
pub fn way<'t>(
    peer: IpAddr,
    told: impl DoubleEndedIterator<Item = &'t str>,
    trusted: &[Network],
) -> Vec<IpAddr> {
    let mut way = vec![peer.to_canonical()];
    for word in told.rev() {
        let speaker = way.last().copied().unwrap_or(peer);
        if !trusted.iter().any(|network| network.contains(speaker)) {
            break;
        }
        let Some(address) = address(word) else { break };
        way.push(address);
    }
    way.reverse();
    way
}

/// The address in an element of `X-Forwarded-For`, or in a `for=` of `Forwarded` (RFC 7239, 6): with
/// or without a port, brackets or quotes.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_alike() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("::/0", "::1", "1.2.3.4"),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{inside} in {network}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside} in {network}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
        assert_eq!(Network::parse_list(" 10.0.0.0/8, ::1 ,").unwrap().len(), 2);
        assert_eq!(Network::parse_list("").unwrap(), []);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in
            ["", "a", "10.0.0.0/33", "10.0.0.0/", "10.0.0.1/8", "::/129", "10.0.0.0/+8", "1.2.3"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_client_is_the_last_that_is_not_trusted() {
        let trusted = Network::parse_list("10.0.0.0/8,::1").unwrap();
        let shown = |peer: &str, told: &[&str]| {
            let way = way(peer.parse().unwrap(), told.iter().copied(), &trusted);
            way.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        // Who is not trusted is the client, whatever it says.
        assert_eq!(shown("9.9.9.9", &["6.6.6.6"]), "9.9.9.9");
        assert_eq!(shown("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(shown("10.0.0.1", &["1.2.3.4"]), "1.2.3.4 10.0.0.1");
        assert_eq!(shown("10.0.0.1", &["1.2.3.4", "10.0.0.2"]), "1.2.3.4 10.0.0.2 10.0.0.1");
        // What the client said itself is left out.
        assert_eq!(shown("10.0.0.1", &["6.6.6.6", "1.2.3.4"]), "1.2.3.4 10.0.0.1");
        // All of them trusted: the first is as good as any.
        assert_eq!(shown("::1", &["10.0.0.9", "10.0.0.2"]), "10.0.0.9 10.0.0.2 ::1");
        for word in ["", "unknown", "_hidden", "6.6.6.6 evil", "1.2.3"] {
            assert_eq!(shown("10.0.0.1", &[word]), "10.0.0.1", "{word}");
        }
        for word in ["1.2.3.4:80", "\"1.2.3.4\"", " 1.2.3.4 ", "\"1.2.3.4:5\"", "::ffff:1.2.3.4"] {
            assert_eq!(shown("10.0.0.1", &[word]), "1.2.3.4 10.0.0.1", "{word}");
        }
        for word in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80", "\"[2001:db8::1]:80\""] {
            assert_eq!(shown("10.0.0.1", &[word]), "2001:db8::1 10.0.0.1", "{word}");
        }
    }
}
