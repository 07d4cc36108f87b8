//! How many connections there may be, of an app and of the host, and those that wait open for the next call.
//! Does not run statements: the thread of each connection does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use steerage_core::id::DatabaseLabel;
use steerage_core::sql::SqlRefusal;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::SqlError;
use super::open::DatabaseFile;
use super::place::DatabaseOwner;
use super::thread::{Home, Lease, SqlThread};

/// Connections of one app that are in use. Each has a thread, and memory for what it sorts.
const MOST_OF_APP: usize = 8;
/// Connections of all apps.
const MOST: usize = 64;
/// Connections to one database that wait open.
const MOST_KEPT: usize = 2;
/// How long is waited for one that another call gives back.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connections of all apps.
#[derive(Debug)]
pub(super) struct AllConnections {
    places: Arc<Semaphore>,
    apps: Mutex<BTreeMap<DatabaseOwner, Weak<AppConnections>>>,
}

/// The connections of one app, whichever of its deployments asks.
#[derive(Debug)]
pub(super) struct AppConnections {
    of_all: Arc<Semaphore>,
    places: Arc<Semaphore>,
    kept: Mutex<Vec<(DatabaseLabel, SqlThread)>>,
}

/// A connection that is in use, given back when this is dropped.
#[derive(Debug)]
pub(super) struct LeasedConnection {
    pub(super) thread: SqlThread,
    pub(super) lease: Arc<Lease>,
    /// Whether it was open already.
    pub(super) was_kept: bool,
}

struct KeptIn {
    app: Weak<AppConnections>,
    label: DatabaseLabel,
}

impl Default for AllConnections {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST)), apps: Mutex::default() }
    }
}

impl AllConnections {
    /// Those of this app.
    pub(super) fn of(&self, owner: &DatabaseOwner) -> Arc<AppConnections> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = apps.get(owner).and_then(Weak::upgrade) {
            return known;
        }
        // Those of apps that are not in memory any more.
        apps.retain(|_, app| app.strong_count() > 0);
        let app = Arc::new(AppConnections {
            of_all: self.places.clone(),
            places: Arc::new(Semaphore::new(MOST_OF_APP)),
            kept: Mutex::default(),
        });
        apps.insert(owner.clone(), Arc::downgrade(&app));
        app
    }
}

impl AppConnections {
    /// Has a connection to a database, once there is room for one.
    pub(super) async fn take(
        self: &Arc<Self>,
        label: &DatabaseLabel,
        file: &DatabaseFile,
    ) -> Result<LeasedConnection, SqlError> {
        let many = |most, whose| SqlError::from(SqlRefusal::ManyConnections { most, whose });
        let both = async {
            let own = self.places.clone().acquire_owned().await;
            let of_all = self.of_all.clone().acquire_owned().await;
            Some([own.ok()?, of_all.ok()?])
        };
        let Ok(Some(permits)) = timeout(PATIENCE, both).await else {
            return Err(match self.places.available_permits() {
                0 => many(MOST_OF_APP, "the app's"),
                _ => many(MOST, "all apps'"),
            });
        };
        let lease = Lease::new(permits);
        if let Some(thread) = self.kept(label) {
            return Ok(LeasedConnection { thread, lease, was_kept: true });
        }
        let home = KeptIn { app: Arc::downgrade(self), label: label.clone() };
        let thread = SqlThread::start(file.clone(), home)?;
        Ok(LeasedConnection { thread, lease, was_kept: false })
    }

    fn kept(&self, label: &DatabaseLabel) -> Option<SqlThread> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().rposition(|(of, _)| of == label)?;
        Some(kept.remove(at).1)
    }

    /// Whether some connection is in use.
    pub(super) fn are_used(&self) -> bool {
        self.places.available_permits() < MOST_OF_APP
    }

    /// Lets go of connections that nobody uses.
    pub(super) fn close_kept(&self) -> bool {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.iter().for_each(|(_, thread)| thread.close());
        !kept.is_empty()
    }
}

impl Home for KeptIn {
    fn keep(&self, connection: &SqlThread) -> bool {
        let Some(app) = self.app.upgrade() else { return false };
        let mut kept = app.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().filter(|(label, _)| *label == self.label).count() >= MOST_KEPT {
            return false;
        }
        kept.push((self.label.clone(), connection.clone()));
        true
    }

    fn forget(&self, connection: &SqlThread) -> bool {
        let Some(app) = self.app.upgrade() else { return false };
        let mut kept = app.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let n_before = kept.len();
        kept.retain(|(_, known)| !known.is(connection));
        kept.len() < n_before
    }
}

impl Drop for LeasedConnection {
    fn drop(&mut self) {
        self.thread.give_back();
    }
}
