//! The authority of a request, `host` or `host:port`, in its one form: what routing compares and
//! what the guest is told.
//! Does not say which of several texts of a request is its authority.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use crate::quote::Quoted;

/// The longest host name DNS carries, in bytes.
const LONGEST: usize = 253;

/// A request's authority: the host in lower case and without a trailing dot, an IPv6 address in
/// its shortest form and in brackets; and the port where one was written.
///
/// Shows as it is written in a `Host` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'t> {
    /// The host.
    pub host: Cow<'t, str>,
    /// The port.
    pub port: Option<u16>,
}

/// A text that is no authority of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no host name: {rule}", Quoted(.value))]
pub struct BadAuthority {
    value: String,
    rule: &'static str,
}

impl<'t> Authority<'t> {
    /// Reads an authority as clients write it. Allocates only where the host is not in its one form.
    ///
    /// # Errors
    /// The text is empty, names a user, or holds what is neither a host name nor a port.
    pub fn parse(text: &'t str) -> Result<Self, BadAuthority> {
        read(text).map_err(|rule| BadAuthority { value: text.to_owned(), rule })
    }

    /// Whether the text is how the authority shows.
    #[must_use]
    pub fn is_spelt(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(&*self.host) else { return false };
        match (self.port, rest.strip_prefix(':')) {
            (None, _) => rest.is_empty(),
            (Some(port), Some(digits)) => digits.parse() == Ok(port) && !digits.starts_with('0'),
            (Some(_), None) => false,
        }
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn read(text: &str) -> Result<Authority<'_>, &'static str> {
    let end = match text.strip_prefix('[') {
        // A colon inside brackets belongs to an IPv6 address.
        Some(inside) => inside.find(']').ok_or("a bracket is not closed")? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at_checked(end).ok_or("it is cut")?;
    Ok(Authority { host: read_host(host)?, port: read_port(port)? })
}

fn read_port(text: &str) -> Result<Option<u16>, &'static str> {
    let Some(digits) = text.strip_prefix(':') else {
        return if text.is_empty() { Ok(None) } else { Err("only a port may follow the host") };
    };
    if digits.is_empty() {
        // RFC 3986, 3.2.3: the same as no port.
        return Ok(None);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a port has only digits");
    }
    digits.parse().map(Some).map_err(|_| "a port is at most 65535")
}

fn read_host(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if let Some(inside) = text.strip_prefix('[') {
        let address = inside.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| Cow::Owned(format!("[{address}]")))
            .ok_or("brackets hold an IPv6 address");
    }
    let host = text.strip_suffix('.').unwrap_or(text);
    if host.is_empty() || host.ends_with('.') {
        return Err("a label is empty");
    }
    if host.len() > LONGEST {
        return Err("it is longer than 253 bytes");
    }
    let mut has_capitals = false;
    for byte in host.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {}
            b'A'..=b'Z' => has_capitals = true,
            b'@' => return Err("it names a user"),
            _ => return Err("only letters, digits, -, _ and dots are allowed"),
        }
    }
    Ok(if has_capitals { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Authority::parse(text).map_or_else(|error| error.rule.to_owned(), |read| read.to_string())
    }

    #[test]
    fn an_authority_has_one_form() {
        for (text, form) in [
            ("a-1.example.org", "a-1.example.org"),
            ("Example.ORG.:8080", "example.org:8080"),
            ("a_b:0080", "a_b:80"),
            ("a:", "a"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[0:0::1]:80", "[::1]:80"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(shown(text), form, "{text}");
            assert_eq!(Authority::parse(text).unwrap().is_spelt(text), text == form, "{text}");
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        for text in [
            "",
            ".",
            "a..",
            "user@host",
            "u:p@host",
            "a b",
            "a/b",
            "a,b",
            "<a>",
            "\u{e9}",
            "a:+80",
            "a:65536",
            "a:8x",
            "a:1:2",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[a]",
            "::1",
            "a%2e",
        ] {
            assert!(Authority::parse(text).is_err(), "{text} is {}", shown(text));
        }
        assert!(Authority::parse(&"a".repeat(254)).is_err());
    }
}
