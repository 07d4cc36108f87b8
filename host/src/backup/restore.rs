//! Making a data folder of a backup, whole or not at all.
//! Does not start a host on it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{
    BackupError, BackupManifest, COMPONENTS, LEDGER, STORE, check, each_part, found_in, stored,
};
use crate::ledger::Ledger;
use crate::store;

/// How far numbers of deployments go on beyond those of a backup: some may have been given after it was
/// made, and a name and a number mean one program.
pub const AHEAD: u64 = 1_000;
/// Everything is made in here first. What a restore left that was killed is made anew by the next.
pub const WORK: &str = "restoring";

/// Makes a data folder of a backup; `on_progress` is told how many bytes were read. Nothing is changed
/// unless all of the backup is right; a restore that is killed is begun anew by the next one.
///
/// # Errors
/// See [`BackupError`].
pub fn restore(
    path: &Path,
    data: &Path,
    mut on_progress: impl FnMut(u64),
) -> Result<BackupManifest, BackupError> {
    let cannot_write = |path: &Path, source| BackupError::Write { path: path.to_owned(), source };
    if let Some(found) = found_in(data).map_err(|error| cannot_write(data, error))? {
        return Err(BackupError::NotEmpty { data: data.to_owned(), found });
    }
    check(path)?;
    let work = data.join(WORK);
    make_folder(data).map_err(|error| cannot_write(data, error))?;
    let cleared = if work.exists() { fs::remove_dir_all(&work) } else { Ok(()) };
    let (blobs, lines) = (work.join("blobs"), work.join(LEDGER));
    let made = cleared.and_then(|()| make_folder(&blobs));
    made.map_err(|error| cannot_write(&work, error))?;
    let restored = unpack(path, &work, &mut on_progress).and_then(|manifest| {
        let read = |source| BackupError::Read { path: lines.clone(), source };
        let reader = BufReader::new(File::open(&lines).map_err(read)?);
        Ledger::open(&work)?.load(reader, AHEAD)?;
        fs::remove_file(&lines).map_err(|error| cannot_write(&lines, error))?;
        let lines = work.join(STORE);
        if manifest.store.is_some() {
            let made = stored::make(&lines, &work).and_then(|()| fs::remove_file(&lines));
            made.map_err(|error| cannot_write(&lines, error))?;
        }
        Ok(manifest)
    });
    let done = restored.and_then(|manifest| {
        // The ledger last: a host does not start on components without it, so that what is there is all
        // there or says that it is not.
        let store = store::embedded_path(&work);
        let store = store.exists().then(|| (store, store::embedded_path(data)));
        let blobs = (blobs, data.join("blobs"));
        let ledger = (Ledger::path(&work), Ledger::path(data));
        for (from, to) in [Some(blobs), store, Some(ledger)].into_iter().flatten() {
            fs::rename(from, &to).map_err(|error| cannot_write(&to, error))?;
        }
        Ok(manifest)
    });
    // Also when it has failed: the disk may be full of it.
    let tidied = fs::remove_dir_all(&work).and_then(|()| File::open(data)?.sync_all());
    let manifest = done?;
    tidied.map_err(|error| cannot_write(data, error))?;
    Ok(manifest)
}

fn unpack(
    path: &Path,
    work: &Path,
    on_progress: &mut impl FnMut(u64),
) -> Result<BackupManifest, BackupError> {
    // Writing fails otherwise than reading: where is known only here.
    let mut failed: Option<PathBuf> = None;
    let mut n_read = 0;
    let unpacked = each_part(path, |name, content| {
        let place = match name.strip_prefix(COMPONENTS) {
            Some(hex) => work.join("blobs").join(hex),
            None => work.join(name),
        };
        let n_copied = write(&place, content).inspect_err(|_| failed = Some(place.clone()))?;
        n_read += n_copied;
        on_progress(n_read);
        Ok(())
    });
    match (unpacked, failed) {
        (Err(BackupError::Read { source, .. }), Some(path)) => {
            Err(BackupError::Write { path, source })
        }
        (unpacked, _) => unpacked,
    }
}

fn write(path: &Path, content: &mut dyn Read) -> io::Result<u64> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let n_copied = io::copy(content, &mut file)?;
    file.sync_all()?;
    Ok(n_copied)
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
