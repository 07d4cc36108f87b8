//! Components in a folder, each under its digest. A file that is there is whole and is what its
//! name says. Does not know which deployment needs what.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest as _, Sha256};
use steerage_core::id::Digest;
use steerage_core::units;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Begins the names of files that are not whole yet.
const PART: &str = "part-";
/// Begins the names of files that each keep one component.
const PIN: &str = "pin-";
/// A component is kept so long that nobody needs yet: a deploy takes seconds, minutes where the store
/// is slow.
const PINNED: Duration = Duration::from_secs(3600);

/// The components of one host.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
    /// Held by whoever pins a component, and from the look at pins until one is removed.
    pins: Arc<Mutex<()>>,
}

/// Why a component was not taken or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is larger than allowed.
    #[error("the component is larger than {limit}")]
    TooLarge {
        /// The largest this host takes.
        limit: units::Bytes,
    },
    /// The bytes are not those that were announced.
    #[error("the bytes that came are {found}, announced was {wanted}")]
    Mismatch {
        /// What was announced.
        wanted: Digest,
        /// What came.
        found: Digest,
    },
    /// The upload broke off.
    #[error("the upload broke off after {received} bytes: {reason}")]
    BrokenOff {
        /// How much had come.
        received: u64,
        /// What the connection said.
        reason: String,
    },
    /// It is no longer what it was when it came.
    #[error("the component {digest} was damaged on this host's disk; upload it again")]
    Damaged {
        /// What it was.
        digest: Digest,
    },
    /// The disk is full.
    #[error("the disk of this host is full: cannot {what}")]
    Full {
        /// What was tried, with the path.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// A file that goes away unless it is kept.
struct Part {
    path: PathBuf,
    kept: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // It may not have been made yet.
            drop(fs::remove_file(&self.path));
        }
    }
}

