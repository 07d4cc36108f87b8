//! Records that say nothing, for tests of what does not go by them.

use std::collections::{BTreeMap, BTreeSet};

use super::records::{AppFacts, HostFacts, ReadyFacts, Records};

/// Records that say nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Nothing;

impl Records for Nothing {
    type App = Self;
    type Host = Self;
    type Ready = Self;
    type HostSpec = Self;
    type Freeze = Self;
}

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();
static NO_APPS: BTreeSet<String> = BTreeSet::new();

impl AppFacts for Nothing {
    fn generation(&self) -> u64 {
        1
    }

    fn fingerprint(&self) -> Option<&str> {
        None
    }

    fn canary(&self) -> Option<(u64, Option<&str>)> {
        None
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &NO_LABELS
    }

    fn apart_from(&self) -> &BTreeSet<String> {
        &NO_APPS
    }
}

impl HostFacts for Nothing {
    fn run(&self) -> u64 {
        1
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &NO_LABELS
    }
}

impl ReadyFacts for Nothing {
    fn generation(&self) -> u64 {
        1
    }

    fn may_be(&self, _: &str) -> bool {
        true
    }
}
