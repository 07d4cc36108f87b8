//! A copy of a database, made while it is used: what is in it at one moment, as one file.
//! Does not name the copy: it is gone with whoever has it.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use steerage_core::sql::SqlRefusal;

use super::error::SqlError;
use super::memory;
use super::open::DatabaseFile;

/// Pages that are copied in one go: all that a quota allows, so that nobody writes between two.
const ALL: i32 = -1;
/// How often it is tried while somebody has the lock, and how long is waited between.
const MOST_TRIES: u32 = 50;
const REST: Duration = Duration::from_millis(100);

/// Copies a database into a file in this folder, which has no name when this returns.
pub(super) fn copy(file: &DatabaseFile, folder: &Path) -> Result<File, SqlError> {
    let failed =
        |error: &dyn std::fmt::Display| SqlError::Unusable(format!("cannot copy: {error}"));
    memory::prepare();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let told = |error: rusqlite::Error| file.fault(&error, None);
    let from = Connection::open_with_flags(&file.path, flags).map_err(told)?;
    let part = tempfile::Builder::new().prefix("sql-copy-").tempfile_in(folder);
    let part = part.map_err(|error| failed(&error))?;
    let mut to = Connection::open(part.path()).map_err(|error| failed(&error))?;
    let backup = Backup::new(&from, &mut to).map_err(told)?;
    let mut n_tries = 0;
    while backup.step(ALL).map_err(told)? != StepResult::Done {
        n_tries += 1;
        if n_tries >= MOST_TRIES {
            return Err(SqlRefusal::Locked.into());
        }
        thread::park_timeout(REST);
    }
    drop(backup);
    // What is copied says how it was written; the copy is one file, whoever opens it.
    to.pragma_update(None, "journal_mode", "DELETE").map_err(|error| failed(&error))?;
    drop(to);
    let mut copied = part.into_file();
    copied.seek(SeekFrom::Start(0)).map_err(|error| failed(&error))?;
    Ok(copied)
}
