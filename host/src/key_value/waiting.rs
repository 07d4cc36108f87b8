//! How many writes wait to be made durable, and what they hold in memory: of each app and of all.
//! Does not queue them; who finds no room is refused at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::place::StoreOwner;

/// Writes of one app that wait. As many calls may run at once as an operator lets, and each waits for its own.
const MOST_OF_APP: usize = 256;
/// What these hold. Several of the largest values.
const MOST_BYTES_OF_APP: usize = 8 << 20;
/// What the writes of all apps hold.
const MOST_BYTES: usize = 64 << 20;
/// What each holds besides its keys and values.
const BESIDE: usize = 256;

/// What waits of all apps.
#[derive(Debug, Default)]
pub(super) struct AllWaiting {
    n_bytes: Arc<AtomicUsize>,
    apps: Mutex<BTreeMap<StoreOwner, Weak<AppWaiting>>>,
}

/// What waits of one app, whichever of its deployments asks.
#[derive(Debug, Default)]
pub(super) struct AppWaiting {
    number: AtomicUsize,
    n_bytes: AtomicUsize,
}

/// The room of one write that waits, given back when this is dropped.
#[derive(Debug)]
pub(super) struct WaitingPlace {
    all: Arc<AtomicUsize>,
    app: Arc<AppWaiting>,
    bytes: usize,
}

impl AllWaiting {
    /// What waits of this app.
    pub(super) fn of(&self, owner: &StoreOwner) -> Arc<AppWaiting> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = apps.get(owner).and_then(Weak::upgrade) {
            return known;
        }
        // Those of apps that are not in memory any more.
        apps.retain(|_, app| app.strong_count() > 0);
        let app = Arc::default();
        apps.insert(owner.clone(), Arc::downgrade(&app));
        app
    }

    /// Room for a write of so many bytes; `None` where there is none.
    pub(super) fn take(&self, app: &Arc<AppWaiting>, bytes: usize) -> Option<WaitingPlace> {
        let bytes = bytes.saturating_add(BESIDE);
        // Dropped whole where one of the three finds no room.
        let place = WaitingPlace { all: self.n_bytes.clone(), app: app.clone(), bytes };
        let number = app.number.fetch_add(1, Ordering::Relaxed);
        let of_app = app.n_bytes.fetch_add(bytes, Ordering::Relaxed);
        let of_all = self.n_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = number < MOST_OF_APP
            && of_app.saturating_add(bytes) <= MOST_BYTES_OF_APP
            && of_all.saturating_add(bytes) <= MOST_BYTES;
        has_room.then_some(place)
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        self.app.number.fetch_sub(1, Ordering::Relaxed);
        self.app.n_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(app: &str) -> StoreOwner {
        StoreOwner { tenant: "a".parse().unwrap(), app: app.parse().unwrap() }
    }

    #[test]
    fn an_app_has_so_many_writes_waiting_and_its_neighbour_none_the_less() {
        let all = AllWaiting::default();
        let (one, other) = (all.of(&owner("one")), all.of(&owner("other")));
        let held: Vec<_> = (0..MOST_OF_APP).map(|_| all.take(&one, 10).unwrap()).collect();
        assert!(all.take(&one, 10).is_none());
        assert!(all.take(&other, 10).is_some());
        drop(held);
        assert!(all.take(&one, MOST_BYTES_OF_APP).is_none(), "too much at once");
        assert!(all.take(&one, 10).is_some());
        assert_eq!(all.n_bytes.load(Ordering::Relaxed), 0, "all was given back");
        assert!(Arc::ptr_eq(&one, &all.of(&owner("one"))), "deployments of one app share it");
    }

    #[test]
    fn all_apps_together_hold_so_much() {
        let all = AllWaiting::default();
        let n_apps = MOST_BYTES / MOST_BYTES_OF_APP + 1;
        let apps: Vec<_> = (0..n_apps).map(|n| all.of(&owner(&format!("a{n}")))).collect();
        let held: Vec<_> =
            apps.iter().map(|app| all.take(app, MOST_BYTES_OF_APP - BESIDE)).collect();
        assert_eq!(held.iter().flatten().count(), n_apps - 1);
    }
}
