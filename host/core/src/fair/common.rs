//! What all run queues of one host know together: who its flows and tenants are, and how much CPU time
//! each was given by all of them. Knows no queue.
//!
//! # Protocol
//! Each queue has its own lock, and this is what they share without one. A queue keeps the virtual time
//! of a flow by itself and adds to the shared one when that comes to [`EXCHANGE`] of CPU time, so a
//! line of memory that all cores read is written about once a millisecond by each. All atomics here are
//! `Relaxed`: each is a number by itself, and one that is read a moment too late is what the bound on
//! unfairness allows for (cores x [`EXCHANGE`]). What is queued is handed over under a queue's lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{FlowKey, TenantKey};
use crate::units::Weight;

/// What a queue may give a flow, in CPU time, before it tells the others. Also how often a core looks
/// at the queue of another that has something waiting.
pub const EXCHANGE: Duration = Duration::from_millis(1);

/// The flows and tenants of one host.
#[derive(Debug)]
pub struct Common {
    n_cores: u32,
    pub(super) tenants: Arc<CommonLevel>,
    n_tenants: AtomicU32,
    n_flows: AtomicU32,
}

/// What the queues share of one level of start-time fair queueing.
#[derive(Debug)]
pub(super) struct CommonLevel {
    /// Cores that give time to its members at once.
    pub(super) n_cores: u32,
    /// The latest clock of any queue, in virtual nanoseconds.
    pub(super) clock: AtomicU64,
    /// The most virtual time that a member had when its queue became empty.
    pub(super) horizon: AtomicU64,
    /// Queues in which some member is present.
    pub(super) n_queues: AtomicU32,
}

/// Where a member of a level stands, by what queues have told.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// Its virtual time, in virtual nanoseconds.
    pub(super) at: AtomicU64,
    /// Queues in which something of it waits.
    pub(super) n_ready: AtomicU32,
}

/// A tenant, as all queues know it.
#[derive(Debug)]
pub struct TenantEntry {
    pub(super) key: TenantKey,
    pub(super) weight: Weight,
    pub(super) member: Arc<Member>,
    pub(super) flows: Arc<CommonLevel>,
}

/// A flow, as all queues know it.
#[derive(Debug)]
pub struct FlowEntry {
    pub(super) key: FlowKey,
    /// Counts up when `owner` changes, so that a queue need not take its lock to see that it has not.
    version: AtomicU32,
    owner: Mutex<Owner>,
}

/// Whose a flow is, and what it weighs.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) tenant: Arc<TenantEntry>,
    pub(super) weight: Weight,
    /// Where the flow stands among those of its tenant: another one when it changes hands, since times
    /// of different tenants cannot be compared.
    pub(super) member: Arc<Member>,
}

impl Default for Common {
    fn default() -> Self {
        Self::new(1)
    }
}

impl CommonLevel {
    fn new(n_cores: u32) -> Arc<Self> {
        let zero = || AtomicU64::new(0);
        Arc::new(Self { n_cores, clock: zero(), horizon: zero(), n_queues: AtomicU32::new(0) })
    }
}

impl Common {
    /// Those of a host of so many cores; none yet.
    #[must_use]
    pub fn new(n_cores: usize) -> Self {
        let n_cores = u32::try_from(n_cores).unwrap_or(u32::MAX);
        let tenants = CommonLevel::new(n_cores);
        Self { n_cores, tenants, n_tenants: AtomicU32::new(0), n_flows: AtomicU32::new(0) }
    }

    /// A tenant, whose share is divided among those of its flows that are busy: owning many apps buys
    /// no more CPU than owning one.
    pub fn tenant(&self, weight: Weight) -> Arc<TenantEntry> {
        Arc::new(TenantEntry {
            key: TenantKey(self.n_tenants.fetch_add(1, Ordering::Relaxed)),
            weight,
            member: Arc::default(),
            flows: CommonLevel::new(self.n_cores),
        })
    }

    /// A flow of a tenant.
    pub fn flow(&self, tenant: &Arc<TenantEntry>, weight: Weight) -> Arc<FlowEntry> {
        Arc::new(FlowEntry {
            key: FlowKey(self.n_flows.fetch_add(1, Ordering::Relaxed)),
            version: AtomicU32::new(0),
            owner: Mutex::new(Owner { tenant: tenant.clone(), weight, member: Arc::default() }),
        })
    }
}

impl FlowEntry {
    /// What queues know it by.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        self.key
    }

    /// Changes a flow's owner and weight, from its next slice on.
    pub fn reshape(&self, tenant: &Arc<TenantEntry>, weight: Weight) {
        let mut owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        if owner.tenant.key != tenant.key {
            owner.member = Arc::default();
        }
        (owner.tenant, owner.weight) = (tenant.clone(), weight);
        drop(owner);
        // A queue that sees the old number learns of the change with the flow's slice after that.
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
