//! From compiled code on disk to something that can be instantiated at once.
//! Does not run guests.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use steerage_core::capsule::Redaction;
use steerage_core::id::{Digest, Generation};
use steerage_core::limits::Limits;
use steerage_core::manifest;
use steerage_core::outbound::{AllowedHost, OutboundPolicy};
use steerage_core::units::{Bytes, Fuel};
use tokio::sync::mpsc;
use wasmtime::Engine;

use super::compiler::{self, CompileError, Compiled, Compiler};
use super::context::Environment;
use super::engine::{self, EngineError, Flavor, PoolSettings, Slots};
use super::guest::ServiceParts;
use super::idle::{IdleInstances, InstanceSlots};
use super::linked::{ComponentCache, LoadedComponent};
use super::load_error::LoadError;
use super::outbound::{ConnectionCharge, Denials, Egress, Outbound, OwnDoors};
use super::restore::deployment::{Means, Restoring, Source};
use super::restore::unfit::Unfit;
use super::restore::{maker, qualify};
use super::reuse::Reuse;
use super::verdict::{GuestKind, Shape};
use crate::budget::Account;
use crate::key_value::AppStores;
use crate::sql::AppDatabases;
use crate::telemetry::destinations::Destinations;
use crate::telemetry::logs::AppLog;
use crate::telemetry::metrics::AppMeter;
use crate::telemetry::profiles::ProfileScope;

/// The part of the process that runs guests. Clones share everything.
#[derive(Clone)]
pub struct Sandbox {
    slots: u32,
    links: Arc<ComponentCache>,
    slice: Fuel,
    compiler: Compiler,
    /// Where to ask for instances that can be put back.
    maker: mpsc::Sender<Weak<Restoring>>,
    egress: Arc<Egress>,
}

/// Why no sandbox could be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// There is no room for an instance pool.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The code cache cannot be used.
    #[error(transparent)]
    Compiler(#[from] CompileError),
    /// There is no thread to make instances on.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// Host interfaces collide.
    #[error("the host's own interfaces do not link")]
    Linker(#[source] wasmtime::Error),
}

/// What the sandbox must know of a deployment.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The deployment's generation, for its log lines.
    pub generation: Generation,
    /// Limits per call and per instance.
    pub limits: Limits,
    /// The guest's environment, whole.
    pub env: Vec<(String, String)>,
    /// The secrets in it, each by itself.
    pub secrets: Vec<String>,
    /// How instances live.
    pub instance: manifest::Instance,
    /// Where the guest may send requests to.
    pub allowed_outbound_hosts: Vec<AllowedHost>,
    /// The key-value stores it has; `None` where its manifest names none.
    pub stores: Option<Arc<AppStores>>,
    /// What it is in a Spin app; `None` where it is of none.
    pub spin: Option<Arc<manifest::SpinComponent>>,
    /// The SQL databases it has; `None` where its manifest names none.
    pub databases: Option<Arc<AppDatabases>>,
    /// What is kept of calls that fail.
    pub capture: manifest::Capture,
    /// Where its output goes.
    pub log: Arc<AppLog>,
    /// Where the CPU time of its calls is counted.
    pub meter: Arc<AppMeter>,
    /// And where it goes.
    pub profile: Arc<ProfileScope>,
    /// What its instances hold of the host's memory.
    pub memory: Arc<Account>,
    /// Where refused outbound requests are told.
    pub denials: Denials,
    /// What becomes of its outbound requests.
    pub destinations: Arc<Destinations>,
    /// Whom the work on its outbound connections is charged to.
    pub charge: ConnectionCharge,
}

/// A deployment's code, linked, with all that every call of it needs.
pub struct InstanceTemplate {
    pub(super) engine: Engine,
    pub(super) linked: Arc<LoadedComponent>,
    pub(super) limits: Limits,
    /// What guests are made of that serve by a handler.
    pub(super) service: Arc<ServiceParts>,
    pub(super) env: Environment,
    spin: Option<Arc<manifest::SpinComponent>>,
    pub(super) generation: Generation,
    pub(super) instance: manifest::Instance,
    pub(super) slice: Fuel,
    pub(super) outbound: Outbound,
    pub(super) log: Arc<AppLog>,
    pub(super) meter: Arc<AppMeter>,
    pub(super) profile: Arc<ProfileScope>,
    pub(super) memory: Arc<Account>,
    pub(super) idle: Arc<IdleInstances>,
    pub(super) reuse: Reuse,
    /// What is known of restoring its instances, where that is asked for.
    pub(super) restoring: Option<Arc<Restoring>>,
    /// What is never kept of a call, where those that fail leave a capsule.
    redaction: Option<Redaction>,
    /// The secrets in its environment.
    secrets: Vec<String>,
    digest: Digest,
    /// What stands in the way of it.
    unfit: Option<Unfit>,
    kind: GuestKind,
}

