//! How much compiled code takes, and when each was used last, which its files say.
//! Does not decide what goes: `core::disk` does.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File};
use std::path::Path;
use std::time::SystemTime;

use steerage_core::id::Digest;

use super::Compiler;

/// The compiled code of one component, as its files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeFiles {
    /// How large they are together.
    pub bytes: u64,
    /// When they were used last, or made.
    pub used_at: SystemTime,
}

impl Compiler {
    /// The compiled code that is this host's alone, by component; nothing where others use the same cache.
    #[must_use]
    pub fn files(&self) -> BTreeMap<Digest, CodeFiles> {
        let mut all = BTreeMap::new();
        if self.settings.is_shared {
            return all;
        }
        for entry in entries(&self.folder) {
            let name = entry.file_name();
            let digest = name.to_string_lossy();
            let digest = digest.get(..2 * Digest::LENGTH).and_then(|hex| hex.parse().ok());
            let (Some(digest), Ok(file)) = (digest, entry.metadata()) else { continue };
            let used_at = file.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let found = all.entry(digest).or_insert(CodeFiles { bytes: 0, used_at });
            found.bytes = found.bytes.saturating_add(file.len());
            found.used_at = found.used_at.max(used_at);
        }
        all
    }

    /// Bytes of code that other versions of this program have compiled; nothing where others use the same
    /// cache.
    #[must_use]
    pub fn leftover(&self) -> u64 {
        self.left_over().iter().flat_map(|folder| entries(&folder.path())).fold(0, |sum, file| {
            let bytes = file.metadata().map_or(0, |file| file.len());
            sum.saturating_add(bytes)
        })
    }

    /// Removes that code.
    pub fn drop_leftover(&self) {
        for folder in self.left_over() {
            if let Err(error) = fs::remove_dir_all(folder.path()) {
                let folder = folder.path();
                tracing::warn!(folder = %folder.display(), %error, "old compiled code stays");
            }
        }
    }

    /// Notes that the code of a component is used now.
    pub fn touch(&self, digest: Digest) {
        let file = File::open(self.code_path(digest));
        if let Err(error) = file.and_then(|file| file.set_modified(SystemTime::now())) {
            tracing::debug!(%digest, %error, "cannot note that compiled code is used");
        }
    }

    /// Removes the code of a component, unless it was used since; whether it went.
    #[must_use]
    pub fn evict(&self, digest: Digest, files: &CodeFiles) -> bool {
        let used_at = fs::metadata(self.code_path(digest)).and_then(|file| file.modified());
        let goes = used_at.is_ok_and(|used_at| used_at <= files.used_at);
        if goes {
            self.forget(digest);
        }
        // The disk may keep it.
        goes && !self.code_path(digest).exists()
    }

    /// The folders beside that of this version.
    fn left_over(&self) -> Vec<DirEntry> {
        if self.settings.is_shared {
            return Vec::new();
        }
        let is_ours = |folder: &DirEntry| Some(&*folder.file_name()) == self.folder.file_name();
        let is_folder = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        let all = entries(&self.settings.cache);
        all.filter(|entry| is_folder(entry) && !is_ours(entry)).collect()
    }
}

/// What is in a folder, as far as that can be read.
fn entries(folder: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok)
}
