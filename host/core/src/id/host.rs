//! The names of hosts: which of the fleet's machines runs what.
//! Does not know any host: each says its own name when it starts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::quote::Quoted;

/// The name of a host, of the same form as an app's, but it may have dots as the names of machines
/// have, and start with a digit: labels of `a-z`, `0-9` and `-`, 253 characters at most.
///
/// Cloning is cheap: clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(
    /// Follows the rules above.
    Arc<str>,
);

/// A text that is not a host's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a host's name: {rule}", Quoted(.value))]
pub struct BadHostName {
    value: String,
    rule: &'static str,
}

impl HostName {
    /// The most bytes a name has: the longest name DNS carries.
    pub const LONGEST: usize = 253;

    /// Reads a name as somebody wrote it.
    ///
    /// # Errors
    ///
    /// Fails with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadHostName> {
        match broken_rule(text) {
            None => Ok(Self(Arc::from(text))),
            Some(rule) => Err(BadHostName { value: text.to_owned(), rule }),
        }
    }

    /// What a host is called that is alone. Not the machine's name, which may change: crashes are counted by
    /// host.
    #[must_use]
    pub fn alone() -> Self {
        Self(Arc::from("localhost"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The rule that the text breaks; see RFC 1123, 2.1.
fn broken_rule(text: &str) -> Option<&'static str> {
    let is_edge =
        |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_label =
        |label: &str| is_edge(label.bytes().next()) && is_edge(label.bytes().next_back());
    Some(if text.is_empty() {
        "it is empty"
    } else if text.len() > HostName::LONGEST {
        "it is longer than 253 characters"
    } else if !text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')) {
        "only a-z, 0-9, - and . are allowed"
    } else if !text.split('.').all(is_label) {
        "each part must start and end with a letter or a digit"
    } else {
        return None;
    })
}

impl FromStr for HostName {
    type Err = BadHostName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_machines_are_taken_and_others_say_what_is_wrong() {
        for good in ["a", "7", "rack-1.eu.example", "10-0-0-1"] {
            assert_eq!(HostName::parse(good).unwrap().as_str(), good);
        }
        for (bad, rule) in [
            ("", "empty"),
            ("A", "only a-z"),
            ("a/b", "only a-z"),
            ("a..b", "each part"),
            ("-a", "each part"),
            (&*"a".repeat(254), "longer"),
        ] {
            let error = HostName::parse(bad).unwrap_err().to_string();
            assert!(error.contains(rule), "{error}");
        }
    }
}
