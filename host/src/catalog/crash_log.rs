//! Which apps have calls running, on the disk, so that the next run knows after a crash: the kernel
//! keeps what was written when the process is killed. Costs a call a look at a flag when it begins and
//! when it ends. A thread of its own writes, since a slow disk must not hold up callers, and forgets
//! apps that nobody calls.
//! Blames nobody: `core::crash_loop` does.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use steerage_core::crash_loop::{self, Crash};
use steerage_core::id::{AppName, Generation};

use super::LoadedDeployment;
use crate::kernel;
use crate::priority;

const FILE: &str = "running.json";
/// After an app was called that was not watched, it is looked at again so soon, and five times later
/// each time up to the longest pause. Small calls are over by the first look.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// An app of which no call ran for so long is not watched any more.
const IDLE: Duration = Duration::from_secs(1);
/// Looking takes one part of so many of a core at most, however many apps are called; so much of that
/// time may be used ahead, since where little is called each look should be at once.
const SHARE: u32 = 50;
const AHEAD: Duration = Duration::from_millis(500);
/// As many apps are written down: where more run at once, nobody could say whose fault a crash was.
const MOST: usize = 64;
/// As many crashes are kept, and as many apps held back.
const KEPT: usize = 32;

/// Writes down which apps have calls running, and knows of earlier runs. Clones share it.
#[derive(Clone, Debug)]
pub struct CrashLog {
    news: Sender<News>,
    known: Arc<Known>,
}

/// What is known of earlier runs.
#[derive(Debug, Default)]
struct Known {
    crashes: Vec<Crashed>,
    /// Whether the last run is one of them.
    is_new: bool,
    held: Vec<Suspect>,
    last_run: LastRun,
}

/// How the run before this one ended, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastRun {
    /// There was none, or nothing is known of it.
    #[default]
    None,
    /// It was told to end.
    Ended,
    /// It was not, and the machine went on.
    Killed,
    /// It was not, and the machine started again.
    WithMachine,
}

/// A run that ended without being told to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Crashed {
    /// When that was found, in milliseconds since the epoch.
    pub at: u64,
    /// The deployments whose calls ran, without those that had answered many.
    pub suspects: Vec<Suspect>,
}

/// A deployment whose call ran when its host crashed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Suspect {
    /// The app.
    pub app: String,
    /// Which of its deployments.
    pub generation: u64,
}

