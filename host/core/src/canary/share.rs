//! The share of calls that a canary gets, as people write it: `5%`, `0.5%`.
//! Does not choose the calls.

use std::fmt;
use std::str::FromStr;

use crate::units::decimal;

/// A part of all calls, in ten thousandths: at least one and less than all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// A text or number that is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadShare {
    /// It is not written as one.
    #[error("{0:?} is no share of calls: expected a percentage like 5% or 0.5%")]
    Form(String),
    /// None, or all.
    #[error(
        "a canary gets at least 0.01% and at most 99.99% of the calls, not {0}: to give a \
         deployment all of them, deploy it without a canary"
    )]
    Bounds(String),
}

impl Share {
    /// All calls.
    pub const WHOLE: u32 = 10_000;
    /// The smallest.
    pub const LEAST: Self = Self(1);

    /// So many calls of ten thousand.
    ///
    /// # Errors
    /// It is none or all of them.
    pub fn new(of_ten_thousand: u32) -> Result<Self, BadShare> {
        let share = Self(of_ten_thousand);
        match of_ten_thousand {
            1..Self::WHOLE => Ok(share),
            _ => Err(BadShare::Bounds(share.to_string())),
        }
    }

    /// How many calls of ten thousand.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// Whether a call is the canary's that drew this number below [`Share::WHOLE`], all of which are
    /// equally likely.
    #[must_use]
    pub fn takes(self, drawn: u32) -> bool {
        drawn < self.0
    }
}

impl FromStr for Share {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Self, BadShare> {
        let bad = || BadShare::Form(text.to_owned());
        let (number, unit) = decimal::split(text.trim());
        if unit != "%" {
            return Err(bad());
        }
        let parts = decimal::scaled(number, 100).ok_or_else(bad)?;
        let parts = u32::try_from(parts).map_err(|_| BadShare::Bounds(text.to_owned()))?;
        Self::new(parts)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match (rest / 10, rest % 10) {
            (0, 0) => write!(f, "{whole}%"),
            (tenth, 0) => write!(f, "{whole}.{tenth}%"),
            (tenth, hundredth) => write!(f, "{whole}.{tenth}{hundredth}%"),
        }
    }
}
