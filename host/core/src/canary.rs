//! Whether a canary does worse than the one it shall replace, from what both did with
//! the same calls in the same time: how many failed, and how long they took.
//! Counts nothing and takes nothing back itself. Promotes nothing: that is an operator's to wish.

mod durations;
mod share;

pub use self::durations::Durations;
pub use self::share::{BadShare, Share};

/// How much worse is too much. Each bound stands against chance: what lies within three standard
/// deviations of it is not held against the canary, since small numbers scatter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Margin {
    /// Calls of the old deployment, and of the canary, before anything is said.
    pub calls: u64,
    /// Failed calls of the canary after which its other calls are not waited for.
    pub failed: u64,
    /// And so many calls of the old one must there be then, failed or not, to compare with.
    pub few: u64,
    /// The canary may fail so many calls of ten thousand more than the old one.
    pub failed_more: u64,
    /// And so many times as many.
    pub failed_times: u64,
    /// Of ten thousand calls, those that are called slow of the old deployment.
    pub slow: u64,
    /// Slow is, of the canary, what takes so many tenths of that long.
    pub slower_tenths: u64,
    /// And so many microseconds longer.
    pub slower_by: u64,
}

impl Margin {
    /// What the host goes by. A hundred calls, since fewer tell nothing of one in a hundred; ten
    /// failures beside twenty calls of the old one, so that a canary that only fails harms no more than
    /// some ten callers, also of an app that is seldom called. One call in a
    /// hundred is what a caller who tries again does not notice, and twice as many what a service that
    /// fails now and then does on a bad day. The slowest twentieth, since it is made of enough calls
    /// to be compared after a hundred, as the slowest hundredth is not. Half as long again is seen by
    /// whoever waits; 20 ms is what a busy host adds by itself.
    pub const STATED: Self = Self {
        calls: 100,
        failed: 10,
        few: 20,
        failed_more: 100,
        failed_times: 2,
        slow: 500,
        slower_tenths: 15,
        slower_by: 20_000,
    };
}

/// What one of the two deployments did since the trial began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Calls that tell something of it: not those that the client broke off, nor those that the host
    /// had no room for.
    pub calls: u64,
    /// Those of them that failed by its fault, answers of class 5xx included.
    pub failed: u64,
    /// How long they took.
    pub durations: Durations,
    /// How long those lasted that their callers gave up; `calls` does not hold them. What lasted longer
    /// than is allowed counts as failed: a deployment that hangs fails nobody who waits for ever.
    pub abandoned: Durations,
}

/// What is to be said of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanaryVerdict {
    /// Nothing yet: too few calls.
    TooEarly,
    /// It does as well as the old one, within the margin.
    Fine,
    /// It does worse.
    Worse(Worse),
}

/// In what a canary does worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    /// It fails too often.
    Fails {
        /// Calls of ten thousand that failed.
        canary: u64,
        /// The same of the old deployment.
        old: u64,
        /// As many may.
        allowed: u64,
        /// Those of the canary's that were given up by their callers after too long.
        given_up: u64,
    },
    /// It takes too long.
    Slow {
        /// What its slowest twentieth takes at least, in microseconds.
        canary: u64,
        /// The same of the old deployment.
        old: u64,
        /// As much may it take.
        allowed: u64,
    },
}

impl std::fmt::Display for Worse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Fails { canary, old, allowed, given_up } => {
                write!(f, "{} of its calls failed, ", percent(canary))?;
                if given_up > 0 {
                    write!(f, "{} given up by callers after too long, ", percent(given_up))?;
                }
                let (old, allowed) = (percent(old), percent(allowed));
                write!(f, "of the old deployment's {old}; up to {allowed} is allowed")
            }
            Self::Slow { canary, old, allowed } => write!(
                f,
                "its slowest twentieth of calls takes {} and more, the old deployment's {}; up to \
                 {} is allowed",
                millis(canary),
                millis(old),
                millis(allowed)
            ),
        }
    }
}

