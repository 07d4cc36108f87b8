//! SQL databases of apps, which outlive calls: one SQLite file for each in the host's data folder, within a quota.
//! Statements run on threads of their connections, which take their turns with the guests of their app.
//! Does not know guests, nor by which interface they ask, and is on one host's disk only.

mod answer;
mod copy;
mod error;
mod memory;
mod open;
mod place;
mod pool;
mod run;
mod thread;
mod turns;
mod under_way;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use steerage_core::id::DatabaseLabel;
use steerage_core::sql::{check_parameters, check_statement};
use steerage_core::units::Bytes;

pub use self::answer::{SqlAnswer, SqlQuestion, SqlValue};
pub use self::error::SqlError;
use self::open::DatabaseFile;
pub use self::place::DatabaseOwner;
use self::pool::{AllConnections, AppConnections, LeasedConnection};
use self::run::Told;
use self::thread::SqlJob;
use self::turns::SqlTurns;
use self::under_way::UnderWay;

/// What is said of databases on a host of a fleet.
pub const NO_SQL_IN_A_FLEET: &str = "SQL databases are on one host's disk and not kept in a fleet yet, where hosts would \
    have different rows under one name: run the app on a host that is alone, or have it ask a database server that \
    allowed_outbound_hosts names";
/// The SQL databases of a host. Clones share them.
#[derive(Clone, Debug)]
pub struct Databases(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    quota: Bytes,
    /// Why there are none, where there are none.
    unavailable: Option<&'static str>,
    connections: AllConnections,
}

/// The databases of one app, for one of its deployments.
#[derive(Clone, Debug)]
pub struct AppDatabases {
    databases: Databases,
    owner: DatabaseOwner,
    /// Those that may be opened; `None` for all, which is for operators.
    labels: Option<Arc<BTreeSet<DatabaseLabel>>>,
    connections: Arc<AppConnections>,
}

/// A database that was opened: nothing is held for it before its first statement. Whoever has it has a connection of
/// its own from then on, with its transaction.
#[derive(Debug)]
pub struct OpenedDatabase {
    label: DatabaseLabel,
    connection: Option<LeasedConnection>,
    changes: u64,
    last_insert_rowid: i64,
}

impl Databases {
    /// Those in a data folder, each of which may have so much. Nothing is opened or made before an app asks.
    #[must_use]
    pub fn new(folder: &Path, quota: Bytes) -> Self {
        Self::make(folder, quota, None)
    }

    /// A host that keeps none, for this reason: all questions are answered with it.
    #[must_use]
    pub fn unavailable(folder: &Path, why: &'static str) -> Self {
        Self::make(folder, Bytes::ZERO, Some(why))
    }

    fn make(folder: &Path, quota: Bytes, unavailable: Option<&'static str>) -> Self {
        let (folder, connections) = (folder.to_owned(), AllConnections::default());
        Self(Arc::new(Inner { folder, quota, unavailable, connections }))
    }

    /// The databases of an app that its manifest names.
    #[must_use]
    pub fn of_app(
        &self,
        owner: DatabaseOwner,
        labels: impl IntoIterator<Item = DatabaseLabel>,
    ) -> AppDatabases {
        let labels = Some(Arc::new(labels.into_iter().collect()));
        let connections = self.0.connections.of(&owner);
        AppDatabases { databases: self.clone(), owner, labels, connections }
    }

    /// All databases that an app has or had, for an operator: what is asked there takes no guest's turn.
    #[must_use]
    pub fn for_operator(&self, owner: DatabaseOwner) -> AppDatabases {
        let connections = self.0.connections.of(&owner);
        AppDatabases { databases: self.clone(), owner, labels: None, connections }
    }

    /// All who have some. Blocks.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn owners(&self) -> Result<Vec<DatabaseOwner>, SqlError> {
        place::owners(&self.0.folder).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &std::io::Error) -> SqlError {
        let folder = self.0.folder.join(place::FOLDER);
        SqlError::Unusable(format!("cannot read {}: {error}", folder.display()))
    }

    /// Why this host keeps none, where it keeps none.
    #[must_use]
    pub fn why_none(&self) -> Option<&'static str> {
        self.0.unavailable
    }

    /// What each database may take.
    #[must_use]
    pub fn quota(&self) -> Bytes {
        self.0.quota
    }
}

