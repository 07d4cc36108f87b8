//! One call in one instance: makes or takes the instance, runs the guest, bounds it, says how it
//! ended. Does not choose the thread it runs on and does not answer the client.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body::Body;
use steerage_core::outcome::Outcome;
use steerage_core::units::{Bytes, Fuel};
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_http::Error;

use super::cgi;
use super::cgi::environment::{Origin, variables};
use super::cgi::output::Output;
use super::checked::MOST_PER_HOST_CALL;
use super::context::{Context, MOST_RANDOM};
use super::ending::{Finish, judge};
use super::guest::{CoreGuest, Guest};
use super::limiter::Limiter;
use super::linked::Pre;
use super::module::InstanceTemplate;
use super::pace;
use super::reservation::Reservation;
use super::stdio::Stdio;
use crate::call::{Call, ResponseSender, Usage};
use crate::header::HostHeaders;
use crate::meter;
use crate::telemetry::logs::Stream;

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
}

impl InstanceTemplate {
    /// Serves one call and says to `call` how it ended, before anything of the guest is dropped.
    pub async fn run<B>(&self, call: &Arc<Call>, guest_request: Box<GuestRequest<B>>)
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

    async fn run_command<B>(
        &self,
        pre: &CommandPre<Guest>,
        call: &Arc<Call>,
        guest_request: Box<GuestRequest<B>>,
    ) where
        B: Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        let guest_request = *guest_request;
        let (mut wasi, stdio, output) =
            self.program(call, guest_request.request, &guest_request.place, guest_request.head);
        let wasi = Context::made(wasi.build());
        let slots = self.take_slots();
        let mut store = Store::new(&self.engine, self.guest(wasi, stdio, slots.reservation()));
        store.limiter(|guest| &mut guest.limiter);
        pace::keep(&mut store);
        let mut instantiate = Duration::ZERO;
        let (finish, cpu) = {
            let guest = pin!(async {
                self.start_call(&mut store)?;
                let started_at = std::time::Instant::now();
                let command = pre.instantiate_async(&mut store).await?;
                instantiate = started_at.elapsed();
                // A program that returns an error has ended like one that exits with 1.
                match command.wasi_cli_run().call_run(&mut store).await? {
                    Ok(()) => Ok(()),
                    Err(()) => Err(I32Exit(1).into()),
                }
            });
            self.bounded(call, guest_request.deadline, guest).await
        };
        let guest = store.data();
        guest.stdio.finish_call();
        let outcome = judge_program(finish, &output, call, &guest.limiter, self);
        let memory = guest.limiter.peak();
        call.end(outcome, self.usage(&store, memory, cpu, instantiate));
    }

    async fn run_module<B>(
        &self,
        pre: &wasmtime::InstancePre<CoreGuest>,
        call: &Arc<Call>,
        guest_request: Box<GuestRequest<B>>,
    ) where
        B: Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        let guest_request = *guest_request;
        let (mut wasi, stdio, output) =
            self.program(call, guest_request.request, &guest_request.place, guest_request.head);
        let slots = self.take_slots();
        let limiter = Limiter::new(self.limits.memory, slots.reservation());
        let guest = CoreGuest { wasi: wasi.build_p1(), limiter, stdio };
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        pace::keep(&mut store);
        let mut instantiate = Duration::ZERO;
        let (finish, cpu) = {
            let guest = pin!(async {
                self.start_call(&mut store)?;
                let started_at = std::time::Instant::now();
                let instance = pre.instantiate_async(&mut store).await?;
                instantiate = started_at.elapsed();
                let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
                start.call_async(&mut store, ()).await
            });
            self.bounded(call, guest_request.deadline, guest).await
        };
        let guest = store.data();
        guest.stdio.finish_call();
        let outcome = judge_program(finish, &output, call, &guest.limiter, self);
        let memory = guest.limiter.peak();
        call.end(outcome, self.usage(&store, memory, cpu, instantiate));
    }

    /// The context of a program: its environment and its stdin come from the request.
    fn program<B>(
        &self,
        call: &Arc<Call>,
        request: http::Request<B>,
        place: &Origin,
        head: ResponseSender,
    ) -> (WasiCtxBuilder, Stdio, Output)
    where
        B: Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        let (parts, body) = request.into_parts();
        let mut stdio = Stdio::new(self.log.clone(), self.generation, call.id);
        let output = Output::new(head);
        let mut wasi = WasiCtx::builder();
        for (name, value) in variables(&parts, place, &self.env) {
            wasi.env(name, value);
        }
        wasi.max_random_size(MOST_RANDOM)
            .arg(&place.script_name)
            .stdin(cgi::stdin(body))
            .stdout(output.clone())
            .stderr(stdio.stream(Stream::Stderr));
        (wasi, stdio, output)
    }

    fn guest(&self, wasi: Context, stdio: Stdio, reservation: Arc<Reservation>) -> Guest {
        let limiter = Limiter::new(self.limits.memory, reservation);
        Guest::new(wasi, self.outbound.for_instance(), limiter, stdio, self.linked.flavor)
    }

    pub(super) fn start_call<T>(&self, store: &mut Store<T>) -> wasmtime::Result<()> {
        start(store, self.limits.fuel, self.slice)
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
        let mut timer = pin!(tokio::time::sleep_until(deadline));
        let (mut cpu, mut is_evictable) = (Cpu::default(), false);
        let finish = poll_fn(|context| {
            // Told to stop between two slices, it does not get another.
            if call.must_stop() {
                return Poll::Ready(Finish::Stopped);
            }
            let polled = guest.as_mut().poll(context);
            // Whoever polls this has begun a piece of work; making the store belongs to it.
            let slice = meter::so_far();
            cpu.used += slice;
            if let Poll::Ready(result) = polled {
                return Poll::Ready(match result {
                    Ok(()) => Finish::Returned,
                    Err(error) => Finish::Failed(error),
                });
            }
            self.meter.add_cpu(slice);
            cpu.counted += slice;
            // What outlives its first slice can be ended for the memory it holds.
            if !is_evictable {
                self.memory.make_evictable(call);
                is_evictable = true;
            }
            if call.poll_stop(context).is_ready() {
                return Poll::Ready(Finish::Stopped);
            }
            // The timer is told of the time by a thread that may be this one, busy with slices.
            if deadline <= Instant::now() {
                return Poll::Ready(Finish::TimedOut);
            }
            timer.as_mut().poll(context).map(|()| Finish::TimedOut)
        })
        .await;
        (finish, cpu)
    }
}

/// Gives a store what it may use from now on, in slices.
pub(super) fn start<T>(store: &mut Store<T>, fuel: Fuel, slice: Fuel) -> wasmtime::Result<()> {
    store.set_fuel(fuel.get())?;
    store.set_hostcall_fuel(MOST_PER_HOST_CALL);
    store.set_max_component_handles(MOST_HANDLES);
    store.fuel_async_yield_interval(Some(slice.get()))
}

/// A program ends well when it exits with 0 after a whole response.
fn judge_program(
    finish: Finish,
    output: &Output,
    call: &Arc<Call>,
    limiter: &Limiter,
    prepared: &InstanceTemplate,
) -> Outcome {
    let finish = match finish {
        Finish::Failed(error) if matches!(error.downcast_ref(), Some(I32Exit(0))) => {
            Finish::Returned
        }
        finish => finish,
    };
    let written = output.finish();
    match (&finish, written) {
        (Finish::Returned, Err(detail)) if !call.is_answered() => Outcome::NoAnswer { detail },
        _ => judge(&finish, limiter, &prepared.limits),
    }
}
