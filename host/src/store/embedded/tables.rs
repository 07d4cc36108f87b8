//! The tables of the embedded store: what is under the keys, and the latest revision.
//! Knows what a guard means; does not know when leases end.

use std::ops::Bound;

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::super::{Change, Entry, Guard, Revision, Seen, StoreError, Write};

/// Revision and value.
type Row = (u64, &'static [u8]);

const ENTRIES: TableDefinition<'_, &str, Row> = TableDefinition::new("entries");
/// The keys that stand under leases, so that a start needs not look at all.
const LEASED: TableDefinition<'_, &str, ()> = TableDefinition::new("leased");
const LATEST: TableDefinition<'_, (), u64> = TableDefinition::new("latest");
/// The revision of a store in which nothing was ever written, as etcd has it.
const FIRST: u64 = 1;

/// The tables at one moment.
pub(super) struct Reader {
    entries: ReadOnlyTable<&'static str, Row>,
    latest: Revision,
}

impl Reader {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, StoreError> {
        let latest = match transaction.open_table(LATEST) {
            Ok(table) => table.get(())?.map_or(FIRST, |latest| latest.value()),
            Err(TableError::TableDoesNotExist(_)) => FIRST,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { entries: transaction.open_table(ENTRIES)?, latest: Revision(latest) })
    }

    pub(super) fn below(&self, prefix: &str) -> Result<Seen, StoreError> {
        let mut seen = Seen { revision: self.latest, ..Seen::default() };
        for row in self.entries.range(prefix..)? {
            let (key, row) = row?;
            if !key.value().starts_with(prefix) {
                break;
            }
            seen.entries.push(entry(key.value(), row.value()));
        }
        Ok(seen)
    }

    /// So many of the entries below a prefix that come after a key.
    pub(super) fn page(
        &self,
        prefix: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let after = after.max(prefix);
        let rows = self.entries.range::<&str>((Bound::Excluded(after), Bound::Unbounded))?;
        let mut page = Vec::new();
        for row in rows.take(most) {
            let (key, row) = row?;
            if !key.value().starts_with(prefix) {
                break;
            }
            page.push(entry(key.value(), row.value()));
        }
        Ok(page)
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.entries.get(key)?.map(|row| entry(key, row.value())))
    }
}

fn entry(key: &str, (revision, value): (u64, &[u8])) -> Entry {
    Entry { key: key.to_owned(), value: value.to_vec(), revision: Revision(revision) }
}

/// The tables while they are changed.
pub(super) struct Tables<'t> {
    entries: Table<'t, &'static str, Row>,
    leased: Table<'t, &'static str, ()>,
    latest: Table<'t, (), u64>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        let (entries, leased) = (transaction.open_table(ENTRIES)?, transaction.open_table(LEASED)?);
        Ok(Self { entries, leased, latest: transaction.open_table(LATEST)? })
    }

    pub(super) fn check(&self, guards: &[Guard]) -> Result<(), StoreError> {
        for guard in guards {
            let found = self.entries.get(guard.key())?.map(|row| Revision(row.value().0));
            let wanted = match guard {
                Guard::Absent(_) => None,
                Guard::At(_, revision) => Some(*revision),
            };
            if found != wanted {
                return Err(StoreError::Conflict { key: Some(guard.key().to_owned()) });
            }
        }
        Ok(())
    }

    /// Makes the writes at the next revision; the revision stays where nothing changes.
    pub(super) fn write(
        &mut self,
        writes: &[Write],
    ) -> Result<(Revision, Vec<Change>), StoreError> {
        let latest = self.latest.get(())?.map_or(FIRST, |latest| latest.value());
        let next = latest + 1;
        let mut changes = Vec::new();
        for write in writes {
            let value = match write {
                Write::Put { key, value, lease } => {
                    self.entries.insert(&**key, (next, &**value))?;
                    match lease {
                        Some(_) => drop(self.leased.insert(&**key, ())?),
                        None => drop(self.leased.remove(&**key)?),
                    }
                    Some(value.clone())
                }
                Write::Delete(key) => {
                    self.leased.remove(&**key)?;
                    if self.entries.remove(&**key)?.is_none() {
                        continue;
                    }
                    None
                }
            };
            changes.push(Change { key: write.key().to_owned(), value, revision: Revision(next) });
        }
        let reached = if changes.is_empty() { latest } else { next };
        self.latest.insert((), reached)?;
        Ok((Revision(reached), changes))
    }

    /// Deletes what stood under leases, none of which outlives a process; returns the latest revision.
    pub(super) fn delete_leased(&mut self) -> Result<Revision, StoreError> {
        let mut leased = Vec::new();
        for row in self.leased.iter()? {
            leased.push(Write::Delete(row?.0.value().to_owned()));
        }
        self.write(&leased).map(|(revision, _)| revision)
    }
}
