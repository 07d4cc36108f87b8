//! The records of the made-up fleet, and what a host of it can read of them.

use std::collections::{BTreeMap, BTreeSet};

use steerage_core::id::{AppName, HostName};
use steerage_core::lineage::FleetId;
use steerage_core::node::{
    AppFacts, Assigned, FleetItem, FleetKey, FleetValue, HostFacts, ReadyFacts, Records,
};

/// The records of these tests.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimRecords;

impl Records for SimRecords {
    type App = AppRecord;
    type Host = HostRecord;
    type Ready = ReadyRecord;
    type HostSpec = bool;
    type Freeze = ();
}

/// One deployment of an app: its component, and the routes that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub(crate) generation: u64,
    pub(crate) component: u64,
    pub(crate) routes: BTreeSet<u8>,
}

impl Deployment {
    /// What tells it from another of its number.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{}-{:?}", self.component, self.routes)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppRecord {
    /// The version that it is written in.
    pub(crate) version: u32,
    pub(crate) deployed: Deployment,
    pub(crate) fingerprint: String,
    pub(crate) replicas: u32,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) apart_from: BTreeSet<String>,
}

impl AppFacts for AppRecord {
    fn generation(&self) -> u64 {
        self.deployed.generation
    }

    fn fingerprint(&self) -> Option<&str> {
        Some(&self.fingerprint)
    }

    fn canary(&self) -> Option<(u64, Option<&str>)> {
        None
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    fn apart_from(&self) -> &BTreeSet<String> {
        &self.apart_from
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostRecord {
    pub(crate) version: u32,
    pub(crate) run: u64,
    pub(crate) labels: BTreeMap<String, String>,
}

impl HostFacts for HostRecord {
    fn run(&self) -> u64 {
        self.run
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadyRecord {
    pub(crate) generation: u64,
    pub(crate) fingerprint: Option<String>,
}

impl ReadyFacts for ReadyRecord {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn may_be(&self, fingerprint: &str) -> bool {
        self.fingerprint.as_deref().is_none_or(|own| own == fingerprint)
    }
}

/// Where something stands in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Mark,
    Fleet(FleetKey),
    /// The highest number that an app ever had.
    Last(AppName),
    Deployment(AppName, u64),
    Route(u8),
}

impl Key {
    pub(crate) fn app(app: &AppName) -> Self {
        Self::Fleet(FleetKey::App(app.clone()))
    }

    pub(crate) fn removed(app: &AppName) -> Self {
        Self::Fleet(FleetKey::Removed(app.clone()))
    }

    pub(crate) fn assigned(app: &AppName) -> Self {
        Self::Fleet(FleetKey::Assigned(app.clone()))
    }

    pub(crate) fn host(host: &HostName) -> Self {
        Self::Fleet(FleetKey::Host(host.clone()))
    }
}

/// What stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Mark(FleetId, u64),
    App(AppRecord),
    Removed(u64),
    Assigned(Assigned),
    Ready(ReadyRecord),
    Host(HostRecord),
    HostWanted(bool),
    Freeze,
    Last(u64),
    Deployment(Deployment),
    Route(AppName),
}

/// What a host makes of it that reads records up to this version; nothing where it is not for all.
pub(crate) fn item(key: &Key, value: Option<&Value>, reads: u32) -> Option<FleetItem<SimRecords>> {
    let Key::Fleet(key) = key else { return None };
    Some(match (key, value) {
        (FleetKey::App(app), Some(Value::App(record))) => {
            let is_readable = record.version <= reads;
            let value = if is_readable {
                FleetValue::Is(record.clone())
            } else {
                FleetValue::Unreadable(None)
            };
            FleetItem::App(app.clone(), value)
        }
        (FleetKey::App(app), _) => FleetItem::App(app.clone(), FleetValue::Gone),
        (FleetKey::Removed(app), Some(Value::Removed(generation))) => {
            FleetItem::Removed(app.clone(), FleetValue::Is(*generation))
        }
        (FleetKey::Removed(app), _) => FleetItem::Removed(app.clone(), FleetValue::Gone),
        (FleetKey::Assigned(app), Some(Value::Assigned(hosts))) => {
            FleetItem::Assigned(app.clone(), FleetValue::Is(hosts.clone()))
        }
        (FleetKey::Assigned(app), _) => FleetItem::Assigned(app.clone(), FleetValue::Gone),
        (FleetKey::Ready(host, app), Some(Value::Ready(ready))) => {
            FleetItem::Ready(host.clone(), app.clone(), FleetValue::Is(ready.clone()))
        }
        (FleetKey::Ready(host, app), _) => {
            FleetItem::Ready(host.clone(), app.clone(), FleetValue::Gone)
        }
        (FleetKey::Host(host), Some(Value::Host(record))) => {
            let value = if record.version <= reads {
                FleetValue::Is(record.clone())
            } else {
                let guess = HostRecord { run: 0, ..record.clone() };
                FleetValue::Unreadable(Some(guess))
            };
            FleetItem::Host(host.clone(), value)
        }
        (FleetKey::Host(host), _) => FleetItem::Host(host.clone(), FleetValue::Gone),
        (FleetKey::HostWanted(host), Some(Value::HostWanted(drain))) => {
            FleetItem::HostWanted(host.clone(), FleetValue::Is(*drain))
        }
        (FleetKey::HostWanted(host), _) => FleetItem::HostWanted(host.clone(), FleetValue::Gone),
        (FleetKey::Freeze, Some(_)) => FleetItem::Freeze(FleetValue::Is(())),
        (FleetKey::Freeze, None) => FleetItem::Freeze(FleetValue::Gone),
    })
}
