//! Makes instances that can be restored, and the code they need, on a thread of its own: that takes
//! milliseconds, which no other call should wait for.
//! Does not decide when one is wanted.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use steerage_core::id::Digest;
use steerage_core::restoring::MOST_LIVE;
use tokio::sync::{Semaphore, mpsc};
use wasmtime_wasi::p2::bindings::Command;

use super::deployment::{Restoring, Source};
use super::live::{self, Code, Place, Places};
use super::live_module;
use super::outcome::{NotMade, failed};
use super::unfit::Unfit;
use crate::sandbox::compiler::CompileError;
use crate::sandbox::engine;
use crate::sandbox::guest::ServiceParts;
use crate::sandbox::idle::{InstanceSlots, Waiting};
use crate::sandbox::linked::{ComponentCache, Pre};
use crate::sandbox::program::{Program, WaitingProgram};
use crate::sandbox::service::Idle;
use crate::{meter, priority};

/// Deployments that wait for an instance. One that finds no place asks again at a later call.
const MOST_WAITING: usize = 256;
/// One slot in so many may be a restored instance's: each has address space of its own beside the
/// pool's, of which that part is surely left.
const PART_OF_SLOTS: u32 = 16;
/// The most such instances of a host: each takes several mappings.
const MOST_OF_HOST: u32 = 512;
/// How long an instance must have waited to give way to one of another app: apps that are called more
/// often than that would only take places from each other.
const WAITED: Duration = Duration::from_secs(1);

/// What makes instances.
struct Maker {
    links: Arc<ComponentCache>,
    most: u32,
    n_live: Arc<AtomicU32>,
    /// What is mapped, for all deployments of the same component: it holds nothing of theirs.
    codes: Mutex<BTreeMap<Digest, Weak<Code>>>,
    /// One component is compiled at a time, and never in the place of one that is being deployed.
    compiling: Semaphore,
}

/// Begins the thread, for a host with so many slots; returns where to ask for an instance of a
/// deployment. It ends when nobody can ask any more.
///
/// # Errors
/// The system has no thread left.
pub(in crate::sandbox) fn begin(
    links: Arc<ComponentCache>,
    slots: u32,
) -> io::Result<mpsc::Sender<Weak<Restoring>>> {
    let (sender, mut asked) = mpsc::channel::<Weak<Restoring>>(MOST_WAITING);
    let most = (slots / PART_OF_SLOTS).min(MOST_OF_HOST);
    let (n_live, codes, compiling) = (Arc::default(), Mutex::default(), Semaphore::new(1));
    let maker = Arc::new(Maker { links, most, n_live, codes, compiling });
    let work = move || {
        priority::patient();
        // A host of which nobody asks it has none of what follows.
        let Some(first) = asked.blocking_recv() else { return };
        engine::ready_thread();
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(maker.see_to_all(first, asked)),
            Err(error) => tracing::error!(%error, "no instances can be restored"),
        }
    };
    std::thread::Builder::new().name("restoring".to_owned()).spawn(work)?;
    Ok(sender)
}

impl Maker {
    async fn see_to_all(
        self: Arc<Self>,
        first: Weak<Restoring>,
        mut asked: mpsc::Receiver<Weak<Restoring>>,
    ) {
        let mut next = Some(first);
        while let Some(restoring) = next {
            if let Some(restoring) = restoring.upgrade() {
                let maker = self.clone();
                // On its own: others need not wait for a compiler.
                tokio::spawn(async move {
                    maker.see_to(&restoring).await;
                    restoring.note_seen_to();
                });
            }
            next = asked.recv().await;
        }
    }

    async fn see_to(&self, restoring: &Arc<Restoring>) {
        meter::begin();
        match self.make(restoring).await {
            Ok(()) => {}
            Err(NotMade::Unfit(unfit)) => restoring.give_up(unfit),
            Err(NotMade::Failed(why)) => restoring.pause_for(Unfit::Failed(why)),
            Err(NotMade::NotNow(why)) => {
                tracing::debug!(why, "no instance to restore is made now");
            }
        }
        // What it waited for belongs to others; the child that compiles is nobody's here either.
        let used = meter::end();
        restoring.meter.add_cpu(used);
        restoring.charge.with(used);
    }

