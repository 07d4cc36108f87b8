//! What is kept in the store, as it is written there. Every record has a version; one that a newer
//! host wrote is refused and not guessed at. Does not know keys, nor what follows from a record.

mod app;
mod certificate;
pub(super) mod outline;
mod plan;
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU64;

mod rollout;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::app::{AppRecord, CrashRecord, RareFields, RareParts};
pub use self::certificate::{CertificateRecord, RevokedRecord};
pub use self::plan::{AssignedRecord, MoveRecord, OriginRecord, PlanRecord, PlanResult};
pub use self::rest::Rest;
pub use self::rollout::{CanaryRecord, RolledBack, StepRecord, WatchRecord};
use crate::ledger::record::Fingerprint;

/// The version written by this host.
pub const VERSION: u32 = 1;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FleetRecordError {
    /// A newer host wrote it.
    #[error(
        "{key} has version {found}, written by a newer steerage; this one reads up to {VERSION}: \
         upgrade this host"
    )]
    Newer {
        /// Where it is.
        key: String,
        /// Its version.
        found: u32,
    },
    /// It is damaged.
    #[error("{key} is damaged: {why}")]
    Damaged {
        /// Where it is.
        key: String,
        /// What is wrong.
        why: String,
    },
}

/// Which fleet it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct MarkRecord {
    /// The fleet's id.
    pub id: String,
    /// How often an operator has said that the store is to be followed as it is.
    pub epoch: u64,
    /// Fingerprints of the authorities that its hosts believe.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub authorities: BTreeSet<String>,
    /// What a newer host has written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// That an app was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RemovedRecord {
    /// The highest generation it had.
    pub generation: u64,
}

/// What operators want of a host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct HostSpec {
    /// Whether everything on it shall go elsewhere; otherwise only nothing new comes.
    pub drain: bool,
}

/// That operators want nothing to be planned, until it is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct FreezeRecord {
    /// Since when, in milliseconds since the epoch, as the host said that took the wish.
    pub since: u64,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What a newer host has written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A host that is there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct HostRecord {
    /// Which data folder it runs on, whatever it is called.
    pub id: String,
    /// Which of its runs this is.
    pub run: u64,
    /// Where it takes requests of other hosts.
    pub address: SocketAddr,
    /// Where callers come in.
    pub listen: SocketAddr,
    /// Where operators come in.
    pub admin: SocketAddr,
    /// What fails together.
    pub zone: String,
    /// What apps may ask for.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Thousandths of a core that it has for apps.
    pub cpu_m: u64,
    /// Bytes that it has for apps.
    pub memory: u64,
    /// The program's version.
    pub version: String,
    /// The certificate that it shows; `None` where hosts believe anybody, and of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateRecord>,
    /// The authorities that it believes, by their fingerprints.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub believes: BTreeSet<String>,
    /// Whether it says what apps use there when it is asked, and asks the others: hosts of earlier versions
    /// tell it through the store, and read it there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tells_use: bool,
    /// Whether it has the authority's key, and signs certificates of hosts that ask.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signs: bool,
}

/// That a host has an app's code at hand.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ReadyRecord {
    /// What tells that deployment from another of its number, as a number: every host keeps one for each
    /// replica of each app. What cannot be read as one is not known.
    #[serde(default, with = "fingerprint_text", skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// Of which deployment.
    pub generation: u64,
    /// Of which deployment on trial, besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<NonZeroU64>,
}

/// A fingerprint as it is written.
mod fingerprint_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::ledger::record::Fingerprint;

    #[expect(clippy::ref_option, reason = "serde's way")]
    pub(super) fn serialize<S: Serializer>(
        fingerprint: &Option<Fingerprint>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match fingerprint {
            Some(fingerprint) => serializer.collect_str(fingerprint),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Fingerprint>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(text.and_then(|text| text.parse().ok()))
    }
}

