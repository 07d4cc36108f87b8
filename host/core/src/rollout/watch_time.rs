//! How long a deployment is watched, as people write it: `5m`, or `never`.
//! Does not say when a watch began.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::units::{BadUnit, parse_duration, show_duration};

/// How long a deployment is watched that took the place of another, if it is at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchTime(Option<Duration>);

/// A text that says no such time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWatchTime {
    /// It is no duration.
    #[error("{0}; or never")]
    Time(BadUnit),
    /// It is out of bounds.
    #[error("a deployment is watched for at least 1s and at most 24h, or never, not for {0}")]
    Bounds(String),
}

impl WatchTime {
    /// What the host goes by where nobody says more: most of what fails does so at once, and what fails
    /// later is no longer the deployment's first suspect.
    pub const STATED: Self = Self(Some(Duration::from_secs(5 * 60)));
    /// Not at all.
    pub const NEVER: Self = Self(None);
    /// The shortest and the longest.
    const TIMES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));

    /// The time; none where it is not watched.
    #[must_use]
    pub fn get(self) -> Option<Duration> {
        self.0
    }
}

impl FromStr for WatchTime {
    type Err = BadWatchTime;

    fn from_str(text: &str) -> Result<Self, BadWatchTime> {
        if text == "never" {
            return Ok(Self::NEVER);
        }
        let time = parse_duration(text).map_err(BadWatchTime::Time)?;
        let (shortest, longest) = Self::TIMES;
        match time {
            time if (shortest..=longest).contains(&time) => Ok(Self(Some(time))),
            time => Err(BadWatchTime::Bounds(show_duration(time))),
        }
    }
}

impl fmt::Display for WatchTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map_or_else(|| "never".to_owned(), show_duration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_they_are_written() {
        for text in ["5m", "1s", "24h", "never", "1m30s"] {
            assert_eq!(text.parse::<WatchTime>().unwrap().to_string(), text);
        }
        assert_eq!(WatchTime::STATED.to_string(), "5m");
        for (text, why) in [
            ("0s", "at least 1s and at most 24h, or never, not for 0s"),
            ("25h", "not for 25h"),
            ("5", "is not a duration"),
            ("off", "or never"),
        ] {
            let error = text.parse::<WatchTime>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
