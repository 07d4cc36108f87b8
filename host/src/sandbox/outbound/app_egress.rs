//! What all connections of one app's guests go by, whichever way they are made: what its manifest allows, its files,
//! its look-ups, and where refusals are told. Makes no connections.

use std::sync::Arc;
use std::time::Duration;

use steerage_core::outbound::OutboundPolicy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::denials::Denials;
use super::egress::Egress;
use super::found::FoundAddresses;
use super::names::Names;

/// Longest wait for a connection unless the guest says otherwise.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Files that a connection takes, of the app's and of the host's.
pub(super) type Files = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// The part of the way out that belongs to one deployment.
#[derive(Debug)]
pub(super) struct AppEgress {
    pub(super) policy: OutboundPolicy,
    pub(super) egress: Arc<Egress>,
    /// Files of this app among those of the host.
    pub(super) files: Arc<Semaphore>,
    pub(super) names: Names,
    /// What names that guests looked up led to.
    pub(super) found: FoundAddresses,
    pub(super) denials: Denials,
}

impl AppEgress {
    pub(super) fn new(policy: OutboundPolicy, egress: Arc<Egress>, denials: Denials) -> Self {
        let (files, names) = egress.for_app();
        Self { policy, egress, files, names, found: FoundAddresses::default(), denials }
    }

    /// Files for one more connection, where there are any.
    pub(super) fn try_files(&self) -> Option<Files> {
        let own = self.files.clone().try_acquire_owned().ok()?;
        Some((own, self.egress.connections.clone().try_acquire_owned().ok()?))
    }
}
