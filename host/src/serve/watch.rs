//! The watch over the memory of the process: a thread of its own, since an operator's request or a
//! slow disk must not hold it up while guests take what is left.
//! Decides nothing: `budget` says what a sample leads to.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use steerage_core::units::Bytes;

use crate::budget::{Memory, MemorySample, Observed};
use crate::code::Loader;
use crate::kernel;
use crate::sandbox::module::Sandbox;
use crate::telemetry::Telemetry;
use crate::telemetry::events::{Event, EventPlace, Events, Severity};

/// What holds memory and can give some back, and who is told when it cannot.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) loader: Loader,
    pub(super) sandbox: Sandbox,
    pub(super) memory: Arc<Memory>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) events: Arc<Events>,
}

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
    pub(super) fn start(watched: Watched) -> io::Result<Self> {
        let (end, ended) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("memory".to_owned())
            .spawn(move || sample_until(&watched, &ended))?;
        Ok(Self { end, thread })
    }

    /// Ends it and waits until it has.
    pub(super) fn join(self) {
        drop(self.end);
        drop(self.thread.join());
    }
}

/// Samples what the process uses, more often the less is left.
fn sample_until(watched: &Watched, ended: &Receiver<()>) {
    let mut next_sample = Duration::ZERO;
    while ended.recv_timeout(next_sample) == Err(RecvTimeoutError::Timeout) {
        next_sample = sample(watched);
    }
}

fn sample(watched: &Watched) -> Duration {
    let Watched { loader, sandbox, memory, telemetry, events } = watched;
    if memory.is_tight() {
        loader.drop_idle();
    }
    telemetry.shrink();
    let mut used = Bytes::ZERO;
    let observed = memory.observe(|| {
        used = kernel::anonymous_memory();
        let kept = sandbox.kept().saturating_add(telemetry.n_bytes());
        MemorySample { used, kept }
    });
    if observed == Observed::Exhausted {
        let exhausted = memory.exhausted();
        events.push(Event {
            severity: Severity::Error,
            place: EventPlace::ANY,
            advice: exhausted.advice(),
            ..Event::now(exhausted.cause(), exhausted.to_string())
        });
    }
    memory.next_sample(used)
}
