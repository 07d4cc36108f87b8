//! Calls of a component with a handler, in a fresh instance or in one that has served before.
//! Does not know programs, which `program` runs, and does not bound a call: `instance` does.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Chunk;
use http_body::Body;
use steerage_core::manifest::ReuseStats;
use steerage_core::outcome::Outcome;
use steerage_core::units::Bytes;
use wasmtime::Store;
use wasmtime_wasi_http::{Error, p3};

use super::ending::{Finish, judge};
use super::guest::Guest;
use super::http::{call_p2, call_p3};
use super::http02::{Handler, IncomingRequest};
use super::idle::{InstanceSlots, Waiting};
use super::instance::GuestRequest;
use super::linked::Pre;
use super::module::InstanceTemplate;
use super::pace;
use super::replay;
use super::restore::live::Restorer;
use super::restore::outcome::Lost;
use super::restore::pages::FaultWatch;
use crate::call::{Call, Usage};
use crate::meter;

/// An instance that has served a call and may serve another, or can serve its first.
pub(super) struct Idle {
    store: Store<Guest>,
    live: Live,
    calls: u32,
    birth: Birth,
    /// Of one that is put back after each call. Below the store, which is dropped first.
    restorer: Option<Box<Restorer>>,
    /// Below the store as well.
    slots: InstanceSlots,
}

/// How an instance began.
#[derive(Clone, Copy)]
struct Birth {
    at: std::time::Instant,
    memory: Bytes,
}

impl Birth {
    fn age(&self) -> Duration {
        meter::now().saturating_duration_since(self.at)
    }
}

enum Live {
    Http02(Handler),
    Http03(p3::bindings::Service),
}

/// A store, with its instance where it has served before.
struct Serving {
    store: Store<Guest>,
    live: Option<(Live, Birth)>,
    calls: u32,
    /// Of one that is put back after each call. Below the store, which is dropped first.
    restorer: Option<Box<Restorer>>,
    /// Below the store as well.
    slots: InstanceSlots,
}

/// What came of a call.
struct Served {
    outcome: Outcome,
    usage: Usage,
    serving: Serving,
}

impl Idle {
    /// Whether it is put back after each call.
    pub(super) fn is_restored(&self) -> bool {
        self.restorer.is_some()
    }

    /// One that was made to be put back after each call, and has not served yet.
    pub(super) fn restored(
        store: Store<Guest>,
        handler: Handler,
        restorer: Restorer,
        slots: InstanceSlots,
    ) -> Self {
        let birth = Birth { at: std::time::Instant::now(), memory: store.data().limiter.used() };
        let (live, restorer) = (Live::Http02(handler), Some(Box::new(restorer)));
        Self { store, live, calls: 0, birth, restorer, slots }
    }
}

impl InstanceTemplate {
    pub(super) async fn run_service<B>(&self, call: &Arc<Call>, guest_request: Box<GuestRequest<B>>)
    where
        B: Body<Data = Chunk> + Send + 'static,
        B::Error: Into<Error>,
    {
        let serving = self.take_idle(call).unwrap_or_else(|| self.fresh(call));
        if serving.live.is_some() && self.reuse.is_trial(serving.calls) {
            // In a box, as it is rare.
            return Box::pin(self.run_on_trial(call, serving, guest_request)).await;
        }
        let served = self.serve(call, serving, guest_request).await;
        self.settle(call, served);
    }

    /// Serves a call in an instance that may be of the kind that takes no more of them: where it gives
    /// no answer, a fresh one is asked.
    async fn run_on_trial<B>(
        &self,
        call: &Arc<Call>,
        serving: Serving,
        guest_request: Box<GuestRequest<B>>,
    ) where
        B: Body<Data = Chunk> + Send + 'static,
        B::Error: Into<Error>,
    {
        let n_served = serving.calls;
        let (guest_request, replay) = replay::replayable(*guest_request);
        let served = self.serve(call, serving, guest_request).await;
        let has_failed = matches!(
            served.outcome,
            Outcome::NoAnswer { .. } | Outcome::Trapped(_) | Outcome::OutOfMemory { .. }
        );
        let again = if has_failed && !call.must_stop() { replay.back() } else { None };
        let Some(guest_request) = again else { return self.settle(call, served) };
        let lost = served.usage;
        drop(served);
        let mut served = self.serve(call, self.fresh(call), guest_request).await;
        served.usage.cpu += lost.cpu;
        served.usage.cpu_counted += lost.cpu_counted;
        if served.outcome == Outcome::Answered && self.reuse.note_failed(n_served) {
            call.note_most_served(n_served);
        }
        self.settle(call, served);
    }

