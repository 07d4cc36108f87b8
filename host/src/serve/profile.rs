//! Starts the threads that run guests, sampled for profiles where that is wanted, and what takes the samples.
//! Puts nothing together: `telemetry::profiles` does.

use std::io;

use tokio::runtime::Runtime;

use crate::config::Settings;
use crate::cpu::GuestThreads;
use crate::sandbox::engine;
use crate::telemetry::profiles;

/// The threads that run guests. Before this no other thread of the host runs any.
pub(super) fn guests(settings: &Settings, control: &Runtime) -> io::Result<GuestThreads> {
    profiles::want(settings.profile_frequency);
    control.spawn(profiles::drive());
    GuestThreads::start_ready(settings.cpu.threads, engine::ready_thread)
}
