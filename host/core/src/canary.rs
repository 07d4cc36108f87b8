//! Whether a deployment on trial does worse than the one it shall replace, from what both did with
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
    /// failures, so that a canary that only fails harms no more than some ten callers. One call in a
    /// hundred is what a caller who tries again does not notice, and twice as many what a service that
    /// fails now and then does on a bad day. The slowest twentieth, since it is made of enough calls
    /// to be compared after a hundred, as the slowest hundredth is not. Half as long again is seen by
    /// whoever waits; 20 ms is what a busy host adds by itself.
    pub const STATED: Self = Self {
        calls: 100,
        failed: 10,
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
}

/// What is to be said of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
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
            Self::Fails { canary, old, allowed } => write!(
                f,
                "{} of its calls failed, of the old deployment's {}; up to {} is allowed",
                percent(canary),
                percent(old),
                percent(allowed)
            ),
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
pub fn judge(old: &Side, canary: &Side, margin: &Margin) -> Verdict {
    let has_failed_enough = canary.failed >= margin.failed;
    if old.calls < margin.calls || (canary.calls < margin.calls && !has_failed_enough) {
        return Verdict::TooEarly;
    }
    // One failure more than there was: none in few calls does not mean that there will be none.
    let old_rate = rate(old.failed + 1, old.calls + 1);
    let most = old_rate.saturating_mul(margin.failed_times);
    let allowed = most.max(old_rate.saturating_add(margin.failed_more)).min(WHOLE);
    if exceeds(canary.failed, canary.calls, allowed) {
        let (canary, old) = (rate(canary.failed, canary.calls), rate(old.failed, old.calls));
        return Verdict::Worse(Worse::Fails { canary, old, allowed });
    }
    if canary.calls < margin.calls {
        return Verdict::TooEarly;
    }
    let old_slow = old.durations.exceeded_by(margin.slow);
    let longer = old_slow.saturating_mul(margin.slower_tenths) / 10;
    let allowed = longer.max(old_slow.saturating_add(margin.slower_by));
    let n_slow = canary.durations.longer_than(allowed);
    if exceeds(n_slow, canary.durations.count(), margin.slow) {
        let canary = canary.durations.exceeded_by(margin.slow);
        return Verdict::Worse(Worse::Slow { canary, old: old_slow, allowed });
    }
    Verdict::Fine
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
