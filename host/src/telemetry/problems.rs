//! What is wrong with apps and with what this host has only so much of, from when it opens to when it
//! closes; both are told as events.
//! Does not judge: `core::problem` does. Says no reasons: `core::why` does. Ends with the process.

mod of_host;
mod slow;
mod turn;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use steerage_core::id::{AppName, Generation};
use steerage_core::objective::Objective;
use steerage_core::outcome::Outcome;
use steerage_core::problem::{
    AppWatch, Asker, FailedCall, FailureWay, OpenProblem, PastTurn, ProblemTurn, how_it_ended,
};
use steerage_core::spent::TimeSpent;
use steerage_core::why;

pub use self::of_host::HostProblems;
use self::slow::Slow;
use super::events::{Events, Severity};
use super::metrics::AppMeter;
use crate::meter;

/// The cause of calls that a host refuses since it ends. Others take them: that is no problem of the app.
const OF_ENDING_HOST: &str = "draining";

/// A call that is over, as far as it tells whether its app is well.
#[derive(Clone, Copy, Debug)]
pub struct EndedCall<'c> {
    /// Milliseconds since the epoch when it ended.
    pub at: u64,
    /// Who called.
    pub client: IpAddr,
    /// For what.
    pub path: &'c str,
    /// The deployment that served it.
    pub generation: Generation,
    /// How it ended.
    pub outcome: &'c Outcome,
    /// The status that was sent.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// Where that time went.
    pub spent: &'c TimeSpent,
}

/// An app that is not well.
#[derive(Clone, Debug)]
pub struct TroubledApp {
    /// `failing` or `slow`.
    pub kind: &'static str,
    /// The app.
    pub app: AppName,
    /// What is wrong, in a sentence.
    pub claim: String,
    /// Since when, and how it stands.
    pub problem: OpenProblem,
    /// The cause of it, as a code and as it is said.
    pub cause: (&'static str, String),
    /// Of a slow app: calls that took longer are slow.
    pub slow_after: Option<Duration>,
    /// The deployment that fails since it is there, where it is to blame.
    pub generation: Option<u64>,
}

/// Watches the calls of one app.
#[derive(Debug)]
pub struct AppProblems {
    app: AppName,
    meter: Arc<AppMeter>,
    all: Arc<Known>,
    /// Made by the first failure.
    watch: OnceLock<Box<Mutex<AppWatch>>>,
    /// Something failed lately: good answers are told as well.
    is_waiting: AtomicBool,
    /// The deployment that was loaded last, and how many calls had been answered well by then.
    generation: AtomicU64,
    n_good_before: AtomicU64,
    /// The deployment that went last, current one or canary: calls of it may end late. 0 where none has.
    gone: AtomicU64,
    /// Something was wrong with it in the hour that runs.
    was_wrong: AtomicBool,
    /// What the deployment promises.
    objective: Mutex<Objective>,
    slow: Slow,
    /// It is among the apps that are looked at: whoever makes this true adds it.
    is_looked_at: AtomicBool,
}

/// What is watched.
#[derive(Debug)]
struct Known {
    events: Arc<Events>,
    /// Apps of which a call has failed, or that promise something about how long calls take.
    apps: Mutex<Vec<Weak<AppProblems>>>,
    host: HostProblems,
}

/// What is wrong on this host. Clones share it.
#[derive(Clone, Debug)]
pub struct Problems {
    known: Arc<Known>,
}

impl Problems {
    /// Nothing yet; what turns up is told there.
    pub(super) fn new(events: Arc<Events>) -> Self {
        let (apps, host) = (Mutex::default(), HostProblems::new(events.clone()));
        Self { known: Arc::new(Known { events, apps, host }) }
    }

