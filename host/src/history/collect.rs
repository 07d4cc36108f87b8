//! What an app did since history was last written, from where its calls count it.
//! Reads and takes; writes nothing down.

use std::time::Duration;

use steerage_core::history::Slot;

use crate::catalog::AppState;

/// Takes what an app did; `None` where it was idle.
pub(super) fn take(state: &AppState) -> Option<Slot> {
    finish(state, state.calls.take_slot(), state.meter.take_cpu())
}

/// The same, without taking it.
pub(super) fn look(state: &AppState) -> Option<Slot> {
    finish(state, state.calls.slot(), state.meter.cpu_untold())
}

fn finish(state: &AppState, ended: Option<Slot>, cpu: Duration) -> Option<Slot> {
    let (running, waiting) = state.gate.load();
    // Most apps are idle most of the time: nothing is asked of their memory.
    if ended.is_none() && cpu.as_micros() == 0 && running == 0 && waiting == 0 {
        return None;
    }
    let slot = Slot {
        cpu_us: u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX),
        memory_held: state.memory.held().get(),
        running,
        waiting,
        ..ended.unwrap_or_default()
    };
    (!slot.is_idle()).then_some(slot)
}
