//! The store of a host that is alone as lines of JSON, each a key with what is under it, and a store made of
//! such lines. What operators said of apps is in it, which no ledger holds.
//! Does not know records.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::store::{Entry, Store};

#[derive(Deserialize, Serialize)]
struct Line {
    key: String,
    /// Everything that is written there is text.
    value: String,
}

/// Writes entries; returns the keys of those that are no text.
///
/// # Errors
/// `out` takes no more.
pub fn write_entries(entries: Vec<Entry>, out: &mut impl Write) -> io::Result<Vec<String>> {
    let mut left_out = Vec::new();
    for Entry { key, value, .. } in entries {
        let Ok(value) = String::from_utf8(value) else {
            left_out.push(key);
            continue;
        };
        serde_json::to_writer(&mut *out, &Line { key, value })?;
        out.write_all(b"\n")?;
    }
    Ok(left_out)
}

/// Makes the store of a folder of the lines in a file.
pub(super) fn make(lines: &Path, folder: &Path) -> io::Result<()> {
    let mut entries = Vec::new();
    for line in BufReader::new(File::open(lines)?).lines() {
        let Line { key, value } = serde_json::from_str(&line?)?;
        entries.push((key, value.into_bytes()));
    }
    Store::make(folder, entries).map_err(io::Error::other)
}