impl Blobs {
    /// Opens the folder, making it when there is none.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self, BlobError> {
        fs::create_dir_all(folder).map_err(|error| failed("make", folder, error))?;
        Ok(Self { folder: folder.to_owned(), pins: Arc::default() })
    }

    /// Takes a component as it comes. It is there for good when this returns, or not at all.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn put<E: ToString>(
        &self,
        wanted: Digest,
        mut chunks: impl Stream<Item = Result<Bytes, E>> + Unpin,
        limit: units::Bytes,
    ) -> Result<u64, BlobError> {
        let name = format!("{PART}{:016x}", fastrand::u64(..));
        let part = Part { path: self.folder.join(name), kept: false };
        let mut file = tokio::fs::File::create_new(&part.path)
            .await
            .map_err(|error| failed("make", &part.path, error))?;
        let (found, received) = receive(&mut chunks, limit, &mut file, &part.path).await?;
        if found != wanted {
            return Err(BlobError::Mismatch { wanted, found });
        }
        file.sync_all().await.map_err(|error| failed("write", &part.path, error))?;
        let (folder, path) = (self.folder.clone(), self.path(&wanted));
        // Elsewhere, since a disk may stand still for a second: other hosts bring components through
        // the threads that serve callers.
        let kept = tokio::task::spawn_blocking(move || {
            let mut part = part;
            fs::rename(&part.path, &path).map_err(|error| failed("write", &path, error))?;
            part.kept = true;
            // The name must survive a crash as well as the bytes.
            fs::File::open(&folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|error| failed("write", &folder, error))
        });
        kept.await.map_err(|error| failed("write", &self.folder, io::Error::other(error)))??;
        Ok(received)
    }

    /// Whether a folder holds components.
    #[must_use]
    pub fn are_in(folder: &Path) -> bool {
        let Ok(mut files) = fs::read_dir(folder) else { return false };
        files.any(|file| {
            file.is_ok_and(|file| file.file_name().to_string_lossy().parse::<Digest>().is_ok())
        })
    }

    /// Where a component is, if it is there.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// Whether a component is there.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// How many bytes a component has.
    ///
    /// # Errors
    /// It is not there.
    pub fn size(&self, digest: &Digest) -> Result<u64, BlobError> {
        let path = self.path(digest);
        Ok(fs::metadata(&path).map_err(|error| failed("read", &path, error))?.len())
    }

    /// Checks that a component still is what its name says, reading all of it: for when the disk's
    /// word is not enough.
    ///
    /// # Errors
    /// [`BlobError::Damaged`], or it cannot be read.
    pub fn verify(&self, digest: &Digest) -> Result<(), BlobError> {
        let path = self.path(digest);
        let mut hasher = Sha256::new();
        fs::File::open(&path)
            .and_then(|mut file| io::copy(&mut file, &mut hasher))
            .map_err(|error| failed("read", &path, error))?;
        if hasher.finalize().as_slice() == digest.as_bytes() {
            Ok(())
        } else {
            Err(BlobError::Damaged { digest: *digest })
        }
    }

    /// Removes one component, if it is there.
    ///
    /// # Errors
    /// The disk failed.
    pub fn remove(&self, digest: &Digest) -> Result<(), BlobError> {
        if self.contains(digest) { self.delete(&digest.hex()) } else { Ok(()) }
    }

    /// Removes one component, unless it is pinned; whether it is not there any more.
    ///
    /// # Errors
    /// The disk failed.
    pub fn remove_unpinned(&self, digest: &Digest) -> Result<bool, BlobError> {
        let _turn = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_pinned(digest) {
            return Ok(false);
        }
        self.remove(digest)?;
        Ok(true)
    }

    /// Keeps a component that no deployment here needs yet, also over a restart, whether it is there or
    /// comes: until it is needed, or for an hour.
    ///
    /// # Errors
    /// The disk failed.
    pub fn pin(&self, digest: &Digest) -> Result<(), BlobError> {
        let _turn = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.pin_path(digest);
        fs::File::create(&path).map(drop).map_err(|error| failed("make", &path, error))
    }

    /// Keeps it no longer: a deployment here needs it by now, or none will.
    pub fn unpin(&self, digest: &Digest) {
        // Mostly there is none. One that stays is too old some time.
        drop(fs::remove_file(self.pin_path(digest)));
    }

    fn pin_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{PIN}{}", digest.hex()))
    }

    fn is_pinned(&self, digest: &Digest) -> bool {
        let pinned_at = fs::metadata(self.pin_path(digest)).and_then(|pin| pin.modified());
        // One of a time to come was made before the clock was set back.
        pinned_at.is_ok_and(|at| at.elapsed().map_or(true, |passed| passed < PINNED))
    }

    /// Removes what was half-written before `since`, and offers every component that has been there
    /// since before then and that `is_needed` denies to `discard`. Reads the folder piece by piece:
    /// there may be very many.
    ///
    /// # Errors
    /// The disk failed, or whatever else `E` stands for.
    pub fn sweep<E: From<BlobError>>(
        &self,
        since: SystemTime,
        mut is_needed: impl FnMut(&Digest) -> Result<bool, E>,
        mut discard: impl FnMut(Digest) -> Result<(), E>,
    ) -> Result<(), E> {
        let unreadable = |error| failed("read", &self.folder, error);
        for entry in fs::read_dir(&self.folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_older = || {
                // One that has gone meanwhile need not go.
                let changed_at = entry.metadata().and_then(|file| file.modified());
                changed_at.is_ok_and(|at| at < since)
            };
            if name.starts_with(PART) {
                if is_older() {
                    self.delete(&name)?;
                }
            } else if let Some(digest) = name.strip_prefix(PIN) {
                if !digest.parse::<Digest>().is_ok_and(|digest| self.is_pinned(&digest)) {
                    self.delete(&name)?;
                }
            } else if let Ok(digest) = name.parse::<Digest>()
                && !is_needed(&digest)?
                && is_older()
            {
                discard(digest)?;
            }
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), BlobError> {
        let path = self.folder.join(name);
        fs::remove_file(&path).map_err(|error| failed("remove", &path, error))
    }
}

/// Writes all chunks to `file`, which is at `path`; returns their digest and how many bytes it were.
async fn receive<E: ToString>(
    chunks: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    limit: units::Bytes,
    file: &mut (impl AsyncWrite + Unpin),
    path: &Path,
) -> Result<(Digest, u64), BlobError> {
    let (mut hasher, mut received) = (Sha256::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| BlobError::BrokenOff { received, reason: error.to_string() })?;
        received += chunk.len() as u64;
        if received > limit.get() {
            return Err(BlobError::TooLarge { limit });
        }
        hasher.update(&chunk);
        file.write_all(&chunk).await.map_err(|error| failed("write", path, error))?;
    }
    // A tokio file writes behind its caller's back: only this tells whether the last write failed.
    // `sync_all` does not; it would make a cut-off file durable and report success.
    file.flush().await.map_err(|error| failed("write", path, error))?;
    Ok((Digest::from_bytes(hasher.finalize().into()), received))
}

