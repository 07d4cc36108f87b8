//! Calls of programs, which are served the CGI way: in a new instance, or in one that was put back. A
//! program runs once and ends; that its instance may run it again is not for it to see.
//! Does not bound a call and does not read what it writes: `instance` and `cgi` do.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Chunk;
use http_body::Body;
use steerage_core::outcome::Outcome;
use wasmtime::{Store, TypedFunc};
use wasmtime_wasi::p2::bindings::{Command, CommandPre};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_http::Error;

use super::cgi;
use super::cgi::environment::{Origin, variables};
use super::cgi::output::Output;
use super::context::{Context, MOST_RANDOM};
use super::ending::{Finish, judge};
use super::engine::Flavor;
use super::guest::{CoreGuest, Guest};
use super::idle::{InstanceSlots, Waiting};
use super::instance::GuestRequest;
use super::limiter::Limiter;
use super::module::InstanceTemplate;
use super::pace;
use super::restore::deployment::Restoring;
use super::restore::learned::Learned;
use super::restore::live::Restorer;
use super::restore::live_module::ModuleRestorer;
use super::restore::outcome::Lost;
use super::restore::pages::FaultWatch;
use super::stdio::Stdio;
use super::taped;
use crate::call::{Call, CallIds, ResponseSender, Usage};
use crate::capsule::Tape;
use crate::meter;
use crate::telemetry::logs::Stream;

/// An instance of a program. The fields are dropped in this order, the store first.
pub(super) struct Program<T: 'static, I, R> {
    pub(super) store: Store<T>,
    /// What is called, once the instance is made.
    pub(super) entry: Option<I>,
    /// Of one that is put back after each call.
    pub(super) restorer: Option<R>,
    pub(super) slots: InstanceSlots,
}

/// A program that is a component.
pub(super) type ComponentProgram = Program<Guest, Command, Restorer>;
/// A program that is a core module.
pub(super) type ModuleProgram = Program<CoreGuest, TypedFunc<(), ()>, ModuleRestorer>;

/// A program that was put back and waits for a call.
pub(super) enum WaitingProgram {
    Component(ComponentProgram),
    Module(ModuleProgram),
}

impl ComponentProgram {
    fn put_back(mut self, guest: Guest, learned: &Learned) -> Result<Self, Lost> {
        let restorer = self.restorer.as_mut().ok_or(Lost::BadEnd)?;
        restorer.restore(&mut self.store, guest, learned)?;
        Ok(self)
    }
}

impl ModuleProgram {
    fn put_back(mut self, guest: CoreGuest) -> Result<Self, Lost> {
        let restorer = self.restorer.as_mut().ok_or(Lost::BadEnd)?;
        restorer.restore(&mut self.store, guest)?;
        Ok(self)
    }
}

impl InstanceTemplate {
    pub(super) async fn run_command<B>(
        &self,
        pre: &CommandPre<Guest>,
        call: &Arc<Call>,
        guest_request: Box<GuestRequest<B>>,
    ) where
        B: Body<Data = Chunk> + Send + 'static,
        B::Error: Into<Error>,
    {
        let GuestRequest { request, place, deadline, head, tape, .. } = *guest_request;
        let (mut wasi, stdio, output) = self.program(call, request, &place, (head, tape.as_ref()));
        if self.linked.flavor != Flavor::Concurrent
            && let Some(doorway) = self.outbound.doorway()
        {
            doorway.open(&mut wasi);
        }
        let wasi = Context::made(wasi.build(), self.env.clone(), tape.clone());
        let mut program = self.component_program(wasi, stdio);
        if let Some(tape) = &tape {
            tape.keep_if_complete(program.store.data_mut().attach_tape(tape));
        }
        let (store, entry) = (&mut program.store, &mut program.entry);
        let is_restored = program.restorer.is_some();
        let mut instantiate = Duration::ZERO;
        let mut has_faulted = false;
        let (finish, cpu) = {
            let guest = pin!(async {
                self.start_call(store)?;
                let command = match entry.take() {
                    Some(command) => self.start_restored(store).map(|()| command)?,
                    None => {
                        let started_at = meter::now();
                        let command = pre.instantiate_async(&mut *store).await?;
                        instantiate = meter::read().saturating_duration_since(started_at);
                        self.note_made(store)?;
                        command
                    }
                };
                let result = command.wasi_cli_run().call_run(&mut *store).await?;
                // One that exits comes not this far: its instance cannot be entered again.
                *entry = Some(command);
                // A program that returns an error has ended like one that exits with 1.
                result.map_err(|()| I32Exit(1).into())
            });
            let guest = pin!(FaultWatch::new(guest, is_restored.then_some(&mut has_faulted)));
            self.bounded(call, deadline, guest).await
        };
        let guest = program.store.data();
        let usage = self.usage(&program.store, guest.limiter.peak(), cpu, instantiate);
        let has_answered =
            self.end_program(call, (finish, &output), (&guest.stdio, &guest.limiter), usage);
        let Some(restorer) = &mut program.restorer else { return };
        restorer.note_faulted(has_faulted);
        self.put_back_program(has_answered && program.entry.is_some(), |restoring| {
            let guest = self.service.guest(call.ids(), program.slots.reservation());
            program.put_back(guest, restoring.learned()).map(WaitingProgram::Component)
        });
    }

