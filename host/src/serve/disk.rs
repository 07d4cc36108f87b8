//! What a start does about the data folder, and what is watched of it later: nobody else may read what
//! is in it, components without the ledger that names them are no leftovers, and a disk that is full or
//! gone is told.
//! Does not read or write what is kept there.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;

use super::StartError;
use crate::backup;
use crate::blobs::{self, Blobs};
use crate::ledger::Ledger;
use crate::store;
use crate::telemetry::events::{Event, Events, Severity};

/// What others must not do with a file or a folder.
const OTHERS: u32 = 0o077;
/// How often the disk is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Lets nobody but this user read what the process makes from here on: manifests hold secrets in their
/// `[env]`. For a process that is a host and nothing else; `up` builds for others to read.
pub fn keep_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Makes the data folder, closes it to others, and checks that what is in it belongs together.
pub(super) fn prepare(data: &Path) -> Result<(), StartError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|source| StartError::Data { path: data.to_owned(), source })?;
    let ledger = Ledger::path(data);
    let (store, copy) = (store::embedded_path(data), data.join("fleet.json"));
    let secrets = data.join("secrets.json");
    for path in [data.to_owned(), ledger.clone(), data.join(blobs::FOLDER), store, copy, secrets] {
        if let Err(error) = close(&path) {
            let path = path.display();
            tracing::warn!(%path, %error, "others may read this, and it cannot be closed to them");
        }
    }
    // Its ledger comes last.
    if Ledger::is_missing(data) && data.join(backup::WORK).exists() {
        return Err(StartError::HalfRestored { data: data.to_owned() });
    }
    let blobs = data.join(blobs::FOLDER);
    if Ledger::is_missing(data) && Blobs::are_in(&blobs) {
        let store = store::embedded_path(data);
        return Err(StartError::LedgerLost { path: ledger, blobs, store });
    }
    Ok(())
}

/// Takes from others what they may do with a file or a folder, if it is there.
fn close(path: &Path) -> io::Result<()> {
    let permissions = match fs::metadata(path) {
        Ok(found) => found.permissions(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mode = permissions.mode();
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let (shown, mode) = (path.display(), format!("{:o}", mode & 0o777));
    tracing::warn!(path = %shown, mode, "others could read this; it is this user's alone now");
    fs::set_permissions(path, fs::Permissions::from_mode(permissions.mode() & !OTHERS))
}

/// Tells when the disk is full or the data folder gone, and when it is well again.
pub(super) async fn watch(ledger: Ledger, events: Arc<Events>) {
    let (mut was_full, mut was_there, mut was_whole) = (false, true, true);
    loop {
        let (full, there) = (ledger.is_full(), ledger.is_there());
        let tell = |kind, severity, message: &str, advice: &str| {
            tracing::warn!("{message}");
            let advice = (!advice.is_empty()).then(|| advice.to_owned());
            events.push(Event { severity, advice, ..Event::now(kind, message.to_owned()) });
        };
        if full && !was_full {
            let message =
                "the disk of this host is full: apps are served as before, deploys are refused";
            tell("disk_full", Severity::Error, message, "make room, or remove apps");
        } else if was_full && !full {
            tell("disk_has_room", Severity::Info, "the disk of this host has room again", "");
        }
        if was_there && !there {
            let message = "the data folder of this host was deleted or moved away while it runs: nothing \
                           is kept, and everything is gone at its next start";
            let advice = "move it back, or restart the host, which starts empty, and deploy again";
            tell("data_lost", Severity::Error, message, advice);
        }
        let whole = !ledger.is_damaged();
        if was_whole && !whole {
            let message = "a page of this host's ledger is damaged: apps are served from the copies that \
                           are whole, and what was on the page cannot be changed";
            let advice = "check the disk; `steerage backup` copies all that can be read, and `steerage \
                          restore` makes a new data folder of that or of an earlier backup; a host of a \
                          fleet gets everything back by itself";
            tell("ledger_damaged", Severity::Error, message, advice);
        }
        (was_full, was_there, was_whole) = (full, there, whole);
        tokio::time::sleep(EVERY).await;
    }
}
