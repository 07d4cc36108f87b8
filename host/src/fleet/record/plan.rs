//! What placement writes: where apps shall run, and the plans that said so.
//! Does not say what is written when.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use steerage_core::id::HostName;
use steerage_core::node::{Assigned, ReplicaOrigin};

use super::rest::Rest;

/// Where an app shall run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct AssignedRecord {
    /// The hosts, in the order of their names.
    pub hosts: BTreeSet<String>,
    /// Of each, since when and why its replica is there, as far as anybody has said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub since: BTreeMap<String, OriginRecord>,
}

/// Since when and why a replica is where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct OriginRecord {
    /// The number of the plan.
    pub plan: u32,
    /// When, in seconds since the epoch, as the host said that planned.
    pub at: u32,
    /// The code of the reason; see `steerage_core::place::reason`.
    pub why: u8,
}

impl AssignedRecord {
    /// These hosts, each with since when and why.
    pub fn of<'h>(on: impl Iterator<Item = (&'h HostName, &'h ReplicaOrigin)>) -> Self {
        let mut record = Self::default();
        for (host, origin) in on {
            record.hosts.insert(host.to_string());
            if *origin != ReplicaOrigin::default() {
                let ReplicaOrigin { plan, at, why } = *origin;
                record.since.insert(host.to_string(), OriginRecord { plan, at, why });
            }
        }
        record
    }

    /// What it says; without hosts whose names are none.
    #[must_use]
    pub fn assigned(&self) -> Assigned {
        let hosts = self.hosts.iter().filter_map(|host| host.parse::<HostName>().ok());
        let origin = |host: &HostName| {
            let since = self.since.get(host.as_str()).copied().unwrap_or_default();
            ReplicaOrigin { plan: since.plan, at: since.at, why: since.why }
        };
        hosts.map(|host| (host.clone(), origin(&host))).collect()
    }
}

/// A plan that changed something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PlanRecord {
    /// When it was made, in milliseconds since the epoch, as the host said that made it.
    pub at: u64,
    /// That host.
    pub host: String,
    /// What made it necessary, in words.
    pub triggers: Vec<String>,
    /// Its moves, in the order of the apps: the first of them, where all would be too large.
    pub moves: Vec<MoveRecord>,
    /// How many moves it has, with those that are not told.
    pub n_moves: u32,
    /// How many apps it changes.
    pub n_apps: u32,
    /// How many replicas have no room by it.
    #[serde(default)]
    pub n_unplaced: u32,
    /// What came of it.
    pub result: PlanResult,
    /// How many apps were left to the next plan, since others had changed them meanwhile.
    #[serde(default)]
    pub n_left: u32,
    /// What a newer host has written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One move of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct MoveRecord {
    /// The app.
    pub app: String,
    /// Where a replica leaves; nowhere where one starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where it goes; nowhere where one stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, in words.
    pub why: String,
}

/// What came of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanResult {
    /// It is being written, in more than one commit; or its host was lost while it did.
    Writing,
    /// It was written, but for the apps that were left to the next one.
    Written,
    /// Something that a later version says.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::super::{decode, encode};
    use super::*;

    #[test]
    fn why_a_replica_is_there_is_read_as_it_was_written_also_by_a_later_version() {
        let written = br#"{"v": 1, "hosts": ["a", "b"], "since": {
            "a": {"plan": 7, "at": 1790000000, "why": 4, "mood": "good"},
            "gone": {"plan": 1, "at": 1, "why": 1}, "b": {"plan": 9, "at": 3, "why": 200}
        }}"#;
        let record: AssignedRecord = decode("assigned/shop", written).unwrap();
        let assigned = record.assigned();
        let a: HostName = "a".parse().unwrap();
        assert_eq!(assigned.get(&a), Some(&ReplicaOrigin { plan: 7, at: 1_790_000_000, why: 4 }));
        let again = AssignedRecord::of(assigned.iter());
        assert_eq!(again.since["b"], OriginRecord { plan: 9, at: 3, why: 200 });
        assert_eq!(again.since.len(), 2, "{again:?}");
        // What an earlier version has written, or a replica of which nobody said why.
        let old: AssignedRecord = decode("assigned/shop", br#"{"v": 1, "hosts": ["a"]}"#).unwrap();
        let text = String::from_utf8(encode(&AssignedRecord::of(old.assigned().iter())));
        assert_eq!(text.unwrap(), r#"{"v":1,"hosts":["a"]}"#);
    }
}
