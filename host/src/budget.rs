//! The memory of this host: what each app's instances hold, bounded so that the kernel never has to
//! end the process. Decides nothing: `core::budget` says who may take and who must give back.
//! Counts what the host holds for a guest with it, and nothing else: the watch over the whole process
//! sees the rest, and where that is too much new calls are refused and nobody's are ended.

mod settings;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use steerage_core::budget::{self, Holding, MemoryDecision, MemoryRequest};
use steerage_core::id::TenantName;
use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::units::{Bytes, Weight};

pub use self::settings::{MemorySample, MemorySettings};
use crate::call::Call;
use crate::shared::{Locked, Shared, Sum};
use crate::tenants::Tenants;

/// How long a list of the apps that hold memory is good for.
const LIST_AGE: Duration = Duration::from_millis(20);
/// The least that is kept free by ending calls, where the budget is large enough: what guests can
/// take between two samples and until a call that was told to end has given back what it holds.
const FREE: u64 = 64 << 20;
/// How fast all guests together may take memory, in bytes a second: as fast as some cores can have
/// the kernel clear pages. Says how long may pass until the next sample.
const FASTEST: u64 = 4 << 30;
/// Samples until what is left would be gone at that rate. What follows from one takes effect some
/// milliseconds later, and guests take memory meanwhile.
const SAMPLES_UNTIL_FULL: u64 = 4;
/// The heaviest app loses one call at each sample, and one more for each so many bytes too much.
const A_CALL: u64 = FREE / 4;
/// Shortest and longest time between two samples. The longest is also how late idle instances are given
/// up once reservations get tight, which no sample of the process shows.
const SAMPLE_EVERY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(25));

/// Calls an account remembers before it first looks which of them are over.
const LEAST_CALLS: usize = 64;

/// The memory of the host, shared by all accounts.
#[derive(Debug)]
pub struct Memory {
    settings: MemorySettings,
    /// What instances may reserve together, and up to where nobody need be asked.
    most: u64,
    easy: u64,
    /// What they have reserved.
    reserved: Sum,
    /// Whether the process uses nearly all it may, whatever was reserved.
    is_short: AtomicBool,
    /// What it used when the last sample was taken, and the first: before any app ran.
    used: AtomicU64,
    used_first: AtomicU64,
    /// Whether it uses too much, and it is not apps that hold it.
    is_exhausted: AtomicBool,
    /// Each with a small number and its weight.
    tenants: Tenants<(u32, Weight)>,
    accounts: Mutex<Accounts>,
}

#[derive(Debug)]
struct Accounts {
    all: Vec<Weak<Account>>,
    /// Shared with whoever judges by it, so that nobody copies it under the lock.
    holders: Arc<Vec<Arc<Account>>>,
    listed_at: Option<Instant>,
}

/// What one app's instances hold.
#[derive(Debug)]
pub struct Account {
    memory: Arc<Memory>,
    /// Its tenant's number and weight, and its own among the tenant's apps.
    tenant: AtomicU32,
    tenant_weight: AtomicU32,
    weight: AtomicU32,
    held: Shared<AtomicU64>,
    /// Calls that can be ended for their memory, the latest last.
    calls: Locked<Vec<Weak<Call>>>,
}

/// What a sample of the process led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It uses no more than it may, or nobody had anything to give.
    Fine,
    /// Calls of the app that holds most were ended.
    Ended,
    /// It uses too much, and apps hold little of it: new calls are refused from now on.
    Exhausted,
}

impl Memory {
    /// A budget that nobody has taken from yet, for tenants that weigh so much.
    #[must_use]
    pub fn new(settings: MemorySettings, weights: BTreeMap<TenantName, Weight>) -> Arc<Self> {
        let most = settings.most();
        let easy = budget::easy(Bytes::new(most)).get();
        Arc::new(Self {
            settings,
            most,
            easy,
            reserved: Sum::new(most - easy),
            is_short: AtomicBool::new(false),
            used: AtomicU64::new(0),
            used_first: AtomicU64::new(0),
            is_exhausted: AtomicBool::new(false),
            tenants: Tenants::new(weights),
            accounts: Mutex::new(Accounts {
                all: Vec::new(),
                holders: Arc::default(),
                listed_at: None,
            }),
        })
    }

