//! Durations as people write them: `250ms`, `2s`, `1m30s`, `1.5h`.
//! Does not do dates, signs or calendars.

use std::time::Duration;

use super::{BadUnit, decimal};

/// The units, longest first, each in nanoseconds.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration: one or more numbers with a unit each, longest unit first, each unit once.
///
/// Units are `h`, `m`, `s`, `ms`, `us` and `ns`. A bare number is refused, because it does not
/// say whether it means seconds.
///
/// # Errors
///
/// Fails for every other text, for parts of a nanosecond, and above 584 years.
pub fn parse_duration(text: &str) -> Result<Duration, BadUnit> {
    read_nanoseconds(text).map(Duration::from_nanos).ok_or_else(|| BadUnit {
        value: text.to_owned(),
        kind: "a duration",
        expected: "numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h",
    })
}

fn read_nanoseconds(text: &str) -> Option<u64> {
    let mut total = 0u64;
    let mut units = UNITS.iter();
    let mut rest = text;
    loop {
        let (number, tail) = decimal::split(rest);
        let end = tail.find(|letter: char| letter.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        // Taking the units in turn is what refuses a unit that repeats or comes too late.
        let &(_, scale) = units.find(|(name, _)| *name == unit.trim_end_matches(' '))?;
        total = total.checked_add(decimal::scaled(number, scale)?)?;
        if tail.is_empty() {
            return Some(total);
        }
        rest = tail;
    }
}

/// A duration in nanoseconds, as fits an atomic; 584 years for longer ones.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Shows a duration so that [`parse_duration`] reads the same one back: `250ms`, `1.5s`, `1m30s`.
///
/// Beyond 584 years it shows the longest duration that can be read.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let nanoseconds = nanoseconds(duration);
    let mut text = String::new();
    let mut rest = nanoseconds;
    for (unit, scale) in UNITS {
        let whole = rest / scale;
        if whole == 0 {
            continue;
        }
        text.push_str(&whole.to_string());
        rest %= scale;
        // From seconds down, a fraction reads better than a second unit.
        if !matches!(unit, "h" | "m") {
            push_fraction(&mut text, rest, scale);
            rest = 0;
        }
        text.push_str(unit);
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn push_fraction(text: &mut String, mut rest: u64, mut scale: u64) {
    if rest > 0 {
        text.push('.');
    }
    while rest > 0 {
        scale /= 10;
        text.push_str(&(rest / scale).to_string());
        rest %= scale;
    }
}
