//! The file behind the ledger. The database lets nobody read any more once the disk has failed it, so
//! it is opened again then: a disk that was full must not take from callers what was there before.
//! Where it cannot even be opened for want of room, it is read from a copy in memory until there is.
//! Does not know what is kept in it.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, PoisonError, RwLock};

use redb::{Database, StorageBackend as _};

use super::create;
use super::error::{LedgerError, refused};

/// Nothing is written where less is free: a transaction takes some pages, and one that finds no room
/// for them breaks the database until it is opened again.
const LEAST_FREE: u64 = 2 << 20;

/// A database that is open, if it can be.
#[derive(Debug)]
pub(super) struct Backing {
    path: PathBuf,
    /// Whether a page was found damaged.
    is_damaged: AtomicBool,
    /// `None` after the disk has failed and while the file cannot be opened again.
    open: RwLock<Option<Open>>,
}

/// An open database.
#[derive(Debug)]
struct Open {
    database: Database,
    /// Held where the database is a copy in memory, so that no other host opens the file meanwhile.
    copied: Option<File>,
    /// Which file it is, whatever its name leads to by now.
    file: Option<(u64, u64)>,
}

impl Backing {
    /// Opens the file, or makes an empty one.
    pub(super) fn open(path: PathBuf) -> Result<Self, LedgerError> {
        let opened = match open(&path, create) {
            Err(error) if error.is_full() => copy(&path)?,
            opened => opened?,
        };
        Ok(Self { path, is_damaged: AtomicBool::new(false), open: RwLock::new(Some(opened)) })
    }

    /// Does something with the database. Opens it again when that shows that the disk has failed it.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let is_open = self.open.read().unwrap_or_else(PoisonError::into_inner).is_some();
        if !is_open {
            self.reopen()?;
        }
        let done = match &*self.open.read().unwrap_or_else(PoisonError::into_inner) {
            // The database panics on pages that make no sense. What is on others is none the worse.
            Some(Open { database, .. }) => quietly(AssertUnwindSafe(|| work(database)))
                .unwrap_or_else(|_| Err(LedgerError::Page { path: self.path.clone() })),
            // Another thread has lost it meanwhile.
            None => Err(redb::Error::PreviousIo.into()),
        };
        if done.as_ref().is_err_and(LedgerError::is_damage) {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
        if done.as_ref().is_err_and(LedgerError::breaks_database)
            && let Err(error) = self.reopen()
        {
            tracing::error!(%error, "the ledger cannot be opened again; trying at its next use");
        }
        done
    }

    /// The folder of the file.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new("."))
    }

    /// Refuses what the disk most likely has no room for.
    pub(super) fn check_room(&self) -> Result<(), LedgerError> {
        if has_no_room(&self.path) {
            return Err(LedgerError::Full { source: io::ErrorKind::StorageFull.into() });
        }
        Ok(())
    }

    /// Whether a page was found damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// Whether the disk has too little room for anything to be written.
    pub(super) fn is_full(&self) -> bool {
        has_no_room(&self.path)
    }

    /// Goes back from a copy in memory to the file: what is written into the copy would be lost.
    pub(super) fn leave_copy(&self) -> Result<(), LedgerError> {
        if self.is_copy() {
            self.reopen()?;
        }
        if self.is_copy() {
            return Err(LedgerError::Full { source: io::ErrorKind::StorageFull.into() });
        }
        Ok(())
    }

    /// Whether the file is where it was when it was opened.
    pub(super) fn is_there(&self) -> bool {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().is_none_or(|open| open.file == file(&self.path))
    }

    /// Whether it is read from a copy in memory, for want of room.
    pub(super) fn is_copy(&self) -> bool {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().is_some_and(|open| open.copied.is_some())
    }

    fn reopen(&self) -> Result<(), LedgerError> {
        let mut held = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // The file is locked until the old one is gone.
        *held = None;
        // Without the first transaction of `create`: there may be no room for it, and it was done.
        *held = Some(match open(&self.path, |path| Ok(super::builder().open(path)?)) {
            Err(error) if error.is_full() => copy(&self.path)?,
            opened => opened?,
        });
        Ok(())
    }
}

/// Whether there is too little room for anything to be written. Some file systems over a network do not
/// tell.
fn has_no_room(path: &Path) -> bool {
    let Ok(disk) = rustix::fs::statvfs(path) else { return false };
    disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_FREE
}

fn file(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// The database panics on some damage instead of saying so.
fn open(
    path: &Path,
    how: impl Fn(&Path) -> Result<Database, redb::Error> + panic::RefUnwindSafe,
) -> Result<Open, LedgerError> {
    match quietly(|| how(path)) {
        Ok(Ok(database)) => Ok(Open { database, copied: None, file: file(path) }),
        Ok(Err(error)) => Err(refused(path.to_owned(), error)),
        Err(_) => Err(damaged(path)),
    }
}

/// The same database in memory: opening it may have to mend it, which takes room.
fn copy(path: &Path) -> Result<Open, LedgerError> {
    let unreadable = |source| LedgerError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    if file.try_lock().is_err() {
        return Err(LedgerError::InUse { path: path.to_owned() });
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let opened = quietly(|| {
        let memory = redb::backends::InMemoryBackend::new();
        memory
            .set_len(bytes.len() as u64)
            .and_then(|()| memory.write(0, &bytes))
            .map_err(|_| ())?;
        super::builder().create_with_backend(memory).map_err(|_| ())
    });
    let Ok(Ok(database)) = opened else { return Err(damaged(path)) };
    tracing::error!(path = %path.display(), "the disk is full: the ledger is read from a copy in memory");
    Ok(Open { database, copied: Some(file), file: self::file(path) })
}

thread_local! {
    /// Whether panics of this thread are expected, and told as errors.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Does what may panic. An operator reads of it what became of it, and no backtrace of the database.
fn quietly<T>(work: impl FnOnce() -> T + panic::UnwindSafe) -> std::thread::Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                loud(info);
            }
        }));
    });
    IS_QUIET.set(true);
    let done = panic::catch_unwind(work);
    IS_QUIET.set(false);
    done
}

fn damaged(path: &Path) -> LedgerError {
    LedgerError::Damaged { path: path.to_owned(), reason: "it makes no sense".into() }
}
