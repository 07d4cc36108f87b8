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
/// How the name of a file ends that was set aside, and how many of them there are at most.
const UNREADABLE: &str = ".unreadable";
const MOST_ASIDE: usize = 4;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct HistoryDisk {
    folder: PathBuf,
}

/// What is in a file of hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WholeHours {
    /// The last hour of which all is there.
    pub(super) last: Option<u32>,
    /// Where the last one of any that are whole ends.
    pub(super) end: usize,
    /// Whether there are bytes that are no history.
    pub(super) is_damaged: bool,
}

impl HistoryDisk {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// All files and how long each is, in order of their kinds and then of time; what else has such a name is
    /// left alone. A folder that is not there is empty.
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
            if found.is_file() {
                files.push((file, found.len()));
            }
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

    /// Finds up to which hour before this one all is there, and takes off what follows: an hour that a killed
    /// process left half is made anew of its minutes. A file that fails is told, and older ones are looked at.
    pub(super) fn mend_hours(
        &self,
        this_hour: u32,
        mut tell: impl FnMut(HistoryFile, &io::Error),
    ) -> io::Result<Option<u32>> {
        for (file, n_bytes) in self.files()?.into_iter().rev() {
            if file.grain != Grain::Hour {
                continue;
            }
            match self.mend(file, n_bytes, this_hour) {
                Ok(None) => {}
                Ok(last) => return Ok(last),
                Err(error) => tell(file, &error),
            }
        }
        Ok(None)
    }

    fn mend(&self, file: HistoryFile, n_bytes: u64, this_hour: u32) -> io::Result<Option<u32>> {
        let whole = whole_hours(&self.read(file)?, this_hour);
        if whole.end == 0 {
            // What a killed process left is worth nothing; of what is damaged somebody may save something.
            if whole.is_damaged { self.set_aside(file)? } else { self.remove(file)? }
        } else if (whole.end as u64) < n_bytes {
            let opened = OpenOptions::new().write(true).open(self.path(file))?;
            opened.set_len(whole.end as u64)?;
        }
        Ok(whole.last)
    }

    /// Whether all of an hour is in this file.
    pub(super) fn has_hour(&self, file: HistoryFile, hour: u32) -> io::Result<bool> {
        let bytes = self.read(file)?;
        let has = Blocks::of(&bytes).any(
            |piece| matches!(piece, Piece::Block(block, _) if block.is_last && block.slot == hour),
        );
        Ok(has)
    }

    /// Renames a file that cannot be read, so that somebody may look at it; removes it where some lie there
    /// already.
    pub(super) fn set_aside(&self, file: HistoryFile) -> io::Result<()> {
        let aside = |entry: &fs::DirEntry| {
            entry.file_name().to_str().is_some_and(|name| name.ends_with(UNREADABLE))
        };
        let n_aside = fs::read_dir(&self.folder)?.flatten().filter(aside).count();
        if n_aside >= MOST_ASIDE {
            return self.remove(file);
        }
        let path = self.path(file);
        fs::rename(&path, path.with_extension(format!("hist{UNREADABLE}")))
    }

    pub(super) fn path(&self, file: HistoryFile) -> PathBuf {
        self.folder.join(file.to_string())
    }
}

fn whole_hours(bytes: &[u8], this_hour: u32) -> WholeHours {
    let mut whole = WholeHours::default();
    for piece in Blocks::of(bytes) {
        match piece {
            Piece::Block(block, end) if block.is_last => {
                whole.end = end;
                // One of the future was written by a clock that was wrong.
                let is_past = block.slot < this_hour;
                whole.last = whole.last.max(is_past.then_some(block.slot));
            }
            Piece::Damaged(_) => whole.is_damaged = true,
            Piece::Block(..) | Piece::Cut(_) => {}
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

    fn mended(disk: &HistoryDisk, this_hour: u32) -> Option<u32> {
        disk.mend_hours(this_hour, |file, error| panic!("{file}: {error}")).unwrap()
    }

    #[test]
    fn hours_of_the_future_and_unreadable_files_hide_no_older_hours() {
        let folder = tempfile::tempdir().unwrap();
        let disk = HistoryDisk::at(folder.path().join("history"));
        let file = |first| HistoryFile { grain: Grain::Hour, first };
        disk.append(file(24), &hour(24, true)).unwrap();
        disk.append(file(960), &hour(960, true)).unwrap();
        for first in [48, 72, 96, 120, 144] {
            disk.append(file(first), b"of a later version").unwrap();
        }
        assert_eq!(mended(&disk, 50), Some(24));
        let left: Vec<u32> = disk.files().unwrap().iter().map(|(file, _)| file.first).collect();
        assert_eq!(left, [24, 960]);
        assert!(folder.path().join("history/hours-144.hist.unreadable").exists());
        let n_entries = fs::read_dir(disk.folder()).unwrap().count();
        assert_eq!(n_entries, 2 + MOST_ASIDE);
        // One that is too long cannot be read at all.
        let long = OpenOptions::new().write(true).create_new(true).open(disk.path(file(168)));
        long.unwrap().set_len(MOST + 1).unwrap();
        let mut told = Vec::new();
        let last = disk.mend_hours(50, |file, _| told.push(file)).unwrap();
        assert_eq!((last, told), (Some(24), vec![file(168)]));
        assert!(disk.has_hour(file(24), 24).unwrap() && !disk.has_hour(file(24), 25).unwrap());
    }

    #[test]
    fn an_hour_that_was_left_half_is_taken_off() {
        let folder = tempfile::tempdir().unwrap();
        let disk = HistoryDisk::at(folder.path().join("history"));
        assert_eq!((disk.files().unwrap(), mended(&disk, 100)), (vec![], None));
        let file = |first| HistoryFile { grain: Grain::Hour, first };
        disk.append(file(24), &hour(24, false)).unwrap();
        let whole = disk.append(file(24), &hour(24, true)).unwrap();
        disk.append(file(24), &hour(25, false)).unwrap();
        disk.append(file(48), &hour(48, false)).unwrap();
        assert_eq!(mended(&disk, 100), Some(24));
        assert_eq!(disk.files().unwrap(), [(file(24), whole)]);
        assert_eq!(mended(&disk, 100), Some(24));
    }

    #[test]
    fn what_is_no_file_of_history_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let disk = HistoryDisk::at(folder.path().to_owned());
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let file = HistoryFile { grain: Grain::Minute, first: 7 };
        fs::create_dir(disk.path(file)).unwrap();
        assert_eq!(disk.files().unwrap(), []);
        assert!(disk.read(file).is_err() && disk.append(file, b"x").is_err());
        let gone = HistoryFile { first: 8, ..file };
        assert_eq!(disk.read(gone).unwrap(), b"");
        disk.remove(gone).unwrap();
    }
}
