//! One connection as others see it: what it is doing, since when, and whether it was told to end.
//! Reads and writes nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::meter;

/// A connection that is open. Its own task, its streams' tasks and the listener hold it.
///
/// The counters are read without order between them: they decide how long to wait, and who is
/// looked at again a moment later. `told` is written before its waker is woken, and read after the
/// waker was registered, so that no word is missed.
#[derive(Debug)]
pub(super) struct Connection {
    address: IpAddr,
    began_at: Instant,
    /// Whether the client has sent a byte, those of TLS not counted.
    is_heard: AtomicBool,
    /// Requests that were read to the end of their heads.
    n_requests: AtomicU64,
    /// Requests whose answers have not been taken.
    n_answering: AtomicUsize,
    /// Requests whose bodies nobody has read to their end.
    n_uploading: AtomicUsize,
    /// Those of them whose reader waits for more.
    n_wanting: AtomicUsize,
    /// When the last answer was taken, in microseconds after it began.
    idle_since: AtomicU64,
    /// When a stream of it last went forward, in microseconds after it began.
    moved_at: AtomicU64,
    /// Bytes of answers that the host holds since the client does not take them.
    pub(super) n_untaken: AtomicU64,
    /// Whether the client has closed its half and waits for its answer.
    is_half_closed: AtomicBool,
    told: AtomicU8,
    teller: AtomicWaker,
}

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    /// Finish the requests that are here, and take no others.
    Finish = 1,
    /// End now.
    End = 2,
}

/// A request's answer is being made or sent while it lives.
#[derive(Debug)]
pub(super) struct Answering(Arc<Connection>);

/// A request's body is coming, or lies here unread, while it lives.
#[derive(Debug)]
pub(super) struct Uploading {
    connection: Arc<Connection>,
    is_wanted: bool,
}

impl Connection {
    pub(super) fn new(address: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            began_at: Instant::now(),
            is_heard: AtomicBool::new(false),
            n_requests: AtomicU64::new(0),
            n_answering: AtomicUsize::new(0),
            n_uploading: AtomicUsize::new(0),
            n_wanting: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            moved_at: AtomicU64::new(0),
            n_untaken: AtomicU64::new(0),
            is_half_closed: AtomicBool::new(false),
            told: AtomicU8::new(0),
            teller: AtomicWaker::new(),
        })
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn began_at(&self) -> Instant {
        self.began_at
    }

    /// A request's head has come; it is being answered until what is returned is dropped.
    pub(super) fn answer(self: &Arc<Self>) -> Answering {
        self.n_requests.fetch_add(1, Ordering::Relaxed);
        self.n_answering.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// A body is coming until what is returned is dropped.
    pub(super) fn upload(self: &Arc<Self>) -> Uploading {
        self.n_uploading.fetch_add(1, Ordering::Relaxed);
        Uploading { connection: self.clone(), is_wanted: false }
    }

    pub(super) fn n_requests(&self) -> u64 {
        self.n_requests.load(Ordering::Relaxed)
    }

    pub(super) fn is_answering(&self) -> bool {
        self.n_answering.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_uploading(&self) -> bool {
        self.n_uploading.load(Ordering::Relaxed) > 0
    }

    /// Whether a body is missing that somebody waits for.
    pub(super) fn is_wanting(&self) -> bool {
        self.n_wanting.load(Ordering::Relaxed) > 0
    }

    /// Since when nothing was asked of it that is not answered; meaningless while something is.
    pub(super) fn idle_since(&self) -> Instant {
        self.at(&self.idle_since)
    }

    pub(super) fn hear(&self) {
        // Once a connection: a load is cheaper than a store that takes the line from others.
        if !self.is_heard.load(Ordering::Relaxed) {
            self.is_heard.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    /// Its client has closed its half: the connection is woken once everything is answered.
    pub(super) fn half_closed(&self) {
        self.is_half_closed.store(true, Ordering::Relaxed);
    }

    /// A stream of it went forward.
    pub(super) fn moved(&self, now: Instant) {
        self.moved_at.store(self.micros(now), Ordering::Relaxed);
    }

    pub(super) fn moved_at(&self) -> Instant {
        self.at(&self.moved_at)
    }

    /// Tells it to end; the stronger word stays.
    pub(super) fn tell(&self, word: Word) {
        // Each thread of a door tells all of them when it shuts.
        if self.told.fetch_max(word as u8, Ordering::AcqRel) < word as u8 {
            self.teller.wake();
        }
    }

    pub(super) fn told(&self) -> Option<Word> {
        match self.told.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Word::Finish),
            _ => Some(Word::End),
        }
    }

    /// Ready once it was told more than `known`. One waiter: the connection's own task.
    pub(super) fn poll_told(&self, known: Option<Word>, context: &Context<'_>) -> Poll<Word> {
        self.teller.register(context.waker());
        match self.told() {
            Some(word) if Some(word) > known => Poll::Ready(word),
            _ => Poll::Pending,
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began_at).as_micros()).unwrap_or(u64::MAX)
    }

    fn at(&self, micros: &AtomicU64) -> Instant {
        self.began_at + Duration::from_micros(micros.load(Ordering::Relaxed))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let connection = &self.0;
        if connection.n_answering.fetch_sub(1, Ordering::Relaxed) == 1 {
            // As it was read when the call was recorded.
            let now =
                connection.micros(meter::read_last().map_or_else(Instant::now, Instant::from_std));
            connection.idle_since.store(now, Ordering::Relaxed);
            if connection.is_half_closed.load(Ordering::Relaxed) {
                // hyper looked for more before it dropped the answer, and would wait for nothing.
                connection.teller.wake();
            }
        }
    }
}

impl Uploading {
    /// Whether somebody waits for more of it.
    pub(super) fn want(&mut self, is_wanted: bool) {
        match (self.is_wanted, is_wanted) {
            (false, true) => self.connection.n_wanting.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.connection.n_wanting.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        self.is_wanted = is_wanted;
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.want(false);
        self.connection.n_uploading.fetch_sub(1, Ordering::Relaxed);
    }
}
