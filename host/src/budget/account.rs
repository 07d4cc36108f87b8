//! What one app holds of the host's memory: asked for, given back, and lent by its calls.
//! Knows no other app: [`Memory`] has them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use steerage_core::budget::{self, Holding, MemoryDecision, MemoryRequest};
use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::units::{Bytes, Weight};

use super::Memory;
use crate::call::Call;

/// Calls an account remembers before it first looks which of them are over.
const LEAST_CALLS: usize = 64;

/// What one app's instances hold.
#[derive(Debug)]
pub struct Account {
    pub(super) memory: Arc<Memory>,
    /// Its tenant's number and weight, and its own among the tenant's apps.
    pub(super) tenant: AtomicU32,
    pub(super) tenant_weight: AtomicU32,
    pub(super) weight: AtomicU32,
    pub(super) held: AtomicU64,
    /// Calls that can be ended for their memory, the latest last.
    pub(super) calls: Mutex<Vec<Weak<Call>>>,
}

impl Account {
    /// What the app's instances hold.
    #[must_use]
    pub fn held(&self) -> Bytes {
        Bytes::new(self.held.load(Ordering::Relaxed))
    }

    /// Whether instances that only wait should be given up.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.memory.is_tight()
    }

    /// Whether the app may have another call: not while the process uses too much that no app holds.
    ///
    /// # Errors
    /// Says how much it uses.
    pub fn admit(&self) -> Result<(), Refusal> {
        if self.memory.is_exhausted.load(Ordering::Relaxed) {
            return Err(self.exhausted());
        }
        Ok(())
    }

    /// The refusal of what the machine does not have, whatever was counted.
    #[must_use]
    pub fn exhausted(&self) -> Refusal {
        self.memory.exhausted()
    }

    /// Takes more memory for one of the app's instances.
    ///
    /// # Errors
    /// The host is short of memory, and it is this app that holds too much.
    pub fn reserve(self: &Arc<Self>, more: Bytes) -> Result<(), Refusal> {
        let memory = &self.memory;
        let total =
            memory.reserved.fetch_add(more.get(), Ordering::Relaxed).saturating_add(more.get());
        if total <= memory.easy && !memory.is_short.load(Ordering::Relaxed) {
            self.held.fetch_add(more.get(), Ordering::Relaxed);
            return Ok(());
        }
        let judged = self.ask(more);
        match &judged {
            Ok(()) => self.held.fetch_add(more.get(), Ordering::Relaxed),
            Err(_) => memory.reserved.fetch_sub(more.get(), Ordering::Relaxed),
        };
        judged
    }

    /// Gives memory of an instance back.
    pub fn release(&self, bytes: Bytes) {
        self.held.fetch_sub(bytes.get(), Ordering::Relaxed);
        self.memory.reserved.fetch_sub(bytes.get(), Ordering::Relaxed);
    }

    /// Lets a call be ended should its memory be needed for others.
    pub fn make_evictable(&self, call: &Arc<Call>) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= LEAST_CALLS && calls.len() == calls.capacity() {
            calls.retain(|call| call.strong_count() > 0);
        }
        calls.push(Arc::downgrade(call));
    }

    fn ask(self: &Arc<Self>, more: Bytes) -> Result<(), Refusal> {
        let (holders, asker) = self.memory.holders_with(self);
        let holdings: Vec<Holding> = holders.iter().map(|account| account.holding()).collect();
        let real = self.memory.settings.budget;
        let ask = MemoryRequest {
            asker,
            more,
            // What is asked for was added already.
            total: Bytes::new(self.memory.reserved.load(Ordering::Relaxed)).saturating_sub(more),
            budget: Bytes::new(self.memory.most),
            short_of: self.memory.is_short.load(Ordering::Relaxed).then_some(real),
        };
        match budget::judge(&ask, &holdings) {
            MemoryDecision::Granted => Ok(()),
            MemoryDecision::GrantedFrom(place) => {
                if let Some(giver) = holders.get(place) {
                    let share = budget::share(place, &holdings, ask.budget);
                    giver.end_latest(&giver.refusal(share));
                }
                Ok(())
            }
            MemoryDecision::Refused { share } => Err(self.refusal(share)),
        }
    }

    pub(super) fn holding(&self) -> Holding {
        let weight = |of: &AtomicU32| Weight::new(of.load(Ordering::Relaxed)).unwrap_or_default();
        Holding {
            tenant: self.tenant.load(Ordering::Relaxed),
            tenant_weight: weight(&self.tenant_weight),
            weight: weight(&self.weight),
            held: self.held(),
        }
    }

    pub(super) fn refusal(&self, share: Bytes) -> Refusal {
        Refusal::HostMemory { held: self.held(), share, budget: Bytes::new(self.memory.most) }
    }

    /// Ends the latest call that still runs; `false` when none does.
    pub(super) fn end_latest(&self, refusal: &Refusal) -> bool {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(call) = calls.pop() {
            if let Some(call) = call.upgrade()
                && !call.is_over()
            {
                drop(calls);
                call.cut(Outcome::Refused(refusal.clone()));
                return true;
            }
        }
        false
    }
}
