//! A fleet of one host: a host that is alone, whose store is a file in its data folder. It keeps no view,
//! which would take more memory than its idle apps do; one is made when somebody asks. Nor does it watch
//! its store: nobody else writes there.
//! Does not know what the host serves: whoever asks for a view adds that.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use steerage_core::id::{AppName, HostName};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use super::record::HostRecord;
use super::{Fleet, View, keys};
use crate::forward::Peers;
use crate::store::{Revision, Seen, Store, StoreError};

/// What only a fleet of one host needs.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// Held from what the store says to what is served.
    turn: Arc<Mutex<()>>,
    /// The host, once its doors are open.
    record: OnceLock<Arc<HostRecord>>,
    /// Says that the ledger did not take what the store has.
    apart: Notify,
}

/// The turn of whoever changes what a host shall run that is alone; the next one waits until it is dropped.
#[derive(Debug)]
pub struct LoneTurn(#[expect(dead_code, reason = "it is held")] OwnedMutexGuard<()>);

impl Fleet {
    /// The fleet of a host that is alone, with the store of its data folder.
    #[must_use]
    pub fn alone(store: Store, data: &Path) -> Self {
        let copy = (data.join("fleet.json"), &View::default(), 0);
        Self::build(HostName::alone(), store, Peers::new(None), copy, Some(Alone::default()))
    }

    /// Whether this host is alone.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.inner.alone.is_some()
    }

    /// Says what this host is, where it is alone.
    pub fn describe(&self, record: HostRecord) {
        if let Some(alone) = &self.inner.alone {
            drop(alone.record.set(Arc::new(record)));
        }
    }

    /// Waits for the turn to change what a host shall run that is alone; nothing in a fleet, where the
    /// guards of each commit see to that.
    pub async fn turn(&self) -> Option<LoneTurn> {
        let turn = self.inner.alone.as_ref()?.turn.clone();
        Some(LoneTurn(turn.lock_owned().await))
    }

    /// The same on a thread that may block.
    #[must_use]
    pub fn turn_blocking(&self) -> Option<LoneTurn> {
        let turn = self.inner.alone.as_ref()?.turn.clone();
        Some(LoneTurn(turn.blocking_lock_owned()))
    }

    /// Notes that the ledger of a host that is alone did not take what its store has.
    pub fn note_apart(&self) {
        if let Some(alone) = &self.inner.alone {
            alone.apart.notify_one();
        }
    }

    /// Waits until that is noted; for ever in a fleet.
    pub async fn comes_apart(&self) {
        match &self.inner.alone {
            Some(alone) => alone.apart.notified().await,
            None => std::future::pending().await,
        }
    }

    /// The view of a host that is alone, of all apps or of these: what the store says of them, each placed
    /// here.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn view_alone(&self, apps: Option<&[AppName]>) -> Result<View, StoreError> {
        let mut seen = self.store.read(keys::FLEET).await?;
        match apps {
            None => {
                for prefix in [keys::APPS, keys::REMOVED, keys::HOSTS_WANTED] {
                    seen.entries.extend(self.store.read(prefix).await?.entries);
                }
            }
            Some(apps) => {
                for key in apps.iter().flat_map(|app| [keys::app(app), keys::removed(app)]) {
                    seen.entries.extend(self.store.get(&key).await?);
                }
            }
        }
        Ok(self.view_of_one(&seen))
    }

    fn view_of_one(&self, seen: &Seen) -> View {
        let (mut view, told) = View::read(seen);
        for trouble in told.troubles {
            tracing::error!(trouble, "a record in the store cannot be used");
        }
        let me: &HostName = &self.inner.me;
        let alone = self.inner.alone.as_ref();
        if let Some(record) = alone.and_then(|alone| alone.record.get()) {
            view.hosts.insert(me.clone(), record.clone());
        }
        let apps: Vec<AppName> = view.apps().map(|(app, _)| app.clone()).collect();
        for app in &apps {
            let on_me = [me.clone()].into_iter().collect();
            view.put_assigned(app, Some((on_me, Revision::OF_COPY)));
        }
        view
    }
}
