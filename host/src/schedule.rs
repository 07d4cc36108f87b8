//! Who may run now, and where: admission per app and per host, and the threads guests run on.
//! Knows no Wasm: it polls futures. Fair order between apps is the next issue's; today the guest
//! threads take turns slice by slice.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use steerage_core::admit::{self, Decision};
use steerage_core::limits::Limits;
use steerage_core::outcome;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How far below the I/O threads the guest threads stand, so that a busy guest cannot starve the
/// threads that read requests and write responses.
const GUEST_NICENESS: i32 = 3;

/// Longest wait for the slices that run when the threads are stopped.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// The right of one app to run calls, shared by all its deployments.
#[derive(Debug)]
pub struct Gate {
    running: Arc<Semaphore>,
    /// Calls that hold a permit; kept apart from the semaphore, whose size changes with a deploy.
    n_running: AtomicU32,
    n_waiting: AtomicU32,
    size: AtomicU32,
}

/// The right of one call to run. Held as long as the guest lives, body streaming included.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    _app: OwnedSemaphorePermit,
    _slot: OwnedSemaphorePermit,
}

/// The host's scheduler. Clones share it.
#[derive(Clone, Debug)]
pub struct Schedule {
    guests: Handle,
    slots: Arc<Semaphore>,
    n_slots: u32,
}

/// The guest threads. Dropping it ends them with what runs there.
#[derive(Debug)]
pub struct GuestThreads {
    runtime: Runtime,
}

impl GuestThreads {
    /// Starts `n_threads` threads for guests.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub fn start(n_threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(n_threads.max(1))
            .thread_name("guest")
            .on_thread_start(|| {
                // Where this is refused guests run at the same priority, which costs only latency.
                if let Err(error) = rustix::process::nice(GUEST_NICENESS) {
                    tracing::debug!(%error, "guest threads run at the priority of the others");
                }
            })
            .enable_all()
            .build()?;
        Ok(Self { runtime })
    }

    /// Ends the threads without waiting for the slices that run. May be called anywhere.
    pub fn stop(self) {
        self.runtime.shutdown_background();
    }

    /// Ends the threads. Guests that still run are dropped between two of their slices. Blocks, so
    /// not to be called where futures are polled.
    pub fn join(self) {
        self.runtime.shutdown_timeout(STOP_TIMEOUT);
    }
}

impl Schedule {
    /// A scheduler for `n_slots` instances at once on these threads.
    #[must_use]
    pub fn new(threads: &GuestThreads, n_slots: u32) -> Self {
        let slots = Arc::new(Semaphore::new(n_slots as usize));
        Self { guests: threads.runtime.handle().clone(), slots, n_slots }
    }

    /// Waits for the right to run, first come first served within the app.
    ///
    /// # Errors
    /// The app is busy past its queue, its queue did not move before `deadline`, or the host is
    /// full.
    pub async fn admit(
        &self,
        gate: &Arc<Gate>,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Permit, outcome::Refusal> {
        let app = match gate.running.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => gate.wait(limits, deadline).await?,
        };
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return Err(outcome::Refusal::HostFull);
        };
        gate.n_running.fetch_add(1, Ordering::Relaxed);
        Ok(Permit { gate: gate.clone(), _app: app, _slot: slot })
    }

    /// Runs a guest's first slice here, where its request was read: a small call ends within it,
    /// and a hop to another thread would cost more than the call. What does not end moves to the
    /// guest threads.
    pub async fn run(&self, guest: impl Future<Output = ()> + Send + 'static) {
        let mut guest: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(guest);
        let first = poll_fn(|context| Poll::Ready(guest.as_mut().poll(context))).await;
        if first.is_pending() {
            self.guests.spawn(guest);
        }
    }

    /// Instance slots in use, and how many there are.
    #[must_use]
    pub fn slots(&self) -> (u32, u32) {
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(self.n_slots);
        (self.n_slots.saturating_sub(free), self.n_slots)
    }
}

impl Gate {
    /// A gate as wide as `limits` say.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        let size = limits.concurrency.get();
        Arc::new(Self {
            running: Arc::new(Semaphore::new(size as usize)),
            n_running: AtomicU32::new(0),
            n_waiting: AtomicU32::new(0),
            size: AtomicU32::new(size),
        })
    }

    /// Makes the gate as wide as a new deployment's limits say. Calls that run keep their right.
    pub fn resize(&self, limits: &Limits) {
        let size = limits.concurrency.get();
        let before = self.size.swap(size, Ordering::AcqRel);
        if size > before {
            self.running.add_permits((size - before) as usize);
        } else {
            // Permits in use are taken back when their calls end.
            let excess = before - size;
            let taken = self.running.forget_permits(excess as usize);
            let owed = excess.saturating_sub(u32::try_from(taken).unwrap_or(excess));
            if owed > 0 {
                let running = self.running.clone();
                tokio::spawn(async move {
                    if let Ok(permits) = running.acquire_many_owned(owed).await {
                        permits.forget();
                    }
                });
            }
        }
    }

    /// Calls that run, and calls that wait.
    #[must_use]
    pub fn load(&self) -> (u32, u32) {
        (self.n_running.load(Ordering::Relaxed), self.n_waiting.load(Ordering::Relaxed))
    }

    async fn wait(
        &self,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, outcome::Refusal> {
        let busy = || outcome::Refusal::AppBusy {
            concurrency: limits.concurrency.get(),
            queue: limits.queue,
        };
        let waiting = Waiting::enter(&self.n_waiting);
        let running = self.n_running.load(Ordering::Relaxed).max(limits.concurrency.get());
        match admit::decide(running, waiting.before, limits) {
            Decision::Start | Decision::Wait => {}
            Decision::Refuse(refusal) => return Err(refusal),
        }
        match tokio::time::timeout_at(deadline, self.running.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed; time running out is the one way here.
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }
}

/// Counts a call as waiting for as long as it lives.
struct Waiting<'g> {
    count: &'g AtomicU32,
    before: u32,
}

impl<'g> Waiting<'g> {
    fn enter(count: &'g AtomicU32) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::AcqRel) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.n_running.fetch_sub(1, Ordering::Relaxed);
    }
}
