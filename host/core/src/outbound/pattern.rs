//! One entry of `allowed_outbound_hosts`: `scheme://host[:port]`.
//! Does not know variables or `self`, which Spin has beside these.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::scheme::Scheme;
use crate::network::Network;
use crate::quote::Quoted;
use crate::route::DomainName;

/// Blocks that share fewer bits are too many addresses for a developer to have meant one network by them.
const FEWEST_BITS_NAMED: u32 = 8;

/// One entry: a scheme, a host and ports that may be called.
///
/// - The scheme is `http`, `https`, `tcp` for connections of the guest's own, one of a database, or `*` for
///   all of them.
/// - The host is a name, an address, a block of addresses such as `10.1.0.0/16`, `*` for every host, or
///   `*.example.com` for every name below `example.com` at any depth, but not itself.
/// - The port is a number, `8000..9000` with both ends included, or `*`; left out it is the
///   scheme's own, as 80 or 443. `tcp` has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    scheme: Scheme,
    host: Host,
    ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Name(DomainName),
    Below(DomainName),
    /// In canonical form: never an IPv6 address that means an IPv4 one.
    Address(IpAddr),
    Block(Network),
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ports {
    /// That of the scheme that is called by: 80 for `http`, 443 for `https`.
    OfScheme,
    Within(RangeInclusive<u16>),
}

/// A text that is not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not an allowed host: {rule}", Quoted(.value))]
pub struct BadAllowedHost {
    value: String,
    rule: String,
}

/// What a guest wants to call, in canonical form.
pub(super) struct Target {
    /// `None` for schemes that no entry covers.
    scheme: Option<Scheme>,
    /// In lower case, without trailing dot and brackets.
    name: String,
    address: Option<IpAddr>,
    port: u16,
}

impl AllowedHost {
    /// Reads an entry as a developer wrote it.
    ///
    /// # Errors
    ///
    /// Fails with what is wrong or missing.
    pub fn parse(text: &str) -> Result<Self, BadAllowedHost> {
        read(text).map_err(|rule| BadAllowedHost { value: text.to_owned(), rule })
    }

    /// The entry, unless it covers nothing.
    fn whole(self) -> Result<Self, String> {
        if self.scheme == Scheme::Tcp && self.ports == Ports::OfScheme {
            return Err("tcp has no port of its own: add one, such as :5432".to_owned());
        }
        Ok(self)
    }

    pub(super) fn covers(&self, target: &Target) -> bool {
        target.scheme.is_some_and(|scheme| {
            self.scheme.covers(scheme)
                && self.ports.cover(scheme, target.port)
                && self.host.covers(target)
        })
    }

    /// Whether it covers connections of a guest's own.
    pub(super) fn is_for_connections(&self) -> bool {
        // One of any scheme without a port covers those that have one of their own.
        self.scheme.covers(Scheme::Tcp) && matches!(self.ports, Ports::Within(_))
    }

    /// Whether it covers this host at any port.
    pub(super) fn covers_host(&self, target: &Target) -> bool {
        self.host.covers(target)
    }

    /// Whether the entry names one host, by name or address, or one network, instead of any.
    pub(super) fn names_its_host(&self) -> bool {
        match self.host {
            Host::Name(_) | Host::Address(_) => true,
            Host::Block(block) => block.prefix() >= FEWEST_BITS_NAMED,
            Host::Below(_) | Host::Any => false,
        }
    }
}

impl Host {
    fn covers(&self, target: &Target) -> bool {
        match self {
            // No name of an entry reads as an address, so neither of these covers one.
            Self::Name(name) => name.as_str() == target.name,
            Self::Below(name) => {
                let label = target.name.strip_suffix(name.as_str());
                label.is_some_and(|label| label.len() > 1 && label.ends_with('.'))
            }
            Self::Address(address) => target.address == Some(*address),
            Self::Block(block) => target.address.is_some_and(|address| block.contains(address)),
            Self::Any => true,
        }
    }
}

impl Ports {
    fn cover(&self, scheme: Scheme, port: u16) -> bool {
        match self {
            Self::OfScheme => scheme.port() == Some(port),
            Self::Within(ports) => ports.contains(&port),
        }
    }
}

impl Target {
    pub(super) fn new(scheme: &str, host: &str, port: u16) -> Self {
        let scheme = Scheme::of_target(scheme);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let address = bare.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        Self { scheme, name: bare.to_ascii_lowercase(), address, port }
    }
}