    /// Opens an app's account.
    #[must_use]
    pub fn account(self: &Arc<Self>, tenant: &TenantName, weight: Weight) -> Arc<Account> {
        let (number, tenant_weight) = self.tenant(tenant);
        let account = Arc::new(Account {
            memory: self.clone(),
            tenant: AtomicU32::new(number),
            tenant_weight: AtomicU32::new(tenant_weight.get()),
            weight: AtomicU32::new(weight.get()),
            held: Shared::default(),
            calls: Locked::default(),
        });
        let mut accounts = self.accounts();
        if accounts.all.len() == accounts.all.capacity() {
            accounts.all.retain(|account| account.strong_count() > 0);
        }
        accounts.all.push(Arc::downgrade(&account));
        account
    }

    fn tenant(&self, name: &TenantName) -> (u32, Weight) {
        self.tenants.find(name, |weight, number| (number, weight))
    }

    /// Changes whose app it is and the app's share.
    pub fn reshape(&self, account: &Account, tenant: &TenantName, weight: Weight) {
        let (number, tenant_weight) = self.tenant(tenant);
        // Whoever judges between these judges once by the wrong tenant or weight.
        account.tenant.store(number, Ordering::Relaxed);
        account.tenant_weight.store(tenant_weight.get(), Ordering::Relaxed);
        account.weight.store(weight.get(), Ordering::Relaxed);
    }

    /// What the process may use, and what instances have reserved of what they may.
    #[must_use]
    pub fn standing(&self) -> (Bytes, Bytes, Bytes) {
        let reserved = Bytes::new(self.reserved.get());
        (self.settings.budget, reserved, Bytes::new(self.most))
    }

