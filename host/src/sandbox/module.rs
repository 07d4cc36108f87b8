//! From compiled code on disk to something that can be instantiated at once.
//! Does not run guests.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use steerage_core::id::{Digest, Generation};
use steerage_core::limits::Limits;
use steerage_core::manifest;
use steerage_core::outbound::{AllowedHost, OutboundPolicy};
use steerage_core::units::Bytes;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstancePre, Module};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use super::compiler::{self, CompileError, Compiled, Compiler};
use super::engine::{self, EngineError, Flavor};
use super::guest::{self, CoreGuest, Guest};
use super::instance::Idle;
use super::outbound::Outbound;
use super::verdict::{Kind, Rejection};
use crate::budget::Account;
use crate::telemetry::logs::AppLog;

/// The part of the process that runs guests. Clones share everything.
#[derive(Clone)]
pub struct Sandbox {
    plain: Engine,
    slots: u32,
    components: Arc<Linker<Guest>>,
    modules: Arc<wasmtime::Linker<CoreGuest>>,
    /// Made when the first guest needs it: its pool takes address space and mappings.
    concurrent: Arc<OnceLock<Option<Concurrent>>>,
    compiler: Compiler,
}

/// The engine for guests that use the component model's async features.
struct Concurrent {
    engine: Engine,
    components: Linker<Guest>,
}

/// How many times fewer slots the engine for async features has.
const CONCURRENT_PART: u32 = 4;

/// Why no sandbox could be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// There is no room for an instance pool.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The code cache cannot be used.
    #[error(transparent)]
    Compiler(#[from] CompileError),
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
    /// How instances live.
    pub instance: manifest::Instance,
    /// Where the guest may send requests to.
    pub allowed_outbound_hosts: Vec<AllowedHost>,
    /// Where its output goes.
    pub log: Arc<AppLog>,
    /// What its instances hold of the host's memory.
    pub memory: Arc<Account>,
    /// Counts refused outbound requests.
    pub denied: Arc<AtomicU64>,
}

/// Why compiled code cannot serve a deployment.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The component takes more memory before its first instruction than the limit allows.
    #[error("the component takes {least} of memory at start, more than [limits] memory = {limit}")]
    MemoryLimit {
        /// What it takes.
        least: Bytes,
        /// The app's limit.
        limit: Bytes,
    },
    /// It uses the component model's async features, and there is no room for their engine.
    #[error("no room for the instance pool of components that use async features")]
    NoConcurrentEngine,
    /// Its imports do not match what the host offers under those names.
    #[error("{0}")]
    Rejected(Rejection),
    /// The code file cannot be mapped.
    #[error("cannot map the compiled code at {path}")]
    Map {
        /// The file.
        path: String,
        /// What Wasmtime said.
        #[source]
        source: wasmtime::Error,
    },
}

/// A deployment's code, linked, with all that every call of it needs.
pub struct Prepared {
    pub(super) engine: Engine,
    pub(super) pre: Pre,
    pub(super) limits: Limits,
    pub(super) env: Vec<(String, String)>,
    pub(super) generation: Generation,
    pub(super) instance: manifest::Instance,
    pub(super) outbound: Outbound,
    pub(super) log: Arc<AppLog>,
    pub(super) memory: Arc<Account>,
    pub(super) idle: Mutex<Vec<Idle>>,
    kind: Kind,
}

/// Linked code of each kind.
pub(super) enum Pre {
    Http02(ProxyPre<Guest>),
    Http03(ServicePre<Guest>),
    CgiComponent(CommandPre<Guest>),
    CgiModule(InstancePre<CoreGuest>),
}

