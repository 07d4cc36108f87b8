//! What one call took of its host. Does not know how long it waited: `time` does.

use std::time::Duration;

use steerage_core::units::{Bytes, Fuel};

/// What one call took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Fuel consumed by the guest.
    pub fuel: Fuel,
    /// The most memory the instance had, all memories and tables together.
    pub memory: Bytes,
    /// CPU time the guest ran for, host functions it called included.
    pub cpu: Duration,
    /// What of it was counted for the app while the call ran: all slices but the last.
    pub cpu_counted: Duration,
    /// Time to make the instance; zero when one was reused.
    pub instantiate: Duration,
}