    /// Whether idle instances should be given up: memory is short, or soon will be.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        !self.reserved.is_at_most(self.easy) || self.is_short.load(Ordering::Relaxed)
    }

    /// How long to wait for the next sample when the process uses so much.
    #[must_use]
    pub fn next_sample(&self, used: Bytes) -> Duration {
        let left = self.settings.budget.saturating_sub(used).get();
        let until_full = left.saturating_mul(1_000_000) / FASTEST;
        Duration::from_micros(until_full / SAMPLES_UNTIL_FULL).clamp(SAMPLE_EVERY.0, SAMPLE_EVERY.1)
    }

    /// Takes a sample of the process. When it uses nearly all it may, the app that holds most for its
    /// weight loses its latest calls, more of them the more it is, and so do others of its tenant that are
    /// over their share where that one holds less. Where apps hold little of it, no new calls are taken
    /// until it is less.
    pub fn observe(&self, sample: impl FnOnce() -> MemorySample) -> Observed {
        let held = || Bytes::new(self.reserved.get());
        let held_before = held();
        let MemorySample { used, kept } = sample();
        let held = held();
        // Zero where the system does not tell; then nothing is ever too much.
        self.used.store(used.get(), Ordering::Relaxed);
        let first = match self.used_first.load(Ordering::Relaxed) {
            0 => {
                self.used_first.store(used.get(), Ordering::Relaxed);
                used
            }
            first => Bytes::new(first),
        };
        let budget = self.settings.budget.get();
        let free = (budget / 16).max(FREE.min(budget / 8));
        self.is_short.store(used.get() > budget - 2 * free, Ordering::Relaxed);
        let excess = used.get().checked_sub(budget - free).filter(|excess| *excess > 0);
        let is_of_apps = |held| budget::is_of_apps(used, held, first.saturating_add(kept));
        // What apps give back during the sample may have been used when it was taken: it is not the host's
        // own, and nobody who holds something yet is to be ended for it.
        let was_of_apps = is_of_apps(held.max(held_before));
        self.is_exhausted.store(excess.is_some() && !was_of_apps, Ordering::Relaxed);
        let Some(excess) = excess else { return Observed::Fine };
        if !is_of_apps(held) {
            return if was_of_apps { Observed::Fine } else { Observed::Exhausted };
        }
        let holders = self.holders();
        let holdings: Vec<Holding> = holders.iter().map(|account| account.holding()).collect();
        let budget = self.settings.budget;
        let n_calls = excess / A_CALL + 1;
        let mut n_ended = 0;
        for place in budget::heaviest(&holdings, budget, Bytes::new(excess)) {
            let Some(account) = holders.get(place).filter(|_| n_ended < n_calls) else { break };
            let refusal = account.refusal(budget::share(place, &holdings, budget));
            while n_ended < n_calls && account.end_latest(&refusal) {
                n_ended += 1;
            }
        }
        if n_ended > 0 { Observed::Ended } else { Observed::Fine }
    }

    /// The refusal of what the machine does not have, whatever was counted.
    #[must_use]
    pub fn exhausted(&self) -> Refusal {
        Refusal::HostExhausted {
            used: Bytes::new(self.used.load(Ordering::Relaxed)),
            budget: self.settings.budget,
            held: Bytes::new(self.reserved.get()),
        }
    }

    /// The apps that hold memory, as of a moment ago.
    fn holders(&self) -> Arc<Vec<Arc<Account>>> {
        let mut accounts = self.accounts();
        let now = Instant::now();
        if accounts.listed_at.is_none_or(|at| now.saturating_duration_since(at) > LIST_AGE) {
            let holds = |account: &Arc<Account>| account.held.load(Ordering::Relaxed) > 0;
            let holders = accounts.all.iter().filter_map(Weak::upgrade).filter(holds).collect();
            accounts.holders = Arc::new(holders);
            accounts.listed_at = Some(now);
        }
        accounts.holders.clone()
    }

    /// The same with the asker, and its place in it: it is about to hold something.
    fn holders_with(&self, asker: &Arc<Account>) -> (Arc<Vec<Arc<Account>>>, usize) {
        let is_asker = |account: &Arc<Account>| Arc::ptr_eq(account, asker);
        let holders = self.holders();
        // Looked for without the lock, under which others wait for their own verdict.
        if let Some(place) = holders.iter().position(is_asker) {
            return (holders, place);
        }
        drop(holders);
        let mut accounts = self.accounts();
        if let Some(place) = accounts.holders.iter().position(is_asker) {
            return (accounts.holders.clone(), place);
        }
        // Copied where somebody judges by the list just now; otherwise it only grows.
        let holders = Arc::make_mut(&mut accounts.holders);
        holders.push(asker.clone());
        let place = holders.len() - 1;
        (accounts.holders.clone(), place)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        memory.reserved.add(more.get());
        let is_easy = memory.reserved.is_at_most(memory.easy);
        if !is_easy || memory.is_short.load(Ordering::Relaxed) {
            self.ask(more).inspect_err(|_| memory.reserved.subtract(more.get()))?;
        }
        self.held.write().fetch_add(more.get(), Ordering::Relaxed);
        Ok(())
    }

    /// Gives memory of an instance back.
    pub fn release(&self, bytes: Bytes) {
        self.held.write().fetch_sub(bytes.get(), Ordering::Relaxed);
        self.memory.reserved.subtract(bytes.get());
    }

    /// Lets a call be ended should its memory be needed for others.
    pub fn make_evictable(&self, call: &Arc<Call>) {
        let mut calls = self.calls.lock();
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
            total: Bytes::new(self.memory.reserved.get()).saturating_sub(more),
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

    fn holding(&self) -> Holding {
        let weight = |of: &AtomicU32| Weight::new(of.load(Ordering::Relaxed)).unwrap_or_default();
        Holding {
            tenant: self.tenant.load(Ordering::Relaxed),
            tenant_weight: weight(&self.tenant_weight),
            weight: weight(&self.weight),
            held: self.held(),
        }
    }

    fn refusal(&self, share: Bytes) -> Refusal {
        Refusal::HostMemory { held: self.held(), share, budget: Bytes::new(self.memory.most) }
    }

    /// Ends the latest call that still runs; `false` when none does.
    fn end_latest(&self, refusal: &Refusal) -> bool {
        let mut calls = self.calls.lock();
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

#[cfg(test)]
mod tests;
