//! Why a statement was not done.
//! Does not know who is told, nor in which form.

use rusqlite::ErrorCode;
use steerage_core::sql::SqlRefusal;

/// Why a database did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The app's manifest does not name the database.
    #[error(
        "the database {label:?} is not among the app's sqlite_databases: name it there in steerage.toml"
    )]
    NotNamed {
        /// What was asked for.
        label: String,
    },
    /// It is for whoever asks to do otherwise.
    #[error(transparent)]
    Refused(#[from] SqlRefusal),
    /// The database has as many pages as it may, or the disk no room.
    #[error(
        "the database is full: it may have {quota} bytes; delete rows, or have the operator raise --sql-quota"
    )]
    Full {
        /// How large it may be.
        quota: u64,
    },
    /// The statement is wrong, or what it does is against a rule of the app's own tables.
    #[error("{0}")]
    Statement(String),
    /// This host keeps no databases.
    #[error("{0}")]
    Unavailable(&'static str),
    /// The file cannot be used now.
    #[error("{0}")]
    Unusable(String),
    /// The call ended before the statement did.
    #[error("the statement was ended with its call")]
    Stopped,
    /// What the statement was to be done on is gone.
    #[error("the connection has ended; a transaction that was open on it is rolled back")]
    Lost,
}

/// What can be said of an error of the engine without knowing the file.
#[derive(Debug)]
pub(super) enum EngineFault {
    Full,
    Interrupted,
    NotAllowed,
    /// The error to tell.
    Told(SqlError),
    /// The file is no database, or one in which something makes no sense.
    Damaged(String),
    /// The file cannot be opened, read or written.
    File(String),
}

impl EngineFault {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let told = |refusal: SqlRefusal| Self::Told(refusal.into());
        match error.sqlite_error_code() {
            // A function that is refused is told as a mistake of the statement.
            _ if text(error).starts_with("not authorized") => Self::NotAllowed,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::OperationInterrupted) => Self::Interrupted,
            Some(ErrorCode::AuthorizationForStatementDenied) => Self::NotAllowed,
            Some(ErrorCode::OutOfMemory) => told(SqlRefusal::MuchMemory),
            Some(ErrorCode::TooBig) => told(SqlRefusal::LargeRow),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => told(SqlRefusal::Locked),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(text(error))
            }
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::File(text(error)),
            _ => Self::Told(SqlError::Statement(text(error))),
        }
    }
}

/// What the engine says, without the statement: whoever asks has that.
fn text(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}
