//! Brings the code of an app when it is called and takes it away when it is not: reads the
//! deployment, maps and links its code, once however many calls wait for it. Compiles only where
//! compiled code is missing or damaged, as after an upgrade of the host.
//! Does not decide what is deployed: the agent does, and has code loaded here before it publishes.

mod canary;
mod carry;
mod disk;
mod error;
mod evict;
mod kept;
mod mapped;
mod publish;
mod secrets;
mod singleflight;
mod spec;
mod stores;
mod verify;

use std::sync::Arc;
use std::time::{Duration, Instant};

use steerage_core::id::{Digest, Generation};
use steerage_core::limits::LimitsPolicy;
use steerage_core::manifest::Manifest;
use steerage_core::units::Bytes;
use tokio::sync::Semaphore;

pub use self::carry::{COMPONENTS, FOR};
use self::disk::Disk;
pub use self::disk::{Coming, DiskReading};
pub use self::error::{CodeError, Unready};
pub use self::kept::{KEPT, KeptBy, NOT_YET, WAIT};
use self::mapped::Mapped;
pub use self::mapped::MappedSettings;
pub use self::secrets::SecretTrouble;
use self::secrets::SecretsEpoch;
use self::singleflight::{Joined, Load, Singleflight};
pub use self::stores::GuestStores;
use crate::admission::Admission;
use crate::blobs::Blobs;
use crate::budget::Memory;
use crate::catalog::{App, AppState, Catalog, LoadedDeployment};
use crate::cpu::Cpu;
use crate::fleet::Fleet;
use crate::forward::Peers;
use crate::ledger::Ledger;
use crate::manifest;
use crate::sandbox::compiler::Compiled;
use crate::sandbox::module::{InstanceTemplate, Sandbox, Spec};
use crate::seal::SecretsKey;
use crate::telemetry::events::{Event, Events, Severity};
use crate::telemetry::{Telemetry, chain};

/// How many deployments are read and mapped at once. More would only wait for each other: it is
/// work for the CPU, and a little for the disk.
const PARALLEL: usize = 4;
/// Longest wait of a call for code, which is for a compiler then. As many calls wait as there are
/// clients, so nothing else bounds them.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a failure is the answer to all calls before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a loader works with.
#[derive(Debug)]
pub struct LoaderParts {
    /// Runs guests.
    pub sandbox: Sandbox,
    /// Who may run.
    pub admission: Admission,
    /// Where, and when.
    pub cpu: Cpu,
    /// Who may have how much memory.
    pub memory: Arc<Memory>,
    /// Remembers deployments.
    pub ledger: Ledger,
    /// Holds components.
    pub blobs: Blobs,
    /// What is served.
    pub catalog: Arc<Catalog>,
    /// What guests print, their last calls and counters.
    pub telemetry: Arc<Telemetry>,
    /// What happened.
    pub events: Arc<Events>,
    /// What apps may use.
    pub limits: Arc<LimitsPolicy>,
    /// The other hosts, if there are any.
    pub peers: Option<Peers>,
    /// Largest component taken.
    pub max_component: Bytes,
    /// What components and compiled code may take on the disk; `None` for no bound.
    pub disk: Option<Bytes>,
    /// Where sealed secrets are.
    pub fleet: Fleet,
    /// What opens them, if this host has it.
    pub secrets_key: Option<SecretsKey>,
    /// What guests keep.
    pub kept: GuestStores,
}

/// The code of this host's apps. Clones share it.
#[derive(Clone, Debug)]
pub struct Loader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: LoaderParts,
    mapped: Mapped,
    idle: Duration,
    singleflight: Arc<Singleflight>,
    turns: Semaphore,
    disk: Disk,
    secrets: SecretsEpoch,
    started_at: Instant,
}

impl Loader {
    /// A loader over these parts, with nothing mapped.
    #[must_use]
    pub fn new(parts: LoaderParts, settings: MappedSettings) -> Self {
        let disk = Disk::new(parts.disk);
        let inner = Inner {
            parts,
            mapped: Mapped::new(settings.most),
            idle: settings.idle,
            singleflight: Arc::default(),
            turns: Semaphore::new(PARALLEL),
            disk,
            secrets: SecretsEpoch::default(),
            started_at: Instant::now(),
        };
        Self { inner: Arc::new(inner) }
    }

    fn parts(&self) -> &LoaderParts {
        &self.inner.parts
    }

