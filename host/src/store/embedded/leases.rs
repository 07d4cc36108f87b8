//! The leases of the embedded store: how long each lives, and which keys stand under it.
//! Does not delete them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::super::LeaseId;

#[derive(Debug, Default)]
pub(super) struct Leases {
    last: i64,
    living: HashMap<LeaseId, Living>,
    /// Which lease a key stands under; a key that is written again stands under the new one only.
    of: HashMap<String, LeaseId>,
}

#[derive(Debug)]
struct Living {
    ttl: Duration,
    ends: Instant,
    keys: BTreeSet<String>,
}

impl Leases {
    pub(super) fn grant(&mut self, ttl: Duration) -> LeaseId {
        self.last += 1;
        let id = LeaseId(self.last);
        let living = Living { ttl, ends: Instant::now() + ttl, keys: BTreeSet::new() };
        self.living.insert(id, living);
        id
    }

    /// Whether it has time left. Its keys may still be there for a moment when it has not.
    pub(super) fn lives(&self, id: LeaseId) -> bool {
        self.living.get(&id).is_some_and(|living| living.ends > Instant::now())
    }

    /// When it ends, if it has not ended and been cleared away.
    pub(super) fn ends(&self, id: LeaseId) -> Option<Instant> {
        self.living.get(&id).map(|living| living.ends)
    }

    /// Gives it its full time; `false` when it has ended.
    pub(super) fn keep_alive(&mut self, id: LeaseId) -> bool {
        if !self.lives(id) {
            return false;
        }
        if let Some(living) = self.living.get_mut(&id) {
            living.ends = Instant::now() + living.ttl;
        }
        true
    }

    /// Puts a key under a lease, or under none.
    pub(super) fn attach(&mut self, key: &str, lease: Option<LeaseId>) {
        if let Some(old) = self.of.remove(key).and_then(|old| self.living.get_mut(&old)) {
            old.keys.remove(key);
        }
        if let Some((id, living)) = lease.and_then(|id| Some((id, self.living.get_mut(&id)?))) {
            living.keys.insert(key.to_owned());
            self.of.insert(key.to_owned(), id);
        }
    }

    pub(super) fn keys(&self, id: LeaseId) -> Vec<String> {
        self.living.get(&id).into_iter().flat_map(|living| living.keys.iter().cloned()).collect()
    }

    pub(super) fn forget(&mut self, id: LeaseId) {
        self.living.remove(&id);
    }
}
