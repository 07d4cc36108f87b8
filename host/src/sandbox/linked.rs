//! Compiled code, mapped and linked: once for each component, however many deployments use it.
//! Knows nothing of a deployment: no limits, no environment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use steerage_core::id::Digest;
use steerage_core::units::Bytes;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstancePre, Module};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use super::compiler::Compiled;
use super::engine::{self, Flavor, PoolSettings, Slots};
use super::guest::{CoreGuest, Guest};
use super::http02::HandlerPre;
use super::idle::Pool;
use super::linker;
use super::load_error::LoadError;
use super::needs::Needs;
use super::profiled;
use super::verdict::{GuestKind, Rejection};
use crate::telemetry::profiles::MappedCode;

/// How many times fewer slots the engine for async features has.
const CONCURRENT_PART: u32 = 4;

/// What links code, and all code that is linked and in use.
pub(super) struct ComponentCache {
    plain: EngineLinker,
    modules: wasmtime::Linker<CoreGuest>,
    /// Made when the first guest needs it: its pool takes address space and mappings.
    concurrent: OnceLock<Option<EngineLinker>>,
    /// Made when the first instance is to be restored.
    restoring: OnceLock<Option<RestoringLane>>,
    pool: PoolSettings,
    /// Only as long as a deployment uses it: each takes mappings and an open file.
    live: Mutex<BTreeMap<Digest, Weak<LoadedComponent>>>,
}

/// The engine for instances that are restored, and what can be imported there.
pub(super) struct RestoringLane {
    pub(super) engine: Engine,
    components: Linker<Guest>,
    modules: wasmtime::Linker<CoreGuest>,
}

/// An engine, its slots, and what can be imported there.
struct EngineLinker {
    engine: Engine,
    pool: Arc<Pool>,
    /// Slots of the host that one of this engine stands for.
    worth: u32,
    components: Linker<Guest>,
}

/// The linked code of one component. Unmapped when the last that uses it lets go.
pub(super) struct LoadedComponent {
    pub(super) pre: Pre,
    pub(super) engine: Engine,
    pub(super) pool: Arc<Pool>,
    /// Which of the engines that is.
    pub(super) flavor: Flavor,
    /// Slots of the engine that an instance takes.
    pub(super) needs: u32,
    /// Slots of the host that a call is charged.
    pub(super) charge: u32,
    digest: Digest,
    links: Arc<ComponentCache>,
    _mapped: MappedCode,
}

/// Linked code of each kind.
pub(super) enum Pre {
    Http02(HandlerPre<Guest>),
    Http03(ServicePre<Guest>),
    CgiComponent(CommandPre<Guest>),
    CgiModule(InstancePre<CoreGuest>),
}

impl ComponentCache {
    /// Links for an engine without async features, which has this pool.
    pub(super) fn new(plain: Engine, pool: PoolSettings) -> wasmtime::Result<Self> {
        let modules = linker::core_linker(&plain)?;
        let components = linker::component_linker(&plain, Flavor::Plain)?;
        let slots = Pool::new(pool.slots.most());
        let plain = EngineLinker { engine: plain, pool: slots, worth: 1, components };
        let (concurrent, restoring, live) = (OnceLock::new(), OnceLock::new(), Mutex::default());
        Ok(Self { plain, modules, concurrent, restoring, pool, live })
    }

    /// The linked code of a component, mapped now unless somebody uses it already.
    pub(super) fn get(
        self: &Arc<Self>,
        compiled: &Compiled,
    ) -> Result<Arc<LoadedComponent>, LoadError> {
        let digest = compiled.digest;
        let live = || self.live().get(&digest).and_then(Weak::upgrade);
        if let Some(linked) = live() {
            return Ok(linked);
        }
        // Not under the lock: it takes a good part of a millisecond.
        let lane = self.lane(compiled.shape.flavor)?;
        let (pre, needs) = self.link(lane, compiled)?;
        let linked = Arc::new(LoadedComponent {
            _mapped: profiled::mapped(&pre),
            pre,
            engine: lane.engine.clone(),
            pool: lane.pool.clone(),
            flavor: compiled.shape.flavor,
            needs,
            charge: needs.saturating_mul(lane.worth),
            digest,
            links: self.clone(),
        });
        let mut all = self.live();
        // Another may have been as fast. Ours then goes when the lock is free again.
        match all.get(&digest).and_then(Weak::upgrade) {
            Some(other) => Ok(other),
            None => {
                all.insert(digest, Arc::downgrade(&linked));
                Ok(linked.clone())
            }
        }
    }

    /// Maps and links code; says how many slots an instance of it takes, too.
    fn link(&self, lane: &EngineLinker, compiled: &Compiled) -> Result<(Pre, u32), LoadError> {
        let Compiled { shape, code, .. } = compiled;
        let linkers = (&lane.components, &self.modules);
        Ok((Pre::of(shape.kind, code, &lane.engine, linkers)?, slots_of(&shape.needs)))
    }

    fn lane(&self, flavor: Flavor) -> Result<&EngineLinker, LoadError> {
        if flavor != Flavor::Concurrent {
            return Ok(&self.plain);
        }
        let slots = Slots::AtMost(self.pool.slots.most() / CONCURRENT_PART);
        let pool = PoolSettings { slots, ..self.pool };
        let made = self.concurrent.get_or_init(|| EngineLinker::concurrent(&pool));
        made.as_ref().ok_or(LoadError::NoConcurrentEngine)
    }

