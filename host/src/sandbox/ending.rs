//! From what Wasmtime says about the end of a call to an `Outcome`.
//! Does not run guests and does not know how an outcome is shown.

use steerage_core::limits::Limits;
use steerage_core::outcome::{Outcome, Refusal, Trap};
use steerage_core::units::Bytes;
use wasmtime::{PoolConcurrencyLimitError, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::limiter::Limiter;

/// How the future that ran a guest came to its end.
#[derive(Debug)]
pub enum Finish {
    /// The guest's function returned.
    Returned,
    /// The guest's function returned and had not answered.
    ReturnedNothing,
    /// It trapped, or a host function failed.
    Failed(wasmtime::Error),
    /// Its time was over.
    TimedOut,
    /// Nobody wants the answer any more.
    Stopped,
}

/// Names the ending.
#[must_use]
pub fn judge(finish: &Finish, limiter: &Limiter, limits: &Limits) -> Outcome {
    match finish {
        Finish::Returned => Outcome::Answered,
        Finish::ReturnedNothing => Outcome::NoAnswer {
            detail: "the handler returned without setting a response".to_owned(),
        },
        Finish::TimedOut => Outcome::TimedOut { limit: limits.timeout },
        Finish::Stopped => Outcome::ClientGone,
        Finish::Failed(error) => judge_failure(error, limiter, limits),
    }
}

fn judge_failure(error: &wasmtime::Error, limiter: &Limiter, limits: &Limits) -> Outcome {
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return Outcome::Refused(Refusal::HostFull);
    }
    // A guest that gets no memory usually aborts: the refusal is the cause, not the trap.
    if let Some(refusal) = limiter.host_refused() {
        return Outcome::Refused(refusal.clone());
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Outcome::NoAnswer { detail: format!("the guest exited with status {}", exit.0) };
    }
    if matches!(error.downcast_ref::<wasmtime::Trap>(), Some(wasmtime::Trap::OutOfFuel)) {
        return Outcome::OutOfFuel { limit: limits.fuel };
    }
    if let Some(asked) = limiter.refused() {
        // To the next mebibyte, as one would write it into a manifest.
        let asked = Bytes::new(asked.get().div_ceil(1 << 20) << 20);
        return Outcome::OutOfMemory { limit: limits.memory, asked };
    }
    Outcome::Trapped(Trap { reason: reason(error), backtrace: backtrace(error) })
}

fn reason(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        None => error.root_cause().to_string(),
    }
}

fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    backtrace.frames().iter().map(frame).collect()
}

fn frame(frame: &wasmtime::FrameInfo) -> String {
    let name =
        frame.func_name().map_or_else(|| format!("<function {}>", frame.func_index()), demangled);
    let place = frame.symbols().iter().find_map(|symbol| {
        let file = symbol.file()?;
        Some(format!(" at {file}:{}", symbol.line().unwrap_or(0)))
    });
    format!("{name}{}", place.unwrap_or_default())
}

/// The name as its author wrote it, without the hash that rustc adds.
fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
