//! Key-value stores, as they are told to operators.

use serde::{Deserialize, Serialize};

/// What an app keeps in all its stores.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct StoreUsage {
    /// Whose app it is.
    pub tenant: String,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Pairs.
    pub pairs: u64,
    /// How many bytes there may be.
    pub bytes_quota: u64,
    /// How many pairs there may be.
    pub pairs_quota: u64,
}

/// Some keys of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct StoreKeys {
    /// The keys, in the order of their bytes.
    pub keys: Vec<String>,
    /// After which key the next page begins; nothing where this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
