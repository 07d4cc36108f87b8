//! The steps of a canary as people write them: `5%`, `5%,25%,50%`, `5%:2m,25%:5m,50%:10m`.
//! Does not say when a step is over: `progress` does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::canary::{BadShare, Share};
use crate::units::{BadUnit, parse_duration, show_duration};

/// Shares of the calls, each larger than the one before, with a time for each that has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps(Vec<(Share, Option<Duration>)>);

/// One step of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryStep {
    /// The canary's part of the calls.
    pub share: Share,
    /// How long it takes at least.
    pub time: Duration,
}

/// What a canary shall do from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryPlan {
    /// Its part of the calls at first.
    pub first: Share,
    /// The steps, of which the first has that share. None for a canary that keeps it until an operator
    /// says more.
    pub steps: Vec<CanaryStep>,
    /// Whether it gets all calls after the last step without an operator's word.
    pub promotes: bool,
}

/// A text that is no list of steps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSteps {
    /// A share is none.
    #[error(transparent)]
    Share(#[from] BadShare),
    /// A time is none.
    #[error(transparent)]
    Time(#[from] BadUnit),
    /// A time is out of bounds.
    #[error("a step of a canary takes at least 1s and at most 168h, not {0}")]
    Bounds(String),
    /// A step is no larger than the one before.
    #[error(
        "each step of a canary gets more of the calls than the one before: {1} comes after {0}"
    )]
    NotMore(Share, Share),
    /// There are too many.
    #[error("a canary has at most {most} steps, not {found}", most = Steps::MOST)]
    TooMany {
        /// So many.
        found: usize,
    },
}

impl Steps {
    /// Most steps of one canary.
    pub const MOST: usize = 20;
    /// How long a step takes for which nobody said a time.
    pub const TIME: Duration = Duration::from_secs(300);
    /// The shortest and the longest step.
    const TIMES: (Duration, Duration) =
        (Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600));

    /// The same, in which each step without a time takes this long.
    ///
    /// # Errors
    /// No step may take so long, or so short.
    pub fn with_time(&self, time: Duration) -> Result<Self, BadSteps> {
        let time = checked(time)?;
        Ok(Self(self.0.iter().map(|(share, said)| (*share, said.or(Some(time)))).collect()))
    }

    /// The plan of a canary. One share without a time, of a canary that is promoted by an operator, stays
    /// as it is; all others have steps, which take [`Steps::TIME`] where no time is said.
    #[must_use]
    pub fn plan(&self, promotes: bool) -> CanaryPlan {
        let step = |(share, time): &(Share, Option<Duration>)| CanaryStep {
            share: *share,
            time: time.unwrap_or(Self::TIME),
        };
        let steps = match self.0.as_slice() {
            [(_, None)] if !promotes => Vec::new(),
            all => all.iter().map(step).collect(),
        };
        CanaryPlan { first: self.first(), steps, promotes }
    }

    fn first(&self) -> Share {
        self.0.first().map_or(Share::LEAST, |(share, _)| *share)
    }
}

fn checked(time: Duration) -> Result<Duration, BadSteps> {
    let (shortest, longest) = Steps::TIMES;
    match time {
        time if (shortest..=longest).contains(&time) => Ok(time),
        time => Err(BadSteps::Bounds(show_duration(time))),
    }
}

impl FromStr for Steps {
    type Err = BadSteps;

    fn from_str(text: &str) -> Result<Self, BadSteps> {
        let n_steps = text.split(',').count();
        if n_steps > Self::MOST {
            return Err(BadSteps::TooMany { found: n_steps });
        }
        let mut steps: Vec<(Share, Option<Duration>)> = Vec::with_capacity(n_steps);
        for step in text.split(',') {
            let (share, time) = match step.split_once(':') {
                Some((share, time)) => (share, Some(checked(parse_duration(time.trim())?)?)),
                None => (step, None),
            };
            let share: Share = share.parse()?;
            if let Some((before, _)) = steps.last()
                && *before >= share
            {
                return Err(BadSteps::NotMore(*before, share));
            }
            steps.push((share, time));
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (share, time)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{share}")?;
            if let Some(time) = time {
                write!(f, ":{}", show_duration(*time))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Steps {
        text.parse().unwrap()
    }

    #[test]
    fn steps_read_as_they_are_written() {
        for text in ["5%", "5%,25%,50%", "5%:2m,25%:5m,50%:10m", "0.5%:90m,1%,99.99%:1s"] {
            let read = steps(text);
            assert_eq!(steps(&read.to_string()), read, "{text}");
        }
        assert_eq!(steps(" 5% : 2m , 25%").to_string(), "5%:2m,25%");
        let filled = steps("5%,25%:1m").with_time(Duration::from_secs(30)).unwrap();
        assert_eq!(filled.to_string(), "5%:30s,25%:1m");
    }

    #[test]
    fn what_is_no_list_of_steps_says_why() {
        for (text, why) in [
            ("", "is no share of calls"),
            ("5%,", "is no share of calls"),
            ("5", "is no share of calls"),
            ("5%,100%", "not 100%: to give a deployment all of them"),
            ("5%:", "is not a duration"),
            ("5%:2", "is not a duration"),
            ("5%:0s", "at least 1s and at most 168h, not 0s"),
            ("5%:169h", "at most 168h, not 169h"),
            ("25%,5%", "gets more of the calls than the one before: 5% comes after 25%"),
            ("5%,5%", "5% comes after 5%"),
        ] {
            let error = text.parse::<Steps>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let many: Vec<String> = (1..=21).map(|share| format!("{share}%")).collect();
        let error = many.join(",").parse::<Steps>().unwrap_err().to_string();
        assert_eq!(error, "a canary has at most 20 steps, not 21");
        assert!(steps("5%").with_time(Duration::from_millis(999)).is_err());
    }

    #[test]
    fn one_share_without_a_time_is_a_canary_without_steps() {
        let share = |text: &str| text.parse::<Share>().unwrap();
        let plain = CanaryPlan { first: share("5%"), steps: Vec::new(), promotes: false };
        assert_eq!(steps("5%").plan(false), plain);
        let step = |text, time| CanaryStep { share: share(text), time: Duration::from_secs(time) };
        assert_eq!(steps("5%").plan(true).steps, [step("5%", 300)]);
        assert_eq!(steps("5%:1m").plan(false).steps, [step("5%", 60)]);
        assert_eq!(steps("5%,9%:1s").plan(false).steps, [step("5%", 300), step("9%", 1)]);
    }
}
