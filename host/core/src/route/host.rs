//! Host names as requests and routes carry them.
//! Does not resolve names and does not know public suffixes: `*.com` is as good as any other.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use crate::quote::Quoted;

/// A host name in its one canonical form: lower case, no trailing dot, no port.
///
/// An IPv6 address stands in brackets. Cloning is cheap: clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(
    /// Labels of `a-z`, `0-9`, `-` and `_` with single dots between, or `[` IPv6 address `]`.
    Arc<str>,
);

/// The hosts that a route answers on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This name only.
    Exact(DomainName),
    /// Every name below this one, at any depth, but not the name itself.
    Suffix(DomainName),
    /// Every host.
    Any,
}

/// A text that is not a host name or pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a host: {rule}", Quoted(.value))]
pub struct BadHost {
    value: String,
    rule: Cow<'static, str>,
}

/// The longest name DNS carries.
const LONGEST: usize = 253;

impl DomainName {
    /// Reads a host name, folding its case and dropping one trailing dot.
    ///
    /// # Errors
    ///
    /// Fails for a port, a wildcard, an empty or overlong label, and letters outside of ASCII
    /// (write the `xn--` form).
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        match canonical(text) {
            Ok(name) => Ok(Self(Arc::from(name))),
            Err(rule) => Err(BadHost { value: text.to_owned(), rule }),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets a table be asked with a request's text; the order of names is that of their texts.
impl Borrow<str> for DomainName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HostPattern {
    /// Reads `example.com`, `*.example.com`, or `*` for every host.
    ///
    /// # Errors
    ///
    /// Fails where [`DomainName::parse`] does, and for a `*` anywhere else.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let Some(suffix) = text.strip_prefix("*.") else {
            return DomainName::parse(text).map(Self::Exact);
        };
        let name = DomainName::parse(suffix)
            .map_err(|error| BadHost { value: text.to_owned(), rule: error.rule })?;
        if is_address(name.as_str()) {
            let rule = "an address has no names below it".into();
            return Err(BadHost { value: text.to_owned(), rule });
        }
        Ok(Self::Suffix(name))
    }
}

impl HostPattern {
    /// Whether it stands for this name, which is in lower case and has no port.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.as_str() == host,
            Self::Suffix(name) => suffixes(host).any(|suffix| suffix == name.as_str()),
        }
    }
}

impl FromStr for HostPattern {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Suffix(name) => write!(f, "*.{name}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A request's host as the patterns know it: without port and trailing dot, in lower case.
///
/// Allocates only for capital letters and IPv6 addresses. What is no host name at all comes out as
/// something that no exact or suffix pattern matches.
pub(crate) fn request_host(host: &str) -> Cow<'_, str> {
    let name = match host.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > LONGEST {
        return Cow::Borrowed("");
    }
    if name.starts_with('[') {
        return canonical_name(name).map_or(Cow::Borrowed(name), Cow::Owned);
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// What stands behind each dot of the name, the longest first: `b.c` and `c` for `a.b.c`.
///
/// None for an address, whose parts are not names.
pub(crate) fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    let host = if is_address(host) { "" } else { host };
    let mut rest = host;
    std::iter::from_fn(move || {
        let (label, suffix) = rest.split_once('.')?;
        rest = suffix;
        // An empty label is no name below the suffix.
        (!label.is_empty()).then_some(suffix)
    })
}

fn is_address(host: &str) -> bool {
    let last = host.bytes().next_back();
    // No name ends in a digit's label, so most names are told apart by their last byte.
    last == Some(b']') || last.is_some_and(|b| b.is_ascii_digit()) && host.parse::<IpAddr>().is_ok()
}

fn canonical(text: &str) -> Result<String, Cow<'static, str>> {
    if let Some(name) = name_of_url(text) {
        return Err(format!("a scheme and a path are not part of it: write {name}").into());
    }
    canonical_name(text).map_err(Cow::Borrowed)
}

/// The host of what is a URL rather than a host, as a browser's address bar gives it.
fn name_of_url(text: &str) -> Option<&str> {
    let scheme = text.split_once("://");
    let rest = scheme.map(|(_, rest)| rest).or_else(|| text.strip_prefix("//")).unwrap_or(text);
    if rest.len() == text.len() && !text.contains('/') {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    Some(if name.is_empty() { "the name alone" } else { name })
}

fn canonical_name(text: &str) -> Result<String, &'static str> {
    if let Some(address) = text.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok());
        return address
            .map(|v6| format!("[{v6}]"))
            .ok_or("brackets hold an IPv6 address and nothing follows them");
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > LONGEST {
        return Err("it is longer than 253 characters");
    }
    if name.contains(':') {
        return Err("a port is not part of it; the host answers on its own ports");
    }
    if name.contains('*') {
        return Err("a * may only be the whole first label, as in *.example.com");
    }
    if !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')) {
        return Err("only a-z, 0-9, -, _ and dots are allowed; write other letters as xn--");
    }
    if name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err("each label has 1 to 63 characters");
    }
    if name.split('.').any(|label| label.starts_with('-') || label.ends_with('-')) {
        return Err("a label must not start or end with -");
    }
    Ok(name)
}
