//! The files of history in their folder: listed, read, appended to, removed.
//! Does not decide which: `core::history::files` does. Does not wait for the disk to have what is written: a
//! process that is killed loses nothing of it, a machine that loses power may.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use steerage_core::history::Grain;
use steerage_core::history::block::{Blocks, Piece};
use steerage_core::history::files::HistoryFile;

/// A file that has more was not written by this program: see `core::history::files`.
const MOST: u64 = 512 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
}

/// What is in a file of hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WholeHours {
    /// The last hour of which all is there.
    pub(super) last: Option<u32>,
    /// Where that ends.
    pub(super) end: usize,
}

impl Shelf {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// All files and how long each is, in order of their kinds and then of time. A folder that is not there is
    /// empty.
    pub(super) fn files(&self) -> io::Result<Vec<(HistoryFile, u64)>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(file) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that is removed at this moment is none.
            let Ok(found) = entry.metadata() else { continue };
            files.push((file, found.len()));
        }
        files.sort_unstable_by_key(|(file, _)| *file);
        Ok(files)
    }

    /// The bytes of a file; nothing of one that was removed meanwhile.
    pub(super) fn read(&self, file: HistoryFile) -> io::Result<Vec<u8>> {
        let path = self.path(file);
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        // Opening a pipe would wait for whoever writes to it.
        if !found.is_file() || found.len() > MOST {
            return Err(io::Error::other(format!("it is no file of at most {MOST} bytes")));
        }
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        }
    }

    /// Adds to a file, all or nothing; how long it is then. The folder is made where there is none, but not
    /// the one that it is in: that is the host's, and may have been moved away.
    pub(super) fn append(&self, file: HistoryFile, bytes: &[u8]) -> io::Result<u64> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut how = OpenOptions::new();
        let mut opened = how.append(true).create(true).mode(0o600).open(self.path(file))?;
        let n_before = opened.metadata()?.len();
        if let Err(error) = opened.write_all(bytes) {
            opened.set_len(n_before)?;
            return Err(error);
        }
        Ok(n_before + bytes.len() as u64)
    }

    pub(super) fn remove(&self, file: HistoryFile) -> io::Result<()> {
        match fs::remove_file(self.path(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Finds up to which hour all is there, and takes off what follows: an hour that a killed process left
    /// half is made anew of its minutes.
    pub(super) fn mend_hours(&self) -> io::Result<Option<u32>> {
        for (file, n_bytes) in self.files()?.into_iter().rev() {
            if file.grain != Grain::Hour {
                continue;
            }
            let whole = whole_hours(&self.read(file)?);
            if whole.last.is_none() {
                self.remove(file)?;
                continue;
            }
            if (whole.end as u64) < n_bytes {
                let opened = OpenOptions::new().write(true).open(self.path(file))?;
                opened.set_len(whole.end as u64)?;
            }
            return Ok(whole.last);
        }
        Ok(None)
    }

    pub(super) fn path(&self, file: HistoryFile) -> PathBuf {
        self.folder.join(file.to_string())
    }
}

fn whole_hours(bytes: &[u8]) -> WholeHours {
    let mut whole = WholeHours::default();
    for piece in Blocks::of(bytes) {
        if let Piece::Block(block, end) = piece
            && block.is_last
        {
            whole = WholeHours { last: whole.last.max(Some(block.slot)), end };
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use steerage_core::history::Slot;
    use steerage_core::history::block::BlockWriter;

    use super::*;

    fn hour(slot: u32, is_last: bool) -> Vec<u8> {
        let mut writer = BlockWriter::new(Grain::Hour, slot);
        writer.push("app", &Slot { cpu_us: 1, ..Slot::default() });
        writer.finish(is_last)
    }

    #[test]
    fn an_hour_that_was_left_half_is_taken_off() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::at(folder.path().join("history"));
        assert_eq!((shelf.files().unwrap(), shelf.mend_hours().unwrap()), (vec![], None));
        let file = |first| HistoryFile { grain: Grain::Hour, first };
        shelf.append(file(24), &hour(24, false)).unwrap();
        let whole = shelf.append(file(24), &hour(24, true)).unwrap();
        shelf.append(file(24), &hour(25, false)).unwrap();
        shelf.append(file(48), &hour(48, false)).unwrap();
        assert_eq!(shelf.mend_hours().unwrap(), Some(24));
        assert_eq!(shelf.files().unwrap(), [(file(24), whole)]);
        assert_eq!(shelf.mend_hours().unwrap(), Some(24));
    }

    #[test]
    fn what_is_no_file_of_history_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::at(folder.path().to_owned());
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let file = HistoryFile { grain: Grain::Minute, first: 7 };
        fs::create_dir(shelf.path(file)).unwrap();
        assert_eq!(shelf.files().unwrap().len(), 1);
        assert!(shelf.read(file).is_err() && shelf.append(file, b"x").is_err());
        let gone = HistoryFile { first: 8, ..file };
        assert_eq!(shelf.read(gone).unwrap(), b"");
        shelf.remove(gone).unwrap();
    }
}
