//! Opening the file of a database, so that what an app can have done with it stays within that file and its quota.
//! Does not run statements.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::PathBuf;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, ffi};
use steerage_core::sql::{
    LARGEST_ROW, LONGEST_STATEMENT, MOST_PARAMETERS, PragmaRule, SqlRefusal, is_function_allowed,
    is_module_allowed, most_pages, pragma_rule,
};
use steerage_core::units::Bytes;

use super::error::{EngineFault, SqlError};

/// How the file is written: at the end of another one first, so that who reads waits for no writer; and on the disk
/// before a statement is answered. What sorts stays in memory, which has a bound.
const SETTINGS: &str = "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2000; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; \
    PRAGMA journal_size_limit = 4194304;";
/// What each statement may be made of. Depths bound the stack, lengths what one function does without a look at the
/// time.
const LIMITS: [(Limit, usize); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, LARGEST_ROW),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST_STATEMENT),
    (Limit::SQLITE_LIMIT_COLUMN, 500),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 200),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, MOST_PARAMETERS),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 50),
];

thread_local! {
    /// What was refused of the statement at hand.
    static REFUSED: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Whether a statement has left something on the connection of this thread.
    static IS_CHANGED: Cell<bool> = const { Cell::new(false) };
}

/// A database of an app, as a file.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    pub(super) path: PathBuf,
    pub(super) quota: Bytes,
}

impl DatabaseFile {
    /// Opens it on this thread, which must use it alone; makes it where there is none.
    pub(super) fn open(&self) -> Result<Connection, SqlError> {
        if let Some(folder) = self.path.parent() {
            let made = fs::create_dir_all(folder);
            made.map_err(|error| self.unusable(&error.to_string()))?;
        }
        self.configured().map_err(|error| self.fault(&error, None))
    }

    fn configured(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut connection = Connection::open_with_flags(&self.path, flags)?;
        connection.execute_batch(SETTINGS)?;
        let pages = format!("PRAGMA max_page_count = {};", most_pages(self.quota));
        connection.execute_batch(&pages)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false)?;
        for (limit, most) in LIMITS {
            connection.set_limit(limit, i32::try_from(most).unwrap_or(i32::MAX))?;
        }
        connection.authorizer(Some(|context: AuthContext<'_>| judge(&context.action)))?;
        IS_CHANGED.set(false);
        Ok(connection)
    }

    /// What whoever asks is told of an error; `why` says for what the statement was interrupted.
    pub(super) fn fault(&self, error: &rusqlite::Error, why: Option<SqlError>) -> SqlError {
        match EngineFault::of(error) {
            EngineFault::Full => SqlError::Full { quota: self.quota.get() },
            EngineFault::Interrupted => why.unwrap_or(SqlError::Stopped),
            EngineFault::NotAllowed => {
                let what = REFUSED.take().unwrap_or_else(|| "the statement".to_owned());
                SqlRefusal::NotAllowed(what).into()
            }
            EngineFault::Told(told) => why.unwrap_or(told),
            EngineFault::Damaged(why) => {
                let told = format!(
                    "{} is damaged: {why}; it is left as it is: move it away to begin with an empty database, or put \
                     a copy in its place",
                    self.path.display()
                );
                tracing::error!(error = %told, "a database of an app cannot be used");
                SqlError::Unusable(told)
            }
            EngineFault::File(why) => self.unusable(&why),
        }
    }

    fn unusable(&self, why: &str) -> SqlError {
        let told = format!("cannot use {}: {why}", self.path.display());
        tracing::error!(error = %told, "a database of an app cannot be used");
        SqlError::Unusable(told)
    }
}

/// Whether a statement has left something on the connection of this thread.
pub(super) fn is_changed() -> bool {
    IS_CHANGED.get()
}

/// Another statement is at hand.
pub(super) fn forget_refused() {
    REFUSED.set(None);
}

fn judge(action: &AuthAction<'_>) -> Authorization {
    let refused = match action {
        // The second is of a file whose name is computed.
        AuthAction::Attach { .. } | AuthAction::Unknown { code: ffi::SQLITE_ATTACH, .. } => {
            "ATTACH or VACUUM".to_owned()
        }
        AuthAction::Detach { .. } => "DETACH".to_owned(),
        // They would be in memory, or in files of their own.
        AuthAction::CreateTempTable { .. }
        | AuthAction::CreateTempIndex { .. }
        | AuthAction::CreateTempView { .. }
        | AuthAction::CreateTempTrigger { .. } => "TEMP".to_owned(),
        AuthAction::Pragma { pragma_name, pragma_value } => {
            match pragma_rule(pragma_name, pragma_value.is_some()) {
                PragmaRule::Allowed => return Authorization::Allow,
                PragmaRule::Leaves => {
                    IS_CHANGED.set(true);
                    return Authorization::Allow;
                }
                PragmaRule::Refused => format!("PRAGMA {pragma_name}"),
            }
        }
        AuthAction::CreateVtable { module_name, .. } if !is_module_allowed(module_name) => {
            format!("the module {module_name}")
        }
        AuthAction::Function { function_name } if !is_function_allowed(function_name) => {
            format!("{function_name}()")
        }
        // One that a later engine knows.
        AuthAction::Unknown { code, .. } => format!("action {code}"),
        _ => return Authorization::Allow,
    };
    REFUSED.set(Some(refused));
    Authorization::Deny
}