    /// Watches an app that has these counters.
    #[must_use]
    pub fn of(&self, app: &AppName, meter: &Arc<AppMeter>) -> Arc<AppProblems> {
        Arc::new(AppProblems {
            app: app.clone(),
            meter: meter.clone(),
            all: self.known.clone(),
            watch: OnceLock::new(),
            is_waiting: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            n_good_before: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            was_wrong: AtomicBool::new(false),
            objective: Mutex::default(),
            slow: Slow::default(),
            is_looked_at: AtomicBool::new(false),
        })
    }

    /// Looks at what has become of apps. To be called every few seconds.
    pub fn look(&self, now: u64) {
        for app in self.known.all_apps() {
            app.look(now);
        }
    }

    /// What this host lacks.
    #[must_use]
    pub fn of_host(&self) -> &HostProblems {
        &self.known.host
    }

    /// Apps that are not well.
    #[must_use]
    pub fn of_apps(&self) -> Vec<TroubledApp> {
        let apps = self.known.all_apps();
        apps.iter().flat_map(|app| app.failing().into_iter().chain(app.slow())).collect()
    }

    /// How many of both there are.
    #[must_use]
    pub fn n_open(&self) -> usize {
        self.of_apps().len() + self.known.host.n_open()
    }
}

impl Known {
    fn all_apps(&self) -> Vec<Arc<AppProblems>> {
        let mut apps = lock(&self.apps);
        apps.retain(|app| app.strong_count() > 0);
        apps.iter().filter_map(Weak::upgrade).collect()
    }
}

impl AppProblems {
    /// An hour is over, by its number since the epoch: of so many calls 99 of 100 took no longer than this.
    pub fn note_hour(self: &Arc<Self>, hour: u32, n_calls: u64, p99_us: u64) {
        let was_wrong = self.was_wrong.swap(false, Ordering::Relaxed);
        let turn = self.slow.change(self.meter.answered_well(), |watch| {
            watch.note_hour(hour, n_calls, p99_us, was_wrong)
        });
        match turn {
            PastTurn::None => {}
            PastTurn::Judged => self.be_looked_at(),
            PastTurn::IsUsual => {
                let well = "has taken as long for a day: so it is judged by that";
                self.tell(ProblemTurn::Closed, None, well);
            }
        }
    }

    /// A deployment of the app is served no more.
    pub fn note_gone(&self, generation: Generation) {
        // Before the watch is told: a call that ends in between would open the problem anew.
        self.gone.store(generation.get(), Ordering::Relaxed);
        let Some(watch) = self.watch.get() else { return };
        let mut watch = lock(watch);
        let now = meter::milliseconds_since_epoch(Instant::now());
        let turn = watch.gone(now, generation.get(), self.meter.answered_well());
        if let Some(turn) = turn {
            let well =
                format!("is not served as generation {generation} any more, which was what failed");
            self.tell(turn, None, &well);
        }
    }

    /// A deployment of the app was loaded, which promises this: what fails from here on may be its doing.
    pub fn note_deployment(self: &Arc<Self>, generation: Generation, promised: &Objective) {
        let before = self.generation.swap(generation.get(), Ordering::Relaxed);
        if before != generation.get() {
            self.n_good_before.store(self.meter.answered_well(), Ordering::Relaxed);
            if let Some(before) = Generation::new(before) {
                self.note_gone(before);
            }
        }
        let before = std::mem::replace(&mut *lock(&self.objective), *promised);
        if before.success != promised.success
            && let Some(watch) = self.watch.get()
        {
            lock(watch).set_allowed(promised.success.may_fail());
        }
        if before.latency != promised.latency {
            let n_answered = self.meter.answered_well();
            if self.slow.change(n_answered, |watch| watch.promise(promised.latency)) {
                let well = "has other promises about how long its calls take";
                self.tell(ProblemTurn::Closed, None, well);
            }
            self.be_looked_at();
        }
    }

    fn be_looked_at(self: &Arc<Self>) {
        // Nearly always it is: then nothing is written.
        if !self.is_looked_at.load(Ordering::Relaxed)
            && !self.is_looked_at.swap(true, Ordering::Relaxed)
        {
            lock(&self.all.apps).push(Arc::downgrade(self));
        }
    }

