//! A backup of one host in one file: an archive that `tar` reads, with a list of what is in it and its
//! checksums first, then the ledger as lines, then the store of a host that is alone, then the components. Written while the host runs, read
//! whole before anything of it is believed.
//! Does not keep what it copies from being changed or removed meanwhile: the agent does.

mod error;
mod restore;
mod stored;

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use steerage_core::id::Digest;

pub use self::error::BackupError;
pub use self::restore::{AHEAD, WORK, restore};
pub use self::stored::write_entries;
use crate::blobs::Blobs;

/// The latest version of the format, which has the store; the first one has none.
const FORMAT: u32 = 2;
const WITHOUT_STORE: u32 = 1;
/// The names of the files in it.
const MANIFEST: &str = "manifest.json";
const LEDGER: &str = "ledger.jsonl";
const STORE: &str = "store.jsonl";
const COMPONENTS: &str = "components/";
/// The most bytes of a manifest: some hundred thousand components.
const LONGEST_MANIFEST: u64 = 64 << 20;
/// How much is read or written at once.
const CHUNK: usize = 64 << 10;
/// Archives are made of blocks of so many bytes, and end with two empty ones.
const BLOCK: u64 = 512;

/// What is in a backup.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct BackupManifest {
    /// The version of the format.
    pub format: u32,
    /// The version of the host that wrote it.
    pub steerage: String,
    /// When it was made, as RFC 3339 has it, in UTC.
    pub made_at: String,
    /// Apps that are served.
    pub apps: usize,
    /// Their deployments.
    pub deployments: usize,
    /// The ledger.
    pub ledger: Part,
    /// The store, where the host is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Part>,
    /// The components that the deployments need, in the order of the archive.
    pub components: Vec<Part>,
    /// What the host could not read, and why: it is not in the backup.
    pub left_out: Vec<String>,
}

/// A file in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Part {
    /// Its digest, as `sha256:…`.
    pub digest: String,
    /// How many bytes it has.
    pub bytes: u64,
}

impl BackupManifest {
    /// A list that is filled in by who makes the backup, at this millisecond since the epoch.
    #[must_use]
    pub fn new(made_at: u64, ledger: Part, store: Option<Part>) -> Self {
        let made_at = i64::try_from(made_at).unwrap_or(i64::MAX);
        let made_at = Timestamp::from_millisecond(made_at).unwrap_or(Timestamp::MAX);
        Self {
            format: if store.is_some() { FORMAT } else { WITHOUT_STORE },
            steerage: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: format!("{made_at:.3}"),
            apps: 0,
            deployments: 0,
            ledger,
            store,
            components: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// How many bytes the archive has.
    ///
    /// # Errors
    /// Never, in practice.
    pub fn archive_bytes(&self) -> io::Result<u64> {
        let own = self.text()?.len() as u64;
        let parts = self.store.iter().chain(&self.components).map(|part| part.bytes);
        let file = |bytes: u64| BLOCK.saturating_add(bytes.div_ceil(BLOCK).saturating_mul(BLOCK));
        let files = [own, self.ledger.bytes].into_iter().chain(parts).map(file);
        Ok(files.fold(2 * BLOCK, u64::saturating_add))
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// A component, the ledger or the store cannot be read as it was listed, or `out` takes no more.
    pub fn write<L: Read>(
        &self,
        out: impl Write,
        (ledger, store): (&mut L, &mut L),
        blobs: &Blobs,
    ) -> io::Result<()> {
        let (mut archive, own) = (tar::Builder::new(out), self.text()?);
        append(&mut archive, MANIFEST, own.len() as u64, own.as_slice())?;
        append(&mut archive, LEDGER, self.ledger.bytes, ledger)?;
        if let Some(part) = &self.store {
            append(&mut archive, STORE, part.bytes, store)?;
        }
        for part in &self.components {
            let digest: Digest = part.digest.parse().map_err(io::Error::other)?;
            let file = File::open(blobs.path(&digest))?;
            append(&mut archive, &name_of(&digest), part.bytes, file)?;
        }
        archive.into_inner()?.flush()
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// The names of the files that follow the manifest, and what they are.
    fn parts(&self) -> Result<Vec<(String, &Part)>, BackupError> {
        let mut parts = vec![(LEDGER.to_owned(), &self.ledger)];
        parts.extend(self.store.iter().map(|store| (STORE.to_owned(), store)));
        for part in &self.components {
            let digest: Digest = part
                .digest
                .parse()
                .map_err(|_| damaged(format!("{:?} is no digest", part.digest)))?;
            parts.push((name_of(&digest), part));
        }
        Ok(parts)
    }
}

/// Writes a file of exactly `size` bytes.
fn append(
    archive: &mut tar::Builder<impl Write>,
    name: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    let mut content = content.take(size);
    archive.append_data(&mut header, name, &mut content)?;
    match content.limit() {
        0 => Ok(()),
        missing => {
            let why = format!("{name} has {} bytes and not {size}", size - missing);
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, why))
        }
    }
}

impl Part {
    /// What a file of this digest and size is listed as.
    #[must_use]
    pub fn new(digest: &Digest, bytes: u64) -> Self {
        Self { digest: digest.to_string(), bytes }
    }
}

/// A reader or a writer that sums up what goes through it.
#[derive(Debug)]
pub struct Summed<T> {
    inner: T,
    hasher: Sha256,
    n_bytes: u64,
}

impl<T> Summed<T> {
    /// Sums up what goes to `inner` or comes from it.
    pub fn new(inner: T) -> Self {
        Self { inner, hasher: Sha256::new(), n_bytes: 0 }
    }

    /// What went through, and where.
    pub fn end(self) -> (T, Part) {
        let digest = Digest::from_bytes(self.hasher.finalize().into());
        (self.inner, Part::new(&digest, self.n_bytes))
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..n_read).unwrap_or_default());
        self.n_bytes += n_read as u64;
        Ok(n_read)
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..n_written).unwrap_or_default());
        self.n_bytes += n_written as u64;
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads all of a backup and compares it with what it says of itself.
///
/// # Errors
/// See [`BackupError`].
pub fn check(path: &Path) -> Result<BackupManifest, BackupError> {
    each_part(path, |_, content| io::copy(content, &mut io::sink()).map(drop))
}

