//! The tables of the ledger and what holds between them, within one write transaction: every
//! deployment has its reference, and every app that is served has its current one in the index.
//! Does not open the database and commits nothing.

use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};
use steerage_core::id::{AppName, Digest};

use super::deployment::Deployment;
use super::dump::Loaded;
use super::error::{LedgerError, unreadable};
use super::index::IndexRecord;
use super::record::DeploymentRecord;

/// Deployments by app and generation.
pub(super) const DEPLOYMENTS: TableDefinition<'_, (&str, u64), &[u8]> =
    TableDefinition::new("deployments");
/// Which generation of each app is served.
pub(super) const CURRENT: TableDefinition<'_, &str, u64> = TableDefinition::new("current");
/// The highest generation each app ever had, so that none is given twice.
pub(super) const LAST: TableDefinition<'_, &str, u64> = TableDefinition::new("last");
/// What routing and lists need of each app's current deployment.
pub(super) const INDEX: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("index");
/// Each app's current deployment once more: of two copies on different pages of the file one is whole
/// when a page is damaged.
pub(super) const COPIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("copies");
/// Which deployments need a component, so that nobody has to read them all to find out.
pub(super) const REFS: TableDefinition<'_, ([u8; 32], &str, u64), ()> =
    TableDefinition::new("refs");
/// Deployments of an app kept to go back to.
pub(super) const KEPT: usize = 20;
/// Stands in `REFS` for the component of a deployment that cannot be read. While there is one,
/// every component may be in use.
const UNKNOWN: [u8; 32] = [0; 32];

/// All tables, open for writing.
pub(super) struct Tables<'t> {
    deployments: Table<'t, (&'static str, u64), &'static [u8]>,
    current: Table<'t, &'static str, u64>,
    last: Table<'t, &'static str, u64>,
    index: Table<'t, &'static str, &'static [u8]>,
    copies: Table<'t, &'static str, &'static [u8]>,
    refs: Table<'t, ([u8; 32], &'static str, u64), ()>,
}

