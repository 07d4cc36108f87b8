//! A copy of all that this host keeps, taken while it serves: the ledger as it is at one moment, with the
//! store of a host that is alone, and the components that it names, which stay until they are copied.
//! Does not know where the copy goes.

use std::io::{self, Seek as _, Write};

use steerage_core::id::Digest;
use tempfile::SpooledTempFile;

use super::{Agent, ApplyError};
use crate::backup::{BackupManifest, Part, Summed, write_entries};
use crate::ledger::dump::DumpError;
use crate::telemetry::chain;

/// As much of a ledger is copied in memory; of a larger one the copy is a file of the data folder.
const IN_MEMORY: usize = 8 << 20;

/// A copy that is being taken. What it needs stays until it is dropped.
#[derive(Debug)]
pub struct Backup {
    agent: Agent,
    /// What is in it.
    pub manifest: BackupManifest,
    lines: SpooledTempFile,
    store: SpooledTempFile,
    pinned: Vec<Digest>,
}

impl Agent {
    /// Begins a copy. Deployments wait while the ledger is read, and go on while components are. Blocks, and
    /// so does dropping the copy.
    ///
    /// # Errors
    /// The ledger failed.
    pub fn backup(&self) -> Result<Backup, ApplyError> {
        let own = &self.own;
        let lone_turn = self.fleet.turn_blocking();
        let turn = self.turn_blocking();
        let file = || Summed::new(tempfile::spooled_tempfile_in(IN_MEMORY, own.ledger.folder()));
        let (mut lines, mut store) = (file(), file());
        let dumped = own.ledger.dump(&mut lines).map_err(|error| match error {
            DumpError::Ledger(error) => ApplyError::Ledger(error),
            error => ApplyError::Task(format!("cannot copy the ledger: {}", chain(&error))),
        })?;
        let seen = self.fleet.store().read_embedded();
        let mut left_out = dumped.left_out;
        let seen = seen.unwrap_or_else(|error| {
            // The ledger holds all but what operators said besides.
            left_out.push(format!("the store of this host: {}", chain(&error)));
            None
        });
        let is_alone = seen.is_some();
        let unread = write_entries(seen.unwrap_or_default().entries, &mut store)
            .map_err(|error| ApplyError::Task(format!("cannot copy the store: {error}")))?;
        left_out.extend(unread.into_iter().map(|key| format!("{key} is no text")));
        let pinned: Vec<Digest> = dumped.needs.keys().copied().collect();
        own.blobs.hold(pinned.iter());
        drop((turn, lone_turn));
        let ((lines, ledger), (store, stored)) = (lines.end(), store.end());
        let stored = is_alone.then_some(stored);
        let mut manifest = BackupManifest::new(super::now(), ledger, stored);
        (manifest.apps, manifest.deployments) = (dumped.n_apps, dumped.n_deployments);
        manifest.left_out = left_out;
        let mut backup = Backup { agent: self.clone(), manifest, lines, store, pinned };
        for (digest, app) in &dumped.needs {
            let size = own.blobs.verify(digest).and_then(|()| own.blobs.size(digest));
            match size {
                Ok(bytes) => backup.manifest.components.push(Part::new(digest, bytes)),
                Err(error) => {
                    let why = format!("a component of {app}: {}", chain(&error));
                    backup.manifest.left_out.push(why);
                }
            }
        }
        let rewound = backup.lines.rewind().and_then(|()| backup.store.rewind());
        rewound.map_err(|error| ApplyError::Task(error.to_string()))?;
        Ok(backup)
    }
}

impl Backup {
    /// Writes it as an archive.
    ///
    /// # Errors
    /// The disk failed, or `out` takes no more.
    pub fn write(&mut self, out: impl Write) -> io::Result<()> {
        let parts = (&mut self.lines, &mut self.store);
        self.manifest.write(out, parts, &self.agent.own.blobs)
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        let turn = self.agent.turn_blocking();
        turn.drop_old(self.agent.own.blobs.release(&self.pinned));
    }
}
