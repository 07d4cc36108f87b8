//! An HTTP/1.1 load generator, on a thread of its own for each server under load.
//! Understands just enough HTTP to find the end of a response; a generator must cost little.

pub(crate) mod answer;
mod conversation;
mod pace;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use rustix::process::nice;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use self::conversation::Asking;
pub(crate) use self::pace::Pace;
use self::pace::Turns;

/// The nice level at which a thread that wakes goes before those that ask for the shortest slice.
const MOST_PROMPT: i32 = -20;

/// What to ask for, how often, and for how long to wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    /// What to ask for, dealt out among the connections; one that has several asks for them in turn.
    pub(crate) paths: Vec<String>,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// A caller that has waited this long goes away.
    pub(crate) give_up: Duration,
    /// Whether the kernel is to wake the generator before all others.
    pub(crate) is_prompt: bool,
}

/// What came of the requests of one span of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) elapsed: Duration,
    /// Latencies in microseconds, by status. In an open loop they count from the moment at which the
    /// request was to be sent, so that a server that stalls cannot hide it.
    pub(crate) answers: BTreeMap<u16, Histogram<u64>>,
    /// Requests without a whole answer: the connection ended, or the caller gave up.
    pub(crate) n_broken: u64,
}

/// A generator at work. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Press {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    tally: Mutex<(Instant, Tally)>,
    stop: Notify,
}

impl Plan {
    /// As many requests in flight as connections, and all the patience there is.
    pub(crate) fn closed(address: SocketAddr, path: &str, connections: usize) -> Self {
        Self {
            address,
            paths: vec![path.to_owned()],
            connections: connections.max(1),
            pace: Pace::Closed,
            give_up: Duration::from_secs(120),
            is_prompt: false,
        }
    }

    /// From a thread that the kernel wakes before the host's, where `is_prompt`: a client on another
    /// machine does not wait for this one's cores.
    pub(crate) fn prompt(self, is_prompt: bool) -> Self {
        Self { is_prompt, ..self }
    }

    /// The same, with these paths dealt out among the connections.
    pub(crate) fn paths(self, paths: Vec<String>) -> Self {
        Self { paths, ..self }
    }

    /// So many requests a second, whether earlier ones were answered or not.
    pub(crate) fn open(self, per_second: f64) -> Self {
        Self { pace: Pace::Open { per_second: per_second.max(1.0) }, ..self }
    }

    /// The same, with callers that go away after this time.
    pub(crate) fn give_up(self, give_up: Duration) -> Self {
        Self { give_up, ..self }
    }
}

impl Press {
    /// Starts to press.
    pub(crate) fn start(plan: Plan) -> Result<Self> {
        let tally = Mutex::new((Instant::now(), Tally::default()));
        let shared = Arc::new(Shared { tally, stop: Notify::new() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let of_thread = shared.clone();
        let work = move || {
            if plan.is_prompt {
                // Of this thread alone, on Linux.
                nice(MOST_PROMPT)
                    .context("a prompt generator needs the right to a lower nice level")?;
            }
            runtime.block_on(LocalSet::new().run_until(press(plan, of_thread)))
        };
        let thread = std::thread::Builder::new().name("generator".to_owned()).spawn(work)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What came of it since this was last asked.
    pub(crate) fn take(&self) -> Tally {
        let mut guard = self.shared.tally();
        let now = Instant::now();
        let began_at = std::mem::replace(&mut guard.0, now);
        Tally { elapsed: now - began_at, ..std::mem::take(&mut guard.1) }
    }

    /// What comes of the next `duration`; what came before is forgotten.
    pub(crate) fn measure(&self, duration: Duration) -> Result<Tally> {
        drop(self.take());
        pause(duration);
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            bail!("the load generator ended; is there a server?");
        }
        Ok(self.take())
    }

    /// Ends it, and says why it could not go on if it could not.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.shared.stop.notify_one();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_| anyhow::Error::msg("a load generator panicked"))?
    }
}

impl Drop for Press {
    fn drop(&mut self) {
        drop(self.end());
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, (Instant, Tally)> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, status: u16, latency: Duration) -> Result<()> {
        let micros = u64::try_from(latency.as_micros())?.max(1);
        let mut guard = self.tally();
        if let Some(latencies) = guard.1.answers.get_mut(&status) {
            return Ok(latencies.record(micros)?);
        }
        let mut latencies = Histogram::new(3)?;
        latencies.record(micros)?;
        guard.1.answers.insert(status, latencies);
        Ok(())
    }

    fn broken(&self) {
        self.tally().1.n_broken += 1;
    }
}

impl Tally {
    /// How many requests were answered with this status.
    pub(crate) fn n(&self, status: u16) -> u64 {
        self.answers.get(&status).map_or(0, Histogram::len)
    }

    /// How many requests were answered with this status, per second.
    pub(crate) fn per_second(&self, status: u16) -> f64 {
        self.n(status) as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in microseconds that this share of the answers with this status stayed below.
    pub(crate) fn quantile(&self, status: u16, quantile: f64) -> u64 {
        self.answers.get(&status).map_or(0, |latencies| latencies.value_at_quantile(quantile))
    }

    /// The answers by status, for people: `200: 5000, 503: 12, broken: 1`.
    pub(crate) fn summary(&self) -> String {
        let mut parts: Vec<String> =
            self.answers.iter().map(|(status, all)| format!("{status}: {}", all.len())).collect();
        if self.n_broken > 0 {
            parts.push(format!("broken: {}", self.n_broken));
        }
        if parts.is_empty() { "no answers".to_owned() } else { parts.join(", ") }
    }

    /// Fails unless every request was answered with 200.
    pub(crate) fn all_well(self) -> Result<Self> {
        if self.n(200) == 0 || self.answers.len() > 1 || self.n_broken > 0 {
            bail!("not all were answered with 200: {}", self.summary());
        }
        Ok(self)
    }
}

/// Presses for `duration` after `warmup`, and demands that everything is answered with 200.
pub(crate) fn press_well(plan: Plan, warmup: Duration, duration: Duration) -> Result<Tally> {
    let press = Press::start(plan)?;
    drop(press.measure(warmup)?);
    let tally = press.measure(duration)?;
    press.stop()?;
    tally.all_well()
}

/// Lets time pass. Benches measure spans of time; nothing here waits for something to happen.
#[expect(clippy::disallowed_methods, reason = "a bench measures over a span of time")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

async fn press(plan: Plan, shared: Arc<Shared>) -> Result<()> {
    let turns = Rc::new(Turns::new(plan.pace, plan.give_up));
    // A connection that cannot be made at all ends the run.
    drop(conversation::Connection::open(plan.address).await.context("cannot connect")?);
    let n_paths = plan.paths.len();
    for n in 0..plan.connections {
        let first = n % n_paths.max(1);
        let paths = plan.paths.iter().skip(first).step_by(plan.connections).cloned().collect();
        let asking = Asking { address: plan.address, paths, give_up: plan.give_up };
        let talk = conversation::converse(asking, turns.clone(), shared.clone());
        tokio::task::spawn_local(talk);
    }
    tokio::select! {
        ended = turns.run() => ended,
        () = shared.stop.notified() => Ok(()),
    }
}
