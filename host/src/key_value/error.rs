//! Why a key-value store did not do what it was asked for.
//! Does not know who is told, nor in which form.

use steerage_core::key_value::KeyValueRefusal;

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KeyValueError {
    /// The app's manifest does not name the store.
    #[error(
        "the store {label:?} is not among the app's key_value_stores: name it there in steerage.toml"
    )]
    NotNamed {
        /// What was asked for.
        label: String,
    },
    /// It is for whoever asks to do otherwise.
    #[error(transparent)]
    Refused(#[from] KeyValueRefusal),
    /// This host keeps no stores.
    #[error("{0}")]
    Unavailable(&'static str),
    /// The file cannot be used now.
    #[error("{0}")]
    Unusable(String),
    /// It could not be written; whether it is there is known once the store answers again.
    #[error("the write failed: {0}")]
    NotWritten(String),
    /// The database failed.
    #[error("the file of key-value stores failed")]
    Database(#[from] redb::Error),
}

impl From<redb::StorageError> for KeyValueError {
    fn from(error: redb::StorageError) -> Self {
        Self::Database(error.into())
    }
}
