//! The connections of one deployment that wait for another request. Nobody else's request goes over
//! them, and each is a file of the host, so they are few and do not wait for long.
//! Does not make connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;
use wasmtime_wasi_http::WasiBody;

use super::connect::Destination;

/// How long an unused connection is kept. Files are short before connecting is dear.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often those are looked for that have waited for so long.
const SWEEP: Duration = Duration::from_secs(5);
/// Unused connections to one destination.
const MOST_IDLE: usize = 8;

/// Where requests are written to, and responses come from.
pub(super) type Sender = SendRequest<WasiBody>;

/// The connections that wait.
#[derive(Debug, Default)]
pub(super) struct Connections {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest of each destination last. No list is empty.
    idle: BTreeMap<Destination, Vec<Idle>>,
    last_id: u64,
    /// Whether a task looks for those that have waited too long. None does while none wait.
    is_swept: bool,
}

#[derive(Debug)]
struct Idle {
    /// Counts up, so it says which waits for longest.
    id: u64,
    since: Instant,
    sender: Sender,
}

impl Connections {
    /// A connection that was used before and that the other side has not closed, as far as is known.
    pub(super) fn take(&self, destination: &Destination) -> Option<Sender> {
        let mut state = self.state();
        let waiting = state.idle.get_mut(destination)?;
        let mut taken = None;
        while let Some(idle) = waiting.pop() {
            if idle.sender.is_ready() {
                taken = Some(idle.sender);
                break;
            }
        }
        if waiting.is_empty() {
            state.idle.remove(destination);
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
        let oldest = {
            let state = self.state();
            let firsts = state.idle.iter().filter_map(|(to, all)| Some((all.first()?.id, to)));
            firsts.min().map(|(id, destination)| (id, destination.clone()))
        };
        let Some((id, destination)) = oldest else { return false };
        self.drop_idle(&destination, id);
        true
    }

    /// Lets a connection wait; whether somebody must begin to look for those that do so too long.
    fn put(&self, destination: Destination, sender: Sender) -> bool {
        let mut state = self.state();
        state.last_id += 1;
        let (id, since) = (state.last_id, Instant::now());
        let waiting = state.idle.entry(destination).or_default();
        if waiting.len() >= MOST_IDLE {
            waiting.remove(0);
        }
        waiting.push(Idle { id, since, sender });
        !std::mem::replace(&mut state.is_swept, true)
    }

    /// Closes those that have waited too long; whether any are left.
    fn drop_old(&self) -> bool {
        let mut state = self.state();
        state.idle.retain(|_, waiting| {
            waiting.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT && !idle.sender.is_closed());
            !waiting.is_empty()
        });
        state.is_swept = !state.idle.is_empty();
        state.is_swept
    }

    fn drop_idle(&self, destination: &Destination, id: u64) {
        let mut state = self.state();
        let Some(waiting) = state.idle.get_mut(destination) else { return };
        waiting.retain(|idle| idle.id != id);
        if waiting.is_empty() {
            state.idle.remove(destination);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
