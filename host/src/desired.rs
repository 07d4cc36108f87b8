//! What shall run, and the only writer of it: operators' changes, each checked, made durable in the store
//! where every host finds it, and seen through until hosts are ready. What was overtaken by another
//! change is tried again on what that one left.
//! Serves nothing itself: `agent` does, here and on the other hosts. Does not parse requests.
//!
//! A host without a store writes what shall run into its own ledger (`desired/alone.rs`): that is the
//! one place where it differs.

mod alone;
mod canary;
pub mod crashes;
mod current;
mod deploy;
mod earlier;
mod error;
mod freeze;
mod history;
mod in_flight;
pub mod lineage;
mod ready;
mod remove;
mod routes;
mod spec;
mod update;
mod watch;

use std::sync::Arc;

use steerage_core::rollout::WatchTime;

pub use self::error::DeployError;
use self::in_flight::InFlight;
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
    /// Whose store it is written to; `None` where this host is alone.
    fleet: Option<Fleet>,
    in_flight: Arc<InFlight>,
    /// How long deployments are watched of which nobody says more.
    watch: WatchTime,
}

impl Desired {
    /// Writes to the store of this fleet, or for this host alone.
    #[must_use]
    pub fn new(agent: Agent, loader: Loader, own: HostState, fleet: Option<Fleet>) -> Self {
        Self { agent, loader, own, fleet, in_flight: Arc::default(), watch: WatchTime::STATED }
    }

    /// Watches deployments for so long of which nobody says more.
    #[must_use]
    pub fn watching(self, watch: WatchTime) -> Self {
        Self { watch, ..self }
    }

    /// The fleet.
    ///
    /// # Errors
    /// [`DeployError::Alone`].
    fn fleet(&self) -> Result<&Fleet, DeployError> {
        self.fleet.as_ref().ok_or(DeployError::Alone)
    }
}