    async fn serve<B>(
        &self,
        call: &Arc<Call>,
        mut serving: Serving,
        guest_request: Box<GuestRequest<B>>,
    ) -> Served
    where
        B: Body<Data = Chunk> + Send + 'static,
        B::Error: Into<Error>,
    {
        let deadline = guest_request.deadline;
        let (store, known) = (&mut serving.store, serving.live.take());
        store.data_mut().outbound.start_call(call.time(), deadline);
        if let Some(tape) = &guest_request.tape {
            tape.keep_if_complete(store.data_mut().attach_tape(tape));
        }
        let is_restored = serving.restorer.is_some();
        let mut instantiate = Duration::ZERO;
        let mut kept = None;
        let mut has_faulted = false;
        let (finish, cpu) = {
            // Pinned here: each function that takes it by value would hold, and move, another 2 KiB.
            let guest = pin!(async {
                self.start_call(store)?;
                if is_restored {
                    self.start_restored(store)?;
                }
                let (live, birth) = match known {
                    Some(known) => known,
                    None => {
                        let started_at = meter::now();
                        let live = self.instantiate(store).await?;
                        instantiate = meter::read().saturating_duration_since(started_at);
                        self.note_made(store)?;
                        let memory = store.data().limiter.used();
                        (live, Birth { at: started_at, memory })
                    }
                };
                let GuestRequest { request, host_headers, https, head, .. } = *guest_request;
                match &live {
                    Live::Http02(handler) => {
                        let request = IncomingRequest::new(request, host_headers, https);
                        call_p2(store, handler, request, head).await?;
                    }
                    Live::Http03(service) => {
                        Box::pin(call_p3(store, service, request, head)).await?;
                    }
                }
                kept = Some((live, birth));
                Ok(())
            });
            let guest = pin!(FaultWatch::new(guest, is_restored.then_some(&mut has_faulted)));
            self.bounded(call, deadline, guest).await
        };
        serving.live = kept;
        if let Some(restorer) = &mut serving.restorer {
            restorer.note_faulted(has_faulted);
        }
        let guest = serving.store.data();
        guest.stdio.finish_call();
        let finish = match finish {
            Finish::Returned if !call.is_answered() => Finish::ReturnedNothing,
            finish => finish,
        };
        let outcome = judge(&finish, &guest.limiter, &self.limits);
        let memory = guest.limiter.peak();
        let usage = self.usage(&serving.store, memory, cpu, instantiate);
        Served { outcome, usage, serving }
    }

    /// Says how the call ended, before the instance is dropped or waits for another.
    fn settle(&self, call: &Arc<Call>, served: Served) {
        let Served { outcome, usage, serving } = served;
        let has_answered = outcome == Outcome::Answered;
        call.end(outcome, usage);
        if serving.restorer.is_some() {
            return self.put_back(call, serving, has_answered);
        }
        let Serving { store, live, calls, slots, .. } = serving;
        let calls = calls.saturating_add(1);
        if !self.is_reusing() || !has_answered {
            return;
        }
        self.reuse.note_answered(calls);
        if let Some((live, birth)) = live
            && self.reuse.allows(calls)
            && self.instance.keeps(&reuse_stats(&store, calls, &birth))
        {
            let idle = Idle { store, live, calls, birth, restorer: None, slots };
            self.idle.put(Waiting::Service(idle));
            // Nothing is dropped that could be large.
            meter::note_nearly_done();
        }
    }