impl Sandbox {
    /// Makes the engine with its pool and opens the code cache. Guests yield every `slice`, and their
    /// outbound requests go through `egress`.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub fn start(
        pool: PoolSettings,
        slice: Fuel,
        compiler: compiler::Settings,
        egress: Egress,
    ) -> Result<Self, SandboxError> {
        let (plain, slots) = engine::running(Flavor::Plain, &pool)?;
        let mut hasher = DefaultHasher::new();
        // What the other engine is compiled for differs from this one in one setting.
        plain.precompile_compatibility_hash().hash(&mut hasher);
        qualify::VERSION.hash(&mut hasher);
        let compiler = Compiler::open(compiler, hasher.finish())?;
        let links: Arc<_> =
            ComponentCache::new(plain, PoolSettings { slots: Slots::AtMost(slots), ..pool })
                .map_err(SandboxError::Linker)?
                .into();
        let maker = maker::begin(links.clone(), slots).map_err(SandboxError::Thread)?;
        Ok(Self { slots, links, slice, compiler, maker, egress: Arc::new(egress) })
    }

    /// How many instances may live at once.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// What stays resident of instances that are gone.
    #[must_use]
    pub fn kept(&self) -> Bytes {
        self.links.kept()
    }

    /// Says where the host's own doors are, which no guest reaches. Until then guests reach nothing.
    pub fn set_doors(&self, doors: OwnDoors) {
        self.egress.set_doors(doors);
    }

    /// The compiler and its cache.
    #[must_use]
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// Compiles the component at `wasm` unless that was done before.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub async fn compile(&self, digest: Digest, wasm: &Path) -> Result<Compiled, CompileError> {
        self.compiler.compile(digest, wasm).await
    }

    /// Maps compiled code of the component at `wasm` and links it, unless another deployment uses the same
    /// already.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(
        &self,
        compiled: &Compiled,
        wasm: PathBuf,
        spec: Spec,
    ) -> Result<InstanceTemplate, LoadError> {
        let least = Bytes::new(compiled.shape.needs.least_memory);
        if least > spec.limits.memory {
            return Err(LoadError::MemoryLimit { least, limit: spec.limits.memory });
        }
        let linked = self.links.get(compiled)?;
        // Here it may take its time.
        spec.stores.iter().for_each(|stores| stores.prepare());
        let idle = linked.pool.idle_instances();
        let outbound = Outbound::new(
            OutboundPolicy::new(spec.allowed_outbound_hosts),
            self.egress.clone(),
            (spec.denials, spec.destinations),
            spec.charge.clone(),
        );
        let service = Arc::new(ServiceParts {
            env: spec.env.into(),
            memory_limit: spec.limits.memory,
            memory: spec.memory.clone(),
            outbound: outbound.for_instance(),
            stores: spec.stores.clone(),
            databases: spec.databases.clone(),
            log: spec.log.clone(),
            generation: spec.generation,
            flavor: linked.flavor,
        });
        let Shape { kind, unfit, .. } = compiled.shape.clone();
        let restoring = (spec.instance.is_restored() && unfit.is_none()).then(|| {
            let compiler = self.compiler.clone();
            // Where it cannot be read, that is found out when its code is wanted.
            let size = std::fs::metadata(&wasm).map_or(0, |file| file.len());
            Restoring::new(Means {
                parts: service.clone(),
                fuel: spec.limits.fuel,
                maker: self.maker.clone(),
                source: Source {
                    digest: compiled.digest,
                    kind,
                    size: Bytes::new(size),
                    wasm,
                    compiler,
                },
                slots: (linked.pool.clone(), linked.needs),
                idle: idle.clone(),
                meter: spec.meter.clone(),
                charge: spec.charge,
            })
        });
        Ok(InstanceTemplate {
            engine: linked.engine.clone(),
            idle,
            reuse: Reuse::default(),
            restoring,
            linked,
            limits: spec.limits,
            env: service.env.clone(),
            service,
            spin: spec.spin,
            generation: spec.generation,
            instance: spec.instance,
            slice: self.slice,
            outbound,
            log: spec.log,
            meter: spec.meter,
            profile: spec.profile,
            memory: spec.memory,
            redaction: spec.capture.redaction(),
            secrets: spec.secrets,
            digest: compiled.digest,
            unfit,
            kind,
        })
    }
}

impl InstanceTemplate {
    /// Whether it is written down what its guests are told. In an instance that serves more than one call a
    /// guest knows what earlier ones left there, which is in no capsule of this one.
    #[must_use]
    #[inline]
    pub fn is_captured(&self) -> bool {
        self.redaction.is_some() && !self.is_reusing()
    }

    /// What is never kept of a call, where those that fail leave a capsule.
    #[must_use]
    pub fn redaction(&self) -> Option<&Redaction> {
        self.redaction.as_ref()
    }

    /// The names and values that its guests have as their environment.
    #[must_use]
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// What it is in a Spin app; `None` where it is of none.
    #[must_use]
    pub fn spin(&self) -> Option<&Arc<manifest::SpinComponent>> {
        self.spin.as_ref()
    }

    /// The secrets in it, each by itself.
    #[must_use]
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// The digest of its component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Which kind of guest this is.
    #[must_use]
    pub fn kind(&self) -> GuestKind {
        self.kind
    }

    /// Whether the request is given to the guest the CGI way.
    #[must_use]
    pub fn is_cgi(&self) -> bool {
        self.kind.is_cgi()
    }

    /// What stands in the way of restoring its instances, as far as is known, where that is asked for.
    #[must_use]
    pub fn unfit(&self) -> Option<Unfit> {
        match &self.restoring {
            Some(restoring) => restoring.unfit(),
            None => self.unfit.clone().filter(|_| self.instance.is_restored()),
        }
    }

    /// Slots of the host that a call needs.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.linked.charge
    }

    pub(super) fn take_slots(&self) -> InstanceSlots {
        self.linked.pool.take(self.linked.needs, &self.memory)
    }

    /// Gives up the instances that have waited for another call for so long, and what only they need.
    pub fn drop_idle(&self, for_at_least: Duration) {
        self.idle.give_up(for_at_least);
        if let Some(restoring) = &self.restoring {
            restoring.rest();
        }
    }

    /// Limits per call and per instance.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl fmt::Debug for InstanceTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceTemplate")
            .field("kind", &self.kind)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
