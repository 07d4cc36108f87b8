//! How much components take, and when each was used last, which their files say.
//! Does not decide which of them go: `core::disk` does.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use steerage_core::id::Digest;

use super::error::{BlobError, failed};

/// A component as its file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobFile {
    /// Which one.
    pub digest: Digest,
    /// How large it is.
    pub bytes: u64,
    /// When it was used last, or came.
    pub used_at: SystemTime,
}

/// Shows all components of a folder.
pub(super) fn each(folder: &Path, mut show: impl FnMut(BlobFile)) -> Result<(), BlobError> {
    let unreadable = |error| failed("read", folder, error);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Ok(digest) = entry.file_name().to_string_lossy().parse() else { continue };
        // One that has gone meanwhile takes nothing.
        let Ok(file) = entry.metadata() else { continue };
        let used_at = file.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        show(BlobFile { digest, bytes: file.len(), used_at });
    }
    Ok(())
}

/// Notes that a file is used now; whether it is there.
pub(super) fn touch(path: &Path) -> bool {
    let Ok(file) = fs::File::open(path) else { return false };
    if let Err(error) = file.set_modified(SystemTime::now()) {
        let path = path.display();
        tracing::debug!(%path, %error, "cannot note that a component is used");
    }
    true
}

/// Whether a file was used since then, or is not there.
pub(super) fn is_used_since(path: &Path, used_at: SystemTime) -> bool {
    let found = fs::metadata(path).and_then(|found| found.modified());
    found.map_or(true, |found| found > used_at)
}
