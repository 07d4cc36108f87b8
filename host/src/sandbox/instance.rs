//! One call in one instance: makes or takes the instance, runs the guest, bounds it, says how it
//! ended. Does not choose the thread it runs on and does not answer the client.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body::Body;
use steerage_core::units::{Bytes, Fuel};
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime_wasi_http::Error;

use super::cgi::environment::Origin;
use super::checked::HOST_CALL_FUEL;
use super::ending::Finish;
use super::linked::Pre;
use super::module::InstanceTemplate;
use crate::call::{Call, ResponseSender, Usage};
use crate::capsule::Tape;
use crate::header::HostHeaders;
use crate::meter;

/// Most handles of the component model that may live in one store. Guests make them without any
/// function of the host, and each takes some dozen bytes of it.
const MOST_HANDLES: usize = 20_000;

/// CPU time of one call, and what of it was counted for its app before the call was over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    used: Duration,
    counted: Duration,
}

/// A request on its way into a guest.
#[derive(Debug)]
pub struct GuestRequest<B> {
    /// The request as the guest shall see it.
    pub request: http::Request<B>,
    /// Headers that are to be added before the guest sees them, if that is not done.
    pub host_headers: Option<Box<dyn HostHeaders>>,
    /// Whether the client came over TLS.
    pub https: bool,
    /// What a CGI program is told besides; ignored by other kinds.
    pub place: Origin,
    /// When the guest is stopped.
    pub deadline: Instant,
    /// Where the response goes.
    pub head: ResponseSender,
    /// Records what the guest is told, or says it again. Most calls have none.
    pub tape: Option<Tape>,
}

impl InstanceTemplate {
    /// Serves one call and says to `call` how it ended, before anything of the guest is dropped.
    pub async fn run<B>(&self, call: &Arc<Call>, guest_request: Box<GuestRequest<B>>)
    where
        B: Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        if self.is_captured() && guest_request.tape.is_none() {
            let guest_request = self.taped(call, *guest_request);
            return Box::pin(self.run_call(call, guest_request)).await;
        }
        self.run_call(call, guest_request).await;
    }

    /// Serves one call. A call that is to be recorded has its tape now.
    async fn run_call<B>(&self, call: &Arc<Call>, guest_request: Box<GuestRequest<B>>)
    where
        B: Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        match &self.linked.pre {
            Pre::Http02(_) | Pre::Http03(_) => self.run_service(call, guest_request).await,
            // Boxed, so that a small service does not move the room that these need.
            Pre::CgiComponent(pre) => Box::pin(self.run_command(pre, call, guest_request)).await,
            Pre::CgiModule(pre) => Box::pin(self.run_module(pre, call, guest_request)).await,
        }
    }

    pub(super) fn start_call<T>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        start(store, self.limits.fuel, self.slice)
    }

    /// What an instance that was put back may use: as much as a new one has left when it is made.
    pub(super) fn start_restored<T>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        self.restoring.as_ref().map_or(Ok(()), |restoring| store.set_fuel(restoring.fuel_left()))
    }

    /// Takes note of what a new instance has left.
    pub(super) fn note_made<T>(&self, store: &Store<T>) -> wasmtime::Result<()> {
        if let Some(restoring) = &self.restoring {
            restoring.note_made(store.get_fuel()?);
        }
        Ok(())
    }

    pub(super) fn usage<T>(
        &self,
        store: &Store<T>,
        memory: Bytes,
        cpu: Cpu,
        instantiate: Duration,
    ) -> Usage {
        let left = store.get_fuel().unwrap_or(0);
        let fuel = Fuel::new(self.limits.fuel.get().saturating_sub(left));
        Usage { fuel, memory, cpu: cpu.used, cpu_counted: cpu.counted, instantiate }
    }

    /// Polls the guest until it ends, its time is over or nobody wants it any more; says which, and
    /// how much CPU time it took.
    pub(super) async fn bounded(
        &self,
        call: &Arc<Call>,
        deadline: Instant,
        mut guest: Pin<&mut impl Future<Output = wasmtime::Result<()>>>,
    ) -> (Finish, Cpu) {
        // Made when the guest first waits: most are over before.
        let mut timer = None;
        let (mut cpu, mut is_evictable) = (Cpu::default(), false);
        let mut paused = None;
        let finish = poll_fn(|context| {
            if let Some(paused) = paused.take() {
                call.time().resume(paused, meter::now());
            }
            // Told to stop between two slices, it does not get another.
            if call.must_stop() {
                return Poll::Ready(Finish::Stopped);
            }
            let polled = self.profile.within(|| guest.as_mut().poll(context));
            // Whoever polls this has begun a piece of work; making the store belongs to it.
            let slice = meter::so_far();
            cpu.used += slice;
            // What the clock says beyond the processor's time is when the system ran others on this core: the
            // guest could have run.
            call.time().note_interrupted(meter::passed_as_read().saturating_sub(slice));
            if let Poll::Ready(result) = polled {
                return Poll::Ready(match result {
                    Ok(()) => Finish::Returned,
                    Err(error) => Finish::Failed(error),
                });
            }
            self.meter.add_cpu(slice);
            cpu.counted += slice;
            // At the time that was read for the slice.
            paused = Some(call.time().pause(meter::now()));
            // What outlives its first slice can be ended for the memory it holds.
            if !is_evictable {
                self.memory.make_evictable(call);
                is_evictable = true;
            }
            if call.poll_stop(context).is_ready() {
                return Poll::Ready(Finish::Stopped);
            }
            // The timer is told of the time by a thread that may be this one, busy with slices.
            if deadline <= Instant::from_std(meter::now()) {
                return Poll::Ready(Finish::TimedOut);
            }
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            timer.as_mut().poll(context).map(|()| Finish::TimedOut)
        })
        .await;
        call.time().note_left_to_client(meter::now());
        (finish, cpu)
    }
}

/// Gives a store what it may use from now on, in slices.
pub(super) fn start<T>(store: &mut Store<T>, fuel: Fuel, slice: Fuel) -> wasmtime::Result<()> {
    store.set_fuel(fuel.get())?;
    store.set_hostcall_fuel(HOST_CALL_FUEL);
    store.set_max_component_handles(MOST_HANDLES);
    store.fuel_async_yield_interval(Some(slice.get()))
}
