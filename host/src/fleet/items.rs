//! What stands under a key of the store, as decisions have it: `core::node` knows no JSON.
//! What cannot be read is told, and passed on as what it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use steerage_core::id::HostName;
use steerage_core::node::{AppFacts, FleetItem, FleetValue, HostFacts, ReadyFacts, Records};

use super::keys;
use super::record::{
    self, AppRecord, AssignedRecord, FreezeRecord, HostRecord, HostSpec, ReadyRecord,
    RemovedRecord, UseRecord,
};

/// The records as they are written in the store.
#[derive(Clone, Debug, Default)]
pub struct StoreRecords;

impl Records for StoreRecords {
    type App = AppRecord;
    type Host = HostRecord;
    type Ready = ReadyRecord;
    type HostSpec = HostSpec;
    type Freeze = FreezeRecord;
}

impl AppFacts for AppRecord {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    fn canary(&self) -> Option<(u64, Option<&str>)> {
        let canary = self.canary.as_ref()?;
        Some((canary.generation, canary.fingerprint.as_deref()))
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    fn apart_from(&self) -> &BTreeSet<String> {
        &self.apart_from
    }
}

impl HostFacts for HostRecord {
    fn run(&self) -> u64 {
        self.run
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }
}

impl ReadyFacts for ReadyRecord {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn may_be(&self, fingerprint: &str) -> bool {
        self.fingerprint.is_none_or(|own| fingerprint.parse() == Ok(own))
    }
}

/// What was read.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is there at a time, most are items, and a full read would box each of them"
)]
pub(super) enum Read {
    /// What hosts act on at once.
    Item(FleetItem<StoreRecords>),
    /// A part of what apps use on a host; nothing where it is gone.
    Use(HostName, u32, Option<UseRecord>),
}

/// What stands under a key, if it is one that hosts act on; and what is wrong with it.
pub(super) fn read(key: &str, value: Option<&[u8]>) -> (Option<Read>, Option<String>) {
    let mut trouble = None;
    let found = try_read(key, value, &mut trouble);
    match found {
        Ok(found) => (found, trouble),
        Err(_) if value.is_none() => (None, None),
        Err(unreadable) => (None, Some(unreadable)),
    }
}

/// The same; `trouble` is what is wrong with the value, and an error is what is wrong with the key.
fn try_read(
    key: &str,
    value: Option<&[u8]>,
    trouble: &mut Option<String>,
) -> Result<Option<Read>, String> {
    let mut record = Value { key, value, trouble };
    let item = if let Some(app) = key.strip_prefix(keys::APPS) {
        FleetItem::App(name(key, app)?, record.read::<AppRecord>())
    } else if let Some(app) = key.strip_prefix(keys::REMOVED) {
        let removed = record.read::<RemovedRecord>();
        FleetItem::Removed(name(key, app)?, map(removed, |record| record.generation))
    } else if let Some(app) = key.strip_prefix(keys::ASSIGNED) {
        let assigned = record.read::<AssignedRecord>();
        FleetItem::Assigned(name(key, app)?, map(assigned, |record| record.assigned()))
    } else if let Some(rest) = key.strip_prefix(keys::READY) {
        let (host, app) = rest.split_once('/').ok_or("a ready key without an app")?;
        FleetItem::Ready(name(key, host)?, name(key, app)?, record.read::<ReadyRecord>())
    } else if let Some(host) = key.strip_prefix(keys::HOSTS_WANTED) {
        FleetItem::HostWanted(name(key, host)?, record.read::<HostSpec>())
    } else if key == keys::FREEZE {
        FleetItem::Freeze(record.read::<FreezeRecord>())
    } else if let Some(host) = key.strip_prefix(keys::HOSTS) {
        let host = name::<HostName>(key, host)?;
        let registered = match record.read::<HostRecord>() {
            FleetValue::Unreadable(_) => {
                FleetValue::Unreadable(value.map(record::outline::outline))
            }
            registered => registered,
        };
        FleetItem::Host(host, registered)
    } else if let Some(rest) = key.strip_prefix(keys::USE) {
        let (host, part) = rest.split_once('/').unwrap_or((rest, "0"));
        let part = part.parse().map_err(|error| format!("{key}: {error}"))?;
        return Ok(match record.read::<UseRecord>() {
            FleetValue::Is(used) => Some(Read::Use(name(key, host)?, part, Some(used))),
            FleetValue::Gone => Some(Read::Use(name(key, host)?, part, None)),
            // What was told before counts until there is more.
            FleetValue::Unreadable(_) => None,
        });
    } else {
        return Ok(None);
    };
    Ok(Some(Read::Item(item)))
}

/// The value under a key.
struct Value<'e> {
    key: &'e str,
    value: Option<&'e [u8]>,
    trouble: &'e mut Option<String>,
}

impl Value<'_> {
    fn read<R: DeserializeOwned>(&mut self) -> FleetValue<R> {
        let Some(value) = self.value else { return FleetValue::Gone };
        match record::decode(self.key, value) {
            Ok(record) => FleetValue::Is(record),
            Err(error) => {
                *self.trouble = Some(error.to_string());
                FleetValue::Unreadable(None)
            }
        }
    }
}

fn map<T, U>(value: FleetValue<T>, of: impl FnOnce(T) -> U) -> FleetValue<U> {
    match value {
        FleetValue::Is(value) => FleetValue::Is(of(value)),
        FleetValue::Gone => FleetValue::Gone,
        FleetValue::Unreadable(_) => FleetValue::Unreadable(None),
    }
}

/// The name at the end of a key.
fn name<N>(key: &str, name: &str) -> Result<N, String>
where
    N: std::str::FromStr<Err: std::fmt::Display>,
{
    name.parse().map_err(|error| format!("{key}: {error}"))
}
