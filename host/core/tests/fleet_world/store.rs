//! A store in memory with the contract of the host's `Store`: revisions, guarded commits, leases, and
//! changes since a revision unless they were compacted.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::records::{Key, Value};

/// How long a lease lives that is not kept alive.
pub(crate) const TTL: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) revision: u64,
    lease: Option<i64>,
}

pub(crate) type Entries = BTreeMap<Key, Entry>;

/// Everything at one revision.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) entries: Rc<Entries>,
    pub(crate) revision: u64,
    pub(crate) cluster: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    pub(crate) value: Option<Value>,
}

/// What is changed at once, where each key with a guard was written at that revision, or is not there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    pub(crate) guards: Vec<(Key, Option<u64>)>,
    pub(crate) writes: Vec<(Key, Option<Value>)>,
    pub(crate) lease: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreError {
    Conflict(Key),
    LeaseLost,
    Compacted,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) cluster: u64,
    revision: u64,
    entries: Rc<Entries>,
    log: VecDeque<Change>,
    compacted: u64,
    leases: BTreeMap<i64, Duration>,
    next_lease: i64,
}

impl Store {
    pub(crate) fn new(cluster: u64) -> Self {
        Self {
            cluster,
            revision: 1,
            entries: Rc::default(),
            log: VecDeque::new(),
            compacted: 1,
            leases: BTreeMap::new(),
            next_lease: i64::try_from(cluster).unwrap() * 1000,
        }
    }

    /// The same as it was, as a new cluster in which leases have their full time again.
    pub(crate) fn restored(&self, cluster: u64, now: Duration) -> Self {
        let next_lease = i64::try_from(cluster).unwrap() * 1000;
        let mut store = Self { cluster, next_lease, ..self.clone() };
        store.leases.values_mut().for_each(|ends_at| *ends_at = now + TTL);
        store
    }

    pub(crate) fn see(&self) -> Seen {
        let (entries, revision) = (self.entries.clone(), self.revision);
        Seen { entries, revision, cluster: self.cluster }
    }

    pub(crate) fn entries(&self) -> &Entries {
        &self.entries
    }

    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        self.log.clear();
    }

    pub(crate) fn since(&self, after: u64) -> Result<Vec<Change>, StoreError> {
        if after < self.compacted {
            return Err(StoreError::Compacted);
        }
        let later = self.log.partition_point(|change| change.revision <= after);
        Ok(self.log.range(later..).cloned().collect())
    }

    /// What was under a key at a revision, if it was written or touched since the store was compacted.
    pub(crate) fn was(&self, key: &Key, at: u64) -> Result<Option<(Value, u64)>, StoreError> {
        let of_key = self.log.iter().filter(|change| change.key == *key);
        let (before, after): (Vec<_>, Vec<_>) = of_key.partition(|change| change.revision <= at);
        match before.last() {
            _ if at < self.compacted => Err(StoreError::Compacted),
            Some(change) => Ok(change.value.clone().map(|value| (value, change.revision))),
            None if after.is_empty() => {
                Ok(self.entries.get(key).map(|entry| (entry.value.clone(), entry.revision)))
            }
            None => Err(StoreError::Compacted),
        }
    }

    pub(crate) fn grant(&mut self, now: Duration) -> i64 {
        self.next_lease += 1;
        self.leases.insert(self.next_lease, now + TTL);
        self.next_lease
    }

    pub(crate) fn keep_alive(&mut self, lease: i64, now: Duration) -> Result<(), StoreError> {
        let ends_at = self.leases.get_mut(&lease).ok_or(StoreError::LeaseLost)?;
        *ends_at = now + TTL;
        Ok(())
    }

    /// Ends leases that were not kept alive, and these that are given back.
    pub(crate) fn expire(&mut self, now: Duration, given_back: Option<i64>) {
        let over = |(id, ends_at): (&i64, &Duration)| {
            (*ends_at <= now || Some(*id) == given_back).then_some(*id)
        };
        let ended: Vec<i64> = self.leases.iter().filter_map(over).collect();
        for lease in ended {
            self.leases.remove(&lease);
            let under = self.entries.iter().filter(|(_, entry)| entry.lease == Some(lease));
            let keys: Vec<Key> = under.map(|(key, _)| key.clone()).collect();
            let writes = keys.into_iter().map(|key| (key, None)).collect();
            self.write(&Commit { writes, ..Commit::default() });
        }
    }

    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<u64, StoreError> {
        for (key, at) in &commit.guards {
            if self.entries.get(key).map(|entry| entry.revision) != *at {
                return Err(StoreError::Conflict(key.clone()));
            }
        }
        if commit.lease.is_some_and(|lease| !self.leases.contains_key(&lease)) {
            return Err(StoreError::LeaseLost);
        }
        self.write(commit);
        Ok(self.revision)
    }

    fn write(&mut self, commit: &Commit) {
        if commit.writes.is_empty() {
            return;
        }
        self.revision += 1;
        let (revision, entries) = (self.revision, Rc::make_mut(&mut self.entries));
        for (key, value) in commit.writes.clone() {
            match value.clone() {
                Some(value) => {
                    entries.insert(key.clone(), Entry { value, revision, lease: commit.lease });
                }
                None => drop(entries.remove(&key)),
            }
            self.log.push_back(Change { revision, key, value });
        }
    }
}
