//! Moments as people type them: `10m ago`, `6h`, `2d`, or as RFC 3339 has them.
//! Does not know what time it is.

use std::time::Duration;

use jiff::Timestamp;
use steerage_core::units::parse_duration;

/// A moment in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So long before now.
    Ago(Duration),
    /// At this one, in milliseconds since the epoch.
    At(u64),
}

/// What can be typed.
const EXPECTED: &str = "expected how long ago, such as \"10m ago\", 6h or 2d, or a moment such as \
                        2026-11-25T03:12:00Z";
const DAY: u64 = 24 * 3600;

impl Moment {
    /// Which moment it is where it is `now`, both in milliseconds since the epoch.
    #[must_use]
    pub fn before(self, now: u64) -> u64 {
        match self {
            Self::Ago(ago) => now.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(now)),
            Self::At(at) => at,
        }
    }
}

/// Reads one.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(ago) = ago(text.trim().trim_end_matches("ago").trim_end()) {
        return Ok(Moment::Ago(ago));
    }
    let at = text.trim().parse::<Timestamp>().ok();
    let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    at.map(Moment::At).ok_or_else(|| EXPECTED.to_owned())
}

fn ago(text: &str) -> Option<Duration> {
    let (days, rest) = text.split_once('d').unwrap_or(("0", text));
    let days = Duration::from_secs(days.parse::<u64>().ok()?.checked_mul(DAY)?);
    if rest.is_empty() && !days.is_zero() {
        return Some(days);
    }
    days.checked_add(parse_duration(rest).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_type_them() {
        let ago = |seconds| Ok(Moment::Ago(Duration::from_secs(seconds)));
        assert_eq!(moment("10m ago"), ago(600));
        assert_eq!(moment("10m"), ago(600));
        assert_eq!(moment(" 6h ago "), ago(21_600));
        assert_eq!(moment("2d"), ago(2 * DAY));
        assert_eq!(moment("1d12h ago"), ago(DAY + DAY / 2));
        assert_eq!(moment("2026-11-25T17:04:05Z"), Ok(Moment::At(1_795_626_245_000)));
        assert_eq!(moment("2026-11-25T18:04:05+01:00"), Ok(Moment::At(1_795_626_245_000)));
    }

    #[test]
    fn what_is_no_moment_is_refused_with_what_would_be_one() {
        for text in [
            "",
            "ago",
            "yesterday",
            "10",
            "d",
            "0d",
            "99999999999999999999d",
            "1960-01-01T00:00:00Z",
        ] {
            assert_eq!(moment(text), Err(EXPECTED.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_moment_is_before_now() {
        assert_eq!(Moment::Ago(Duration::from_secs(1)).before(5_000), 4_000);
        assert_eq!(Moment::Ago(Duration::from_secs(10)).before(5_000), 0);
        assert_eq!(Moment::At(7).before(5_000), 7);
    }
}
