//! What is changed in key-value stores and what is read of them, as values.
//! Does none of it.

use steerage_core::id::StoreLabel;
use steerage_core::key_value::{
    KeyValueRefusal, ValueExpiry, ValueVersion, check_count, check_key, check_value,
};

/// A value with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// The value.
    pub value: Vec<u8>,
    /// Which value this is; no other has ever had the same.
    pub version: ValueVersion,
    /// When it is over.
    pub expiry: ValueExpiry,
}

/// Some of a store's keys, in the order of their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<String>,
    /// The key after which the next page begins; `None` where there is none.
    pub cursor: Option<String>,
}

/// A change of an app's pairs, done whole or not at all.
#[derive(Clone, Debug)]
pub enum PairChange {
    /// These keys have these values from now on.
    Set {
        /// The store.
        label: StoreLabel,
        /// Keys and values.
        pairs: Vec<(String, Vec<u8>)>,
        /// How long, in milliseconds; for good where it is `None`.
        ttl_ms: Option<u64>,
    },
    /// These keys have no values any more.
    Delete {
        /// The store.
        label: StoreLabel,
        /// The keys.
        keys: Vec<String>,
    },
    /// A counter is so much more.
    Increment {
        /// The store.
        label: StoreLabel,
        /// The key.
        key: String,
        /// How much.
        delta: i64,
        /// It is refused where the sum would be less than this.
        least: i64,
    },
    /// A key has this value from now on, if the one that it has is of this version, or if it has none.
    Swap {
        /// The store.
        label: StoreLabel,
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// The version that it must have now.
        expected: Option<ValueVersion>,
    },
    /// Some of the app's pairs go, of all its stores.
    DropSome,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairChanged {
    /// It is done.
    Done,
    /// The counter is this.
    Number(i64),
    /// Whether the key had the version that it had to have.
    Swapped(bool),
    /// Whether the app has no pair any more.
    IsEmpty(bool),
}

impl PairChange {
    /// Whether its keys and values may be some.
    ///
    /// # Errors
    /// They may not, or are too many.
    pub(super) fn check(&self) -> Result<(), KeyValueRefusal> {
        match self {
            Self::Set { pairs, .. } => {
                check_count(pairs.len())?;
                pairs.iter().try_for_each(|(key, value)| {
                    check_key(key).and_then(|()| check_value(key, value.len()))
                })
            }
            Self::Delete { keys, .. } => {
                check_count(keys.len())?;
                keys.iter().try_for_each(|key| check_key(key))
            }
            Self::Increment { key, .. } => check_key(key),
            Self::Swap { key, value, .. } => {
                check_key(key).and_then(|()| check_value(key, value.len()))
            }
            Self::DropSome => Ok(()),
        }
    }

    /// About what it takes in memory while it waits.
    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Set { pairs, .. } => {
                pairs.iter().map(|(key, value)| key.len() + value.len()).sum()
            }
            Self::Delete { keys, .. } => keys.iter().map(String::len).sum(),
            Self::Swap { key, value, .. } => key.len() + value.len(),
            Self::Increment { key, .. } => key.len(),
            Self::DropSome => 0,
        }
    }
}
