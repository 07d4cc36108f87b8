//! Units as types, read and shown the way people write them: bytes, fuel, weights, durations.
//! Does not know what a sensible amount is: that is for `limits` to say.

mod cpu;
pub(crate) mod decimal;
mod duration;
mod rounded;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::quote::Quoted;

pub use self::cpu::Cpu;
pub use self::duration::{nanoseconds, parse_duration, show_duration};
pub use self::rounded::{about_duration, age, ago};

/// So many of something: `1 app`, `2 apps`.
#[must_use]
pub fn many(number: impl fmt::Display, word: &str) -> String {
    let number = number.to_string();
    let end = if number == "1" { "" } else { "s" };
    format!("{number} {word}{end}")
}

/// A text that is not an amount of the unit asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not {kind}: expected {expected}", Quoted(.value))]
pub struct BadUnit {
    value: String,
    kind: &'static str,
    expected: &'static str,
}

/// An amount of memory or of body, in bytes.
///
/// Reads `512`, `10KB`, `64MiB` or `1.5GiB`: binary units with `i`, decimal ones without, the
/// `B` and the case do not matter. Shows the shortest text that reads back as the same amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// The units of [`Bytes`], in the order in which equally short texts are preferred.
const BYTE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// The units in which a person is told an amount.
const BINARY_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Bytes {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// Takes a count of bytes.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// So many percent of it.
    #[must_use]
    pub fn percent(self, percent: u64) -> Self {
        let part = u128::from(self.0) * u128::from(percent) / 100;
        Self(u64::try_from(part).unwrap_or(u64::MAX))
    }

    /// Takes a count of 1,048,576 bytes each; the largest amount there is where that is more.
    #[must_use]
    pub const fn mebi(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// The count of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The count as an index or a length; the largest `usize` where it does not fit.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The sum, or `None` where it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum, or the largest amount there is.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing where `other` is more.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The amount as one tells it to a person: the largest binary unit of which there is one, and one
    /// decimal, such as `63.1MiB`. Not exact, so nothing reads it back.
    #[must_use]
    pub fn about(self) -> String {
        decimal::about(self.0, &BINARY_UNITS)
    }

    /// Reads an amount as people write it.
    ///
    /// # Errors
    ///
    /// Fails for a text that is not a number with a known unit, or not a whole count of bytes
    /// below 2^64.
    pub fn parse(text: &str) -> Result<Self, BadUnit> {
        let (number, unit) = decimal::split(text);
        let unit = unit.to_ascii_lowercase();
        let scale = BYTE_UNITS.iter().find_map(|&(name, scale)| {
            let name = name.to_ascii_lowercase();
            let bare = name.strip_suffix('b').unwrap_or(&name);
            (unit == name || unit == bare).then_some(scale)
        });
        scale.and_then(|scale| decimal::scaled(number, scale)).map(Self).ok_or_else(|| BadUnit {
            value: text.to_owned(),
            kind: "a size",
            expected: "a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB",
        })
    }
}

impl FromStr for Bytes {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&decimal::shortest(self.0, &BYTE_UNITS))
    }
}

/// An amount of work a guest does, in units of the engine's fuel: about one per Wasm instruction.
///
/// Reads whole numbers with `_` between digits where wanted and an optional `k`, `M`, `G` or
/// `B` (a thousand, a million, a billion, a billion): `500M`, `2B`, `1.5G`, `250_000`. Shows the
/// shortest text that reads back as the same amount, always with `G` for a billion, as all tables do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fuel(u64);

const FUEL_UNITS: [(&str, u64); 4] =
    [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000), ("", 1)];

impl Fuel {
    /// No fuel.
    pub const ZERO: Self = Self(0);

    /// Takes a count of fuel units.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The count of fuel units.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, or `None` where it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum, or the largest amount there is.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing where `other` is more.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The amount as one tells it to a person, with one decimal, such as `1.2M`. Not exact, so
    /// nothing reads it back.
    #[must_use]
    pub fn about(self) -> String {
        decimal::about(self.0, &FUEL_UNITS)
    }

    /// Reads an amount as people write it.
    ///
    /// # Errors
    ///
    /// Fails for a text that is not a number with a known suffix, or not a whole count of units
    /// below 2^64.
    pub fn parse(text: &str) -> Result<Self, BadUnit> {
        let (number, unit) = decimal::split(text);
        let unit = if unit.eq_ignore_ascii_case("B") { "G" } else { unit };
        let scale = FUEL_UNITS
            .iter()
            .find_map(|&(name, scale)| unit.eq_ignore_ascii_case(name).then_some(scale));
        scale.and_then(|scale| decimal::scaled(number, scale)).map(Self).ok_or_else(|| BadUnit {
            value: text.to_owned(),
            kind: "an amount of fuel",
            expected: "a whole number with an optional k, M, G or B, such as 250_000, 500M or 2G",
        })
    }
}

impl FromStr for Fuel {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Fuel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&decimal::shortest(self.0, &FUEL_UNITS))
    }
}

/// How much of a busy host an app gets beside others: twice the weight is twice the share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(NonZeroU32);

impl Weight {
    /// The weight of an app that asks for none.
    pub const DEFAULT: Self = Self(NonZeroU32::MIN);

    /// The most weight an app may ask for, which bounds how far apart two shares can be.
    pub const MAX: u32 = 1_000;

    /// Takes a weight.
    ///
    /// # Errors
    ///
    /// Fails for 0 and above [`Weight::MAX`].
    pub fn new(weight: u32) -> Result<Self, BadUnit> {
        let bounded = NonZeroU32::new(weight).filter(|weight| weight.get() <= Self::MAX);
        bounded.map(Self).ok_or_else(|| Self::bad(weight.to_string()))
    }

    /// The weight, from 1 to [`Weight::MAX`].
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    fn bad(value: String) -> BadUnit {
        BadUnit { value, kind: "a weight", expected: "a whole number from 1 to 1000" }
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromStr for Weight {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits_only = text.bytes().all(|b| b.is_ascii_digit());
        let weight = digits_only.then(|| text.parse().ok()).flatten();
        weight.map_or_else(|| Err(Self::bad(text.to_owned())), Self::new)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
