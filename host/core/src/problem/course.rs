//! One problem from when it opens to when it closes. It closes when good things say clearly that it is over,
//! and not because nothing was heard: that is a state of its own.
//! Does not say when it opens: `detector` does.

/// Milliseconds for which all must be well before it closes, so that it does not close and open in turns.
const WELL_FOR: u64 = 60_000;
/// After so many milliseconds without any call nothing is known of it any more.
const SILENT_FOR: u64 = 600_000;
/// Whoever opens again so soon after it closed goes on: milliseconds.
const AGAIN_WITHIN: u64 = 600_000;
/// How sure it must be that it is over, as a natural logarithm: 10,000 times as likely as not.
const SURE: f64 = 9.21;
/// The rate at which it counts as going on is this part of the one that was seen.
const PART: f64 = 0.5;
/// But no less than so many times what is allowed.
const LEAST_TIMES: f64 = 2.0;

/// How a problem stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemState {
    /// It is there.
    Open,
    /// It was there, and nothing has been measured since for long.
    Unmeasured,
}

impl ProblemState {
    /// How it is written.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Unmeasured => "unmeasured",
        }
    }

    /// Reads one; nothing where there is none of this name.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        [Self::Open, Self::Unmeasured].into_iter().find(|state| state.code() == code)
    }
}

/// What has become of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemTurn {
    /// It is there.
    Opened,
    /// It is over.
    Closed,
    /// Nobody can say.
    Unmeasured,
    /// Things are measured again, and it is there.
    Measured,
}

/// An open problem. Times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenProblem {
    /// How it stands.
    pub state: ProblemState,
    /// The first bad thing that belongs to it.
    pub since: u64,
    /// When it was found.
    pub opened_at: u64,
    /// The last bad thing.
    pub last_at: u64,
    /// Bad things, each a piece of evidence of its own.
    pub n_bad: u64,
    /// Good things meanwhile.
    pub n_good: u64,
    /// How often it came back soon after it was over.
    pub n_again: u32,
    /// Good things up to the last bad one.
    n_good_among: u64,
    over: f64,
    well_since: Option<u64>,
    measured_at: u64,
}

/// A problem that may be there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Course {
    open: Option<OpenProblem>,
    closed: Option<(u64, u32)>,
}

impl Course {
    /// The problem, while it is open.
    #[must_use]
    pub fn open(&self) -> Option<&OpenProblem> {
        self.open.as_ref()
    }

    /// It is there, since the first of so many bad things among so many good ones.
    pub fn begin(&mut self, now: u64, since: u64, n_bad: u64, n_good: u64) -> Option<ProblemTurn> {
        if self.open.is_some() {
            return None;
        }
        let before = self.closed.filter(|(at, _)| at.saturating_add(AGAIN_WITHIN) > now);
        self.open = Some(OpenProblem {
            state: ProblemState::Open,
            since,
            opened_at: now,
            last_at: now,
            n_bad,
            n_good,
            n_again: before.map_or(0, |(_, n_again)| n_again + 1),
            n_good_among: n_good,
            over: 0.0,
            well_since: None,
            measured_at: now,
        });
        Some(ProblemTurn::Opened)
    }

    /// So many things happened since it was told the last time, and whatever they say, it is not over.
    pub fn hold(&mut self, now: u64, n_good: u64, n_bad: u64) {
        if let Some(open) = &mut self.open {
            (open.n_good, open.n_bad) = (open.n_good + n_good, open.n_bad + n_bad);
            open.n_good_among = open.n_good;
            (open.state, open.last_at, open.measured_at) = (ProblemState::Open, now, now);
            (open.over, open.well_since) = (0.0, None);
        }
    }

    /// So many things happened since it was told the last time, `allowed` of which may be bad.
    pub fn tell(&mut self, now: u64, allowed: f64, n_good: u64, n_bad: u64) -> Option<ProblemTurn> {
        let open = self.open.as_mut()?;
        if n_good == 0 && n_bad == 0 {
            let is_silent = open.measured_at.saturating_add(SILENT_FOR) <= now;
            if !is_silent || open.state == ProblemState::Unmeasured {
                return None;
            }
            open.state = ProblemState::Unmeasured;
            open.well_since = None;
            return Some(ProblemTurn::Unmeasured);
        }
        open.measured_at = now;
        open.n_bad += n_bad;
        open.n_good += n_good;
        if n_bad > 0 {
            open.last_at = now;
            open.n_good_among = open.n_good;
        }
        let was = std::mem::replace(&mut open.state, ProblemState::Open);
        let goes_on = (open.rate() * PART).max(allowed * LEAST_TIMES);
        // Where much may be bad, going on lies between that and everything.
        let goes_on = goes_on.min(f64::midpoint(1.0, allowed));
        let said = n_bad as f64 * (allowed / goes_on).ln()
            + n_good as f64 * ((1.0 - allowed) / (1.0 - goes_on)).ln();
        // Twice as sure is enough for ever, so that it notices soon when it goes on after all.
        open.over = (open.over + said).clamp(0.0, SURE * 2.0);
        if open.over < SURE {
            open.well_since = None;
            return (was == ProblemState::Unmeasured).then_some(ProblemTurn::Measured);
        }
        let well_since = *open.well_since.get_or_insert(now);
        if well_since.saturating_add(WELL_FOR) > now {
            return None;
        }
        self.end(now)
    }