    /// Largest component taken from another host.
    #[must_use]
    pub fn max_component(&self) -> Bytes {
        self.inner.parts.max_component
    }

    /// What guests keep.
    #[must_use]
    pub fn stores(&self) -> &GuestStores {
        &self.inner.parts.kept
    }

    /// How many apps have their code mapped.
    #[must_use]
    pub fn n_mapped(&self) -> usize {
        self.inner.mapped.len()
    }

    /// A time on the clock by which apps are used.
    #[must_use]
    pub fn clock(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.inner.started_at);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// The code of an app that was found without it. Waits for it at most for a while.
    ///
    /// # Errors
    /// See [`Unready`].
    pub async fn load(&self, app: &Arc<App>) -> Result<Arc<LoadedDeployment>, Unready> {
        let mut coming = match self.inner.singleflight.join(app) {
            Joined::Waiting(coming) => coming,
            Joined::First(load, coming) => {
                // On its own: this call may be given up, and others wait for it too.
                tokio::spawn(self.clone().drive(load, app.clone()));
                coming
            }
            Joined::Full => return Err(Unready::Busy),
        };
        match tokio::time::timeout(PATIENCE, coming.wait_for(Option::is_some)).await {
            Ok(Ok(loaded)) => loaded.clone().unwrap_or(Err(Unready::Busy)),
            Ok(Err(_)) => Err(Unready::Failed("whoever was bringing its code is gone".to_owned())),
            Err(_) => Err(Unready::Busy),
        }
    }

    /// Compiled code of a component, compiled now if it is not there.
    ///
    /// # Errors
    /// The component cannot be read or compiled.
    pub async fn compile(&self, digest: Digest) -> Result<Compiled, CodeError> {
        let parts = self.parts();
        if let Some(compiled) = parts.sandbox.compiler().cached(digest) {
            return Ok(compiled);
        }
        // Any host may come to run an app whose calls it passed on until now.
        self.download(digest, &[]).await?;
        // From here on it stays for a while.
        let _is_there = parts.blobs.touch(&digest);
        self.verify(digest).await?;
        let compiled = parts.sandbox.compile(digest, &parts.blobs.path(&digest)).await?;
        if compiled.fresh {
            self.note_written(std::fs::metadata(&compiled.code).map_or(0, |file| file.len()));
        }
        Ok(compiled)
    }

