//! What is told of a start: how the host had ended before, as far as that is known.
//! Does not find that out: the crash log does.

use steerage_core::units;

use crate::catalog::crash_log::LastRun;
use crate::telemetry::events::Event;

/// The event of a start after that run, which serves so many apps from before.
pub(super) fn event(last: LastRun, n_restored: usize) -> Event {
    let serving = format!("serving {} from before", units::many(n_restored, "app"));
    let message = match last {
        LastRun::None => serving,
        LastRun::Ended => format!("the host was started anew after it was told to end; {serving}"),
        LastRun::Killed => format!(
            "the host was started anew; it had ended without being told to: it was killed or crashed; \
             {serving}"
        ),
        LastRun::WithMachine => format!(
            "the host was started anew; it had ended with its machine, without being told to; {serving}"
        ),
    };
    Event::now("started", message)
}
