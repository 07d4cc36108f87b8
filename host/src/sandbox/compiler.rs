//! Compiling components, each in a child process of its own that can be stopped, and the cache of
//! what was compiled. Compiled code is never accepted from outside: only this module writes it.
//! Does not load or run what it compiled.

pub mod usage;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use steerage_core::id::Digest;
use steerage_core::units::Bytes;
use tokio::process::Command;
use tokio::sync::{Mutex, Semaphore};

use super::restore::unfit::Unfit;
use super::trust;
use super::verdict::{Rejection, Shape};

/// How many times longer code may take by which instances are restored: nobody waits for it, and it is
/// compiled when guests want the CPU more.
const PATIENCE: u32 = 5;

/// How compiling is bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program to start as `PROGRAM compile …`: normally this very binary.
    pub program: PathBuf,
    /// Where compiled code is kept.
    pub cache: PathBuf,
    /// Whether other hosts keep their code there too, so that none may clean up.
    pub is_shared: bool,
    /// Longest time one component may take.
    pub timeout: Duration,
    /// Most memory the child may take.
    pub memory: Bytes,
    /// Address space that the memory of each instance will have.
    pub largest_memory: Bytes,
    /// Whether code is compiled soon rather than to be fast. What is in the cache is not asked which it
    /// is, so hosts that differ in this share none.
    pub is_soon: bool,
    /// How many components are compiled at once.
    pub parallel: usize,
}

/// A component's compiled code on disk.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The component.
    pub digest: Digest,
    /// What the component is and needs.
    pub shape: Shape,
    /// The file to map.
    pub code: PathBuf,
    /// Whether it had to be compiled now.
    pub fresh: bool,
}

/// Why there is no compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component cannot run here, whatever the settings.
    #[error("{0}")]
    Rejected(Rejection),
    /// Its instances cannot be restored.
    #[error("its instances cannot be restored: {0}")]
    Unfit(Unfit),
    /// Compiling took longer than allowed and was stopped.
    #[error("compiling {digest} took longer than {limit:?} and was stopped")]
    TimedOut {
        /// The component.
        digest: Digest,
        /// The limit that it passed.
        limit: Duration,
    },
    /// The compiler died, most likely because it ran out of the memory it may use.
    #[error("the compiler stopped ({status}) on {digest}; it may use {memory} of memory: {said}")]
    Died {
        /// The component.
        digest: Digest,
        /// How the process ended.
        status: std::process::ExitStatus,
        /// The limit on its memory.
        memory: Bytes,
        /// The last line it wrote to stderr.
        said: String,
    },
    /// There is no room for the code.
    #[error("the disk of this host is full: cannot write the compiled code of {digest} to {path}")]
    Full {
        /// The component.
        digest: Digest,
        /// The folder.
        path: PathBuf,
    },
    /// The cache or the child process could not be used.
    #[error("cannot {what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// What the child prints on stdout: one JSON value.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Report {
    Compiled(Shape),
    Rejected(Rejection),
    /// Its instances cannot be restored, which was asked for.
    Unfit(Unfit),
    /// There was no room on the disk for the code.
    Full,
}

/// The compiler. Clones share its bounds.
#[derive(Clone, Debug)]
pub struct Compiler {
    settings: Arc<Settings>,
    /// Code is kept apart by what it was compiled for.
    folder: PathBuf,
    turns: Arc<Semaphore>,
    /// A lock for each component that is being compiled, so that it is compiled once.
    under_way: Arc<std::sync::Mutex<BTreeMap<Digest, Weak<Mutex<()>>>>>,
}

impl Compiler {
    /// Opens the cache for code that an engine with this compatibility key can map.
    ///
    /// # Errors
    /// When the cache folder cannot be made, or others can write there.
    pub fn open(settings: Settings, compatibility: u64) -> Result<Self, CompileError> {
        let folder = settings.cache.join(format!("{compatibility:016x}"));
        make_private_dir(&folder)
            .map_err(|source| io_error("make the code cache", &folder, source))?;
        let folder = trust::trusted_folder(&folder)
            .map_err(|source| io_error("trust the code cache", &folder, source))?;
        let turns = Arc::new(Semaphore::new(settings.parallel.max(1)));
        Ok(Self { settings: Arc::new(settings), folder, turns, under_way: Arc::default() })
    }

