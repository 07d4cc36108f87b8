//! Makes instances that can be restored, and the code they need, on a thread of its own: that takes
//! milliseconds, which no other call should wait for.
//! Does not decide when one is wanted.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use steerage_core::restoring::MOST_LIVE;
use tokio::sync::{Semaphore, mpsc};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::live::{self, Code, NotMade, Place};
use super::unfit::Unfit;
use super::{Restoring, Source};
use crate::sandbox::compiler::CompileError;
use crate::sandbox::engine;
use crate::sandbox::linked::{Links, map_component};
use crate::sandbox::service::Idle;
use crate::{meter, priority};

/// Deployments that wait for an instance. One that finds no place asks again at a later call.
const MOST_WAITING: usize = 256;
/// One slot in so many may be a restored instance's: each has address space of its own beside the
/// pool's, of which that part is surely left.
const PART_OF_SLOTS: u32 = 16;
/// The most such instances of a host: each takes several mappings.
const MOST_OF_HOST: u32 = 512;

/// Makes instances. Clones share the thread.
#[derive(Clone)]
pub(in crate::sandbox) struct Maker {
    inner: Arc<Inner>,
}

struct Inner {
    links: Arc<Links>,
    most: u32,
    n_live: Arc<AtomicU32>,
    /// Where to ask; the thread is begun by the first that does. `None` where that fails.
    asked: OnceLock<Option<mpsc::Sender<Weak<Restoring>>>>,
    /// One component is compiled at a time, and never in the place of one that is being deployed.
    compiling: Semaphore,
}

impl Maker {
    /// A maker for a host with so many slots.
    pub(in crate::sandbox) fn new(links: Arc<Links>, slots: u32) -> Self {
        let most = (slots / PART_OF_SLOTS).min(MOST_OF_HOST);
        let (n_live, asked) = (Arc::default(), OnceLock::new());
        let inner = Inner { links, most, n_live, asked, compiling: Semaphore::new(1) };
        Self { inner: Arc::new(inner) }
    }

    /// Asks for an instance, which comes to those that wait when it is made.
    pub(super) fn ask(&self, restoring: &Arc<Restoring>) {
        let asked = self.inner.asked.get_or_init(|| Inner::begin(&self.inner));
        let sent = asked.as_ref().map(|asked| asked.try_send(Arc::downgrade(restoring)));
        if !matches!(sent, Some(Ok(()))) {
            restoring.is_asked.store(false, Ordering::Relaxed);
        }
    }
}

impl Inner {
    /// Begins the thread. It ends when nobody can ask any more.
    fn begin(inner: &Arc<Self>) -> Option<mpsc::Sender<Weak<Restoring>>> {
        let (sender, mut asked) = mpsc::channel::<Weak<Restoring>>(MOST_WAITING);
        let inner = Arc::downgrade(inner);
        let work = move || {
            priority::patient();
            engine::ready_thread();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!(%error, "no instances can be restored"),
            };
            runtime.block_on(async {
                while let Some(restoring) = asked.recv().await {
                    let Some(inner) = inner.upgrade() else { return };
                    // On its own: others need not wait for a compiler.
                    tokio::spawn(async move {
                        let Some(restoring) = restoring.upgrade() else { return };
                        inner.see_to(&restoring).await;
                        restoring.is_asked.store(false, Ordering::Relaxed);
                    });
                }
            });
        };
        let thread = std::thread::Builder::new().name("restoring".to_owned()).spawn(work);
        thread
            .inspect_err(|error| tracing::error!(%error, "no instances can be restored"))
            .ok()
            .map(|_| sender)
    }

    async fn see_to(&self, restoring: &Arc<Restoring>) {
        meter::begin();
        match self.make(restoring).await {
            Ok(()) => {}
            Err(NotMade::Unfit(unfit)) => restoring.give_up(unfit),
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
        let code = match restoring.code.get() {
            Some(code) => code,
            None => {
                let code = self.code(&restoring.source).await?;
                meter::begin();
                restoring.code.get_or_init(|| code)
            }
        };
        let no_place = || NotMade::NotNow("as many as there may be".to_owned());
        if restoring.parts.memory.is_tight() {
            return Err(NotMade::NotNow("memory is tight".to_owned()));
        }
        let of_app = Place::take(&restoring.n_live, MOST_LIVE).ok_or_else(no_place)?;
        let of_host = Place::take(&self.n_live, self.most).ok_or_else(no_place)?;
        let (pool, n_slots) = &restoring.slots;
        let slots = pool.take_free(*n_slots).ok_or_else(no_place)?;
        let (store, proxy, restorer) = live::make(restoring, code, (of_app, of_host))?;
        restoring.idle.put(Idle::restored(store, proxy, Box::new(restorer), slots));
        Ok(())
    }

    async fn code(&self, source: &Source) -> Result<Code, NotMade> {
        // Nothing closes the semaphore.
        let _turn = self.compiling.acquire().await;
        let unfit = |why: String| NotMade::Unfit(Unfit::Host(why));
        let path = match source.compiler.compile_restoring(source.digest, &source.wasm).await {
            Ok(path) => path,
            Err(CompileError::Unfit(reason)) => return Err(NotMade::Unfit(reason)),
            Err(error) => return Err(unfit(crate::telemetry::chain(&error))),
        };
        let lane = self.links.restoring().ok_or_else(|| unfit("no engine for it".to_owned()))?;
        let component = map_component(&lane.engine, &path)
            .inspect_err(|_| source.compiler.discard_restoring(source.digest))
            .map_err(|error| unfit(crate::telemetry::chain(&error)))?;
        let pre = lane.components.instantiate_pre(&component).and_then(ProxyPre::new);
        let pre = pre.map_err(|error| unfit(format!("{error:#}")))?;
        Ok(Code::new(lane.engine.clone(), pre))
    }
}
