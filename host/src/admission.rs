//! Who may run now: calls at once per app, calls that wait, and instance slots of the host, shared out
//! among those that ask. Knows no Wasm and no CPU: what is let in is polled elsewhere.
//! Decides nothing: `core::admit` and `core::slots` do.

mod gate;
mod host_room;

use std::sync::Arc;

use steerage_core::limits::Limits;
use steerage_core::units::Weight;

pub use self::gate::{Gate, Permit};
pub use self::host_room::CallBounds;
use self::host_room::HostRoom;

/// What the host has room for. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission {
    host: Arc<HostRoom>,
}

impl Admission {
    /// A host with this much room.
    #[must_use]
    pub fn new(room: CallBounds) -> Self {
        Self { host: Arc::new(HostRoom::new(room)) }
    }

    /// Makes the right of one app to run.
    #[must_use]
    pub fn gate(&self, limits: &Limits, weight: Weight) -> Arc<Gate> {
        Gate::new(self.host.clone(), limits, weight)
    }

    /// Instance slots in use, and how many there are.
    #[must_use]
    pub fn slots(&self) -> (u32, u32) {
        self.host.slots()
    }

    /// Calls that wait for their right to run, of all apps.
    #[must_use]
    pub fn n_waiting(&self) -> u32 {
        self.host.n_waiting()
    }
}

#[cfg(test)]
mod tests;
