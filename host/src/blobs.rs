//! Components in a folder, each under its digest. A file that is there is whole and is what its
//! name says. Does not know which deployment needs what.

mod error;
mod pins;
mod usage;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest as _, Sha256};
use steerage_core::id::Digest;
use steerage_core::units;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

pub use self::error::BlobError;
use self::error::failed;
use self::pins::Pins;
pub use self::pins::{BadPinOwner, PinOwner};
pub use self::usage::BlobFile;

/// The folder of the components, in that of a host's data.
pub const FOLDER: &str = "blobs";
/// Begins the names of files that are not whole yet.
const PART: &str = "part-";
/// Begins the names of the files by which an older host pinned components, for whomever.
const OLD_PIN: &str = "pin-";

/// The components of one host.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
    pins: Arc<Pins>,
    came: watch::Sender<()>,
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
        let pins = Arc::new(Pins::open(folder));
        Ok(Self { folder: folder.to_owned(), pins, came: watch::Sender::new(()) })
    }

    /// Changes whenever a component has come.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.came.subscribe()
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
        self.came.send_replace(());
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

    /// How many bytes the components in a folder have; nothing where it cannot be read.
    #[must_use]
    pub fn bytes_in(folder: &Path) -> units::Bytes {
        let mut bytes = 0_u64;
        drop(usage::each(folder, |file| bytes = bytes.saturating_add(file.bytes)));
        units::Bytes::new(bytes)
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

    /// Removes one component that no deployment needs, unless somebody counts on it; whether it is not
    /// there any more.
    ///
    /// # Errors
    /// The disk failed.
    pub fn remove_unneeded(&self, digest: &Digest) -> Result<bool, BlobError> {
        // Held from the look at pins until it is removed.
        let mut pinned = self.pins.lock();
        if pinned.holds_unneeded(digest) || self.has_old_pin(digest) {
            return Ok(false);
        }
        self.remove(digest)?;
        Ok(true)
    }

    /// Keeps a component, whether it is there or comes, until its owner ends this or an hour has passed,
    /// also over a restart.
    ///
    /// # Errors
    /// The disk failed.
    pub fn pin(&self, digest: &Digest, owner: &PinOwner) -> Result<(), BlobError> {
        self.pins.pin(digest, owner)
    }

    /// Ends what one owner has pinned: a deployment here needs it by now, or none will. Others keep it.
    pub fn unpin(&self, digest: &Digest, owner: &PinOwner) {
        self.pins.unpin(digest, owner);
    }

    /// Keeps components while copies of them are taken.
    pub fn hold<'d>(&self, digests: impl Iterator<Item = &'d Digest>) {
        self.pins.lock().hold(digests);
    }

    /// Ends that; returns those that [`Blobs::remove_unneeded`] would have removed meanwhile.
    #[must_use]
    pub fn release(&self, digests: &[Digest]) -> Vec<Digest> {
        self.pins.lock().release(digests)
    }

    /// Whether an older host has pinned it, for whomever.
    fn has_old_pin(&self, digest: &Digest) -> bool {
        let path = self.folder.join(format!("{OLD_PIN}{}", digest.hex()));
        fs::metadata(path).and_then(|pin| pin.modified()).is_ok_and(pins::holds)
    }

    /// Shows all components. Reads the folder piece by piece: there may be very many.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn each(&self, show: impl FnMut(BlobFile)) -> Result<(), BlobError> {
        usage::each(&self.folder, show)
    }

    /// Notes that a component is used now; whether it is there. It stays for an hour then.
    #[must_use]
    pub fn touch(&self, digest: &Digest) -> bool {
        let _turn = self.pins.lock();
        usage::touch(&self.path(digest))
    }

    /// Whether anybody counts on a component for now, whatever deployments need it.
    #[must_use]
    pub fn is_pinned(&self, digest: &Digest) -> bool {
        self.pins.lock().holds(digest) || self.has_old_pin(digest)
    }

    /// Removes a component that can be had again, or that nobody needs; unless it was used since, or
    /// anybody counts on it. Whether it went.
    ///
    /// # Errors
    /// The disk failed.
    pub fn evict(&self, file: &BlobFile) -> Result<bool, BlobError> {
        let digest = &file.digest;
        let (path, away) = (self.path(digest), format!("{PART}{:016x}", fastrand::u64(..)));
        {
            let pinned = self.pins.lock();
            let is_counted_on = pinned.holds(digest) || self.has_old_pin(digest);
            if is_counted_on || usage::is_used_since(&path, file.used_at) {
                return Ok(false);
            }
            // Who pins one waits for this only; what takes long comes after.
            let away = self.folder.join(&away);
            fs::rename(&path, away).map_err(|error| failed("remove", &path, error))?;
        }
        self.delete(&away)?;
        Ok(true)
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
        self.pins.sweep();
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
            } else if let Some(digest) = name.strip_prefix(OLD_PIN) {
                if !digest.parse::<Digest>().is_ok_and(|digest| self.has_old_pin(&digest)) {
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use futures_util::stream;
    use steerage_core::disk;

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
        let open = || Blobs::open(folder.path()).unwrap();
        let (blobs, digest) = (open(), digest_of(b"hello"));
        let owner = PinOwner::App("shop".parse().unwrap());
        put(&blobs, digest, &[Ok("hello")]).await.unwrap();
        blobs.pin(&digest, &owner).unwrap();
        let later = SystemTime::now() + Duration::from_secs(9);
        let sweep = |blobs: &Blobs| {
            let discard = |digest| blobs.remove_unneeded(&digest).map(drop);
            blobs.sweep::<BlobError>(later, |_| Ok(false), discard).unwrap();
            blobs.contains(&digest)
        };
        assert!(!blobs.remove_unneeded(&digest).unwrap() && sweep(&blobs));
        let path = folder.path().join(format!("pins/{}.{owner}", digest.hex()));
        let pin = fs::File::options().write(true).open(&path).unwrap();
        pin.set_modified(SystemTime::now() - Duration::from_millis(disk::KEEP_MS)).unwrap();
        assert!(!sweep(&open()) && !path.exists());
        blobs.pin(&digest, &owner).unwrap();
        put(&blobs, digest, &[Ok("hello")]).await.unwrap();
        blobs.unpin(&digest, &owner);
        assert!(blobs.remove_unneeded(&digest).unwrap() && !blobs.contains(&digest));
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

    fn files(blobs: &Blobs) -> Vec<BlobFile> {
        let mut files = Vec::new();
        blobs.each(|file| files.push(file)).unwrap();
        files
    }

    #[test]
    fn only_what_nobody_has_used_since_and_nobody_counts_on_is_evicted() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let digest = Digest::from_bytes([7; 32]);
        assert!(!blobs.touch(&digest));
        fs::write(blobs.path(&digest), "hello").unwrap();
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        fs::File::open(blobs.path(&digest)).unwrap().set_modified(hour_ago).unwrap();
        assert_eq!(files(&blobs), [BlobFile { digest, bytes: 5, used_at: hour_ago }]);
        let before = files(&blobs)[0];
        assert!(blobs.touch(&digest) && !blobs.evict(&before).unwrap());
        let now = files(&blobs)[0];
        assert!(now.used_at > before.used_at);
        blobs.pin(&digest, &PinOwner::Promise).unwrap();
        assert!(blobs.is_pinned(&digest) && !blobs.evict(&now).unwrap());
        blobs.unpin(&digest, &PinOwner::Promise);
        assert!(blobs.evict(&now).unwrap() && !blobs.contains(&digest));
        assert!(!blobs.evict(&now).unwrap());
        // Nothing is left of it.
        assert_eq!(files(&blobs), []);
        assert!(!fs::read_dir(folder.path()).unwrap().any(|file| file.unwrap().path().is_file()));
    }
}
