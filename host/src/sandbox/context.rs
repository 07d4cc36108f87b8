//! The context of `wasmtime-wasi` that the functions of a guest work on: made when one of them is first
//! called, since it costs allocations and a seeded generator, and a small service needs none of it.
//! Does not know requests: what a program is told is put into its context by whoever runs it.

use std::sync::Arc;

use wasmtime_wasi::WasiCtx;

use super::outbound::Doorway;
use super::stdio::Stdio;
use super::taped;
use crate::capsule::Tape;
use crate::telemetry::logs::Stream;

/// Most random bytes asked for at once: as many as browsers give. They take a good part of 100 us.
pub(super) const MOST_RANDOM: u64 = 64 << 10;

/// The environment of an app's guests, shared by its instances.
pub(super) type Environment = Arc<[(String, String)]>;

/// A context, or what one is made of.
pub(super) struct Context {
    /// Apart from its guest, which is moved.
    made: Option<Box<WasiCtx>>,
    /// What guests that ask for it by name are told, whether there is a context or not.
    env: Environment,
    /// What tells the guest clocks and random numbers, where that is written down or said again.
    tape: Option<Tape>,
}

impl Context {
    /// A context that is made when it is first asked for.
    pub(super) fn later(env: Environment) -> Self {
        Self { made: None, env, tape: None }
    }

    /// Whether there is one yet.
    #[cfg(test)]
    pub(super) fn is_made(&self) -> bool {
        self.made.is_some()
    }

    /// A context that there is, whose clocks and random numbers this tape tells.
    pub(super) fn made(wasi: WasiCtx, env: Environment, tape: Option<Tape>) -> Self {
        Self { made: Some(Box::new(wasi)), env, tape }
    }

    /// The environment of the app.
    pub(super) fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// From now on a tape tells the guest clocks and random numbers. Returns whether it does: it is too late for
    /// another tape where there is a context.
    #[must_use]
    pub(super) fn attach_tape(&mut self, tape: &Tape) -> bool {
        if self.made.is_none() {
            self.tape = Some(tape.clone());
        }
        self.tape.as_ref().is_some_and(|told_by| told_by.is_same(tape))
    }

    /// The context, made now where there is none; its output goes to `stdio`, and its sockets through the doorway
    /// where there is one.
    pub(super) fn get(
        &mut self,
        stdio: &mut Stdio,
        doorway: impl FnOnce() -> Option<Doorway>,
    ) -> &mut WasiCtx {
        let (env, tape) = (&self.env, &self.tape);
        self.made.get_or_insert_with(|| {
            let mut wasi = WasiCtx::builder();
            wasi.max_random_size(MOST_RANDOM)
                .envs(env)
                .stdout(stdio.stream(Stream::Stdout))
                .stderr(stdio.stream(Stream::Stderr));
            if let Some(doorway) = doorway() {
                doorway.open(&mut wasi);
            }
            if let Some(tape) = tape {
                taped::attach_tape(tape, &mut wasi);
            }
            Box::new(wasi.build())
        })
    }
}
