//! What is wrong with one app: whether it fails more often than it may, from each of its failures and how
//! many calls were answered well. Its state is some hundred bytes, and there is none before an app's first
//! failure.
//! Does not say why: `core::why` does.

use super::course::{Course, OpenProblem, ProblemTurn};
use super::detector::{Detector, Odds, SinceStart};
use super::evidence::{Asker, FailureWay, RecentFailures};
use super::told::{failing_claim, how_it_ended};

/// At most one in so many calls opens a problem that is none, however they come: a fleet of 10,000 apps
/// with 1.6 billion calls a day waits two months for it.
const CALLS_FOR_ONE: f64 = 1e11;
/// At most one in so many deployments does.
const DEPLOYMENTS_FOR_ONE: f64 = 1e5;
/// Nothing has begun while it is no surer than so many times what it is with good calls only.
const CALM: f64 = 2.0;
/// Endings that are told apart.
const ENDINGS: usize = 8;

/// A call of an app that failed through the app or the host.
#[derive(Clone, Copy, Debug)]
pub struct FailedCall {
    /// Milliseconds since the epoch.
    pub at: u64,
    /// Who called, and for what.
    pub asker: Asker,
    /// How it failed.
    pub way: FailureWay,
    /// The code of how it ended, and the status that was sent.
    pub ended: (&'static str, u16),
    /// The deployment that it was.
    pub generation: u64,
    /// Calls of the app that were answered well up to now, and those of them before its deployment.
    pub n_good: (u64, u64),
}

/// Watches one app.
#[derive(Clone, Debug)]
pub struct AppWatch {
    allowed: f64,
    odds: Odds,
    recent: RecentFailures,
    change: Detector,
    since_start: Option<OfDeployment>,
    /// What was bad, and how much was good when it began, since it was calm the last time.
    run: Option<BadRun>,
    n_good: u64,
    /// How calls ended since then, and how often each.
    endings: Vec<((&'static str, u16), u64)>,
    course: Course,
    /// Bad things that the course was not told yet, and how much was good when it was told.
    n_untold: u64,
    last_at: u64,
    n_good_told: u64,
    /// The deployment that has hardly answered anybody, where that is how it was found.
    of_deployment: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct OfDeployment {
    generation: u64,
    n_good_before: u64,
    n_bad: u64,
    since: SinceStart,
    n_good: u64,
}

#[derive(Clone, Copy, Debug)]
struct BadRun {
    /// The deployment that failed, where it was one only.
    generation: Option<u64>,
    since: u64,
    n_bad: u64,
    n_good: u64,
}

impl AppWatch {
    /// Watches an app of whose calls a part may fail, from 0 to 1, and of which so many were answered well.
    #[must_use]
    pub fn new(allowed: f64, n_good: u64) -> Self {
        let odds = Odds::new(allowed);
        Self {
            allowed,
            odds,
            recent: RecentFailures::default(),
            change: Detector::new(&odds),
            since_start: None,
            run: None,
            n_good,
            endings: Vec::new(),
            course: Course::default(),
            n_untold: 0,
            last_at: 0,
            n_good_told: n_good,
            of_deployment: None,
        }
    }

    /// Judges by another part that may fail from now on.
    pub fn set_allowed(&mut self, allowed: f64) {
        self.allowed = allowed;
        self.odds = Odds::new(allowed);
        self.change = Detector::new(&self.odds);
        self.since_start = None;
        self.run = None;
    }

    /// A call failed.
    pub fn failed(&mut self, call: FailedCall) -> Option<ProblemTurn> {
        if !self.recent.is_distinct(call.at, call.asker, call.way) {
            return None;
        }
        let (n_good, n_good_before) = call.n_good;
        self.change.good(&self.odds, n_good.saturating_sub(self.n_good));
        if self.is_calm() && self.course.open().is_none() {
            self.run = None;
            self.endings.clear();
        }
        self.note_ending(call.ended);
        let run = self.run.get_or_insert(BadRun {
            generation: Some(call.generation),
            since: call.at,
            n_bad: 0,
            n_good,
        });
        run.n_bad += 1;
        run.generation = run.generation.filter(|known| *known == call.generation);
        let run = *run;
        self.n_good = self.n_good.max(n_good);
        self.change.bad(&self.odds);
        let is_same = |of: &OfDeployment| {
            of.generation == call.generation && of.n_good_before == n_good_before
        };
        let mut of = self.since_start.filter(is_same).unwrap_or_else(|| OfDeployment {
            generation: call.generation,
            n_good_before,
            n_bad: 0,
            since: SinceStart::default(),
            n_good: 0,
        });
        let n_good_of_deployment = n_good.saturating_sub(n_good_before);
        of.since.add(&self.odds, n_good_of_deployment.saturating_sub(of.n_good), 1);
        of.n_good = of.n_good.max(n_good_of_deployment);
        of.n_bad += 1;
        // A call of the deployment before may end late.
        if self.since_start.is_none_or(|known| known.generation <= call.generation) {
            self.since_start = Some(of);
        }
        if self.course.open().is_some() {
            self.n_untold += 1;
            self.last_at = call.at;
            return None;
        }
        let is_of_deployment = of.since.evidence() >= DEPLOYMENTS_FOR_ONE;
        if !is_of_deployment && self.change.evidence() < CALLS_FOR_ONE {
            return None;
        }
        // Something else may have broken under one that did well before.
        let is_to_blame = is_of_deployment && of.n_good <= of.n_bad;
        self.of_deployment = is_to_blame.then_some(call.generation);
        self.n_good_told = n_good;
        self.course.begin(call.at, run.since, run.n_bad, n_good.saturating_sub(run.n_good))
    }

    /// A call was answered well. Needs to be told only while [`Self::is_waiting`].
    pub fn answered(&mut self, asker: Asker) {
        self.recent.answered(asker);
    }

    /// Whether something failed lately, so that good answers to the same asker count.
    pub fn is_waiting(&mut self, now: u64) -> bool {
        !self.recent.is_empty(now)
    }

    /// Looks at what has become of it, since so many calls were answered well up to now. To be asked every
    /// few seconds.
    pub fn look(&mut self, now: u64, n_good: u64) -> Option<ProblemTurn> {
        let good = n_good.saturating_sub(self.n_good_told);
        self.n_good_told = self.n_good_told.max(n_good);
        let bad = std::mem::take(&mut self.n_untold);
        // Who fails again and again is one piece of evidence, and good calls of others do not say that it
        // is over for that one.
        if self.course.open().is_some() && self.recent.goes_on(now) {
            self.course.hold(now, good, bad);
            return None;
        }
        let turn = self.course.tell(now, self.allowed, good, bad)?;
        if turn == ProblemTurn::Closed {
            self.begin_anew(n_good);
        }
        Some(turn)
    }

    /// A deployment is not served any more, at a time when so many calls were answered well: what was wrong
    /// with it alone is over.
    pub fn gone(&mut self, now: u64, generation: u64, n_good: u64) -> Option<ProblemTurn> {
        if self.run?.generation != Some(generation) {
            return None;
        }
        // What failed and was not told yet was of that deployment, too.
        self.n_untold = 0;
        self.begin_anew(n_good);
        self.course.end(now)
    }

    /// Nothing is held against the app.
    fn begin_anew(&mut self, n_good: u64) {
        self.change = Detector::new(&self.odds);
        self.since_start = None;
        self.run = None;
        self.endings.clear();
        self.n_good = n_good;
    }

    /// The problem, while it is open, with what has failed since it was looked at.
    #[must_use]
    pub fn open(&self) -> Option<OpenProblem> {
        let mut open = *self.course.open()?;
        if self.n_untold > 0 {
            (open.n_bad, open.last_at) = (open.n_bad + self.n_untold, self.last_at);
        }
        Some(open)
    }

    /// The deployment that has hardly answered anybody, where that is how the problem was found.
    #[must_use]
    pub fn of_deployment(&self) -> Option<u64> {
        self.of_deployment.filter(|_| self.course.open().is_some())
    }

    /// How most of the calls ended that belong to it: a code, and the status that was sent.
    #[must_use]
    pub fn mostly(&self) -> Option<(&'static str, u16)> {
        self.endings.iter().max_by_key(|(_, n)| *n).map(|(ending, _)| *ending)
    }

    /// What is wrong, in a sentence, while something is.
    #[must_use]
    pub fn claim(&self, app: &str) -> Option<String> {
        let open = self.open()?;
        let (cause, status) = self.mostly()?;
        let how = how_it_ended(cause, status);
        Some(failing_claim(app, open.n_bad, open.n_bad + open.n_good, &how))
    }

    fn note_ending(&mut self, ended: (&'static str, u16)) {
        // The status that the host sends for a cause is always the same.
        let ended = if ended.0 == "answered" { ended } else { (ended.0, 0) };
        if let Some((_, n)) = self.endings.iter_mut().find(|(known, _)| *known == ended) {
            *n += 1;
        } else if self.endings.len() < ENDINGS {
            self.endings.push((ended, 1));
        }
    }

    fn is_calm(&self) -> bool {
        self.change.evidence() <= Detector::new(&self.odds).evidence() * CALM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct App {
        watch: AppWatch,
        n_good: u64,
        n_good_before: u64,
        now: u64,
        n_askers: u64,
    }

    impl App {
        fn new() -> Self {
            Self {
                watch: AppWatch::new(0.001, 0),
                n_good: 0,
                n_good_before: 0,
                now: 1_000_000,
                n_askers: 0,
            }
        }

        fn fails(&mut self, asker: u64) -> Option<ProblemTurn> {
            self.now += 1000;
            self.watch.failed(FailedCall {
                at: self.now,
                asker: Asker(asker),
                way: FailureWay(0),
                ended: ("trapped", 500),
                generation: 1,
                n_good: (self.n_good, self.n_good_before),
            })
        }

        fn fails_for_another(&mut self) -> Option<ProblemTurn> {
            self.n_askers += 1;
            self.fails(self.n_askers)
        }
    }

    #[test]
    fn an_app_that_answers_nobody_any_more_is_found_by_its_fourth_failure() {
        for n_good in [1000, 1_000_000] {
            let mut app = App::new();
            app.n_good = n_good;
            let turns: Vec<_> = (0..4).map(|_| app.fails_for_another()).collect();
            assert_eq!(turns, [None, None, None, Some(ProblemTurn::Opened)], "after {n_good}");
            let open = app.watch.open().unwrap();
            assert_eq!((open.n_bad, open.n_good, open.since), (4, 0, 1_001_000));
            assert_eq!(app.watch.of_deployment(), None);
        }
    }

    #[test]
    fn a_deployment_that_answers_nobody_is_found_by_its_second_failure() {
        let mut app = App::new();
        (app.n_good, app.n_good_before) = (1000, 1000);
        assert_eq!(app.fails_for_another(), None);
        assert_eq!(app.fails_for_another(), Some(ProblemTurn::Opened));
        assert_eq!(app.watch.of_deployment(), Some(1));
        let claim = app.watch.claim("shop").unwrap();
        assert_eq!(claim, "shop fails: 2 of 2 calls, mostly: trapped");
    }

    #[test]
    fn who_tries_again_a_hundred_times_is_one_caller() {
        let mut app = App::new();
        app.n_good = 1_000_000;
        for _ in 0..59 {
            assert_eq!(app.fails(7), None);
        }
        assert_eq!(app.fails(8), None);
    }

    #[test]
    fn one_in_two_thousand_is_what_may_fail() {
        let mut app = App::new();
        for _ in 0..100_000 {
            app.n_good += 2000;
            assert_eq!(app.fails_for_another(), None);
        }
    }

    #[test]
    fn deployments_that_come_and_go_make_no_problem_of_what_may_fail() {
        let mut app = App::new();
        for n in 0..1000 {
            app.n_good += 2000;
            // Code that is loaded anew counts from there.
            if n % 5 == 0 {
                app.n_good_before = app.n_good - 1000;
            }
            assert_eq!(app.fails_for_another(), None, "{n}");
        }
    }

    #[test]
    fn it_is_not_over_for_who_fails_on_though_others_are_answered() {
        let mut app = App::new();
        app.n_good = 1_000_000;
        while app.fails_for_another().is_none() {}
        for _ in 0..30 {
            for _ in 0..10 {
                app.fails(7);
            }
            app.n_good += 10_000;
            assert_eq!(app.watch.look(app.now, app.n_good), None);
        }
        assert!(app.watch.open().is_some());
    }

    #[test]
    fn what_is_wrong_with_a_deployment_alone_is_over_when_it_is_gone() {
        let mut app = App::new();
        app.n_good = 1_000_000;
        while app.fails_for_another().is_none() {}
        assert_eq!(app.watch.gone(app.now, 2, app.n_good), None, "another one is gone");
        assert_eq!(app.watch.gone(app.now, 1, app.n_good), Some(ProblemTurn::Closed));
        assert!(app.watch.open().is_none() && app.watch.claim("shop").is_none());
        // It opens anew when that was not the reason.
        let n_failures = (1..).find(|_| app.fails_for_another().is_some());
        assert_eq!(n_failures, Some(4));
    }

    #[test]
    fn it_closes_when_calls_are_answered_again_and_opens_anew() {
        let mut app = App::new();
        app.n_good = 1_000_000;
        while app.fails_for_another().is_none() {}
        for n in 1..=30 {
            app.now += 10_000;
            app.n_good += 20;
            if app.watch.look(app.now, app.n_good) == Some(ProblemTurn::Closed) {
                assert!(n <= 10, "after {n} looks");
                break;
            }
        }
        assert!(app.watch.open().is_none());
        app.now += 3_600_000;
        let n_failures = (1..).find(|_| app.fails_for_another().is_some());
        assert_eq!(n_failures, Some(4));
    }
}
