//! A copy of all that this host keeps, taken while it serves: the ledger as it is at one moment, and the
//! components that it names, which stay until they are copied.
//! Does not know where the copy goes.

use std::io::{self, Seek as _, Write};

use steerage_core::id::Digest;
use tempfile::SpooledTempFile;

use super::{Agent, ApplyError};
use crate::backup::{BackupManifest, Part, Summed};
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
        let turn = self.turn_blocking();
        let lines = tempfile::spooled_tempfile_in(IN_MEMORY, own.ledger.folder());
        let mut lines = Summed::new(lines);
        let dumped = own.ledger.dump(&mut lines).map_err(|error| match error {
            DumpError::Ledger(error) => ApplyError::Ledger(error),
            error => ApplyError::Task(format!("cannot copy the ledger: {}", chain(&error))),
        })?;
        let pinned: Vec<Digest> = dumped.needs.keys().copied().collect();
        own.blobs.hold(pinned.iter());
        drop(turn);
        let (lines, ledger) = lines.end();
        let mut manifest = BackupManifest::new(super::now(), ledger);
        (manifest.apps, manifest.deployments) = (dumped.n_apps, dumped.n_deployments);
        manifest.left_out = dumped.left_out;
        let mut backup = Backup { agent: self.clone(), manifest, lines, pinned };
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
        backup.lines.rewind().map_err(|error| ApplyError::Task(error.to_string()))?;
        Ok(backup)
    }
}

impl Backup {
    /// Writes it as an archive.
    ///
    /// # Errors
    /// The disk failed, or `out` takes no more.
    pub fn write(&mut self, out: impl Write) -> io::Result<()> {
        self.manifest.write(out, &mut self.lines, &self.agent.own.blobs)
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        let turn = self.agent.turn_blocking();
        turn.drop_old(self.agent.own.blobs.release(&self.pinned));
    }
}
