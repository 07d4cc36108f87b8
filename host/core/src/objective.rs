//! What an app's developer promises its callers: how many calls are answered well, and how soon.
//! Judges nothing: `problem` does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::quote::Quoted;
use crate::units::{parse_duration, show_duration};

/// A part of all, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millionths(u32);

/// How many calls are to be answered well: `99.9%`. From 50 % to 99.9999 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Success(Millionths);

/// How soon how many of them are to be over: `200ms at p99`. From `p50` to `p99.99`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Calls that take longer are slow.
    pub slow_after: Duration,
    /// So many of them are not to be.
    pub quick: Millionths,
}

/// What an app promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Objective {
    /// How many calls are answered well.
    pub success: Success,
    /// How soon; nothing where nothing is promised.
    pub latency: Option<Latency>,
}

/// A text that is no part of all calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no part of all calls: expected a text from \"50%\" to \"99.9999%\"", Quoted(.0))]
pub struct BadSuccess(String);

/// A text that says no latency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} says no latency: expected a time and a percentile from p50 to p99.99, like \"200ms at p99\"",
    Quoted(.0)
)]
pub struct BadLatency(String);

impl Millionths {
    const WHOLE: u32 = 1_000_000;

    /// Reads a percentage with up to four places after the point, within these bounds.
    fn read(text: &str, least: u32, most: u32) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || part.len() > 4 || !is_number(part) {
            return None;
        }
        let whole: u32 = if is_number(whole) { whole.parse().ok()? } else { return None };
        let part: u32 = format!("{part:0<4}").parse().ok()?;
        let millionths = whole * 10_000 + part;
        (least..=most).contains(&millionths).then_some(Self(millionths))
    }

    /// The rest of all, as a part from 0 to 1.
    #[must_use]
    pub fn rest(self) -> f64 {
        f64::from(Self::WHOLE - self.0) / f64::from(Self::WHOLE)
    }
}

/// As a percentage, without its sign.
impl fmt::Display for Millionths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 10_000, self.0 % 10_000);
        if part == 0 {
            return write!(f, "{whole}");
        }
        let part = format!("{part:04}");
        write!(f, "{whole}.{}", part.trim_end_matches('0'))
    }
}

impl Success {
    /// The part of all calls that may fail, from 0 to 1.
    #[must_use]
    pub fn may_fail(self) -> f64 {
        self.0.rest()
    }
}

impl Default for Success {
    fn default() -> Self {
        Self(Millionths(999_000))
    }
}

impl FromStr for Success {
    type Err = BadSuccess;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = text.strip_suffix('%').and_then(|text| Millionths::read(text, 500_000, 999_999));
        read.map(Self).ok_or_else(|| BadSuccess(text.to_owned()))
    }
}

impl fmt::Display for Success {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl FromStr for Latency {
    type Err = BadLatency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (time, percentile) = text.split_once(" at p")?;
            let slow_after = parse_duration(time.trim()).ok().filter(|time| !time.is_zero())?;
            Some(Self { slow_after, quick: Millionths::read(percentile, 500_000, 999_900)? })
        };
        read().ok_or_else(|| BadLatency(text.to_owned()))
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at p{}", show_duration(self.slow_after), self.quick)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_promised_is_read_and_shown_as_it_was_written() {
        for text in ["99.9%", "50%", "99.9999%", "75.25%"] {
            assert_eq!(text.parse::<Success>().unwrap().to_string(), text);
        }
        for text in ["200ms at p99", "1s at p50", "1m30s at p99.9"] {
            assert_eq!(text.parse::<Latency>().unwrap().to_string(), text);
        }
        let success: Success = "99.9%".parse().unwrap();
        assert_eq!(success, Success::default());
        assert!((success.may_fail() - 0.001).abs() < 1e-12);
    }

    #[test]
    fn what_promises_nothing_is_refused_with_what_would() {
        for text in ["", "99.9", "100%", "49%", "99.99999%", "+99%", "9 9%", "99.%x"] {
            let error = text.parse::<Success>().unwrap_err().to_string();
            assert!(error.contains("from \"50%\" to \"99.9999%\""), "{error}");
        }
        for text in
            ["", "200ms", "200ms at 99", "0s at p99", "soon at p99", "1s at p100", "1s at p9"]
        {
            let error = text.parse::<Latency>().unwrap_err().to_string();
            assert!(error.contains("\"200ms at p99\""), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".*") {
            drop(text.parse::<Success>());
            drop(text.parse::<Latency>());
        }
    }
}
