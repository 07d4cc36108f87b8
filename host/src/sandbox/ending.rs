//! From what Wasmtime says about the end of a call to an `Outcome`.
//! Does not run guests and does not know how an outcome is shown.

use steerage_core::excerpt::{self, excerpt};
use steerage_core::limits::Limits;
use steerage_core::outcome::{Outcome, Refusal, Trap};
use steerage_core::units::Bytes;
use wasmtime::{PoolConcurrencyLimitError, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::limiter::Limiter;
use super::offered::NotOffered;

/// Most bytes of all frames of a backtrace, so that an event has room for what else it tells.
const BACKTRACE: usize = excerpt::EVIDENCE - 2 * excerpt::MESSAGE;
/// Most bytes of the name of a source file.
const PLACE: usize = 96;

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
        return Outcome::OutOfFuel { limit: limits.fuel, backtrace: backtrace(error) };
    }
    if let Some((asked, excess)) = limiter.refused() {
        // To the next mebibyte, as one would write it into a manifest.
        let asked = Bytes::new(asked.get().div_ceil(1 << 20) << 20);
        return Outcome::OutOfMemory { limit: limits.memory, asked, excess };
    }
    let backtrace = backtrace(error);
    if let Some(NotOffered { function }) = error.downcast_ref() {
        return Outcome::Trapped(Trap::of_not_offered(function, backtrace));
    }
    Outcome::Trapped(Trap { reason: reason(error), backtrace })
}

fn reason(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
        // It may quote the guest.
        None => excerpt(excerpt::MESSAGE, error.root_cause()),
    }
}

/// The frames as far as there is room. Names and files are the guest's own: kilobytes of code can
/// name megabytes, so they are cut while they are written.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let mut room = BACKTRACE;
    let mut frames = Vec::new();
    for shown in backtrace.frames().iter().map(frame) {
        let Some(left) = room.checked_sub(shown.len()) else { break };
        room = left;
        frames.push(shown);
    }
    frames
}

fn frame(frame: &wasmtime::FrameInfo) -> String {
    let place = frame.symbols().iter().find_map(|symbol| {
        let (file, line) = (symbol.file()?, symbol.line().unwrap_or(0));
        Some(format!(" at {}:{line}", excerpt(PLACE, file)))
    });
    let place = place.unwrap_or_default();
    let most = excerpt::FRAME.saturating_sub(place.len());
    let name = match frame.func_name() {
        // As its author wrote it, without the hash that rustc adds.
        Some(name) => excerpt(most, format_args!("{:#}", rustc_demangle::demangle(name))),
        None => format!("<function {}>", frame.func_index()),
    };
    name + &place
}
