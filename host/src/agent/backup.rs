//! A copy of all that this host keeps, taken while it serves: the ledger as it is at one moment, and the
//! components that it names, which stay until they are copied.
//! Does not know where the copy goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Seek as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use steerage_core::id::Digest;
use tempfile::SpooledTempFile;

use super::{Agent, DeployError};
use crate::backup::{BackupManifest, Part, Summed};
use crate::ledger::dump::DumpError;
use crate::telemetry::chain;

/// As much of a ledger is copied in memory; of a larger one the copy is a file of the data folder.
const IN_MEMORY: usize = 8 << 20;

/// Components that are being copied, and are not removed meanwhile.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<Pinned>);

#[derive(Debug, Default)]
struct Pinned {
    /// How many copies each is wanted for.
    counts: BTreeMap<Digest, u32>,
    /// Those that would have been removed.
    unwanted: BTreeSet<Digest>,
}

impl Pins {
    /// Whether a component has to stay for now.
    pub(super) fn hold(&self, digest: &Digest) -> bool {
        let mut pinned = self.pinned();
        let is_held = pinned.counts.contains_key(digest);
        if is_held {
            pinned.unwanted.insert(*digest);
        }
        is_held
    }

    fn pin<'d>(&self, digests: impl Iterator<Item = &'d Digest>) {
        let mut pinned = self.pinned();
        for digest in digests {
            *pinned.counts.entry(*digest).or_default() += 1;
        }
    }

    /// Lets go of components; returns those that would have been removed meanwhile.
    fn unpin(&self, digests: &[Digest]) -> Vec<Digest> {
        let mut pinned = self.pinned();
        let mut unwanted = Vec::new();
        for digest in digests {
            let Some(count) = pinned.counts.get_mut(digest) else { continue };
            *count -= 1;
            if *count == 0 {
                pinned.counts.remove(digest);
                unwanted.extend(pinned.unwanted.take(digest));
            }
        }
        unwanted
    }

    fn pinned(&self) -> MutexGuard<'_, Pinned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
    /// Begins a copy. Wishes wait while the ledger is read, and go on while components are. Blocks, and
    /// so does dropping the copy.
    ///
    /// # Errors
    /// The ledger failed.
    pub fn backup(&self) -> Result<Backup, DeployError> {
        let own = &self.own;
        let turn = self.turn.blocking_lock();
        let lines = tempfile::spooled_tempfile_in(IN_MEMORY, own.ledger.folder());
        let mut lines = Summed::new(lines);
        let dumped = own.ledger.dump(&mut lines).map_err(|error| match error {
            DumpError::Ledger(error) => DeployError::Ledger(error),
            error => DeployError::Task(format!("cannot copy the ledger: {}", chain(&error))),
        })?;
        let pinned: Vec<Digest> = dumped.needs.keys().copied().collect();
        self.pins.pin(pinned.iter());
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
        backup.lines.rewind().map_err(|error| DeployError::Task(error.to_string()))?;
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
        let turn = self.agent.turn.blocking_lock();
        let unwanted = self.agent.pins.unpin(&self.pinned);
        if let Err(error) = self.agent.drop_unused(&turn, unwanted) {
            tracing::warn!(error = chain(&error), "old components stay on the disk");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_stays_until_the_last_copy_is_done() {
        let pins = Pins::default();
        let [one, two] = [1, 2].map(|byte| Digest::from_bytes([byte; 32]));
        pins.pin([one, two].iter());
        pins.pin([one].iter());
        assert!(pins.hold(&one));
        assert_eq!(pins.unpin(&[one]), []);
        assert!(pins.hold(&one));
        assert_eq!(pins.unpin(&[one, two]), [one], "nobody wanted to remove the second");
        assert!(!pins.hold(&one) && !pins.hold(&two));
    }
}
