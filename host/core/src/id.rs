//! Names of things: apps, tenants, components, deployments and calls.
//! Each is parsed once at the edge and then carried as its type; nothing here makes up a new id,
//! for that takes randomness or a counter, which belong to the effects.

mod database_label;
mod host;
mod store_label;
mod tenant;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::quote::Quoted;

pub use self::database_label::{BadDatabaseLabel, DatabaseLabel};
pub use self::host::{BadHostName, HostName};
pub use self::store_label::{BadStoreLabel, StoreLabel};
pub use self::tenant::{BadTenantName, TenantName};

/// The most bytes of a name: the longest label DNS carries.
const LONGEST_NAME: usize = 63;

/// The rule for names that the text breaks; they have the form of DNS labels.
fn broken_rule(text: &str) -> Option<&'static str> {
    Some(if text.is_empty() {
        "it is empty"
    } else if text.len() > LONGEST_NAME {
        "it is longer than 63 characters"
    } else if !text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        "only a-z, 0-9 and - are allowed"
    } else if !text.starts_with(|first: char| first.is_ascii_lowercase()) {
        "it must start with a letter"
    } else if text.ends_with('-') {
        "it must not end with -"
    } else {
        return None;
    })
}

/// The name a developer deploys an app under: 1 to 63 of `a-z`, `0-9` and `-`, starting with a
/// letter and not ending with `-`, so that it is also a valid DNS label.
///
/// Cloning is cheap: clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppName(
    /// Follows the rules above.
    Arc<str>,
);

/// A text that is not an app name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not an app name: {rule}", Quoted(.value))]
pub struct BadAppName {
    value: String,
    rule: &'static str,
}

impl AppName {
    /// The most bytes a name has: the longest label DNS carries.
    pub const LONGEST: usize = LONGEST_NAME;

    /// Reads a name as a developer wrote it.
    ///
    /// # Errors
    ///
    /// Fails with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadAppName> {
        match broken_rule(text) {
            None => Ok(Self(Arc::from(text))),
            Some(rule) => Err(BadAppName { value: text.to_owned(), rule }),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppName {
    type Err = BadAppName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppName({})", self.0)
    }
}

/// The SHA-256 of a component, which is the component's only address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text that is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a digest: expected sha256: and 64 hexadecimal digits, the prefix may be left out",
    Quoted(.value)
)]
pub struct BadDigest {
    value: String,
}

impl Digest {
    /// How many bytes it has.
    pub const LENGTH: usize = 32;

    /// Takes the 32 bytes that a SHA-256 computation gave.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads `sha256:` and 64 hexadecimal digits of either case; the prefix may be left out.
    ///
    /// # Errors
    ///
    /// Fails for every other text.
    pub fn parse(text: &str) -> Result<Self, BadDigest> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        hex_bytes(digits).map(Self).ok_or_else(|| BadDigest { value: text.to_owned() })
    }

    /// The 64 lower-case hexadecimal digits, without prefix.
    #[must_use]
    pub fn hex(&self) -> String {
        hex_text(&self.0)
    }

    /// The first 12 hexadecimal digits: for people, who compare a few of them; never an address.
    #[must_use]
    pub fn short(&self) -> String {
        hex_text(self.0.first_chunk::<6>().map_or(&[], |head| head.as_slice()))
    }
}

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.hex())
    }
}

fn hex_bytes(digits: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = hex_digit(high)? << 4 | hex_digit(low)?;
    }
    Some(bytes)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Bytes as lower-case hexadecimal digits, two of each.
#[must_use]
pub fn hex_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for half in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(u32::from(half), 16).unwrap_or('?'));
        }
    }
    text
}

/// The number of an app's deployment: 1 for the first, one more for each that follows.
///
/// It never goes down, also not when an earlier deployment is rolled back to: that is a new
/// deployment with old content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(
    /// At least 1.
    u64,
);

/// A text that is not a generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a generation: expected a whole number from 1", Quoted(.value))]
pub struct BadGeneration {
    value: String,
}

impl Generation {
    /// The generation of an app's first deployment.
    pub const FIRST: Self = Self(1);

    /// Takes a number from a record or a wire; `None` for 0, which is no generation.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// The number, at least 1.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The generation after this one. Stays at the largest number, which no app reaches.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl FromStr for Generation {
    type Err = BadGeneration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        number.and_then(Self::new).ok_or_else(|| BadGeneration { value: text.to_owned() })
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of one call, shown to the client and found in logs, events and spans.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u128);

/// A text that is not a call id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a call id: expected 32 hexadecimal digits", Quoted(.value))]
pub struct BadCallId {
    value: String,
}

impl CallId {
    /// Takes 128 bits that the caller chose, at random as a rule.
    #[must_use]
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// The 128 bits.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl FromStr for CallId {
    type Err = BadCallId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let bits = well_formed.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        bits.map(Self).ok_or_else(|| BadCallId { value: text.to_owned() })
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

/// How the id of a call begins, as people copy it from a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallIdPrefix {
    bits: u128,
    n_digits: u32,
}

impl fmt::Display for CallIdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bits, n_digits } = self;
        write!(f, "{bits:0width$x}", width = *n_digits as usize)
    }
}

/// A text with which no call's id begins, or too short a one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not how a call's id begins: expected {} to 32 hexadecimal digits",
    Quoted(.value),
    CallIdPrefix::SHORTEST
)]
pub struct BadCallIdPrefix {
    value: String,
}

impl CallIdPrefix {
    /// Digits that there must be: of fewer, too many calls have an id that begins so.
    pub const SHORTEST: usize = 4;

    /// Whether this id begins so.
    #[must_use]
    pub fn begins(self, id: CallId) -> bool {
        // Never by all bits: there is a digit at least.
        id.as_u128() >> (128 - 4 * self.n_digits) == self.bits
    }
}

impl FromStr for CallIdPrefix {
    type Err = BadCallIdPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = (Self::SHORTEST..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = well_formed.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        let n_digits = u32::try_from(text.len()).unwrap_or(u32::MAX);
        bits.map(|bits| Self { bits, n_digits })
            .ok_or_else(|| BadCallIdPrefix { value: text.to_owned() })
    }
}

#[cfg(test)]
mod tests;