    /// A call is over, and counted.
    pub fn note(self: &Arc<Self>, call: EndedCall<'_>) {
        let cause = call.outcome.cause();
        if !why::is_failed(cause, call.status) {
            self.slow.note(cause, || call.took.saturating_sub(call.spent.of_client()));
            if self.is_waiting.load(Ordering::Relaxed)
                && cause == "answered"
                // Who finds it locked waits for nobody: the next good answer tells as much.
                && let Some(mut watch) = self.watch.get().and_then(|watch| watch.try_lock().ok())
            {
                watch.answered(call.asker());
            }
            return;
        }
        // A client that sends nothing until the time is over is no failure of the app.
        if cause == OF_ENDING_HOST || cause == "timed_out" && call.is_of_client() {
            return;
        }
        // It ends late, and says nothing of what is served now.
        let generation = call.generation.get();
        if generation == self.gone.load(Ordering::Relaxed)
            && generation != self.generation.load(Ordering::Relaxed)
        {
            return;
        }
        let n_good = self.meter.answered_well();
        let watch = self.watch.get_or_init(|| {
            let may_fail = lock(&self.objective).success.may_fail();
            Box::new(Mutex::new(AppWatch::new(may_fail, n_good)))
        });
        self.be_looked_at();
        let before = self.n_good_before.load(Ordering::Relaxed);
        let mut watch = lock(watch);
        let turn = watch.failed(FailedCall {
            at: call.at,
            asker: call.asker(),
            way: call.way(),
            ended: (cause, call.status),
            generation,
            n_good: (n_good, before),
        });
        if !self.is_waiting.load(Ordering::Relaxed) {
            self.is_waiting.store(true, Ordering::Relaxed);
        }
        if let Some(turn) = turn {
            self.tell(turn, watch.claim(self.app.as_str()), "");
        }
    }

    fn look(&self, now: u64) {
        let n_answered = self.meter.answered_well();
        let (turn, is_slow) = self.slow.look(self.app.as_str(), now, n_answered);
        if let Some((turn, claim)) = turn {
            self.tell(turn, claim, "takes no longer than it may again");
        }
        let watch = self.watch.get().map(|watch| lock(watch));
        if is_slow || watch.as_ref().is_some_and(|watch| watch.open().is_some()) {
            self.was_wrong.store(true, Ordering::Relaxed);
        }
        let Some(mut watch) = watch else { return };
        let turn = watch.look(now, n_answered);
        self.is_waiting.store(watch.is_waiting(now), Ordering::Relaxed);
        if let Some(turn) = turn {
            self.tell(turn, watch.claim(self.app.as_str()), "answers its callers again");
        }
    }

    fn tell(&self, turn: ProblemTurn, claim: Option<String>, well: &str) {
        let app = &self.app;
        let (kind, severity, message) = match turn {
            ProblemTurn::Opened => ("problem_opened", Severity::Warning, claim.unwrap_or_default()),
            ProblemTurn::Closed => ("problem_closed", Severity::Info, format!("{app} {well}")),
            // Nothing that anybody should act on.
            ProblemTurn::Unmeasured | ProblemTurn::Measured => return,
        };
        turn::tell(&self.all.events, Some(app), kind, severity, message);
    }

    fn failing(&self) -> Option<TroubledApp> {
        let watch = lock(self.watch.get()?);
        let (cause, status) = watch.mostly()?;
        Some(TroubledApp {
            kind: "failing",
            app: self.app.clone(),
            claim: watch.claim(self.app.as_str())?,
            problem: watch.open()?,
            cause: (cause, how_it_ended(cause, status)),
            slow_after: None,
            generation: watch.of_deployment(),
        })
    }

