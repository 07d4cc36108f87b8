//! The watch over the memory of the process: a thread of its own, since an operator's request or a
//! slow disk must not hold it up while guests take what is left.
//! Decides nothing: `budget` says what a look leads to.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::budget::{Memory, Observed};
use crate::catalog::shelf::Shelf;
use crate::kernel;
use crate::telemetry::events::{Event, Events, Place, Severity};
use crate::telemetry::logs::Logs;

/// The thread, until it is ended.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    end: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// What the thread looks at and what it can do about it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) memory: Arc<Memory>,
    pub(super) shelf: Shelf,
    pub(super) logs: Arc<Logs>,
    pub(super) events: Arc<Events>,
}

impl MemoryWatch {
    /// Starts looking.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start(watched: Watched) -> io::Result<Self> {
        let (end, ended) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("memory".to_owned())
            .spawn(move || watched.look_until(&ended))?;
        Ok(Self { end, thread })
    }

    /// Ends it and waits until it has.
    pub(super) fn join(self) {
        drop(self.end);
        drop(self.thread.join());
    }
}

impl Watched {
    /// Looks at what the process uses, more often the less is left.
    fn look_until(&self, ended: &Receiver<()>) {
        let mut next_look = std::time::Duration::ZERO;
        while ended.recv_timeout(next_look) == Err(RecvTimeoutError::Timeout) {
            next_look = self.look();
        }
    }

    fn look(&self) -> std::time::Duration {
        if self.memory.is_tight() {
            self.shelf.drop_idle();
        }
        self.logs.shrink();
        let used = kernel::anonymous_memory();
        if self.memory.observe(used) == Observed::Exhausted {
            let exhausted = self.memory.exhausted();
            self.events.push(Event {
                severity: Severity::Error,
                place: Place::ANY,
                advice: exhausted.advice(),
                ..Event::now(exhausted.cause(), exhausted.to_string())
            });
        }
        self.memory.next_look(used)
    }
}
