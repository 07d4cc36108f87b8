//! The connections of one deployment that wait for another request. Nobody else's request goes over
//! them, and each is a file of the host, so they are few and do not wait for long.
//! Does not make connections.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dashmap::{DashMap, Entry};
use hyper::client::conn::http1::SendRequest;
use wasmtime_wasi_http::WasiBody;

use super::connect::Destination;
use super::names::PARTS;

/// How long an unused connection is kept. Files are short before connecting is dear.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often those are looked for that have waited for so long.
const SWEEP: Duration = Duration::from_secs(5);
/// Unused connections to one destination.
const MOST_IDLE: usize = 8;

/// Where requests are written to, and responses come from.
pub(super) type Sender = SendRequest<WasiBody>;

/// The connections that wait.
#[derive(Debug)]
pub(super) struct Connections {
    /// The newest of each destination last. No list is empty. Nobody takes two of its locks.
    idle: DashMap<Destination, Vec<Idle>>,
    last_id: AtomicU64,
    /// Whether a task looks for those that have waited too long. None does while none wait.
    is_swept: AtomicBool,
}

#[derive(Debug)]
struct Idle {
    /// Counts up, so it says which waits for longest.
    id: u64,
    since: Instant,
    sender: Sender,
}

impl Default for Connections {
    fn default() -> Self {
        let (last_id, is_swept) = Default::default();
        Self { idle: DashMap::with_shard_amount(PARTS), last_id, is_swept }
    }
}

impl Connections {
    /// A connection that was used before and that the other side has not closed, as far as is known.
    pub(super) fn take(&self, destination: &Destination) -> Option<Sender> {
        let Entry::Occupied(mut waiting) = self.idle.entry(destination.clone()) else {
            return None;
        };
        let mut taken = None;
        while let Some(idle) = waiting.get_mut().pop() {
            if idle.sender.is_ready() {
                taken = Some(idle.sender);
                break;
            }
        }
        if waiting.get().is_empty() {
            waiting.remove();
        }
        taken
    }

    /// Keeps a connection for a while, once the response on it was read to its end.
    pub(super) fn keep(self: &Arc<Self>, destination: Destination, mut sender: Sender) {
        // Not the connections themselves: they go with the deployment.
        let all = Arc::downgrade(self);
        tokio::spawn(async move {
            // It is not, where the other side closes, or the guest drops the response.
            if sender.ready().await.is_err() {
                return;
            }
            let Some(connections) = all.upgrade() else { return };
            if connections.put(destination, sender) {
                tokio::spawn(sweep(all));
            }
        });
    }

    /// Closes the one that waits for longest, to make room; `false` where none does.
    pub(super) fn drop_oldest(&self) -> bool {
        let first = |waiting: &[Idle]| waiting.first().map(|idle| idle.id);
        let all = self.idle.iter();
        let firsts =
            all.filter_map(|waiting| Some((first(waiting.value())?, waiting.key().clone())));
        let Some((id, destination)) = firsts.min() else { return false };
        self.drop_idle(&destination, id);
        true
    }

    /// Lets a connection wait; whether somebody must begin to look for those that do so too long.
    fn put(&self, destination: Destination, sender: Sender) -> bool {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.idle.entry(destination).or_default();
        if waiting.len() >= MOST_IDLE {
            waiting.remove(0);
        }
        waiting.push(Idle { id, since: Instant::now(), sender });
        drop(waiting);
        // After it is there: who looks next either finds it, or is begun here.
        !self.is_swept.swap(true, Ordering::SeqCst)
    }

    /// Closes those that have waited too long; whether any are left.
    fn drop_old(&self) -> bool {
        self.idle.retain(|_, waiting| {
            waiting.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT && !idle.sender.is_closed());
            !waiting.is_empty()
        });
        if !self.idle.is_empty() {
            return true;
        }
        self.is_swept.store(false, Ordering::SeqCst);
        // One that came before that was said, and so has begun nothing.
        !self.idle.is_empty() && !self.is_swept.swap(true, Ordering::SeqCst)
    }

    fn drop_idle(&self, destination: &Destination, id: u64) {
        let Entry::Occupied(mut waiting) = self.idle.entry(destination.clone()) else { return };
        waiting.get_mut().retain(|idle| idle.id != id);
        if waiting.get().is_empty() {
            waiting.remove();
        }
    }
}

/// Looks for connections that have waited too long until none wait. One task for all of them: a task
/// for each would outlive the connection it is about.
async fn sweep(all: Weak<Connections>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        if !all.upgrade().is_some_and(|connections| connections.drop_old()) {
            return;
        }
    }
}