    /// Makes a deployment ready to be called.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub async fn prepare(
        &self,
        manifest: &Manifest,
        generation: Generation,
        digest: Digest,
    ) -> Result<LoadedDeployment, CodeError> {
        self.prepare_with(manifest, generation, digest, self.state(manifest)).await
    }

    async fn prepare_with(
        &self,
        manifest: &Manifest,
        generation: Generation,
        digest: Digest,
        state: AppState,
    ) -> Result<LoadedDeployment, CodeError> {
        let _working = self.work_on(digest);
        let secrets = self.open_secrets(manifest).await?;
        let spec = self.spec(manifest.clone(), generation, &state, &secrets)?;
        // Code that is there may turn out to be damaged, and is then compiled again.
        for _ in 0..2 {
            let is_fresh = self.compile(digest).await?.fresh;
            let (loader, spec) = (self.clone(), spec.clone());
            let map = move || loader.map(digest, spec, is_fresh);
            if let Some(prepared) = self.blocking(map).await? {
                let name = manifest.name.clone();
                let loaded = LoadedDeployment::new(name, generation, prepared, state);
                let loaded = loaded.promising(manifest.objective);
                return Ok(loaded.with_secrets(secrets.map(|opened| opened.seen)));
            }
        }
        Err(CodeError::Unusable(digest))
    }

    /// Sees to it that code comes, and that all who wait for it are told.
    async fn drive(self, load: Load, app: Arc<App>) {
        let loaded = self.load_code(&app).await;
        if let Err(error) = &loaded {
            self.tell(&app, error);
        }
        let loaded = loaded.map_err(|error| Unready::from(&error));
        let has_failed = matches!(loaded, Err(Unready::Failed(_)));
        load.tell(loaded);
        if has_failed {
            // So that clients who keep calling do not keep the disk and the compiler busy.
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn load_code(&self, app: &Arc<App>) -> Result<Arc<LoadedDeployment>, CodeError> {
        let load_blocking = || {
            let (loader, app) = (self.clone(), app.clone());
            self.blocking(move || loader.load_blocking(&app))
        };
        let _working = self.work_on(app.digest);
        let deployed = match load_blocking().await? {
            Some(deployed) => deployed,
            None => {
                self.compile(app.digest).await?;
                load_blocking().await?.ok_or(CodeError::Unusable(app.digest))?
            }
        };
        Ok(self.not_overtaken(app, deployed).await)
    }

    /// Reads a deployment, maps its code and leaves it with the app; `None` where there is none to
    /// map. In one go and by few at once, so that no more is mapped than may be, but for those few.
    fn load_blocking(&self, app: &Arc<App>) -> Result<Option<Arc<LoadedDeployment>>, CodeError> {
        let Inner { parts, mapped, .. } = &*self.inner;
        let (unmapped, has_room) = mapped.make_room();
        self.drop_in_background(unmapped);
        if !has_room {
            return Err(CodeError::NoRoom);
        }
        let manifest = self.read(app)?;
        let state = app.state_or(|| self.new_state(&manifest)).clone();
        let objective = manifest.objective;
        // This thread serves nobody, and only apps with secrets have to ask for them.
        let secrets = tokio::runtime::Handle::current().block_on(self.open_secrets(&manifest))?;
        let spec = self.spec(manifest, app.generation, &state, &secrets)?;
        let Some(prepared) = self.map(app.digest, spec, false)? else { return Ok(None) };
        let (name, generation) = (app.name.clone(), app.generation);
        let deployed = LoadedDeployment::new(name, generation, prepared, state);
        let deployed = deployed.promising(objective);
        let deployed = Arc::new(deployed.with_secrets(secrets.map(|opened| opened.seen)));
        deployed.tell_limits();
        mapped.keep(&parts.catalog, app, deployed.clone());
        Ok(Some(deployed))
    }

    fn read(&self, app: &App) -> Result<Manifest, CodeError> {
        let record = self.parts().ledger.deployment(&app.name, app.generation)?;
        let record = record.ok_or(CodeError::Gone)?;
        manifest::reread(&record.manifest, &self.parts().limits).map_err(CodeError::Manifest)
    }

    /// Maps and links compiled code; `None` where it has yet to be compiled, or again since it is
    /// damaged. What was compiled a moment ago is not: then the engine does not take the component.
    fn map(
        &self,
        digest: Digest,
        spec: Spec,
        is_fresh: bool,
    ) -> Result<Option<InstanceTemplate>, CodeError> {
        let LoaderParts { sandbox, blobs, .. } = self.parts();
        let Some(compiled) = sandbox.compiler().cached(digest) else { return Ok(None) };
        match sandbox.load(&compiled, blobs.path(&digest), spec) {
            Err(error) if is_fresh && error.is_damage() => Err(error.into_rejection().into()),
            Err(error) if error.is_damage() => {
                tracing::warn!(%digest, error = chain(&error), "compiled code is damaged");
                sandbox.compiler().discard(digest);
                Ok(None)
            }
            // It has given way to others just now.
            Err(_) if !compiled.code.exists() => Ok(None),
            loaded => {
                self.touch(digest);
                Ok(Some(loaded?))
            }
        }
    }

    /// Does what takes a good part of a millisecond, or waits for the disk, on a thread that serves
    /// nobody.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CodeError> + Send + 'static,
    ) -> Result<T, CodeError> {
        // Nothing closes the semaphore.
        let _turn = self.inner.turns.acquire().await;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| CodeError::Task(error.to_string()))?
    }

    /// Drops code, which unmaps it unless calls run, on a thread that serves nobody.
    fn drop_in_background(&self, unmapped: impl IntoIterator<Item = Arc<LoadedDeployment>>) {
        let unmapped: Vec<_> = unmapped.into_iter().collect();
        if !unmapped.is_empty() {
            tokio::task::spawn_blocking(move || drop(unmapped));
        }
    }

    fn tell(&self, app: &App, error: &CodeError) {
        if matches!(error, CodeError::Gone | CodeError::NoRoom) {
            return;
        }
        tracing::error!(app = %app.name, error = chain(error), "an app's code cannot be had");
        self.parts().events.push(Event {
            app: Some(app.name.clone()),
            generation: Some(app.generation),
            severity: Severity::Error,
            advice: Some(error.advice()),
            ..Event::now("load_failed", chain(error))
        });
    }
}
