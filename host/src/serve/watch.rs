//! The watch over the memory of the process: a thread of its own, since an operator's request or a
//! slow disk must not hold it up while guests take what is left.
//! Decides nothing: `budget` says what a sample leads to.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use steerage_core::units::Bytes;

use crate::budget::{MemorySample, Observed};
use crate::code::Loader;
use crate::kernel;
use crate::telemetry::events::{Event, EventPlace, Severity};

/// The thread, until it is ended.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    end: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl MemoryWatch {
    /// Starts to take samples.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start(loader: Loader) -> io::Result<Self> {
        let (end, ended) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("memory".to_owned())
            .spawn(move || sample_until(&loader, &ended))?;
        Ok(Self { end, thread })
    }

    /// Ends it and waits until it has.
    pub(super) fn join(self) {
        drop(self.end);
        drop(self.thread.join());
    }
}

/// Samples what the process uses, more often the less is left.
fn sample_until(loader: &Loader, ended: &Receiver<()>) {
    let mut next_sample = Duration::ZERO;
    while ended.recv_timeout(next_sample) == Err(RecvTimeoutError::Timeout) {
        next_sample = sample(loader);
    }
}

fn sample(loader: &Loader) -> Duration {
    let parts = loader.parts();
    if parts.memory.is_tight() {
        loader.drop_idle();
    }
    parts.logs.shrink();
    parts.calls.shrink();
    let mut used = Bytes::ZERO;
    let observed = parts.memory.observe(|| {
        used = kernel::anonymous_memory();
        MemorySample { used, kept: parts.sandbox.kept() }
    });
    if observed == Observed::Exhausted {
        let exhausted = parts.memory.exhausted();
        parts.events.push(Event {
            severity: Severity::Error,
            place: EventPlace::ANY,
            advice: exhausted.advice(),
            ..Event::now(exhausted.cause(), exhausted.to_string())
        });
    }
    parts.memory.next_sample(used)
}