/// Shows every file of a backup, the ledger first, and compares each with what the manifest says of it.
/// What is shown is right only once this has returned.
fn each_part(
    path: &Path,
    mut show: impl FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<BackupManifest, BackupError> {
    let cannot_read = |source| BackupError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(cannot_read)?;
    let size = file.metadata().map_err(cannot_read)?.len();
    let mut archive = tar::Archive::new(BufReader::with_capacity(CHUNK, file));
    let mut files = archive.entries().map_err(cannot_read)?;
    let manifest = read_manifest(&mut files).map_err(|error| error.of(path))?;
    let parts = manifest.parts().map_err(|error| error.of(path))?;
    for (name, part) in parts {
        let unread = |error| BackupError::from_io(error, &name).of(path);
        let Some(mut file) = files.next().transpose().map_err(unread)? else {
            return Err(damaged(format!("{name} is listed and missing")).of(path));
        };
        let (found, bytes) = (name_in(&file), file.size());
        if found != name || bytes != part.bytes {
            let listed = part.bytes;
            let why =
                format!("{name} of {listed} bytes is listed, and {found} of {bytes} is there");
            return Err(damaged(why).of(path));
        }
        let mut content = Summed::new(&mut file);
        show(&name, &mut content).map_err(unread)?;
        if content.end().1 != *part {
            return Err(damaged(format!("{name} is not what it was")).of(path));
        }
    }
    let rest = files.next().transpose();
    let rest = rest.map_err(|error| BackupError::from_io(error, "its end").of(path))?;
    if rest.is_some() || manifest.archive_bytes().map_err(cannot_read)? != size {
        return Err(damaged("there is more in it than it lists".to_owned()).of(path));
    }
    Ok(manifest)
}

fn read_manifest<R: Read>(files: &mut tar::Entries<'_, R>) -> Result<BackupManifest, BackupError> {
    let not_one = |why: String| BackupError::NotBackup { path: Default::default(), why };
    let first = files.next().transpose().map_err(|error| not_one(error.to_string()))?;
    let is_one =
        |file: &tar::Entry<'_, R>| name_in(file) == MANIFEST && file.size() <= LONGEST_MANIFEST;
    let Some(mut file) = first.filter(is_one) else {
        return Err(not_one(format!("it does not begin with {MANIFEST}")));
    };
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(|error| BackupError::from_io(error, MANIFEST))?;
    let told: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| damaged(format!("{MANIFEST} makes no sense: {error}")))?;
    match told.get("format").and_then(serde_json::Value::as_u64) {
        Some(found) if found > u64::from(FORMAT) => {
            return Err(BackupError::Newer { path: Default::default(), found });
        }
        Some(_) => {}
        None => return Err(not_one(format!("{MANIFEST} does not say its format"))),
    }
    serde_json::from_value(told).map_err(|error| damaged(format!("{MANIFEST}: {error}")))
}

fn name_in(file: &tar::Entry<'_, impl Read>) -> String {
    String::from_utf8_lossy(&file.path_bytes()).into_owned()
}

fn name_of(digest: &Digest) -> String {
    format!("{COMPONENTS}{}", digest.hex())
}

fn damaged(why: String) -> BackupError {
    BackupError::Damaged { path: Default::default(), why }
}

/// Whether a folder holds anything of a host; what a file system makes by itself does not count.
fn found_in(folder: &Path) -> io::Result<Option<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "lost+found" && name != WORK {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
