//! The thread of one connection: runs its statements one after the other, and ends when nobody has sent one for a
//! while. Each connection has one, since a statement that waits for the disk, a lock or its turn holds it.
//! Does not say how many there may be: `pool` does.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rustix::process::{Pid, setpriority_process};
use rustix::thread::gettid;
use steerage_core::sql::MOST_MEMORY;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::SqlQuestion;
use super::error::SqlError;
use super::memory;
use super::open::{DatabaseFile, is_changed};
use super::run::{Told, run};
use super::turns::SqlTurns;
use crate::priority;

/// How long a connection stays open that nobody uses, for the next call; and a transaction that nobody goes on with.
pub(super) const IDLE: Duration = Duration::from_secs(10);
/// Room for what a statement calls within itself, whose depth has bounds; taken as it is used.
const STACK: usize = 2 << 20;
/// Statements that wait on one connection: the one that is asked, and a word that it is given back.
const MOST_WAITING: usize = 4;
/// How far a thread steps back that does not end its slice: it has next to nothing where others compute.
const LAST: i32 = 19;

/// The right to have a connection, given back when nobody has it and no statement of it runs.
#[derive(Debug)]
pub(super) struct Lease(Mutex<Option<[OwnedSemaphorePermit; 2]>>);

/// A statement for the thread.
#[derive(Debug)]
pub(super) struct SqlJob {
    pub(super) question: Arc<SqlQuestion>,
    pub(super) turns: Arc<SqlTurns<Told>>,
    pub(super) lease: Arc<Lease>,
}

#[derive(Debug)]
enum Word {
    Run(Box<SqlJob>),
    /// Whoever had the connection wants it no more.
    GivenBack,
    /// It is to be closed.
    Close,
}

/// A connection, as others have it. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct SqlThread {
    words: SyncSender<Word>,
    known: Arc<Known>,
}

/// What is known of it outside.
#[derive(Debug, Default)]
struct Known {
    /// The system's number of the thread; 0 before it runs.
    number: AtomicI32,
    /// Its last statement did not end its slice in time.
    is_last: AtomicBool,
    n_held: AtomicUsize,
    has_transaction: AtomicBool,
}

/// Who takes connections that are given back, and has those until somebody wants one.
pub(super) trait Home: Send + Sync {
    /// Keeps it; `false` where there are enough.
    fn keep(&self, connection: &SqlThread) -> bool;

    /// Takes this one out again; `false` where it is not kept.
    fn forget(&self, connection: &SqlThread) -> bool;
}

impl Lease {
    pub(super) fn new(permits: [OwnedSemaphorePermit; 2]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(permits))))
    }

    fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl SqlThread {
    /// Starts one for this database, which opens it for its first statement.
    pub(super) fn start(file: DatabaseFile, home: impl Home + 'static) -> Result<Self, SqlError> {
        let (words, inbox) = sync_channel(MOST_WAITING);
        let started = Self { words, known: Arc::default() };
        let own = started.clone();
        let serve = move || {
            memory::prepare();
            memory::bound(MOST_MEMORY);
            priority::patient();
            own.known.number.store(gettid().as_raw_nonzero().get(), Ordering::Relaxed);
            own.serve(&file, &inbox, &home);
        };
        // Nobody waits for it: what it has not answered was not acknowledged.
        let begun = thread::Builder::new().name("sql".to_owned()).stack_size(STACK).spawn(serve);
        begun.map_err(|error| SqlError::Unusable(format!("cannot start a thread: {error}")))?;
        Ok(started)
    }

    /// Has a statement run. Where it cannot be, its turns end with [`SqlError::Lost`].
    pub(super) fn send(&self, job: SqlJob) {
        self.words.try_send(Word::Run(Box::new(job))).ok();
    }

    /// Says that nobody has it any more.
    pub(super) fn give_back(&self) {
        // One that is not told ends by itself when nothing has come for a while.
        self.words.try_send(Word::GivenBack).ok();
    }

    /// Has it close, where nobody has it.
    pub(super) fn close(&self) {
        self.words.try_send(Word::Close).ok();
    }

    /// Steps back for all others, since a slice does not end. The thread ends with its statement: no thread may come
    /// forward again.
    pub(super) fn step_back(&self) {
        self.known.is_last.store(true, Ordering::Relaxed);
        let number = self.known.number.load(Ordering::Relaxed);
        let Some(number) = Pid::from_raw(number) else { return };
        // It may have ended, and another have its number only after very many.
        if let Err(error) = setpriority_process(Some(number), LAST) {
            tracing::debug!(%error, "a thread of SQL does not step back");
        }
    }

    /// The CPU time that it has used so far, where the system says.
    pub(super) fn used(&self) -> Option<Duration> {
        let number = self.known.number.load(Ordering::Relaxed);
        let text = fs::read_to_string(format!("/proc/self/task/{number}/schedstat")).ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }

    /// What the engine holds in memory for it, as of its last statement.
    pub(super) fn n_held(&self) -> usize {
        self.known.n_held.load(Ordering::Relaxed)
    }

    /// Whether its last statement left a transaction open.
    pub(super) fn has_transaction(&self) -> bool {
        self.known.has_transaction.load(Ordering::Relaxed)
    }

    /// Whether both are the same connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.known, &other.known)
    }

    fn serve(&self, file: &DatabaseFile, inbox: &Receiver<Word>, home: &impl Home) {
        let mut connection = None;
        let mut lease: Option<Arc<Lease>> = None;
        loop {
            match inbox.recv_timeout(IDLE) {
                Ok(Word::Run(mut job)) => {
                    lease = Some(job.lease.clone());
                    self.run(&mut connection, file, &mut job);
                }
                Ok(Word::GivenBack) => {
                    // The lease is that of whoever had it.
                    lease = None;
                    if !self.is_as_new(connection.as_ref()) || !home.keep(self) {
                        break;
                    }
                }
                Ok(Word::Close) => break,
                Err(_) => {
                    // Somebody may just have taken it: it finds out, and takes another.
                    home.forget(self);
                    break;
                }
            }
        }
        drop(connection);
        if let Some(lease) = lease {
            lease.end();
        }
    }

    fn run(&self, connection: &mut Option<Connection>, file: &DatabaseFile, job: &mut SqlJob) {
        let (used, told) = run(connection, file, &job.question, &job.turns);
        let has_transaction = connection.as_ref().is_some_and(|it| !it.is_autocommit());
        self.known.has_transaction.store(has_transaction, Ordering::Relaxed);
        self.known.n_held.store(memory::held(), Ordering::Relaxed);
        job.turns.end(used, told);
    }

    /// Whether another may have the connection: nothing is left on it. A transaction is rolled back.
    fn is_as_new(&self, connection: Option<&Connection>) -> bool {
        let Some(connection) = connection else { return false };
        if self.known.is_last.load(Ordering::Relaxed) || is_changed() {
            return false;
        }
        if !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_err() {
            return false;
        }
        memory::forget_last_rowid(connection);
        true
    }
}

impl Drop for SqlJob {
    fn drop(&mut self) {
        // Whoever waits for a statement that was never run would wait for good.
        self.turns.end_unless_over(Err(SqlError::Lost));
    }
}