impl FromStr for AllowedHost {
    type Err = BadAllowedHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.host {
            Host::Name(name) => write!(f, "{name}")?,
            Host::Below(name) => write!(f, "*.{name}")?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Block(block) if block.first().is_ipv6() => {
                write!(f, "[{}]/{}", block.first(), block.prefix())?;
            }
            Host::Block(block) => write!(f, "{block}")?,
            Host::Any => f.write_str("*")?,
        }
        match &self.ports {
            Ports::OfScheme => Ok(()),
            Ports::Within(ports) if (*ports.start(), *ports.end()) == (1, u16::MAX) => {
                f.write_str(":*")
            }
            Ports::Within(ports) if ports.start() == ports.end() => write!(f, ":{}", ports.start()),
            Ports::Within(ports) => write!(f, ":{}..{}", ports.start(), ports.end()),
        }
    }
}

fn read(text: &str) -> Result<AllowedHost, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("expected scheme://host, such as https://api.example.com".to_owned());
    };
    let scheme = Scheme::of_entry(scheme)
        .ok_or("its scheme must be http, https, tcp, that of a database, or *")?;
    if let Some((block, port)) = read_block(rest)? {
        let ports = read_ports(port)?;
        return AllowedHost { scheme, host: Host::Block(block), ports }.whole();
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("a whole host is allowed or not; leave out the path".to_owned());
    }
    if authority.contains('@') {
        return Err("a user name is not part of it".to_owned());
    }
    let (host, port) = split_port(authority)?;
    AllowedHost { scheme, host: read_host(host)?, ports: read_ports(port)? }.whole()
}

/// A block of addresses and what follows its colon, where it begins as one: `10.0.0.0/8:80`.
fn read_block(rest: &str) -> Result<Option<(Network, Option<&str>)>, String> {
    let Some((address, tail)) = rest.split_once('/').filter(|(_, tail)| !tail.is_empty()) else {
        return Ok(None);
    };
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    let Ok(address) = bare.unwrap_or(address).parse::<IpAddr>() else { return Ok(None) };
    let (bits, port) = tail.split_once(':').map_or((tail, None), |(bits, port)| (bits, Some(port)));
    let (address, rule) = (
        address.to_canonical(),
        "what follows an address is how many bits a block of them shares: 0 to 32, 128 for IPv6",
    );
    let most = if address.is_ipv4() { 32 } else { 128 };
    let is_number = bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = bits.parse().ok().filter(|bits| is_number && *bits <= most).ok_or(rule)?;
    let block = Network::new(address, bits);
    Ok(Some((block, port)))
}

/// Parts the host, brackets included, from what follows its colon.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), String> {
    let host_end = match authority.strip_prefix('[') {
        Some(inside) => match inside.find(']') {
            Some(end) => end + 2,
            None => return Err("an opening [ needs a closing ]".to_owned()),
        },
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, tail) = authority.split_at_checked(host_end).unwrap_or((authority, ""));
    match tail.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if tail.is_empty() => Ok((host, None)),
        None => Err("only a port may follow ]".to_owned()),
    }
}

fn read_host(host: &str) -> Result<Host, String> {
    if host == "*" {
        return Ok(Host::Any);
    }
    if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address = inside.parse::<Ipv6Addr>();
        return match address {
            Ok(address) => Ok(Host::Address(IpAddr::V6(address).to_canonical())),
            Err(_) => Err("brackets hold an IPv6 address".to_owned()),
        };
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Address(IpAddr::V4(address)));
    }
    let (name, below) = host.strip_prefix("*.").map_or((host, false), |name| (name, true));
    let name = DomainName::parse(name).map_err(|error| error.to_string())?;
    if reads_as_address(name.as_str()) {
        return Err("write an address as four numbers with dots".to_owned());
    }
    Ok(if below { Host::Below(name) } else { Host::Name(name) })
}

/// Whether resolvers take the name for an address: `127.1`, `0x7f.1`, `2130706433`.
fn reads_as_address(name: &str) -> bool {
    let last_label = name.rsplit('.').next().unwrap_or_default();
    last_label.starts_with("0x") || last_label.bytes().all(|b| b.is_ascii_digit())
}

fn read_ports(port: Option<&str>) -> Result<Ports, String> {
    let Some(port) = port else {
        return Ok(Ports::OfScheme);
    };
    if port == "*" {
        return Ok(Ports::Within(1..=u16::MAX));
    }
    let (first, last) = port.split_once("..").unwrap_or((port, port));
    match (read_port(first), read_port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Ports::Within(first..=last)),
        _ => Err("a port is 1 to 65535, a range such as 8000..9000, or *".to_owned()),
    }
}

fn read_port(text: &str) -> Option<u16> {
    let digits_only = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| digits_only && port > 0)
}
