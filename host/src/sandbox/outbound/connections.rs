//! The connections of one deployment that wait for another request. Nobody else's request goes over
//! them, and each is a file of the host, so they are few and do not wait for long.
//! Does not make connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use wasmtime_wasi_http::WasiBody;

use super::connect::Destination;

/// How long an unused connection is kept. Files are short before connecting is dear.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
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
}

#[derive(Debug)]
struct Idle {
    /// Counts up, so it says which waits for longest.
    id: u64,
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

    /// Keeps a connection once the response on it was read to its end, and for a while.
    pub(super) fn keep(self: &Arc<Self>, destination: Destination, mut sender: Sender) {
        // Not the connections themselves: they go with the deployment.
        let all = Arc::downgrade(self);
        tokio::spawn(async move {
            // It is not, where the other side closes, or the guest drops the response.
            if sender.ready().await.is_err() {
                return;
            }
            let Some(connections) = all.upgrade() else { return };
            let id = connections.put(destination.clone(), sender);
            drop(connections);
            tokio::time::sleep(IDLE_TIMEOUT).await;
            if let Some(connections) = all.upgrade() {
                connections.drop_idle(&destination, id);
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

    fn put(&self, destination: Destination, sender: Sender) -> u64 {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let waiting = state.idle.entry(destination).or_default();
        if waiting.len() >= MOST_IDLE {
            waiting.remove(0);
        }
        waiting.push(Idle { id, sender });
        id
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