    pub(super) async fn run_module<B>(
        &self,
        pre: &wasmtime::InstancePre<CoreGuest>,
        call: &Arc<Call>,
        guest_request: Box<GuestRequest<B>>,
    ) where
        B: Body<Data = Chunk> + Send + 'static,
        B::Error: Into<Error>,
    {
        let GuestRequest { request, place, deadline, head, tape, .. } = *guest_request;
        let (mut wasi, stdio, output) = self.program(call, request, &place, (head, tape.as_ref()));
        let mut program = self.module_program();
        program.store.data_mut().begin_program(wasi.build_p1(), stdio);
        let (store, entry) = (&mut program.store, &mut program.entry);
        let is_restored = program.restorer.is_some();
        let mut instantiate = Duration::ZERO;
        let mut has_faulted = false;
        let (finish, cpu) = {
            let guest = pin!(async {
                self.start_call(store)?;
                let start = match &*entry {
                    Some(start) => self.start_restored(store).map(|()| start)?,
                    None => {
                        let started_at = meter::now();
                        let instance = pre.instantiate_async(&mut *store).await?;
                        instantiate = meter::read().saturating_duration_since(started_at);
                        self.note_made(store)?;
                        entry.insert(instance.get_typed_func::<(), ()>(&mut *store, "_start")?)
                    }
                };
                start.call_async(&mut *store, ()).await
            });
            let guest = pin!(FaultWatch::new(guest, is_restored.then_some(&mut has_faulted)));
            self.bounded(call, deadline, guest).await
        };
        let guest = program.store.data();
        let usage = self.usage(&program.store, guest.limiter.peak(), cpu, instantiate);
        let has_answered =
            self.end_program(call, (finish, &output), (&guest.stdio, &guest.limiter), usage);
        let Some(restorer) = &mut program.restorer else { return };
        restorer.note_faulted(has_faulted);
        self.put_back_program(has_answered, |_| {
            let guest = self.service.core_guest(call.ids(), program.slots.reservation());
            program.put_back(guest).map(WaitingProgram::Module)
        });
    }

    /// The instance for a call, which was put back or has yet to be made in its store.
    fn component_program(&self, wasi: Context, stdio: Stdio) -> ComponentProgram {
        if let Some(Waiting::Program(program)) = self.take_waiting()
            && let WaitingProgram::Component(mut program) = *program
        {
            program.store.data_mut().begin_program(wasi, stdio);
            return program;
        }
        let slots = self.take_slots();
        let limiter = Limiter::new(self.limits.memory, slots.reservation());
        let outbound = self.outbound.for_instance();
        let guest = Guest::new(wasi, outbound, limiter, stdio, self.linked.flavor)
            .with_stores(self.service.stores.clone(), self.service.databases.clone());
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        pace::keep(&mut store);
        Program { store, entry: None, restorer: None, slots }
    }

    /// The same for a core module.
    fn module_program(&self) -> ModuleProgram {
        if let Some(Waiting::Program(program)) = self.take_waiting()
            && let WaitingProgram::Module(program) = *program
        {
            return program;
        }
        let slots = self.take_slots();
        // Whose call it is for is said when it begins.
        let guest = self.service.core_guest(CallIds::NONE, slots.reservation());
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| &mut guest.limiter);
        pace::keep(&mut store);
        Program { store, entry: None, restorer: None, slots }
    }

    /// Says how a program's call ended, before its instance is dropped or put back; whether it ended well.
    fn end_program(
        &self,
        call: &Arc<Call>,
        (finish, output): (Finish, &Output),
        (stdio, limiter): (&Stdio, &Limiter),
        usage: Usage,
    ) -> bool {
        stdio.finish_call();
        let outcome = judge_program(finish, output, call, limiter, self);
        let has_answered = outcome == Outcome::Answered;
        call.end(outcome, usage);
        has_answered
    }

    /// Puts a program back at once, so that nothing of a call waits in memory, and has it wait for
    /// another.
    fn put_back_program(
        &self,
        has_ended_well: bool,
        restore: impl FnOnce(&Restoring) -> Result<WaitingProgram, Lost>,
    ) {
        let Some(restoring) = &self.restoring else { return };
        if !has_ended_well {
            return restoring.note_lost(&Lost::BadEnd);
        }
        let before = meter::so_far_as_read();
        let restored = restore(restoring);
        self.keep_restored(before, restored.map(|program| Waiting::Program(Box::new(program))));
    }

    /// The context of a program: its environment and its stdin come from the request.
    fn program<B>(
        &self,
        call: &Arc<Call>,
        request: http::Request<B>,
        place: &Origin,
        (head, tape): (ResponseSender, Option<&Tape>),
    ) -> (WasiCtxBuilder, Stdio, Output)
    where
        B: Body<Data = Chunk> + Send + 'static,
        B::Error: Into<Error>,
    {
        let (parts, body) = request.into_parts();
        let mut stdio = Stdio::new(self.log.clone(), self.generation, call.ids());
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
        if let Some(tape) = tape {
            taped::attach_tape(tape, &mut wasi);
        }
        (wasi, stdio, output)
    }
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