impl AppDatabases {
    /// A database that may be used. It is opened at its first statement.
    ///
    /// # Errors
    /// The manifest does not name it, or this host keeps none.
    pub fn open(&self, label: &str) -> Result<OpenedDatabase, SqlError> {
        let not_named = || SqlError::NotNamed { label: label.chars().take(64).collect() };
        let label: DatabaseLabel = label.parse().map_err(|_| not_named())?;
        if self.labels.as_ref().is_some_and(|labels| !labels.contains(&label)) {
            return Err(not_named());
        }
        match self.databases.0.unavailable {
            Some(why) => Err(SqlError::Unavailable(why)),
            None => Ok(OpenedDatabase::new(label)),
        }
    }

    /// The databases that there are, and what each has on the disk. Blocks.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn sizes(&self) -> Result<Vec<(DatabaseLabel, u64)>, SqlError> {
        let sizes = self.owner.databases(&self.databases.0.folder);
        sizes.map_err(|error| self.databases.unreadable(&error))
    }

    /// A copy of a database as it is at one moment, in a file that has no name any more. Blocks.
    ///
    /// # Errors
    /// It cannot be read, or the copy not be written.
    pub fn copy(&self, label: &DatabaseLabel) -> Result<File, SqlError> {
        copy::copy(&self.file(label), &self.databases.0.folder)
    }

    /// Removes a database with all that is in it. Blocks.
    ///
    /// # Errors
    /// Somebody uses one of the app's, or it cannot be removed.
    pub fn remove(&self, label: &DatabaseLabel) -> Result<(), SqlError> {
        if self.connections.are_used() || self.connections.close_kept() {
            let told =
                "a call uses the app's databases, or has just done so: try again in a moment";
            return Err(SqlError::Unusable(told.to_owned()));
        }
        let file = self.file(label);
        place::remove(&file.path).map_err(|error| {
            SqlError::Unusable(format!("cannot remove {}: {error}", file.path.display()))
        })
    }

    /// Runs a statement. What it changed is durable when this returns well, unless a transaction is open. Who stops
    /// waiting ends it.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub async fn execute(
        &self,
        database: &mut OpenedDatabase,
        question: SqlQuestion,
    ) -> Result<SqlAnswer, SqlError> {
        check_statement(&question.statement)?;
        check_parameters(question.parameters.iter().map(SqlValue::n_bytes))?;
        let question = Arc::new(question);
        let (told, is_stale) = self.ask(database, &question).await?;
        let told = match told {
            // It ended because nobody had asked for a while, and nothing is lost with it.
            Err(SqlError::Lost) if is_stale => {
                database.connection = None;
                self.ask(database, &question).await?.0
            }
            told => told,
        };
        match &told {
            Ok(answer) => {
                (database.changes, database.last_insert_rowid) =
                    (answer.changes, answer.last_insert_rowid);
            }
            Err(SqlError::Lost | SqlError::Unusable(_)) => database.connection = None,
            Err(_) => {}
        }
        told
    }

    /// What came of a statement, and whether it may be asked again where the connection has ended before it.
    async fn ask(
        &self,
        database: &mut OpenedDatabase,
        question: &Arc<SqlQuestion>,
    ) -> Result<(Told, bool), SqlError> {
        let mut is_stale = true;
        if database.connection.is_none() {
            let taken = self.connections.take(&database.label, &self.file(&database.label)).await?;
            is_stale = taken.was_kept;
            database.connection = Some(taken);
        }
        let Some(connection) = &database.connection else { return Err(SqlError::Lost) };
        let is_stale = is_stale && !connection.thread.has_transaction();
        let turns = Arc::new(SqlTurns::new(self.labels.is_none()));
        let (question, lease) = (question.clone(), connection.lease.clone());
        connection.thread.send(SqlJob { question, turns: turns.clone(), lease });
        let thread = connection.thread.clone();
        Ok((UnderWay::new(turns, thread).await, is_stale))
    }

    fn file(&self, label: &DatabaseLabel) -> DatabaseFile {
        let path = self.owner.file(&self.databases.0.folder, label);
        DatabaseFile { path, quota: self.databases.0.quota }
    }
}

impl OpenedDatabase {
    fn new(label: DatabaseLabel) -> Self {
        Self { label, connection: None, changes: 0, last_insert_rowid: 0 }
    }

    /// How many rows the last statement that changed some has changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The id of the row that was inserted last; 0 where none was.
    #[must_use]
    pub fn last_insert_rowid(&self) -> i64 {
        self.last_insert_rowid
    }

    /// Whether a transaction is open on it.
    #[must_use]
    pub fn has_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.thread.has_transaction())
    }

    /// What is held for it in memory.
    #[must_use]
    pub fn n_held(&self) -> usize {
        self.connection.as_ref().map_or(0, |connection| connection.thread.n_held())
    }
}

#[cfg(test)]
mod tests;