fn failed(what: &str, path: &Path, source: io::Error) -> BlobError {
    let what = format!("{what} {}", path.display());
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            BlobError::Full { what, source }
        }
        _ => BlobError::Io { what, source },
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use futures_util::stream;

    use super::*;

    const LIMIT: units::Bytes = units::Bytes::new(10);

    fn digest_of(bytes: &[u8]) -> Digest {
        Digest::from_bytes(Sha256::digest(bytes).into())
    }

    async fn put(
        blobs: &Blobs,
        wanted: Digest,
        chunks: &[Result<&'static str, &'static str>],
    ) -> Result<u64, BlobError> {
        let chunks =
            chunks.iter().map(|chunk| chunk.map(|text| Bytes::from_static(text.as_bytes())));
        blobs.put(wanted, stream::iter(chunks.collect::<Vec<_>>()), LIMIT).await
    }

    #[tokio::test]
    async fn a_pinned_component_stays_until_it_is_needed_or_an_hour_has_passed() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let digest = digest_of(b"hello");
        put(&blobs, digest, &[Ok("hello")]).await.unwrap();
        blobs.pin(&digest).unwrap();
        let later = SystemTime::now() + Duration::from_secs(9);
        let sweep = || {
            let discard = |digest| blobs.remove_unpinned(&digest).map(drop);
            blobs.sweep::<BlobError>(later, |_| Ok(false), discard).unwrap();
            blobs.contains(&digest)
        };
        assert!(!blobs.remove_unpinned(&digest).unwrap() && sweep());
        let pin = fs::File::options().write(true).open(blobs.pin_path(&digest)).unwrap();
        pin.set_modified(SystemTime::now() - PINNED).unwrap();
        assert!(!sweep());
        // The pin goes as well, by the next time at the latest.
        sweep();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        blobs.pin(&digest).unwrap();
        put(&blobs, digest, &[Ok("hello")]).await.unwrap();
        blobs.unpin(&digest);
        assert!(blobs.remove_unpinned(&digest).unwrap() && !blobs.contains(&digest));
    }

    #[tokio::test]
    async fn a_component_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let digest = digest_of(b"hello");
        let broken = put(&blobs, digest, &[Ok("hel"), Err("gone")]).await.unwrap_err();
        assert!(broken.to_string().contains("after 3 bytes: gone"), "{broken}");
        let other = put(&blobs, digest, &[Ok("other")]).await.unwrap_err();
        assert!(matches!(other, BlobError::Mismatch { .. }), "{other}");
        let large = put(&blobs, digest, &[Ok("hello"), Ok("hello!")]).await.unwrap_err();
        assert!(large.to_string().contains("larger than 10"), "{large}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(put(&blobs, digest, &[Ok("hel"), Ok("lo")]).await.unwrap(), 5);
        assert_eq!(fs::read(blobs.path(&digest)).unwrap(), b"hello");
        assert_eq!(blobs.size(&digest).unwrap(), 5);
    }

    #[tokio::test]
    async fn only_what_is_old_and_unused_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let (kept, gone) = (digest_of(b"kept"), digest_of(b"gone"));
        put(&blobs, kept, &[Ok("kept")]).await.unwrap();
        put(&blobs, gone, &[Ok("gone")]).await.unwrap();
        fs::write(folder.path().join("part-7"), "half").unwrap();
        fs::write(folder.path().join("notes"), "not ours").unwrap();
        let sweep = |since| {
            blobs.sweep(since, |digest| Ok(*digest == kept), |digest| blobs.remove(&digest))
        };
        sweep(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
        sweep(SystemTime::now() + Duration::from_secs(60)).unwrap();
        assert!(blobs.contains(&kept) && !blobs.contains(&gone));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// Takes every write and only then finds that the disk is full, as files of tokio do.
    struct FullDisk;

    impl AsyncWrite for FullDisk {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_disk_that_is_full_at_the_last_write_is_told() {
        let mut chunks = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"hello"))]);
        let path = Path::new("/data/blobs/part-1");
        let error = receive(&mut chunks, LIMIT, &mut FullDisk, path).await.unwrap_err();
        assert!(matches!(error, BlobError::Full { .. }), "{error}");
        assert!(error.to_string().contains("write /data/blobs/part-1"), "{error}");
    }

    #[tokio::test]
    async fn a_damaged_component_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let digest = digest_of(b"hello");
        assert!(matches!(blobs.verify(&digest), Err(BlobError::Io { .. })));
        put(&blobs, digest, &[Ok("hello")]).await.unwrap();
        blobs.verify(&digest).unwrap();
        fs::write(blobs.path(&digest), "hallo").unwrap();
        let error = blobs.verify(&digest).unwrap_err().to_string();
        assert!(error.contains(&digest.to_string()), "{error}");
    }
}