    /// The compiled code of the component at `wasm`, from the cache where it is there.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub async fn compile(&self, digest: Digest, wasm: &Path) -> Result<Compiled, CompileError> {
        if let Some(compiled) = self.cached(digest) {
            return Ok(compiled);
        }
        let alone = self.lock_of(digest);
        let alone = alone.lock().await;
        let turn = self.turns.acquire().await;
        // Somebody else may have compiled it while this one waited.
        if let Some(compiled) = self.cached(digest) {
            return Ok(compiled);
        }
        let (shape, part) = self.run_child(digest, wasm, false).await?;
        self.publish(digest, &part, &shape)?;
        drop((turn, alone));
        Ok(Compiled { digest, shape, code: self.code_path(digest), fresh: true })
    }

    /// The compiled code by which instances of the component at `wasm` can be restored, from the cache
    /// where it is there. Waits for no other component; the caller bounds how many are compiled.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub(super) async fn compile_restoring(
        &self,
        digest: Digest,
        wasm: &Path,
    ) -> Result<PathBuf, CompileError> {
        if let Some(code) = self.cached_restoring(digest) {
            return Ok(code);
        }
        let code = self.restoring_path(digest);
        let (_, part) = self.run_child(digest, wasm, true).await?;
        fs::rename(&part, &code).map_err(|source| io_error("write", &code, source))?;
        Ok(code)
    }

    /// Such code, if it is in the cache.
    pub(super) fn cached_restoring(&self, digest: Digest) -> Option<PathBuf> {
        let code = self.restoring_path(digest);
        trust::check_file(&code).is_ok().then_some(code)
    }

    /// Removes such code, which cannot be used.
    pub(super) fn discard_restoring(&self, digest: Digest) {
        // It may never have been compiled.
        drop(fs::remove_file(self.restoring_path(digest)));
    }

    /// Removes cached code that has been there since before `since` and that nobody needs, unless
    /// others use the cache too; returns how many files went. `is_needed` is asked for each file.
    pub fn sweep(&self, since: SystemTime, mut is_needed: impl FnMut(&Digest) -> bool) -> usize {
        if self.settings.is_shared {
            return 0;
        }
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        entries
            .filter_map(Result::ok)
            .filter(|entry| {
                let (name, hex) = (entry.file_name(), 2 * Digest::LENGTH);
                let name = name.to_string_lossy();
                let is_part = name.ends_with(".part") || name.ends_with(".shape");
                let digest = name.get(..hex).and_then(|hex| hex.parse().ok());
                is_part || !digest.is_some_and(|digest| is_needed(&digest))
            })
            .filter(|entry| is_older(entry, since) && fs::remove_file(entry.path()).is_ok())
            .count()
    }

    /// Removes the compiled code of one component that no deployment needs, unless others use the
    /// cache too.
    pub fn forget(&self, digest: Digest) {
        if !self.settings.is_shared {
            self.discard(digest);
        }
    }

    /// Removes compiled code that cannot be used, so that it is compiled again.
    pub fn discard(&self, digest: Digest) {
        // It may never have been compiled.
        drop(fs::remove_file(self.code_path(digest)));
        drop(fs::remove_file(self.shape_path(digest)));
        self.discard_restoring(digest);
    }

    /// The component's compiled code, if it is in the cache.
    #[must_use]
    pub fn cached(&self, digest: Digest) -> Option<Compiled> {
        let code = self.code_path(digest);
        // What others could have put there is as good as nothing: it is compiled again.
        trust::check_file(&code).ok()?;
        let text = fs::read(self.shape_path(digest)).ok()?;
        let shape = serde_json::from_slice(&text).ok()?;
        Some(Compiled { digest, shape, code, fresh: false })
    }

    fn lock_of(&self, digest: Digest) -> Arc<Mutex<()>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = under_way.get(&digest).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        under_way.insert(digest, Arc::downgrade(&lock));
        lock
    }

    /// Compiles into a file that has yet to be given its name.
    async fn run_child(
        &self,
        digest: Digest,
        wasm: &Path,
        is_restoring: bool,
    ) -> Result<(Shape, PathBuf), CompileError> {
        let part = self.folder.join(format!("{}.{:016x}.part", digest.hex(), fastrand::u64(..)));
        let child = Command::new(&self.settings.program)
            .arg("compile")
            .arg(wasm)
            .arg("--out")
            .arg(&part)
            .arg("--memory")
            .arg(self.settings.memory.get().to_string())
            .arg("--largest-memory")
            .arg(self.settings.largest_memory.get().to_string())
            .args(self.settings.is_soon.then_some("--soon"))
            .args(is_restoring.then_some("--restoring"))
            // A component that takes over the compiler finds no secret of the host's there.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| io_error("start the compiler", &self.settings.program, source))?;
        let patience = if is_restoring { PATIENCE } else { 1 };
        let limit = self.settings.timeout.saturating_mul(patience);
        let finished = tokio::time::timeout(limit, child.wait_with_output()).await;
        let finished = finished.map_err(|_| CompileError::TimedOut { digest, limit });
        let result = finished.and_then(|finished| self.read_report(digest, finished));
        if result.is_err() {
            // Nothing half-made stays behind. The file may well not be there.
            drop(fs::remove_file(&part));
        }
        Ok((result?, part))
    }

    fn read_report(
        &self,
        digest: Digest,
        finished: io::Result<std::process::Output>,
    ) -> Result<Shape, CompileError> {
        let output = finished
            .map_err(|source| io_error("wait for the compiler", &self.settings.program, source))?;
        match serde_json::from_slice(&output.stdout) {
            Ok(Report::Compiled(shape)) if output.status.success() => Ok(shape),
            Ok(Report::Rejected(rejection)) => Err(CompileError::Rejected(rejection)),
            Ok(Report::Unfit(unfit)) => Err(CompileError::Unfit(unfit)),
            Ok(Report::Full) => Err(self.full(digest)),
            Ok(Report::Compiled(_)) | Err(_) => Err(CompileError::Died {
                digest,
                status: output.status,
                memory: self.settings.memory,
                said: last_line(&output.stderr),
            }),
        }
    }

    fn full(&self, digest: Digest) -> CompileError {
        CompileError::Full { digest, path: self.folder.clone() }
    }

    /// The shape first, then the code under its final name: code that is there is whole.
    fn publish(&self, digest: Digest, part: &Path, shape: &Shape) -> Result<(), CompileError> {
        let shape_path = self.shape_path(digest);
        let text = serde_json::to_vec(shape)
            .map_err(|error| io_error("write", &shape_path, io::Error::other(error)))?;
        let shape_part = part.with_extension("shape");
        fs::write(&shape_part, text).and_then(|()| fs::rename(&shape_part, &shape_path)).map_err(
            |source| match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => self.full(digest),
                _ => io_error("write", &shape_path, source),
            },
        )?;
        let code = self.code_path(digest);
        fs::rename(part, &code).map_err(|source| io_error("write", &code, source))
    }

    fn code_path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.cwasm", digest.hex()))
    }

    fn restoring_path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.restoring.cwasm", digest.hex()))
    }

    fn shape_path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.json", digest.hex()))
    }
}