impl Sandbox {
    /// Makes the engine with room for `slots` instances and opens the code cache.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub fn start(slots: u32, compiler: compiler::Settings) -> Result<Self, SandboxError> {
        let (plain, slots) = engine::running(Flavor::Plain, slots)?;
        let components =
            guest::component_linker(&plain, Flavor::Plain).map_err(SandboxError::Linker)?;
        let modules = guest::core_linker(&plain).map_err(SandboxError::Linker)?;
        let mut hasher = DefaultHasher::new();
        // What the other engine is compiled for differs from this one in one setting.
        plain.precompile_compatibility_hash().hash(&mut hasher);
        let compiler = Compiler::open(compiler, hasher.finish())?;
        Ok(Self {
            plain,
            slots,
            components: components.into(),
            modules: modules.into(),
            concurrent: Arc::default(),
            compiler,
        })
    }

    /// How many instances may live at once.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
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

    /// Maps compiled code and links it.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, compiled: &Compiled, spec: Spec) -> Result<Prepared, LoadError> {
        let least = Bytes::new(compiled.shape.least_memory);
        if least > spec.limits.memory {
            return Err(LoadError::MemoryLimit { least, limit: spec.limits.memory });
        }
        let pre = self.link(compiled)?;
        Ok(Prepared {
            engine: self.lane(compiled.shape.flavor)?.0.clone(),
            pre,
            limits: spec.limits,
            env: spec.env,
            generation: spec.generation,
            instance: spec.instance,
            outbound: Outbound::new(OutboundPolicy::new(spec.allowed_outbound_hosts), spec.denied),
            log: spec.log,
            memory: spec.memory,
            idle: Mutex::new(Vec::new()),
            kind: compiled.shape.kind,
        })
    }

    fn link(&self, compiled: &Compiled) -> Result<Pre, LoadError> {
        let unlinkable = |error: wasmtime::Error| {
            LoadError::Rejected(Rejection::MissingImports { imports: vec![format!("{error:#}")] })
        };
        if compiled.shape.kind == Kind::CgiModule {
            let module = map_module(&self.plain, &compiled.code)?;
            let pre = self.modules.instantiate_pre(&module).map_err(unlinkable)?;
            return Ok(Pre::CgiModule(pre));
        }
        let (engine, components) = self.lane(compiled.shape.flavor)?;
        let component = map_component(engine, &compiled.code)?;
        let pre = components.instantiate_pre(&component).map_err(unlinkable)?;
        let pre = match compiled.shape.kind {
            Kind::Http02 => ProxyPre::new(pre).map(Pre::Http02),
            Kind::Http03 => ServicePre::new(pre).map(Pre::Http03),
            Kind::CgiComponent | Kind::CgiModule => CommandPre::new(pre).map(Pre::CgiComponent),
        };
        pre.map_err(|error| {
            LoadError::Rejected(Rejection::WrongWorld { exports: vec![format!("{error:#}")] })
        })
    }

    /// The engine of this flavor and what can be imported there.
    fn lane(&self, flavor: Flavor) -> Result<(&Engine, &Linker<Guest>), LoadError> {
        if flavor == Flavor::Plain {
            return Ok((&self.plain, &self.components));
        }
        let made = self.concurrent.get_or_init(|| Concurrent::start(self.slots / CONCURRENT_PART));
        let lane = made.as_ref().ok_or(LoadError::NoConcurrentEngine)?;
        Ok((&lane.engine, &lane.components))
    }
}

impl Concurrent {
    fn start(slots: u32) -> Option<Self> {
        let (engine, _) = engine::running(Flavor::Concurrent, slots)
            .inspect_err(|error| tracing::error!(%error, "no engine for async features"))
            .ok()?;
        let components = guest::component_linker(&engine, Flavor::Concurrent)
            .inspect_err(|error| tracing::error!(%error, "no engine for async features"))
            .ok()?;
        Some(Self { engine, components })
    }
}

#[expect(unsafe_code, reason = "mapping compiled code is only offered as unsafe")]
fn map_component(engine: &Engine, path: &Path) -> Result<Component, LoadError> {
    // SAFETY: only our own compiler writes into the cache, into a folder only this user can enter,
    // under a name that appears by rename when the file is whole; nothing changes it afterwards.
    // Wasmtime checks that it was compiled for this engine.
    unsafe { Component::deserialize_file(engine, path) }.map_err(|error| map_error(path, error))
}

#[expect(unsafe_code, reason = "mapping compiled code is only offered as unsafe")]
fn map_module(engine: &Engine, path: &Path) -> Result<Module, LoadError> {
    // SAFETY: as in `map_component`.
    unsafe { Module::deserialize_file(engine, path) }.map_err(|error| map_error(path, error))
}

impl Prepared {
    /// Which kind of guest this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the request is given to the guest the CGI way.
    #[must_use]
    pub fn is_cgi(&self) -> bool {
        matches!(self.kind, Kind::CgiComponent | Kind::CgiModule)
    }

    /// Gives up the instances that wait for another call.
    pub fn drop_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(idle);
    }

    /// Limits per call and per instance.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

fn map_error(path: &Path, source: wasmtime::Error) -> LoadError {
    LoadError::Map { path: path.display().to_string(), source }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("kind", &self.kind)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