    /// It is over, whatever things say.
    pub fn end(&mut self, now: u64) -> Option<ProblemTurn> {
        let open = self.open.take()?;
        self.closed = Some((now, open.n_again));
        Some(ProblemTurn::Closed)
    }
}

impl OpenProblem {
    /// The part of all that was bad up to the last bad one.
    fn rate(&self) -> f64 {
        self.n_bad as f64 / (self.n_bad + self.n_good_among).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: f64 = 0.001;

    fn open(n_bad: u64, n_good: u64) -> Course {
        let mut course = Course::default();
        assert_eq!(course.begin(1000, 500, n_bad, n_good), Some(ProblemTurn::Opened));
        assert_eq!(course.begin(1000, 500, n_bad, n_good), None, "it is one problem");
        course
    }

    #[test]
    fn it_closes_after_a_minute_of_good_calls() {
        let mut course = open(4, 0);
        let mut turns = Vec::new();
        for second in (1..).map(|n| 1000 + n * 10_000).take(10) {
            turns.extend(course.tell(second, ALLOWED, 10, 0).map(|turn| (second, turn)));
        }
        assert!(matches!(turns[..], [(at, ProblemTurn::Closed)] if at <= 101_000), "{turns:?}");
        assert!(course.open().is_none());
    }

    #[test]
    fn it_goes_on_while_as_much_is_bad_as_before() {
        let mut course = open(10, 90);
        for second in (1..).map(|n| 1000 + n * 10_000).take(1000) {
            assert_eq!(course.tell(second, ALLOWED, 90, 10), None);
        }
        let open = course.open().unwrap();
        assert_eq!((open.n_bad, open.n_good, open.since), (10_010, 90_090, 500));
    }

    #[test]
    fn it_closes_though_as_much_is_bad_as_may_be() {
        let mut course = open(50, 950);
        let closed = (1_u64..200).find(|n| {
            course.tell(1000 + n * 10_000, ALLOWED, 1000, u64::from(n % 2 == 0)).is_some()
        });
        assert!(closed.is_some_and(|n| n < 12), "{closed:?}");
    }

    #[test]
    fn it_closes_however_much_may_be_bad() {
        for allowed in [1e-6, 0.001, 0.1, 0.3, 0.5] {
            let mut course = open(100, 0);
            let closed = (1_u64..200).find(|n| {
                course.tell(1000 + n * 10_000, allowed, 100, 0) == Some(ProblemTurn::Closed)
            });
            assert!(closed.is_some(), "{allowed}");
        }
    }

    #[test]
    fn what_nobody_calls_is_not_over() {
        let mut course = open(4, 0);
        assert_eq!(course.tell(300_000, ALLOWED, 0, 0), None);
        assert_eq!(course.tell(601_000, ALLOWED, 0, 0), Some(ProblemTurn::Unmeasured));
        assert_eq!(course.tell(900_000, ALLOWED, 0, 0), None, "it is told once");
        assert_eq!(course.open().unwrap().state, ProblemState::Unmeasured);
        assert_eq!(course.tell(910_000, ALLOWED, 0, 1), Some(ProblemTurn::Measured));
        assert_eq!(course.open().unwrap().state, ProblemState::Open);
    }

    #[test]
    fn who_comes_back_soon_is_the_same_once_more() {
        let mut course = open(4, 0);
        assert_eq!(course.tell(2000, ALLOWED, 1000, 0), None);
        assert_eq!(course.tell(62_000, ALLOWED, 1, 0), Some(ProblemTurn::Closed));
        course.begin(100_000, 99_000, 4, 0);
        assert_eq!(course.open().unwrap().n_again, 1);
        assert_eq!(course.tell(2_000_000, ALLOWED, 1000, 0), None);
        assert_eq!(course.tell(2_100_000, ALLOWED, 1, 0), Some(ProblemTurn::Closed));
        course.begin(9_000_000, 9_000_000, 4, 0);
        assert_eq!(course.open().unwrap().n_again, 0, "much later it is a new one");
    }
}