/// What apps use on a host, or a part of them: there may be more than one record of the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct UseRecord {
    /// Whether apps that the host has at hand and does not list, in any part, were looked at for long
    /// enough to say that they use nothing. Counts in the first part only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rest_is_idle: bool,
    /// By app: those that used something, and those that were asked resources for and have been at hand
    /// for a short time only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apps: BTreeMap<String, AppUse>,
    /// What canaries did, by app.
    #[serde(default, rename = "trials", skip_serializing_if = "BTreeMap::is_empty")]
    pub canaries: BTreeMap<String, CanaryUse>,
}

/// What the two deployments of an app did on one host since the trial began there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CanaryUse {
    /// The canary.
    pub generation: u64,
    /// What the current one did.
    pub old: SideUse,
    /// What the canary did.
    pub canary: SideUse,
}

/// What one of them did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct SideUse {
    /// Calls that tell something of it.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// How many of each class of durations; see `core::canary`.
    pub durations: Vec<(u8, u64)>,
    /// The same of calls that their callers gave up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<(u8, u64)>,
}

/// What one app uses on one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct AppUse {
    /// Millionths of a core lately.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_u: u64,
    /// The same on average of half a minute, exceeded in one of twenty only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_high_u: u64,
    /// Bytes at the last look.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory: u64,
    /// The most bytes in any look.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory_high: u64,
    /// How many looks stand behind this.
    pub looks: u32,
}

impl AppUse {
    /// Looks before what was seen is believed: a minute.
    pub const BELIEVED: u32 = 30;

    /// Whether enough looks stand behind this.
    #[must_use]
    pub fn is_believed(&self) -> bool {
        self.looks >= Self::BELIEVED
    }

    /// Whether nothing was used in any look that is remembered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        (self.cpu_u, self.cpu_high_u, self.memory, self.memory_high) == (0, 0, 0, 0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's way")]
fn is_zero(amount: &u64) -> bool {
    *amount == 0
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[derive(Serialize)]
struct Written<'r, R> {
    v: u32,
    #[serde(flatten)]
    record: &'r R,
}

/// The bytes to write.
#[must_use]
pub fn encode<R: Serialize>(record: &R) -> Vec<u8> {
    // Records are maps with text as keys and numbers as values, which JSON can always hold.
    serde_json::to_vec(&Written { v: VERSION, record }).unwrap_or_default()
}

/// The record that was written as these bytes under this key.
///
/// # Errors
/// See [`FleetRecordError`].
pub fn decode<R: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<R, FleetRecordError> {
    let damaged = |error: serde_json::Error| FleetRecordError::Damaged {
        key: key.to_owned(),
        why: error.to_string(),
    };
    let Version { v } = serde_json::from_slice(bytes).map_err(damaged)?;
    if v > VERSION {
        return Err(FleetRecordError::Newer { key: key.to_owned(), found: v });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_what_is_newer_is_refused() {
        let record = HostSpec { drain: true };
        let bytes = encode(&record);
        assert_eq!(decode::<HostSpec>("desired/hosts/a", &bytes).unwrap(), record);
        let error = decode::<HostSpec>("desired/hosts/a", br#"{"v": 2, "gone": 1}"#).unwrap_err();
        assert!(error.to_string().contains("desired/hosts/a has version 2"), "{error}");
        let error = decode::<HostSpec>("desired/hosts/a", b"{").unwrap_err();
        assert!(error.to_string().contains("is damaged"), "{error}");
    }

    #[test]
    fn fields_of_a_newer_host_survive_being_written_again() {
        let written =
            br#"{"v": 1, "generation": 3, "min": 1, "max": 2, "colour": {"deep": [1, "x"]},
            "canary": {"generation": 4, "share": 5, "since": 6, "mood": null}}"#;
        let mut record: AppRecord = decode("desired/apps/a", written).unwrap();
        record.max = 9;
        let again: serde_json::Value = serde_json::from_slice(&encode(&record)).unwrap();
        let mut expected: serde_json::Value = serde_json::from_slice(written).unwrap();
        expected["max"] = 9.into();
        // What has a default is written out.
        expected["priority"] = 0.into();
        assert_eq!(again, expected);
    }
}