fn is_older(file: &fs::DirEntry, than: SystemTime) -> bool {
    file.metadata().and_then(|file| file.modified()).is_ok_and(|at| at < than)
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn io_error(what: &str, path: &Path, source: io::Error) -> CompileError {
    CompileError::Io { what: format!("{what}: {}", path.display()), source }
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn the_child_has_nothing_of_the_hosts_environment() {
        let folder = tempfile::tempdir().unwrap();
        let (program, found) = (folder.path().join("compiler"), folder.path().join("found"));
        fs::write(&program, format!("#!/bin/sh\nenv > {}\n", found.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let settings = Settings {
            program,
            cache: folder.path().join("cache"),
            is_shared: false,
            timeout: Duration::from_secs(60),
            memory: Bytes::new(0),
            largest_memory: Bytes::new(1 << 20),
            is_soon: false,
            parallel: 1,
        };
        let compiler = Compiler::open(settings, 0).unwrap();
        let compiled = compiler.compile(Digest::from_bytes([7; 32]), folder.path()).await;
        assert!(matches!(compiled, Err(CompileError::Died { .. })), "{compiled:?}");
        // What a shell adds by itself.
        let own = ["PWD=", "OLDPWD=", "SHLVL=", "_="];
        let text = fs::read_to_string(found).unwrap();
        let left = text.lines().filter(|line| !own.iter().any(|own| line.starts_with(own)));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(std::env::vars_os().count() > own.len(), "there is something to find");
    }
}