#[derive(Debug)]
enum News {
    /// A call of it begins, and it is not watched.
    Called(Weak<LoadedDeployment>),
    /// What was written down as running does not run any more.
    Idle,
    /// The host was told to end: whatever happens now is no crash.
    Ends,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Written {
    v: u32,
    /// Which start of the machine it was: nobody's call makes a machine start again.
    boot: String,
    has_ended: bool,
    running: Vec<Running>,
    crashes: Vec<Crashed>,
    /// What a host without a fleet holds back.
    held: Vec<Suspect>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Running {
    app: String,
    generation: u64,
    /// Calls that were over by then.
    n_over: u64,
    /// Whether it is on trial: calls of its app say nothing of it then.
    #[serde(default, alias = "is_on_trial")]
    is_canary: bool,
}

impl CrashLog {
    /// Reads what the last run has left in the data folder, and begins to write.
    ///
    /// # Errors
    /// The file cannot be opened, or the system refuses a thread.
    #[expect(clippy::disallowed_methods, reason = "each deployment has two messages in it at most")]
    pub fn open(data: &Path) -> io::Result<Self> {
        let path = data.join(FILE);
        let text = fs::read_to_string(&path).unwrap_or_default();
        // What stands behind the first line is of a longer one that was there before.
        let last = text.lines().next().map(serde_json::from_str::<Written>).and_then(Result::ok);
        let (boot, now) = (kernel::boot_id(), now());
        let last_run = last.as_ref().map_or(LastRun::None, |last| last.end(&boot));
        let (written, is_new) = next_run(last.unwrap_or_default(), boot, now);
        let (crashes, held) = (written.crashes.clone(), written.held.clone());
        let known = Known { crashes, is_new, held, last_run };
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let mut record = Record { file, written };
        if let Err(error) = record.write() {
            // On a full disk hosts start all the same.
            tracing::warn!(%error, "cannot write down which apps have calls running");
        }
        let (news, heard) = channel();
        thread::Builder::new().name("crash-log".to_owned()).spawn(move || watch(record, &heard))?;
        Ok(Self { news, known: Arc::new(known) })
    }

    /// Notes that a call of this deployment begins.
    pub fn note(&self, deployed: &Arc<LoadedDeployment>) {
        // The right to run was taken before, so that whoever takes the flag down sees that call.
        if !deployed.is_watched.load(Ordering::Relaxed)
            && !deployed.is_watched.swap(true, Ordering::SeqCst)
        {
            drop(self.news.send(News::Called(Arc::downgrade(deployed))));
        }
    }

    /// Notes that a call of this deployment is over, and its right to run given back.
    pub fn note_end(&self, deployed: &LoadedDeployment) {
        // Once for each time it is written down, and only when no other call runs.
        if deployed.is_written.load(Ordering::Relaxed)
            && deployed.state.gate.load().0 == 0
            && deployed.is_written.swap(false, Ordering::SeqCst)
        {
            drop(self.news.send(News::Idle));
        }
    }

    /// The host was told to end: whatever happens now is no crash.
    pub fn end(&self) {
        drop(self.news.send(News::Ends));
    }

    /// The last run, if it crashed while calls of suspects ran.
    #[must_use]
    pub fn last_crash(&self) -> Option<&Crashed> {
        self.known.crashes.last().filter(|_| self.known.is_new)
    }

    /// How the run before this one ended.
    #[must_use]
    pub fn last_run(&self) -> LastRun {
        self.known.last_run
    }

    /// All crashes that still count.
    #[must_use]
    pub fn crashes(&self) -> &[Crashed] {
        &self.known.crashes
    }

    /// What a host without a fleet holds back, by its own crashes only.
    pub fn held(&self) -> impl Iterator<Item = (AppName, Generation)> {
        self.known.held.iter().filter_map(Suspect::named)
    }
}

impl Crashed {
    /// This crash as that of one of its suspects.
    #[must_use]
    pub fn of(&self, suspect: &Suspect) -> Option<Crash> {
        let beside = self.suspects.iter().filter(|other| other.app != suspect.app);
        let beside: BTreeSet<AppName> = beside.filter_map(|other| other.app.parse().ok()).collect();
        self.suspects.contains(suspect).then_some(Crash { at: self.at, beside })
    }
}

impl Suspect {
    /// What it is about.
    #[must_use]
    pub fn named(&self) -> Option<(AppName, Generation)> {
        Some((self.app.parse().ok()?, Generation::new(self.generation)?))
    }
}

impl Written {
    /// How the run that has left this ended, on a machine that runs since this start now.
    fn end(&self, boot: &str) -> LastRun {
        match self.has_ended {
            true => LastRun::Ended,
            false if self.boot == boot => LastRun::Killed,
            false => LastRun::WithMachine,
        }
    }
}

/// What a run begins with after the one that has left this, and whether that one crashed.
fn next_run(last: Written, boot: String, now: u64) -> (Written, bool) {
    let within = u64::try_from(crash_loop::WITHIN.as_millis()).unwrap_or(u64::MAX);
    let (mut crashes, mut held) = (last.crashes, last.held);
    crashes.retain(|crash| now.saturating_sub(crash.at) < within);
    let is_suspect =
        |running: &Running| running.is_canary || crash_loop::is_suspect(running.n_over);
    let suspects = last.running.into_iter().filter(is_suspect);
    let suspects: Vec<Suspect> =
        suspects.map(|Running { app, generation, .. }| Suspect { app, generation }).collect();
    let is_crash = !last.has_ended && last.boot == boot && !suspects.is_empty();
    if is_crash {
        crashes.push(Crashed { at: now, suspects: suspects.clone() });
        for suspect in suspects {
            let all: Vec<Crash> = crashes.iter().filter_map(|crash| crash.of(&suspect)).collect();
            if crash_loop::is_to_blame(&all, now) && !held.contains(&suspect) {
                held.push(suspect);
            }
        }
    }
    crashes.drain(..crashes.len().saturating_sub(KEPT));
    held.drain(..held.len().saturating_sub(KEPT));
    (Written { v: 1, boot, has_ended: false, running: Vec::new(), crashes, held }, is_crash)
}

/// What is written down.
#[derive(Debug)]
struct Record {
    file: File,
    written: Written,
}

impl Record {
    fn change(&mut self, change: impl FnOnce(&mut Written)) {
        let before = self.written.clone();
        change(&mut self.written);
        if self.written != before
            && let Err(error) = self.write()
        {
            tracing::debug!(%error, "cannot write down which apps have calls running");
        }
    }

    /// In place and not made durable: it is to outlive the process, not the machine.
    fn write(&mut self) -> io::Result<()> {
        let mut line = serde_json::to_vec(&self.written).map_err(io::Error::other)?;
        line.push(b'\n');
        self.file.write_all_at(&line, 0)
    }
}

/// A deployment that was called a short time ago.
#[derive(Debug)]
struct Watched {
    deployed: Weak<LoadedDeployment>,
    /// When a call of it ran last.
    ran_at: Instant,
}

/// Writes until the host ends.
#[expect(clippy::disallowed_methods, reason = "the thread is its own, and looks no more often")]
fn watch(mut record: Record, heard: &Receiver<News>) {
    // What it has to write down may be over in a moment, and so may the process.
    priority::prompt();
    let mut watched: Vec<Watched> = Vec::new();
    let (mut pause, mut paid_until) = (PAUSE.0, Instant::now());
    loop {
        let mut news = match watched.is_empty() {
            true => heard.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => heard.recv_timeout(pause),
        };
        pause = (pause * 5).min(PAUSE.1);
        let ahead = paid_until.saturating_duration_since(Instant::now());
        thread::sleep(ahead.saturating_sub(AHEAD).min(PAUSE.1));
        loop {
            match news {
                Ok(News::Called(deployed)) => {
                    watched.push(Watched { deployed, ran_at: Instant::now() });
                    pause = PAUSE.0;
                }
                Ok(News::Idle) => {}
                Ok(News::Ends) => return record.change(|written| written.has_ended = true),
                Err(RecvTimeoutError::Timeout) => break,
                // It was dropped without being told to end, as in tests.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            news = heard.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
        let began_at = Instant::now();
        let mut running = Vec::new();
        watched.retain_mut(|watched| watched.look(&mut running));
        record.change(|written| written.running = running);
        // Bounded, so that a slow disk for a while is no slow look for long.
        let paid = paid_until.max(began_at) + began_at.elapsed() * SHARE;
        paid_until = paid.min(began_at + AHEAD * 2);
    }
}

impl Watched {
    /// Takes a look; `false` where it need not be watched any more.
    fn look(&mut self, running: &mut Vec<Running>) -> bool {
        let Some(deployed) = self.deployed.upgrade() else { return false };
        let is_running = || deployed.state.gate.load().0 > 0;
        if !is_running() {
            if self.ran_at.elapsed() < IDLE {
                return true;
            }
            deployed.is_watched.store(false, Ordering::SeqCst);
            // A call that saw the flag still up began before it was taken down.
            if !is_running() || deployed.is_watched.swap(true, Ordering::SeqCst) {
                return false;
            }
        }
        self.ran_at = Instant::now();
        if running.len() < MOST {
            deployed.is_written.store(true, Ordering::SeqCst);
            // Whoever ends from here on sees that it is written down.
            if !is_running() {
                return true;
            }
            let (app, generation) = (deployed.app.to_string(), deployed.generation.get());
            let n_over = deployed.state.meter.calls().0;
            let is_canary = deployed.is_canary;
            running.push(Running { app, generation, n_over, is_canary });
        }
        true
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
