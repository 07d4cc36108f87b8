//! Whether calls that fail leave a capsule, by which they can be run again, and what is never kept in one.
//! Does not make capsules.

use std::str::FromStr;

use crate::capsule::Redaction;
use crate::quote::Quoted;

/// The most names that an app may declare.
pub const MOST_REDACTED: usize = 64;
/// The most bytes of one.
pub const LONGEST_REDACTED: usize = 64;

/// What `[capture]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Whether calls that fail leave a capsule.
    pub failures: bool,
    /// Headers, query parameters and fields of bodies whose values are secrets, besides those that always are.
    pub redact: Vec<RedactedName>,
}

/// The name of what is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactedName(String);

/// A text that is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is no name of a header or a field: expected 1 to {LONGEST_REDACTED} letters, digits and any of - _ . \
     without spaces",
    Quoted(.0)
)]
pub struct BadRedactedName(String);

impl FromStr for RedactedName {
    type Err = BadRedactedName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > LONGEST_REDACTED || !text.bytes().all(is_good) {
            return Err(BadRedactedName(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl AsRef<str> for RedactedName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Capture {
    /// What is never kept, where calls that fail leave a capsule.
    #[must_use]
    pub fn redaction(&self) -> Option<Redaction> {
        self.failures.then(|| Redaction::new(&self.redact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_headers_and_fields() {
        for good in ["x-api-key", "card_number", "a.b", "A1"] {
            assert_eq!(good.parse::<RedactedName>().unwrap().as_ref(), good);
        }
        let long = "a".repeat(LONGEST_REDACTED + 1);
        for bad in ["", "a b", "a=b", "\u{fc}", &long] {
            assert!(bad.parse::<RedactedName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_kept_unless_it_is_asked_for() {
        assert_eq!(Capture::default().redaction(), None);
        let redact = vec!["X-Api-Key".parse().unwrap()];
        let redaction = Capture { failures: true, redact }.redaction().unwrap();
        for (name, is_secret) in [("x-api-key", true), ("Authorization", true), ("x-trace", false)]
        {
            assert_eq!(redaction.is_secret(name), is_secret, "{name}");
        }
    }
}
