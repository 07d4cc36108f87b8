//! Which tenants there are, how they weigh as the operator says, and what slots each holds.
//! Decides nothing: `core::slots` does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_utils::CachePadded;
use steerage_core::id::TenantName;
use steerage_core::slots::TenantSlots;
use steerage_core::units::Weight;

use crate::shared::Shared;

/// Tenants by name. Those that the operator does not name weigh as little as can be.
#[derive(Debug)]
pub(super) struct Tenants {
    weights: BTreeMap<TenantName, Weight>,
    known: Mutex<BTreeMap<TenantName, Arc<Tenant>>>,
    n_present: Arc<CachePadded<Shared<AtomicU32>>>,
}

/// What one tenant holds and waits for.
#[derive(Debug)]
pub(super) struct Tenant {
    weight: Weight,
    /// Slots that its calls hold, and above them, in units of [`AN_APP`], its apps that wait for some. One
    /// number, so that one write tells when the tenant comes and when it goes.
    uses: CachePadded<Shared<AtomicU64>>,
    /// How many tenants use or want any: who is alone may have more.
    n_present: Arc<CachePadded<Shared<AtomicU32>>>,
}

/// What an app that waits for slots adds to a tenant's uses.
const AN_APP: u64 = 1 << 32;

impl Tenants {
    pub(super) fn new(weights: BTreeMap<TenantName, Weight>) -> Self {
        Self { weights, known: Mutex::default(), n_present: Arc::default() }
    }

    /// The tenant of this name, made if there is none yet.
    pub(super) fn tenant(&self, name: &TenantName) -> Arc<Tenant> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = known.get(name) {
            return tenant.clone();
        }
        let tenant = Arc::new(Tenant {
            weight: self.weights.get(name).copied().unwrap_or_default(),
            uses: CachePadded::default(),
            n_present: self.n_present.clone(),
        });
        known.insert(name.clone(), tenant.clone());
        tenant
    }
}

impl Tenant {
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