    /// What the pools keep resident of instances that are gone.
    pub(super) fn kept(&self) -> Bytes {
        let concurrent = self.concurrent.get().and_then(Option::as_ref);
        let engines = [Some(&self.plain), concurrent].into_iter().flatten();
        let each = engines.map(|lane| engine::kept(&lane.engine));
        each.fold(Bytes::ZERO, Bytes::saturating_add)
    }

    /// The engine for instances that are restored; `None` where there cannot be one.
    pub(super) fn restoring(&self) -> Option<&RestoringLane> {
        let made = self.restoring.get_or_init(|| {
            RestoringLane::new(self.pool.largest_memory)
                .inspect_err(|error| {
                    tracing::error!(%error, "no engine for instances that are restored");
                })
                .ok()
        });
        made.as_ref()
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<Digest, Weak<LoadedComponent>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pre {
    /// Maps and links code of this kind.
    fn of(
        kind: GuestKind,
        code: &Path,
        engine: &Engine,
        (components, modules): (&Linker<Guest>, &wasmtime::Linker<CoreGuest>),
    ) -> Result<Self, LoadError> {
        let unlinkable = |error: wasmtime::Error| {
            LoadError::Rejected(Rejection::MissingImports { imports: vec![format!("{error:#}")] })
        };
        if kind == GuestKind::CgiModule {
            let module = map_module(engine, code)?;
            return modules.instantiate_pre(&module).map(Self::CgiModule).map_err(unlinkable);
        }
        let component = map_component(engine, code)?;
        let completed = linker::completed(components, engine, &component).map_err(unlinkable)?;
        let components = completed.as_ref().unwrap_or(components);
        let pre = components.instantiate_pre(&component).map_err(unlinkable)?;
        let pre = match kind {
            GuestKind::Http02 => HandlerPre::new(pre).map(Self::Http02),
            GuestKind::Http03 => ServicePre::new(pre).map(Self::Http03),
            GuestKind::CgiComponent | GuestKind::CgiModule => {
                CommandPre::new(pre).map(Self::CgiComponent)
            }
        };
        pre.map_err(|error| {
            let exports = vec![format!("{error:#}")];
            LoadError::Rejected(Rejection::WrongWorld { exports, missing: Vec::new() })
        })
    }
}

impl RestoringLane {
    fn new(largest_memory: Bytes) -> wasmtime::Result<Self> {
        let engine = engine::restoring(largest_memory)?;
        let components = linker::component_linker(&engine, Flavor::Restoring)?;
        let modules = linker::core_linker(&engine)?;
        Ok(Self { engine, components, modules })
    }

    /// Maps and links code of this kind that was rewritten.
    pub(super) fn link(&self, kind: GuestKind, code: &Path) -> Result<Pre, LoadError> {
        Pre::of(kind, code, &self.engine, (&self.components, &self.modules))
    }
}

impl EngineLinker {
    fn concurrent(pool: &PoolSettings) -> Option<Self> {
        let (engine, slots) = engine::running(Flavor::Concurrent, pool)
            .inspect_err(|error| tracing::error!(%error, "no engine for async features"))
            .ok()?;
        let components = linker::component_linker(&engine, Flavor::Concurrent)
            .inspect_err(|error| tracing::error!(%error, "no engine for async features"))
            .ok()?;
        // A call there is charged so many times more that the host has no more room for calls than
        // this engine has slots.
        Some(Self { engine, pool: Pool::new(slots), worth: CONCURRENT_PART, components })
    }
}

impl Drop for LoadedComponent {
    fn drop(&mut self) {
        let mut all = self.links.live();
        // It may have been mapped anew since the last that used this let go.
        if all.get(&self.digest).is_some_and(|linked| linked.strong_count() == 0) {
            all.remove(&self.digest);
        }
    }
}

/// How many slots an instance takes that needs so much. Objects that are collected lie in one memory
/// more.
fn slots_of(needs: &Needs) -> u32 {
    let memories = needs.memories.saturating_add(u64::from(needs.is_collected));
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    engine::slots_for(count(memories), count(needs.tables))
}

#[expect(unsafe_code, reason = "mapping compiled code is only offered as unsafe")]
fn map_component(engine: &Engine, path: &Path) -> Result<Component, LoadError> {
    // SAFETY: only our own compiler writes into the cache, into a folder only this user can write to,
    // which `trust` looks after, under a name that appears by rename when the file is whole; nothing
    // changes it afterwards.
    // Wasmtime checks that it was compiled for this engine.
    unsafe { Component::deserialize_file(engine, path) }.map_err(|error| map_error(path, error))
}

#[expect(unsafe_code, reason = "mapping compiled code is only offered as unsafe")]
fn map_module(engine: &Engine, path: &Path) -> Result<Module, LoadError> {
    // SAFETY: as in `map_component`.
    unsafe { Module::deserialize_file(engine, path) }.map_err(|error| map_error(path, error))
}

fn map_error(path: &Path, source: wasmtime::Error) -> LoadError {
    LoadError::Map { path: path.display().to_string(), source }
}
