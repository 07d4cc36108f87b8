//! What operators want of an app, as it stands in the store. Every host keeps those of all apps, so what
//! few apps have is kept apart. Does not say what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rest::Rest;
use super::rollout::{CanaryRecord, RolledBack, WatchRecord};

/// What operators want of an app: which of its deployments, how many replicas at least and at most, and what
/// placement has to know of the manifest. What few apps have is read and written as if it stood here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AppRecord {
    /// The deployment that is served.
    pub generation: u64,
    /// Fewest replicas, as the manifest says.
    pub min: u32,
    /// Most replicas, as the manifest says.
    pub max: u32,
    /// How many there shall be instead, as an operator said. It outlives deployments whose manifest says
    /// the same as the one before, and every rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled: Option<u32>,
    /// Thousandths of a core that one replica was said to need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_m: Option<u64>,
    /// Bytes that one replica was said to need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Who goes first where there is no room for all.
    #[serde(default)]
    pub priority: i32,
    /// Whether every replica needs a zone of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zones: bool,
    /// Whether the deployment that is served is not called any more, for its crashes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_quarantined: bool,
    /// What tells the deployment that is served from another of its number, as the ledger has it:
    /// after a store was restored there may be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Box<str>>,
    /// What few apps have.
    #[serde(flatten)]
    pub rare: RareParts,
}

/// What few apps have in their records. It takes the memory of a pointer where an app has nothing of it.
/// Clones share it until one of them is changed.
#[derive(Clone, Debug, Default)]
pub struct RareParts(Option<Arc<RareFields>>);

/// The fields themselves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RareFields {
    /// Labels that a host must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Apps that must not be on the same host.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub apart_from: BTreeSet<String>,
    /// A deployment that is tried on a part of the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryRecord>,
    /// The watch over the deployment that is served, since it took another's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<WatchRecord>,
    /// Deployments that had all calls and were rolled back by themselves: no rollback goes to one unasked.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unfit: BTreeSet<u64>,
    /// The last one that was rolled back by itself, and why.
    #[serde(default, rename = "taken_back", skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// Crashes of hosts while calls of the deployment that is served ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crashes: Vec<CrashRecord>,
    /// What a newer host has written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A crash of a host while calls of an app ran.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CrashRecord {
    /// The host.
    pub host: String,
    /// When it found out, in milliseconds since the epoch, as it said.
    pub at: u64,
    /// Other apps that may have been the cause.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub beside: BTreeSet<String>,
}

impl AppRecord {
    /// The watch over the deployment that is served, while it goes on.
    #[must_use]
    pub fn watched(&self, now: u64) -> Option<&WatchRecord> {
        let watch = self.watch.as_ref()?;
        let is_served = watch.generation == self.generation && self.canary.is_none();
        (is_served && now < watch.until && !self.is_quarantined).then_some(watch)
    }

    /// Fewest and most replicas by now.
    #[must_use]
    pub fn bounds(&self) -> (u32, u32) {
        self.scaled.map_or((self.min, self.max), |scaled| (scaled, scaled))
    }
}

impl Deref for AppRecord {
    type Target = RareFields;

    fn deref(&self) -> &RareFields {
        self.rare.fields()
    }
}

impl DerefMut for AppRecord {
    fn deref_mut(&mut self) -> &mut RareFields {
        Arc::make_mut(self.rare.0.get_or_insert_with(|| Arc::new(RareFields::NONE)))
    }
}

impl RareFields {
    /// Nothing of it.
    pub const NONE: Self = Self {
        labels: BTreeMap::new(),
        apart_from: BTreeSet::new(),
        canary: None,
        watch: None,
        unfit: BTreeSet::new(),
        rolled_back: None,
        crashes: Vec::new(),
        rest: Rest::NONE,
    };
}

impl RareParts {
    fn fields(&self) -> &RareFields {
        const NONE: &RareFields = &RareFields::NONE;
        self.0.as_deref().unwrap_or(NONE)
    }
}

impl From<RareFields> for RareParts {
    fn from(fields: RareFields) -> Self {
        Self((fields != RareFields::NONE).then(|| Arc::new(fields)))
    }
}

/// No memory, and memory with nothing in it, are equal.
impl PartialEq for RareParts {
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
    }
}

impl Eq for RareParts {}

impl<'de> Deserialize<'de> for RareParts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RareFields::deserialize(deserializer).map(Self::from)
    }
}

impl Serialize for RareParts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{decode, encode};
    use super::*;

    #[test]
    fn what_few_apps_have_takes_no_memory_where_there_is_none_and_reads_back_where_there_is() {
        let plain = br#"{"v":1,"generation":3,"min":1,"max":2,"priority":0}"#;
        let mut record: AppRecord = decode("desired/apps/a", plain).unwrap();
        assert!(record.rare.0.is_none());
        assert_eq!(encode(&record), plain);
        let shared = record.clone();
        record.unfit.insert(2);
        assert!(shared.unfit.is_empty() && shared != record);
        let again: AppRecord = decode("desired/apps/a", &encode(&record)).unwrap();
        assert_eq!(again, record);
        record.unfit.clear();
        assert_eq!(record, shared);
        assert_eq!(encode(&record), plain);
        assert!(size_of::<AppRecord>() <= 88, "every host keeps one of each app");
    }
}