    fn slow(&self) -> Option<TroubledApp> {
        let judged = self.slow.judged();
        let watch = judged.watch.open()?;
        Some(TroubledApp {
            kind: "slow",
            app: self.app.clone(),
            claim: watch.claim(self.app.as_str())?,
            problem: *watch.open()?,
            cause: ("slow", watch.how()),
            slow_after: Some(watch.slow_after()),
            generation: None,
        })
    }
}

impl EndedCall<'_> {
    /// Whether its client took most of the time.
    fn is_of_client(&self) -> bool {
        self.spent.most().is_some_and(|(phase, _)| phase.is_of_client())
    }

    fn asker(&self) -> Asker {
        Asker(hash((self.client, self.path)))
    }

    fn way(&self) -> FailureWay {
        let frame = self.outcome.backtrace().first();
        FailureWay(hash((self.outcome.cause(), self.status, frame)))
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn lock<T: ?Sized>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use steerage_core::outcome::Trap;
    use steerage_core::spent::Phase;
    use steerage_core::units::Bytes;

    use super::*;
    use crate::call::Usage;
    use crate::telemetry::Telemetry;

    struct Calls {
        telemetry: Telemetry,
        problems: Arc<AppProblems>,
        now: u64,
        took: Duration,
        spent: TimeSpent,
    }

    impl Calls {
        fn new() -> Self {
            let events: Arc<Events> = Arc::default();
            let telemetry = Telemetry::new(Bytes::mebi(8), events, false);
            let app: AppName = "shop".parse().unwrap();
            let problems = telemetry.problems.of(&app, &telemetry.meters.meter());
            problems.note_deployment(Generation::FIRST, &Objective::default());
            Self {
                telemetry,
                problems,
                now: 1_000_000,
                took: Duration::from_millis(1),
                spent: TimeSpent::default(),
            }
        }

        fn end(&mut self, path: &str, outcome: &Outcome, status: u16) {
            self.now += 100;
            self.problems.meter.record(outcome, status, self.took, &Usage::default(), 0);
            self.problems.note(EndedCall {
                at: self.now,
                client: [127, 0, 0, 1].into(),
                path,
                generation: Generation::FIRST,
                outcome,
                status,
                took: self.took,
                spent: &self.spent,
            });
        }

        fn trap(&mut self, path: &str) {
            let trap = Trap { reason: "unreachable".to_owned(), backtrace: Vec::new() };
            self.end(path, &Outcome::Trapped(trap), 500);
        }

        fn answer(&mut self, n: u32) {
            for _ in 0..n {
                self.end("/", &Outcome::Answered, 200);
            }
        }

        /// Looks so many times, each after twenty good calls.
        fn live(&mut self, n_looks: u32) {
            for _ in 0..n_looks {
                self.answer(20);
                self.now += 10_000;
                self.telemetry.problems.look(self.now);
            }
        }

        fn told(&self) -> Vec<String> {
            let events = self.telemetry.problems.known.events.recent(None, 100);
            events.into_iter().map(|event| event.message).collect()
        }
    }

    #[test]
    fn an_app_that_fails_has_a_problem_until_it_answers_again() {
        let mut calls = Calls::new();
        calls.answer(1000);
        for n in 0..5 {
            assert!(calls.telemetry.problems.of_apps().is_empty() || n >= 4, "after {n}");
            calls.trap(&format!("/{n}"));
        }
        let failing = calls.telemetry.problems.of_apps();
        assert_eq!(failing[0].claim, "shop fails: 5 of 5 calls, mostly: trapped");
        assert_eq!((failing[0].cause.0, failing[0].generation), ("trapped", None));
        for _ in 0..20 {
            calls.answer(10);
            calls.now += 10_000;
            calls.telemetry.problems.look(calls.now);
        }
        assert!(calls.telemetry.problems.of_apps().is_empty());
        assert_eq!(
            calls.told(),
            ["shop fails: 4 of 4 calls, mostly: trapped", "shop answers its callers again"]
        );
    }

    #[test]
    fn what_is_the_clients_doing_or_the_hosts_end_is_no_problem() {
        let mut calls = Calls::new();
        for n in 0..100 {
            let path = format!("/{n}");
            calls.end(&path, &Outcome::ClientGone, 0);
            calls.end(&path, &Outcome::Answered, 404);
            calls.end(&path, &Outcome::Refused(steerage_core::outcome::Refusal::Draining), 503);
        }
        assert!(
            calls.problems.watch.get().is_none(),
            "nothing is kept of an app that never failed"
        );
    }

    #[test]
    fn a_client_that_sends_or_reads_slowly_makes_no_app_fail_nor_slow() {
        for phase in [Phase::RequestBody, Phase::Client, Phase::Outbound] {
            let mut calls = Calls::new();
            let latency = Some("50ms at p99".parse().unwrap());
            let objective = Objective { latency, ..Objective::default() };
            calls.problems.note_deployment(Generation::FIRST, &objective);
            calls.took = Duration::from_secs(1);
            calls.spent = TimeSpent::of(calls.took, |of| {
                if of == phase { Duration::from_millis(990) } else { Duration::ZERO }
            });
            for n in 0..20 {
                calls.end(&format!("/{n}"), &Outcome::TimedOut { limit: calls.took }, 504);
                calls.answer(20);
                calls.now += 10_000;
                calls.telemetry.problems.look(calls.now);
            }
            let kinds: Vec<_> =
                calls.telemetry.problems.of_apps().iter().map(|app| app.kind).collect();
            let expected: &[&str] = if phase.is_of_client() { &[] } else { &["failing", "slow"] };
            assert_eq!(kinds, expected, "{phase:?}");
        }
    }

    #[test]
    fn answers_of_5xx_are_failures() {
        let mut calls = Calls::new();
        for n in 0..2 {
            calls.end(&format!("/{n}"), &Outcome::Answered, 503);
        }
        let failing = calls.telemetry.problems.of_apps();
        assert_eq!(failing[0].claim, "shop fails: 2 of 2 calls, mostly: it answered 503");
        assert_eq!(failing[0].generation, Some(1));
    }

    #[test]
    fn an_app_that_promises_nothing_is_slow_by_its_own_past() {
        for (p99_us, n_problems) in [(50_000, 1), (100_000, 0)] {
            let mut calls = Calls::new();
            for hour in 0..24 {
                calls.problems.note_hour(hour, 1000, p99_us);
            }
            calls.took = Duration::from_millis(80);
            calls.live(10);
            let slow = calls.telemetry.problems.of_apps();
            assert_eq!(slow.len(), n_problems, "{p99_us}");
            let Some(slow) = slow.first() else { continue };
            assert!(
                slow.claim.ends_with("took longer than 56ms, as hardly any did in the last days")
            );
            calls.took = Duration::from_millis(20);
            calls.live(20);
            assert!(calls.telemetry.problems.of_apps().is_empty(), "it is quick again");
        }
    }

    #[test]
    fn an_app_is_slow_by_what_it_promises_and_no_other_is() {
        for (promised, n_problems) in [("50ms at p99", 1), ("500ms at p99", 0)] {
            let mut calls = Calls::new();
            let latency = Some(promised.parse().unwrap());
            let objective = Objective { latency, ..Objective::default() };
            calls.problems.note_deployment(Generation::FIRST, &objective);
            calls.took = Duration::from_millis(80);
            calls.live(10);
            let slow = calls.telemetry.problems.of_apps();
            assert_eq!(slow.len(), n_problems, "{promised}");
            let Some(slow) = slow.first() else { continue };
            assert_eq!((slow.kind, slow.slow_after), ("slow", Some(Duration::from_millis(50))));
            assert!(slow.claim.ends_with("calls took longer than 50ms"), "{}", slow.claim);
            calls.problems.note_deployment(Generation::FIRST, &Objective::default());
            assert!(calls.telemetry.problems.of_apps().is_empty(), "nothing is promised any more");
        }
    }
}