    async fn make(&self, restoring: &Arc<Restoring>) -> Result<(), NotMade> {
        let code = match restoring.code() {
            Some(code) => code,
            None => {
                let code = self.code(&restoring.source).await?;
                meter::begin();
                restoring.keep_code(code.clone());
                code
            }
        };
        let no_place = || NotMade::NotNow("as many as there may be".to_owned());
        let memory = &restoring.parts.memory;
        if memory.is_tight() {
            return Err(NotMade::NotNow("memory is tight".to_owned()));
        }
        let of_app = Place::take(&restoring.n_live, MOST_LIVE).ok_or_else(no_place)?;
        let (pool, n_slots) = &restoring.slots;
        let of_host = || Place::take(&self.n_live, self.most);
        // One that waits for a call that does not come gives way to one that calls wait for.
        let of_host = of_host().or_else(|| pool.give_up_restored(WAITED).then(of_host).flatten());
        let of_host = of_host.ok_or_else(no_place)?;
        let slots = pool.take_free(*n_slots, memory).ok_or_else(no_place)?;
        restoring.idle.put(made(&code, &restoring.parts, slots, (of_app, of_host))?);
        Ok(())
    }

    async fn code(&self, source: &Source) -> Result<Arc<Code>, NotMade> {
        // Nothing closes the semaphore.
        let _turn = self.compiling.acquire().await;
        if let Some(code) = self.codes().get(&source.digest).and_then(Weak::upgrade) {
            return Ok(code);
        }
        // What was deployed may have been damaged since, and would then be another program.
        if source.compiler.cached_restoring(source.digest).is_none() && !source.is_whole() {
            return Err(NotMade::Failed(
                "its component cannot be read as it was deployed".to_owned(),
            ));
        }
        let path = match source.compiler.compile_restoring(source.digest, &source.wasm).await {
            Ok(path) => path,
            Err(CompileError::Unfit(reason)) => return Err(NotMade::Unfit(reason)),
            Err(error) => return Err(NotMade::Failed(crate::telemetry::chain(&error))),
        };
        let lane = self.links.restoring();
        let no_engine = || NotMade::Unfit(Unfit::Host("the host has no engine for it".to_owned()));
        let lane = lane.ok_or_else(no_engine)?;
        let pre = lane
            .link(source.kind, &path)
            .inspect_err(|_| source.compiler.discard_restoring(source.digest))
            .map_err(|error| NotMade::Failed(crate::telemetry::chain(&error)))?;
        let code = Arc::new(Code::new(lane.engine.clone(), pre));
        let mut codes = self.codes();
        codes.retain(|_, code| code.strong_count() > 0);
        codes.insert(source.digest, Arc::downgrade(&code));
        Ok(code)
    }

    fn codes(&self) -> MutexGuard<'_, BTreeMap<Digest, Weak<Code>>> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance of any kind that can be put back.
fn made(
    code: &Code,
    parts: &ServiceParts,
    slots: InstanceSlots,
    places: Places,
) -> Result<Waiting, NotMade> {
    let reservation = slots.reservation();
    let program = match &code.pre {
        Pre::Http02(pre) => {
            let (mut store, instance, restorer) =
                live::make(code, pre.instance_pre(), parts, reservation, places)?;
            let handler = pre.of(&mut store, &instance).map_err(failed)?;
            return Ok(Waiting::Service(Idle::restored(store, handler, restorer, slots)));
        }
        Pre::CgiComponent(pre) => {
            let pre = pre.instance_pre();
            let (mut store, instance, restorer) =
                live::make(code, pre, parts, reservation, places)?;
            let entry = Some(Command::new(&mut store, &instance).map_err(failed)?);
            let restorer = Some(restorer);
            WaitingProgram::Component(Program { store, entry, restorer, slots })
        }
        Pre::CgiModule(pre) => {
            let (mut store, instance, restorer) =
                live_module::make(code, pre, parts, reservation, places)?;
            let start = instance.get_typed_func(&mut store, "_start").map_err(failed)?;
            let (entry, restorer) = (Some(start), Some(restorer));
            WaitingProgram::Module(Program { store, entry, restorer, slots })
        }
        // It was found out when it was examined.
        Pre::Http03(_) => return Err(NotMade::Failed("it is of kind http-0.3".to_owned())),
    };
    Ok(Waiting::Program(Box::new(program)))
}