impl<'t> Tables<'t> {
    /// Opens all tables, making those that are not there yet.
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            deployments: transaction.open_table(DEPLOYMENTS)?,
            current: transaction.open_table(CURRENT)?,
            last: transaction.open_table(LAST)?,
            index: transaction.open_table(INDEX)?,
            copies: transaction.open_table(COPIES)?,
            refs: transaction.open_table(REFS)?,
        })
    }

    /// Whether a host that did not know the references, or the copies, has written here.
    pub(super) fn is_old(&self) -> Result<bool, redb::Error> {
        let has_copies = self.copies.len()? == self.current.len()?;
        Ok(!has_copies || self.refs.len()? != self.deployments.len()?)
    }

    /// Makes index, copies and references again from the deployments. What cannot be read is left out of
    /// the index, where reading it finds that out again and tells.
    pub(super) fn rebuild(&mut self) -> Result<(), redb::Error> {
        self.refs.retain(|_, ()| false)?;
        self.index.retain(|_, _| false)?;
        self.copies.retain(|_, _| false)?;
        for entry in self.deployments.iter()? {
            let (key, bytes) = entry?;
            let (app, generation) = key.value();
            let record = DeploymentRecord::decode(bytes.value()).ok();
            let digest = record.as_ref().map_or(UNKNOWN, |record| *record.digest.as_bytes());
            self.refs.insert((digest, app, generation), ())?;
            let current = self.current.get(app)?.map(|current| current.value());
            if current == Some(generation) {
                self.copies.insert(app, bytes.value())?;
            }
            let index = record.filter(|_| current == Some(generation));
            let index = index.and_then(|record| IndexRecord::of(&record).ok()?.encode().ok());
            if let Some(index) = index {
                self.index.insert(app, index.as_slice())?;
            }
        }
        Ok(())
    }

    /// Adds a deployment, makes it the current one, and lets go of those there is no room for.
    /// Returns the components of the latter; others may need them.
    pub(super) fn add(&mut self, deployment: &Deployment) -> Result<Vec<Digest>, LedgerError> {
        let record = deployment.record();
        let before = self.current.get(record.app.as_str())?.map(|current| current.value());
        let mut dropped = self.put(record)?;
        self.point(record, &deployment.index())?;
        // The one before may be the oldest, and is what is gone back to first.
        dropped.extend(self.make_room(record, before)?);
        Ok(dropped)
    }

    /// The same, without making it the current one.
    pub(super) fn keep(&mut self, record: &DeploymentRecord) -> Result<Vec<Digest>, LedgerError> {
        let mut dropped = self.put(record)?;
        dropped.extend(self.make_room(record, None)?);
        Ok(dropped)
    }

    /// Takes an app with its deployments from a dump.
    pub(super) fn load(&mut self, loaded: &Loaded) -> Result<(), LedgerError> {
        for record in &loaded.records {
            self.put(record)?;
            if loaded.current == Some(record.generation) {
                self.point(record, &index_of(record)?)?;
            }
        }
        self.last.insert(loaded.app.as_str(), loaded.last.get())?;
        Ok(())
    }

    /// Puts a deployment in place of another of its number, if there is one: the fleet knows better.
    /// Returns the component of that one.
    fn put(&mut self, record: &DeploymentRecord) -> Result<Vec<Digest>, LedgerError> {
        let (app, generation) = (record.app.as_str(), record.generation.get());
        let dropped = self.drop_one(app, generation)?;
        let bytes = record.encode().map_err(|source| unreadable(app, generation, source))?;
        self.deployments.insert((app, generation), bytes.as_slice())?;
        self.refs.insert((*record.digest.as_bytes(), app, generation), ())?;
        // An earlier one may be kept after a later one was.
        let last = self.last.get(app)?.map_or(0, |last| last.value());
        self.last.insert(app, generation.max(last))?;
        Ok(dropped.into_iter().collect())
    }

    /// Lets go of the oldest deployments beyond those that are kept, but for the current one and the one
    /// that was current before.
    fn make_room(
        &mut self,
        record: &DeploymentRecord,
        before: Option<u64>,
    ) -> Result<Vec<Digest>, LedgerError> {
        let app = record.app.as_str();
        let kept = self.generations(app)?;
        let n_old = kept.len().saturating_sub(KEPT);
        let current = self.current.get(app)?.map(|current| current.value());
        let mut dropped = Vec::new();
        let is_spared = |kept: &u64| [current, before].contains(&Some(*kept));
        for generation in kept.into_iter().filter(|kept| !is_spared(kept)).take(n_old) {
            dropped.extend(self.drop_one(app, generation)?);
        }
        Ok(dropped)
    }

    /// Makes a deployment that is there the app's current one.
    pub(super) fn point(
        &mut self,
        record: &DeploymentRecord,
        index: &IndexRecord,
    ) -> Result<(), LedgerError> {
        let (app, generation) = (record.app.as_str(), record.generation.get());
        let index = index.encode().map_err(|source| unreadable(app, generation, source))?;
        let bytes = record.encode().map_err(|source| unreadable(app, generation, source))?;
        self.current.insert(app, generation)?;
        self.index.insert(app, index.as_slice())?;
        self.copies.insert(app, bytes.as_slice())?;
        Ok(())
    }

    /// The bytes of a deployment.
    pub(super) fn deployment(
        &self,
        app: &str,
        generation: u64,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let bytes = self.deployments.get((app, generation))?;
        Ok(bytes.map(|bytes| bytes.value().to_vec()))
    }

    /// Forgets an app; returns the components of its deployments, or `None` if there was no app.
    pub(super) fn remove(&mut self, app: &AppName) -> Result<Option<Vec<Digest>>, LedgerError> {
        let app = app.as_str();
        let was_there = self.current.remove(app)?.is_some();
        self.index.remove(app)?;
        self.copies.remove(app)?;
        let mut dropped = Vec::new();
        for generation in self.generations(app)? {
            dropped.extend(self.drop_one(app, generation)?);
        }
        Ok(was_there.then_some(dropped))
    }

    /// Those of the components that no deployment needs.
    pub(super) fn unused(&self, mut digests: Vec<Digest>) -> Result<Vec<Digest>, LedgerError> {
        digests.sort_unstable();
        digests.dedup();
        let mut unused = Vec::new();
        for digest in digests {
            if !is_used(&self.refs, &digest)? {
                unused.push(digest);
            }
        }
        Ok(unused)
    }

    fn generations(&self, app: &str) -> Result<Vec<u64>, LedgerError> {
        let all = self.deployments.range((app, 0)..=(app, u64::MAX))?;
        Ok(all.map(|entry| entry.map(|(key, _)| key.value().1)).collect::<Result<_, _>>()?)
    }

    /// Takes out one deployment; returns its component. A damaged record that goes anyway must not
    /// keep new ones out.
    fn drop_one(&mut self, app: &str, generation: u64) -> Result<Option<Digest>, LedgerError> {
        let Some(bytes) = self.deployments.remove((app, generation))? else { return Ok(None) };
        let digest = DeploymentRecord::decode(bytes.value()).ok().map(|record| record.digest);
        let named = digest.map_or(UNKNOWN, |digest| *digest.as_bytes());
        self.refs.remove((named, app, generation))?;
        Ok(digest)
    }
}

/// What the index holds of a deployment that comes as it was kept.
pub(super) fn index_of(record: &DeploymentRecord) -> Result<IndexRecord, LedgerError> {
    let unreadable = |source| unreadable(record.app.as_str(), record.generation.get(), source);
    IndexRecord::of(record).map_err(unreadable)
}

/// Whether any deployment needs the component, as far as that can be known.
pub(super) fn is_used(
    refs: &impl ReadableTable<([u8; 32], &'static str, u64), ()>,
    digest: &Digest,
) -> Result<bool, LedgerError> {
    for digest in [*digest.as_bytes(), UNKNOWN] {
        let first = refs.range((digest, "", 0)..)?.next().transpose()?;
        if first.is_some_and(|(key, _)| key.value().0 == digest) {
            return Ok(true);
        }
    }
    Ok(false)
}
