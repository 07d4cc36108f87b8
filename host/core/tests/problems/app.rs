//! One app whose calls come by chance, a small part of which fails. Who failed tries again.

use steerage_core::problem::{AppWatch, Asker, FailedCall, FailureWay, ProblemTurn};

use crate::chance::{poisson, unit};
use crate::random::Random;
use crate::{DAY, HOUR};

/// The part of calls that may fail.
const ALLOWED: f64 = 0.001;
/// Who failed tries again with this chance, each time: three tries on average.
const AGAIN: f64 = 2.0 / 3.0;

/// How the rate of calls goes up and down.
pub(crate) struct Day {
    is_even: bool,
    first: u64,
}

/// What is wrong.
pub(crate) enum Fault {
    /// Nothing but what always fails.
    None,
    /// A part of all calls fails.
    Part(f64),
}

/// A call that failed.
pub(crate) struct Event {
    pub(crate) at: u64,
    pub(crate) opened: bool,
    pub(crate) is_first_try: bool,
}

pub(crate) struct App {
    random: Random,
    /// Calls a second, by day.
    rate: f64,
    /// The part of them that fails though nothing is wrong.
    failing: f64,
    day: Day,
    n_good: f64,
    since: u64,
    watch: AppWatch,
    looked_at: u64,
}

impl Day {
    pub(crate) fn even() -> Self {
        Self { is_even: true, first: 0 }
    }

    /// Days with nights and weekends, beginning with this day of the week.
    pub(crate) fn of_week(first: u64) -> Self {
        Self { is_even: false, first }
    }

    /// The part of the rate by day.
    fn part(&self, at: u64) -> f64 {
        if self.is_even {
            return 1.0;
        }
        let hour = (at % DAY) as f64 / HOUR as f64;
        let night = 0.55 - 0.45 * (hour / 24.0 * std::f64::consts::TAU).cos();
        let is_weekend = (at / DAY + self.first) % 7 >= 5;
        night * if is_weekend { 0.4 } else { 1.0 }
    }
}

impl App {
    /// One that keeps within what may fail. A fifth of all are called less than ten times an hour.
    pub(crate) fn healthy(seed: u64, day: Day) -> Self {
        let mut random = Random::new(seed);
        let per_hour = 10_f64.powf(unit(&mut random) * 5.0);
        let failing = ALLOWED * 10_f64.powf(-2.0 * unit(&mut random)) * 0.9;
        Self::new(seed, per_hour / 3600.0, failing, day)
    }

    pub(crate) fn new(seed: u64, per_second: f64, failing: f64, day: Day) -> Self {
        Self {
            random: Random::new(seed ^ 0xa11_0a9),
            rate: per_second,
            failing,
            day,
            n_good: 0.0,
            since: 0,
            watch: AppWatch::new(ALLOWED, 0),
            looked_at: 0,
        }
    }

    pub(crate) fn n_good(&self) -> f64 {
        self.n_good
    }

    /// Good calls in the so many milliseconds before now, for each length, as they are expected: others
    /// than this app's watch are told no more exactly.
    pub(crate) fn n_good_in(&self, now: u64) -> impl Fn(u64) -> f64 + '_ {
        move |window| {
            let window = window.min(now);
            // Four pieces follow a day's curve well enough.
            let piece = window as f64 / 4.0;
            let parts = (0..4).map(|n| self.day.part(now - (piece * (f64::from(n) + 0.5)) as u64));
            parts.sum::<f64>() * piece / 1000.0 * self.rate
        }
    }

    /// Lives on from a time for so long.
    pub(crate) fn live(
        &mut self,
        from: u64,
        span: u64,
        fault: &Fault,
        tell: &mut impl FnMut(&Self, &Event),
    ) {
        let rate = self.rate * self.day.part(from + span / 2);
        let failing = match fault {
            Fault::None => self.failing,
            Fault::Part(part) => part.max(self.failing),
        };
        let expected = rate * span as f64 / 1000.0 * failing;
        let n = poisson(&mut self.random, expected);
        let mut times: Vec<u64> =
            (0..n).map(|_| from + (unit(&mut self.random) * span as f64) as u64).collect();
        times.sort_unstable();
        let good_rate = rate * (1.0 - failing) / 1000.0;
        for at in times {
            self.n_good += good_rate * at.saturating_sub(self.since) as f64;
            self.since = self.since.max(at);
            self.fail(at, failing, tell);
        }
        self.n_good += good_rate * (from + span).saturating_sub(self.since) as f64;
        self.since = self.since.max(from + span);
    }

    /// A caller fails, and tries again after some seconds, some times.
    fn fail(&mut self, at: u64, failing: f64, tell: &mut impl FnMut(&Self, &Event)) {
        // One in some hundred callers, most of whom ask for one of a few things.
        let n_askers = (self.rate * 600.0).clamp(3.0, 5000.0) as usize;
        let asker = Asker(self.random.below(n_askers) as u64);
        let way = FailureWay(if self.random.chance(90) { 0 } else { 1 });
        let mut now = at;
        loop {
            let n_good = self.n_good as u64;
            let call = FailedCall {
                at: now,
                asker,
                way,
                ended: ("answered", 500),
                generation: 1,
                n_good: (n_good, 0),
            };
            let opened = self.watch.failed(call) == Some(ProblemTurn::Opened);
            tell(self, &Event { at: now, opened, is_first_try: now == at });
            // What fails once in a thousand times fails for that caller for some seconds.
            if unit(&mut self.random) >= AGAIN {
                break;
            }
            now += 1000 + self.random.next() % 4000;
        }
        if unit(&mut self.random) >= failing.max(0.5) {
            self.watch.answered(asker);
        }
        if now > self.looked_at + 10_000 {
            self.looked_at = now;
            self.watch.look(now, self.n_good as u64);
        }
    }
}
