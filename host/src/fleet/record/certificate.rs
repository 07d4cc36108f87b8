//! What the store says of hosts' certificates.
//! Does not judge them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::rest::Rest;

/// That certificates of a host are revoked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RevokedRecord {
    /// All whose time began before this, in seconds since the epoch.
    pub before: i64,
    /// These as well, by their fingerprints.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub certificates: BTreeSet<String>,
    /// When, in milliseconds since the epoch, as the host said that took the wish.
    #[serde(default)]
    pub at: u64,
    /// What a newer host has written.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The certificate that a host shows to others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CertificateRecord {
    /// The sha-256 of it, in hexadecimal digits.
    pub fingerprint: String,
    /// The same of the authority that made it.
    pub authority: String,
    /// When its time begins, in seconds since the epoch.
    pub begins: i64,
    /// When it is over.
    pub ends: i64,
}
