//! The threads that poll guests, below those that read requests, and the runtime whose clocks and
//! sockets guests use there. Does not choose what they run.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::cores::Cores;
use crate::priority;
use crate::shared::count;

/// Longest wait for the slices that run when the threads are stopped.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// The guest threads, of which there is one per core, and one that only ends guests whose calls must
/// stop. Dropping this ends them with what runs there.
#[derive(Debug)]
pub struct GuestThreads {
    cores: Arc<Cores>,
    io: Runtime,
    ended: Receiver<()>,
    /// All of them.
    n_threads: usize,
}

impl GuestThreads {
    /// Starts `n_threads` threads for guests, one at least.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub fn start(n_threads: usize) -> io::Result<Self> {
        Self::start_ready(n_threads, || ())
    }

    /// The same, where each thread does this before anything else.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub fn start_ready(n_threads: usize, ready: fn()) -> io::Result<Self> {
        let n_threads = n_threads.max(1);
        let io = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("guest-io")
            .on_thread_start(priority::prompt)
            .enable_all()
            .build()?;
        let cores = Arc::new(Cores::new(n_threads));
        let (ending, ended) = sync_channel(n_threads + 1);
        let start = |name: &str, serve: fn(&Cores, usize), core: usize| {
            let (cores, io, ending) = (cores.clone(), io.handle().clone(), ending.clone());
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                count::count_here();
                ready();
                let entered = io.enter();
                serve(&cores, core);
                drop(entered);
                // Whoever ends the threads may have stopped waiting.
                ending.send(()).ok();
            })
        };
        for core in 0..n_threads {
            let serve = |cores: &Cores, core| {
                priority::patient();
                cores.serve(core);
            };
            start("guest", serve, core)?;
        }
        start("guest-stops", |cores, _| cores.serve_stopping(), 0)?;
        Ok(Self { cores, io, ended, n_threads: n_threads + 1 })
    }

    pub(super) fn cores(&self) -> &Arc<Cores> {
        &self.cores
    }

    /// Ends the threads without waiting for the slices that run. May be called anywhere.
    pub fn stop(self) {
        self.end(Duration::ZERO);
    }

    /// Ends the threads. Guests that still run are dropped between two of their slices. Blocks, so
    /// not to be called where futures are polled.
    pub fn join(self) {
        self.end(STOP_TIMEOUT);
    }

    /// Ends the threads, waiting at most this long for the slices that run, and drops the guests.
    fn end(self, patience: Duration) {
        let tasks = self.cores.close();
        let until = Instant::now() + patience;
        for _ in 0..self.n_threads {
            let left = until.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left).is_err() {
                break;
            }
        }
        // What guests hold of the runtime can only be dropped within it.
        let entered = self.io.enter();
        for task in tasks {
            task.abandon();
        }
        drop(entered);
        self.io.shutdown_background();
    }
}