    /// Puts an instance back to what it was before the call, at once, so that nothing of a call waits
    /// in memory, and has it wait for another.
    fn put_back(&self, call: &Call, serving: Serving, has_answered: bool) {
        let (Some(restoring), Some(mut restorer)) = (&self.restoring, serving.restorer) else {
            return;
        };
        let mut store = serving.store;
        let Some((live, birth)) = serving.live.filter(|_| has_answered) else {
            return restoring.note_lost(&Lost::BadEnd);
        };
        let before = meter::so_far_as_read();
        let guest = self.service.guest(call.ids(), serving.slots.reservation());
        let restored = restorer.restore(&mut store, guest, restoring.learned());
        let (restorer, slots) = (Some(restorer), serving.slots);
        let idle = Idle { store, live, calls: 0, birth, restorer, slots };
        self.keep_restored(before, restored.map(|()| Waiting::Service(idle)));
    }

    /// Has an instance wait that was put back, which was begun when so much of the CPU had been used.
    pub(super) fn keep_restored(&self, before: Duration, restored: Result<Waiting, Lost>) {
        let Some(restoring) = &self.restoring else { return };
        // The call is over; this is the app's none the less.
        self.meter.add_cpu(meter::so_far().saturating_sub(before));
        match restored {
            Ok(waiting) => {
                // It may have been given up meanwhile.
                if restoring.is_on() {
                    self.idle.put(waiting);
                    meter::note_nearly_done();
                }
                // Once it waits: who sees the count finds it there.
                restoring.note_restored();
            }
            Err(lost) => restoring.note_lost(&lost),
        }
    }

    async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Live> {
        match &self.linked.pre {
            Pre::Http02(pre) => Ok(Live::Http02(pre.instantiate(store).await?)),
            Pre::Http03(pre) => Ok(Live::Http03(pre.instantiate_async(store).await?)),
            Pre::CgiComponent(_) | Pre::CgiModule(_) => {
                Err(wasmtime::Error::msg("a CGI program has no handler"))
            }
        }
    }

    fn fresh(&self, call: &Arc<Call>) -> Serving {
        // The slots first, so that they are there for what is made.
        let slots = self.take_slots();
        let mut store =
            Store::new(&self.engine, self.service.guest(call.ids(), slots.reservation()));
        store.limiter(|guest| &mut guest.limiter);
        pace::keep(&mut store);
        Serving { store, live: None, calls: 0, restorer: None, slots }
    }

    pub(super) fn is_reusing(&self) -> bool {
        self.instance.reuse.get() > 1
    }

    fn take_idle(&self, call: &Arc<Call>) -> Option<Serving> {
        if !self.is_reusing() {
            return self.take_restored(call);
        }
        let idle = loop {
            let Waiting::Service(idle) = self.idle.take()? else { return None };
            if idle.birth.age() < self.instance.max_age && self.reuse.allows(idle.calls) {
                break idle;
            }
        };
        let Idle { mut store, live, calls, birth, restorer, slots } = idle;
        let guest = store.data_mut();
        guest.limiter.start_call();
        guest.stdio.start_call(call.ids());
        Some(Serving { store, live: Some((live, birth)), calls, restorer, slots })
    }

    /// An instance that was put back; to the call it is a new one.
    fn take_restored(&self, call: &Arc<Call>) -> Option<Serving> {
        let Some(Waiting::Service(idle)) = self.take_waiting() else { return None };
        let Idle { mut store, live, calls, birth, restorer, slots } = idle;
        store.data_mut().stdio.start_call(call.ids());
        Some(Serving { store, live: Some((live, birth)), calls, restorer, slots })
    }

    /// An instance that was put back, where the app has any; where none waits that is noted.
    pub(super) fn take_waiting(&self) -> Option<Waiting> {
        let restoring = self.restoring.as_ref().filter(|restoring| restoring.is_on())?;
        let waiting = self.idle.take();
        if waiting.is_none() {
            restoring.note_missed();
        }
        waiting
    }
}

fn reuse_stats(store: &Store<Guest>, calls: u32, birth: &Birth) -> ReuseStats {
    let growth = store.data().limiter.used().get().saturating_sub(birth.memory.get());
    ReuseStats { calls, age: birth.age(), growth: Bytes::new(growth) }
}
