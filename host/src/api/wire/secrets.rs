//! Secrets, as operators are told of them: all but what they are.

use serde::{Deserialize, Serialize};

/// The secrets of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Secrets {
    /// In the order of their names.
    pub secrets: Vec<Secret>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Which of its values this is, counted from 1; nothing where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// When it was set, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<u64>,
    /// Whether a deployment that gets calls uses it.
    pub used: bool,
    /// What tells the key that it is sealed with from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the host that was asked has that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<bool>,
}

/// What was set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SecretSet {
    /// Its name.
    pub name: String,
    /// Which of its values this is, counted from 1.
    pub version: u64,
    /// When it was set, in milliseconds since the epoch.
    pub set_at: u64,
    /// Whether a deployment that gets calls uses it.
    pub used: bool,
}
