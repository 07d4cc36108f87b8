//! What shall run, and the only writer of it: operators' changes, each checked, made durable in the store
//! where every host finds it, and seen through until hosts are ready. What was overtaken by another
//! change is tried again on what that one left.
//! Serves nothing itself: `agent` does, here and on the other hosts. Does not parse requests.
//!
//! A host that is alone has a store of its own, in its data folder, and is written to in the same way. Nobody
//! hears of its store but itself, so it does at once what it has written (`desired/follow.rs`).

mod canary;
pub mod crashes;
mod current;
mod deploy;
mod earlier;
mod error;
mod follow;
mod freeze;
mod history;
mod in_flight;
pub mod lineage;
mod look;
mod ready;
mod remove;
mod revoke;
mod routes;
mod secret_state;
mod secrets;
mod spec;
pub mod takeover;
mod update;
mod watch;

use std::sync::Arc;

use steerage_core::rollout::WatchTime;

pub use self::error::{DeployError, RevokeError};
use self::in_flight::InFlight;
pub use self::secret_state::SecretState;
pub use self::spec::DeploySpec;
use crate::agent::{Agent, HostState};
use crate::code::Loader;
use crate::fleet::Fleet;

/// Writes what shall run. Clones share it.
#[derive(Clone, Debug)]
pub struct Desired {
    agent: Agent,
    loader: Loader,
    own: HostState,
    /// Whose store it is written to.
    fleet: Fleet,
    in_flight: Arc<InFlight>,
    /// How long deployments are watched of which nobody says more.
    watch: WatchTime,
}

impl Desired {
    /// Writes to the store of this fleet, which may be one of this host alone.
    #[must_use]
    pub fn new(agent: Agent, loader: Loader, own: HostState, fleet: Fleet) -> Self {
        Self { agent, loader, own, fleet, in_flight: Arc::default(), watch: WatchTime::STATED }
    }

    /// Watches deployments for so long of which nobody says more.
    #[must_use]
    pub fn watching(self, watch: WatchTime) -> Self {
        Self { watch, ..self }
    }

    /// The fleet.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }
}
