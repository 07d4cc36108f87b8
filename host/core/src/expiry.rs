//! When an operator is to hear that a certificate ends: 30 days before, 7, 1, and when it is over.
//! Does not look at clocks or certificates.

use std::fmt;

const DAY: i64 = 86_400;

/// How near the end of a certificate is; later stages are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// Within 30 days.
    Month,
    /// Within 7 days.
    Week,
    /// Within a day.
    Day,
    /// Its time is over.
    Over,
}

impl Expiry {
    /// The stage of what ends in so many seconds; `None` while there is no need to tell anybody.
    #[must_use]
    pub fn of(seconds_left: i64) -> Option<Self> {
        match seconds_left {
            ..=0 => Some(Self::Over),
            left if left <= DAY => Some(Self::Day),
            left if left <= 7 * DAY => Some(Self::Week),
            left if left <= 30 * DAY => Some(Self::Month),
            _ => None,
        }
    }
}

/// Whole days from `now` until `ends`, both in seconds; less than nothing once that is over.
#[must_use]
pub fn days_left(ends: i64, now: i64) -> i64 {
    ends.saturating_sub(now).div_euclid(DAY)
}

/// As the end of a sentence about a certificate.
impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Month => "expires within 30 days",
            Self::Week => "expires within 7 days",
            Self::Day => "expires within a day",
            Self::Over => "has expired",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_the_end_the_greater_the_stage() {
        let stages = [
            (31 * DAY, None),
            (30 * DAY, Some(Expiry::Month)),
            (8 * DAY, Some(Expiry::Month)),
            (7 * DAY, Some(Expiry::Week)),
            (DAY + 1, Some(Expiry::Week)),
            (DAY, Some(Expiry::Day)),
            (1, Some(Expiry::Day)),
            (0, Some(Expiry::Over)),
            (-DAY, Some(Expiry::Over)),
        ];
        for (left, stage) in stages {
            assert_eq!(Expiry::of(left), stage, "{left} s left");
        }
        let days = [(2 * DAY, 2), (2 * DAY - 1, 1), (1, 0), (0, 0), (-1, -1), (-DAY - 1, -2)];
        for (left, n_days) in days {
            assert_eq!(days_left(100 + left, 100), n_days, "{left} s left");
        }
        assert!(Expiry::Over > Expiry::Day && Expiry::Day > Expiry::Week);
    }
}
