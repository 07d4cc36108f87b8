//! What the ledger says of the deployments that are served: of all apps in a row, which a start goes by, and
//! of one.
//! Changes nothing.

use std::ops::Bound;

use redb::{ReadableDatabase, ReadableTable};
use steerage_core::id::AppName;

use super::index::IndexRecord;
use super::tables::{COPIES, CURRENT, DEPLOYMENTS, INDEX};
use super::{Ledger, LedgerError, index_of, read_index};

impl Ledger {
    /// What is known of an app's current deployment; nothing where it has none.
    ///
    /// # Errors
    /// The database failed, or holds a record this version cannot read.
    pub fn current(&self, app: &AppName) -> Result<Option<IndexRecord>, LedgerError> {
        let found = self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let current = transaction.open_table(CURRENT)?.get(app.as_str())?;
            let Some(generation) = current.map(|current| current.value()) else { return Ok(None) };
            let key = (app.as_str(), generation);
            let index = transaction.open_table(INDEX)?.get(key.0)?;
            if let Some(index) = index.and_then(|bytes| read_index(key, bytes.value())) {
                return Ok(Some(index));
            }
            let bytes = transaction.open_table(DEPLOYMENTS)?.get(key)?;
            index_of(key, bytes.as_ref().map_or(&[], |bytes| bytes.value())).map(Some)
        });
        match found {
            Err(error) => match self.copy(app) {
                Ok(Some(copy)) => super::tables::index_of(&copy).map(Some),
                _ => Err(error),
            },
            found => found,
        }
    }

    /// Shows what is known of every app, in the order of their names, without reading the
    /// deployments themselves. One that cannot be read is shown as the error and ends nothing.
    ///
    /// # Errors
    /// The database failed.
    pub fn each_current(
        &self,
        mut show: impl FnMut(&str, Result<IndexRecord, LedgerError>),
    ) -> Result<(), LedgerError> {
        // In the order of their names, so this says who was shown before a damaged page.
        let mut last = String::new();
        let walked = self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let deployments = transaction.open_table(DEPLOYMENTS)?;
            let index = transaction.open_table(INDEX)?;
            for entry in transaction.open_table(CURRENT)?.iter()? {
                let (app, generation) = entry?;
                let key = (app.value(), generation.value());
                let indexed = index.get(key.0)?.and_then(|bytes| read_index(key, bytes.value()));
                let shown = match indexed {
                    Some(indexed) => Ok(indexed),
                    None => {
                        let bytes = deployments.get(key)?;
                        index_of(key, bytes.as_ref().map_or(&[], |bytes| bytes.value()))
                    }
                };
                key.0.clone_into(&mut last);
                show(key.0, shown);
            }
            Ok(())
        });
        match walked {
            Err(error) if error.is_damage() => self.each_copy(&last, show),
            walked => walked,
        }
    }

    /// The same from the copies, of the apps whose names come after `last`.
    fn each_copy(
        &self,
        last: &str,
        mut show: impl FnMut(&str, Result<IndexRecord, LedgerError>),
    ) -> Result<(), LedgerError> {
        self.backing.with(|database| {
            let transaction = database.begin_read()?;
            let copies = transaction.open_table(COPIES)?;
            for entry in copies.range::<&str>((Bound::Excluded(last), Bound::Unbounded))? {
                let (app, bytes) = entry?;
                show(app.value(), index_of((app.value(), 0), bytes.value()));
            }
            Ok(())
        })
    }
}
