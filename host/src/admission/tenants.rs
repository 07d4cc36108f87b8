//! What slots each tenant holds, and how many tenants there are that hold or want some.
//! Decides nothing: `core::slots` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use steerage_core::slots::TenantSlots;
use steerage_core::units::Weight;

use crate::shared::Shared;

/// How many tenants use or want any: who is alone may have more.
pub(super) type Present = Arc<CachePadded<Shared<AtomicU32>>>;

/// What one tenant holds and waits for.
#[derive(Debug)]
pub(super) struct Tenant {
    weight: Weight,
    /// Slots that its calls hold, and above them, in units of [`AN_APP`], its apps that wait for some. One
    /// number, so that one write tells when the tenant comes and when it goes.
    uses: CachePadded<Shared<AtomicU64>>,
    n_present: Present,
}

/// What an app that waits for slots adds to a tenant's uses.
const AN_APP: u64 = 1 << 32;

impl Tenant {
    /// One that holds nothing and wants nothing.
    pub(super) fn new(weight: Weight, n_present: Present) -> Self {
        Self { weight, uses: CachePadded::default(), n_present }
    }

    /// Notes that its calls hold so many slots more.
    pub(super) fn take(&self, n_slots: u32) {
        self.add(u64::from(n_slots));
    }

    /// Notes that its calls hold so many slots fewer.
    pub(super) fn give_back(&self, n_slots: u32) {
        self.subtract(u64::from(n_slots));
    }

    /// What it holds, as `core::slots` asks.
    pub(super) fn standing(&self) -> TenantSlots {
        let uses = self.uses.load(Ordering::SeqCst);
        let n_present = self.n_present.load(Ordering::SeqCst);
        let has_others = n_present > u32::from(uses > 0);
        let held = u32::try_from(uses % AN_APP).unwrap_or(u32::MAX);
        TenantSlots { held, weight: self.weight, has_others }
    }

    fn add(&self, uses: u64) {
        if self.uses.write().fetch_add(uses, Ordering::SeqCst) == 0 {
            self.n_present.write().fetch_add(1, Ordering::SeqCst);
        }
    }

    fn subtract(&self, uses: u64) {
        if self.uses.write().fetch_sub(uses, Ordering::SeqCst) == uses {
            self.n_present.write().fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Counts an app of the tenant as one that waits for slots, for as long as it lives.
#[derive(Debug)]
pub(super) struct Asks(Arc<Tenant>);

impl Asks {
    pub(super) fn of(tenant: Arc<Tenant>) -> Self {
        tenant.add(AN_APP);
        Self(tenant)
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.0.subtract(AN_APP);
    }
}