/// What is to be said of a canary that did this while the old deployment did that.
#[must_use]
pub fn judge(old: &Side, canary: &Side, margin: &Margin) -> CanaryVerdict {
    let old_slow = old.durations.exceeded_by(margin.slow);
    let Allowed { failed: allowed, longest } = Allowed::beside(old, margin);
    let (old_calls, old_failed, _) = old.within(longest);
    let (calls, failed, n_given_up) = canary.within(longest);
    let has_failed_enough = failed >= margin.failed && old_calls >= margin.few;
    let are_enough = old_calls >= margin.calls && calls >= margin.calls;
    if !are_enough && !has_failed_enough {
        return CanaryVerdict::TooEarly;
    }
    if exceeds(failed, calls, allowed) {
        let (canary, old) = (rate(failed, calls), rate(old_failed, old_calls));
        let given_up = rate(n_given_up, calls);
        return CanaryVerdict::Worse(Worse::Fails { canary, old, allowed, given_up });
    }
    if !are_enough {
        return CanaryVerdict::TooEarly;
    }
    let n_slow = canary.durations.longer_than(longest);
    if exceeds(n_slow, canary.durations.count(), margin.slow) {
        let canary = canary.durations.exceeded_by(margin.slow);
        return CanaryVerdict::Worse(Worse::Slow { canary, old: old_slow, allowed: longest });
    }
    CanaryVerdict::Fine
}

/// What a canary may do beside an old deployment, before chance is allowed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Calls of ten thousand that may fail.
    pub failed: u64,
    /// Microseconds that its slowest twentieth may take.
    pub longest: u64,
}

impl Allowed {
    /// What it may do, since the old one did this.
    #[must_use]
    pub fn beside(old: &Side, margin: &Margin) -> Self {
        let slow = old.durations.exceeded_by(margin.slow);
        let longer = slow.saturating_mul(margin.slower_tenths) / 10;
        let longest = longer.max(slow.saturating_add(margin.slower_by));
        let (calls, failed, _) = old.within(longest);
        // One failure more than there was: none in few calls does not mean that there will be none.
        let rate = rate(failed.saturating_add(1), calls.saturating_add(1));
        let most = rate.saturating_mul(margin.failed_times);
        let failed = most.max(rate.saturating_add(margin.failed_more)).min(WHOLE);
        Self { failed, longest }
    }
}

impl Side {
    /// Its calls and failures, and how many of these are calls that were given up after so many
    /// microseconds.
    pub(crate) fn within(&self, longest: u64) -> (u64, u64, u64) {
        let n_given_up = self.abandoned.longer_than(longest);
        let failed = self.failed.saturating_add(n_given_up);
        (self.calls.saturating_add(n_given_up), failed, n_given_up)
    }
}

/// Rates are counted of so many calls.
const WHOLE: u64 = 10_000;

fn rate(part: u64, calls: u64) -> u64 {
    let rate = (u128::from(part) * u128::from(WHOLE)).checked_div(u128::from(calls));
    u64::try_from(rate.unwrap_or(0)).unwrap_or(u64::MAX)
}

/// Whether `n` of `calls` are more than `allowed` of ten thousand and chance would bring: by three
/// standard deviations of a number of rare events, which is the root of what is expected.
fn exceeds(n: u64, calls: u64, allowed: u64) -> bool {
    let whole = u128::from(WHOLE);
    let (found, expected) = (u128::from(n) * whole, u128::from(calls) * u128::from(allowed));
    let more = found.saturating_sub(expected);
    more > 0 && more.saturating_mul(more) > expected.saturating_mul(9 * whole)
}

fn percent(of_ten_thousand: u64) -> String {
    format!("{}.{:02} %", of_ten_thousand / 100, of_ten_thousand % 100)
}

fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

#[cfg(test)]
mod tests;
