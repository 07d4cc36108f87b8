//! The thread that writes: takes all changes that wait, applies them in their order, makes them durable with one
//! commit, and only then says so to each. Also removes pairs that are over.
//! Does not know what a change means: `tables` does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use steerage_core::key_value::{KeyValueQuota, KeyValueRefusal};
use tokio::sync::oneshot;

use super::change::{PairChange, PairChanged};
use super::charge::{WriteCharge, now_ms};
use super::error::KeyValueError;
use super::file::StoreFile;
use super::place::StoreOwner;
use super::tables::Tables;
use super::waiting::WaitingPlace;
use crate::meter;

/// Changes that wait, of all apps.
const MOST_WAITING: usize = 8_192;
/// Changes of one commit. Each waits for the whole commit.
const MOST_AT_ONCE: usize = 1_000;
/// What they bring, beyond which no more are taken into one commit.
const MOST_BYTES_AT_ONCE: usize = 16 << 20;
/// What a change costs however small it is, as bytes, when the time of a commit is divided.
const COST_OF_A_CHANGE: usize = 4 << 10;
/// How long the thread waits for changes before it looks for pairs that are over; they are not told meanwhile
/// either way, but count towards their app's quota.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Answer = Result<PairChanged, KeyValueError>;

/// Takes changes to the thread, which begins with the first.
#[derive(Debug)]
pub(super) struct Writer {
    file: Arc<StoreFile>,
    quota: KeyValueQuota,
    jobs: Mutex<Option<SyncSender<Job>>>,
}

struct Job {
    owner: StoreOwner,
    change: PairChange,
    answer: oneshot::Sender<Answer>,
    charge: WriteCharge,
    /// Given back when it is answered.
    _place: WaitingPlace,
}

impl Writer {
    pub(super) fn new(file: Arc<StoreFile>, quota: KeyValueQuota) -> Self {
        Self { file, quota, jobs: Mutex::default() }
    }

    /// Has a change made; what is returned says what came of it.
    pub(super) fn ask(
        &self,
        owner: StoreOwner,
        change: PairChange,
        (charge, place): (WriteCharge, WaitingPlace),
    ) -> Result<oneshot::Receiver<Answer>, KeyValueError> {
        let (answer, answered) = oneshot::channel();
        let job = Job { owner, change, answer, charge, _place: place };
        self.jobs()?.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => KeyValueRefusal::TooManyRequests.into(),
            TrySendError::Disconnected(_) => {
                KeyValueError::NotWritten("the thread that writes has ended".to_owned())
            }
        })?;
        Ok(answered)
    }

    fn jobs(&self) -> Result<SyncSender<Job>, KeyValueError> {
        let mut held = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = &*held {
            return Ok(jobs.clone());
        }
        let (jobs, waiting) = sync_channel(MOST_WAITING);
        let (file, quota) = (self.file.clone(), self.quota);
        // It ends when the last that could ask is gone. Nobody waits for it: what it has not answered was not
        // acknowledged.
        let begun = thread::Builder::new()
            .name("key-value".to_owned())
            .spawn(move || write_all(&file, quota, &waiting));
        begun.map_err(|error| KeyValueError::NotWritten(error.to_string()))?;
        *held = Some(jobs.clone());
        Ok(jobs)
    }
}

fn write_all(file: &StoreFile, quota: KeyValueQuota, waiting: &Receiver<Job>) {
    let mut next_over = None;
    loop {
        let mut jobs = match waiting.recv_timeout(LOOK_EVERY) {
            Ok(job) => vec![job],
            Err(RecvTimeoutError::Timeout) => {
                if next_over.is_some_and(|at_ms| at_ms <= now_ms()) {
                    let swept =
                        file.write(|transaction| Tables::open(transaction)?.sweep(now_ms()));
                    // What fails is tried again.
                    next_over = swept.unwrap_or(next_over);
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut n_bytes: usize = jobs.iter().map(|job| job.change.n_bytes()).sum();
        while jobs.len() < MOST_AT_ONCE && n_bytes < MOST_BYTES_AT_ONCE {
            let Ok(job) = waiting.try_recv() else { break };
            n_bytes = n_bytes.saturating_add(job.change.n_bytes());
            jobs.push(job);
        }
        meter::begin();
        let done = write(file, quota, &jobs);
        charge(&jobs, meter::end());
        match done {
            Ok((answers, at_ms)) => {
                next_over = at_ms;
                for (job, answer) in jobs.into_iter().zip(answers) {
                    // Whoever asked may have stopped waiting.
                    job.answer.send(answer).ok();
                }
            }
            Err(error) => {
                tracing::error!(%error, "writes to key-value stores failed");
                for job in jobs {
                    job.answer.send(Err(KeyValueError::NotWritten(error.to_string()))).ok();
                }
            }
        }
    }
}

/// Makes changes durable, each in what those before it have left; says when the next pair is over.
fn write(
    file: &StoreFile,
    quota: KeyValueQuota,
    jobs: &[Job],
) -> Result<(Vec<Answer>, Option<u64>), KeyValueError> {
    let now = now_ms();
    file.write(|transaction| {
        let mut tables = Tables::open(transaction)?;
        // Before, so that what is over has left room in the quota.
        tables.sweep(now)?;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            match tables.apply(&job.owner, &job.change, (quota, now)) {
                // Nothing of it was done.
                Err(KeyValueError::Refused(refusal)) => answers.push(Err(refusal.into())),
                done => answers.push(Ok(done?)),
            }
        }
        Ok((answers, tables.sweep(now)?))
    })
}

/// Divides the CPU time of a commit among those that it was for.
fn charge(jobs: &[Job], used: Duration) {
    let cost = |job: &Job| job.change.n_bytes().saturating_add(COST_OF_A_CHANGE) as f64;
    let all: f64 = jobs.iter().map(cost).sum();
    for job in jobs {
        job.charge.with(used.mul_f64(cost(job) / all.max(1.0)));
    }
}
