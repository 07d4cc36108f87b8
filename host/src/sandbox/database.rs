//! A SQL database that a guest has opened, among its resources.
//! Does not know by which interface.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::sql::OpenedDatabase;

/// A database that a guest has opened.
#[derive(Clone, Debug)]
pub(super) struct DatabaseHandle(
    /// Taken for each statement: two at once would be in one transaction.
    pub(super) Arc<Mutex<OpenedDatabase>>,
);

impl DatabaseHandle {
    pub(super) fn new(opened: OpenedDatabase) -> Self {
        Self(Arc::new(Mutex::new(opened)))
    }

    /// What is held for it in memory; nothing is told while a statement runs.
    pub(super) fn n_held(&self) -> usize {
        self.0.try_lock().map_or(0, |opened| opened.n_held())
    }
}
