//! The memory of this host: what each app's instances hold, bounded so that the kernel never has to
//! end the process. Decides nothing: `core::budget` says who may take and who must give back.
//! Counts what the host holds for a guest with it, and nothing else: the watch over the whole process
//! sees the rest, and where that is too much new calls are refused and nobody's are ended.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use steerage_core::budget::{self, Holding, MemoryDecision, MemoryRequest};
use steerage_core::outcome::{Outcome, Refusal};
use steerage_core::units::{Bytes, Weight};

use crate::call::Call;

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

/// How memory is bounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemorySettings {
    /// What the process may use.
    pub budget: Bytes,
    /// How many times the budget instances may reserve together: guests reserve more than they
    /// touch.
    pub overcommit: f64,
}

/// One sample of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySample {
    /// What it uses; nothing where the system does not tell.
    pub used: Bytes,
    /// What of it the pool keeps of instances that are gone.
    pub kept: Bytes,
}

/// The memory of the host, shared by all accounts.
#[derive(Debug)]
pub struct Memory {
    settings: MemorySettings,
    /// What instances may reserve together, and up to where nobody need be asked.
    most: u64,
    easy: u64,
    /// What they have reserved.
    reserved: AtomicU64,
    /// Whether the process uses nearly all it may, whatever was reserved.
    is_short: AtomicBool,
    /// What it used when the last sample was taken, and the first: before any app ran.
    used: AtomicU64,
    used_first: AtomicU64,
    /// Whether it uses too much, and it is not apps that hold it.
    is_exhausted: AtomicBool,
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
    weight: AtomicU32,
    held: AtomicU64,
    /// Calls that can be ended for their memory, the latest last.
    calls: Mutex<Vec<Weak<Call>>>,
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
    /// A budget that nobody has taken from yet.
    #[must_use]
    pub fn new(settings: MemorySettings) -> Arc<Self> {
        let most = stretch(settings.budget, settings.overcommit);
        Arc::new(Self {
            settings,
            most,
            easy: budget::easy(Bytes::new(most)).get(),
            reserved: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
            used: AtomicU64::new(0),
            used_first: AtomicU64::new(0),
            is_exhausted: AtomicBool::new(false),
            accounts: Mutex::new(Accounts {
                all: Vec::new(),
                holders: Arc::default(),
                listed_at: None,
            }),
        })
    }

    /// Opens an app's account.
    #[must_use]
    pub fn account(self: &Arc<Self>, weight: Weight) -> Arc<Account> {
        let account = Arc::new(Account {
            memory: self.clone(),
            weight: AtomicU32::new(weight.get()),
            held: AtomicU64::new(0),
            calls: Mutex::default(),
        });
        let mut accounts = self.accounts();
        if accounts.all.len() == accounts.all.capacity() {
            accounts.all.retain(|account| account.strong_count() > 0);
        }
        accounts.all.push(Arc::downgrade(&account));
        account
    }

    /// What the process may use, and what instances have reserved of what they may.
    #[must_use]
    pub fn standing(&self) -> (Bytes, Bytes, Bytes) {
        let reserved = Bytes::new(self.reserved.load(Ordering::Relaxed));
        (self.settings.budget, reserved, Bytes::new(self.most))
    }

    /// Whether idle instances should be given up: memory is short, or soon will be.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        let reserved = self.reserved.load(Ordering::Relaxed);
        reserved > self.easy || self.is_short.load(Ordering::Relaxed)
    }

    /// How long to wait for the next sample when the process uses so much.
    #[must_use]
    pub fn next_sample(&self, used: Bytes) -> Duration {
        let left = self.settings.budget.saturating_sub(used).get();
        let until_full = left.saturating_mul(1_000_000) / FASTEST;
        Duration::from_micros(until_full / SAMPLES_UNTIL_FULL).clamp(SAMPLE_EVERY.0, SAMPLE_EVERY.1)
    }

    /// Takes a sample of the process. When it uses nearly all it may, the app that holds most for its
    /// weight loses its latest calls, more of them the more it is. Where apps hold little of it, no new
    /// calls are taken until it is less.
    pub fn observe(&self, sample: impl FnOnce() -> MemorySample) -> Observed {
        let held = || Bytes::new(self.reserved.load(Ordering::Relaxed));
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
        let Some(heaviest) = budget::heaviest(&holdings).and_then(|place| holders.get(place))
        else {
            return Observed::Fine;
        };
        let share = budget::share(heaviest.weight(), &holdings, self.settings.budget);
        let refusal = heaviest.refusal(share);
        let n_calls = excess / A_CALL + 1;
        let n_ended = (0..n_calls).take_while(|_| heaviest.end_latest(&refusal)).count();
        if n_ended > 0 { Observed::Ended } else { Observed::Fine }
    }

    /// The refusal of what the machine does not have, whatever was counted.
    #[must_use]
    pub fn exhausted(&self) -> Refusal {
        Refusal::HostExhausted {
            used: Bytes::new(self.used.load(Ordering::Relaxed)),
            budget: self.settings.budget,
            held: Bytes::new(self.reserved.load(Ordering::Relaxed)),
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
    /// Changes the app's share.
    pub fn set_weight(&self, weight: Weight) {
        self.weight.store(weight.get(), Ordering::Relaxed);
    }

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
                    let share = budget::share(giver.weight(), &holdings, ask.budget);
                    giver.end_latest(&giver.refusal(share));
                }
                Ok(())
            }
            MemoryDecision::Refused { share } => Err(self.refusal(share)),
        }
    }

    fn holding(&self) -> Holding {
        Holding { weight: self.weight(), held: self.held() }
    }

    fn weight(&self) -> Weight {
        Weight::new(self.weight.load(Ordering::Relaxed)).unwrap_or_default()
    }

    fn refusal(&self, share: Bytes) -> Refusal {
        Refusal::HostMemory { held: self.held(), share, budget: Bytes::new(self.memory.most) }
    }

    /// Ends the latest call that still runs; `false` when none does.
    fn end_latest(&self, refusal: &Refusal) -> bool {
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

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a factor chosen by hand needs no exact product, and the cast saturates"
)]
fn stretch(budget: Bytes, factor: f64) -> u64 {
    (budget.get() as f64 * factor.max(1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(budget: u64) -> Arc<Memory> {
        Memory::new(MemorySettings { budget: Bytes::new(budget), overcommit: 1.0 })
    }

    fn using(used: u64) -> MemorySample {
        MemorySample { used: Bytes::new(used), kept: Bytes::ZERO }
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let memory = memory(800);
        let account = memory.account(Weight::DEFAULT);
        account.reserve(Bytes::new(800)).unwrap();
        let refusal = account.reserve(Bytes::new(1)).unwrap_err();
        assert_eq!(refusal.cause(), "host_memory");
        account.release(Bytes::new(800));
        account.reserve(Bytes::new(800)).unwrap();
        assert_eq!(memory.standing().1, Bytes::new(800));
    }

    #[test]
    fn an_app_within_its_share_gets_memory_from_the_one_beyond() {
        let memory = memory(800);
        let (greedy, modest) = (memory.account(Weight::DEFAULT), memory.account(Weight::DEFAULT));
        let calls: Vec<_> = (0..3).map(Call::unrecorded).collect();
        for call in &calls {
            greedy.reserve(Bytes::new(233)).unwrap();
            greedy.make_evictable(call);
        }
        modest.reserve(Bytes::new(120)).unwrap();
        let ended: Vec<bool> = calls.iter().map(|call| call.failed()).collect();
        assert_eq!(ended, [false, false, true], "the latest call of the greedy app was ended");
        assert!(greedy.reserve(Bytes::new(50)).is_err());
    }

    #[test]
    fn a_process_beyond_its_budget_costs_the_heaviest_app_a_call() {
        let memory = memory(800);
        let (heavy, light) = (memory.account(Weight::DEFAULT), memory.account(Weight::DEFAULT));
        heavy.reserve(Bytes::new(200)).unwrap();
        light.reserve(Bytes::new(100)).unwrap();
        let call = Call::unrecorded(1);
        heavy.make_evictable(&call);
        assert_eq!(memory.observe(|| using(100)), Observed::Fine, "used from the start");
        assert_eq!(memory.observe(|| using(700)), Observed::Fine);
        assert!(memory.is_tight());
        assert_eq!(memory.observe(|| using(701)), Observed::Ended);
        assert!(call.failed());
        assert_eq!(memory.observe(|| using(701)), Observed::Fine, "it has no other call");
        assert_eq!(memory.observe(|| using(600)), Observed::Fine);
        assert!(!memory.is_tight());
    }

    #[test]
    fn a_process_full_of_what_no_app_holds_ends_no_call_and_takes_no_new_one() {
        let memory = memory(800);
        let account = memory.account(Weight::DEFAULT);
        assert_eq!(memory.observe(|| using(50)), Observed::Fine);
        account.reserve(Bytes::new(200)).unwrap();
        let call = Call::unrecorded(1);
        account.make_evictable(&call);
        assert_eq!(memory.observe(|| using(790)), Observed::Exhausted);
        assert!(!call.failed());
        assert_eq!(account.admit().unwrap_err().cause(), "host_exhausted");
        assert_eq!(memory.observe(|| using(600)), Observed::Fine);
        account.admit().unwrap();
    }

    #[test]
    fn what_is_given_back_during_a_sample_is_nobodys_fault() {
        let memory = memory(800);
        let (gone, light) = (memory.account(Weight::DEFAULT), memory.account(Weight::DEFAULT));
        assert_eq!(memory.observe(|| using(50)), Observed::Fine);
        gone.reserve(Bytes::new(600)).unwrap();
        light.reserve(Bytes::new(10)).unwrap();
        let call = Call::unrecorded(1);
        light.make_evictable(&call);
        let observed = memory.observe(|| {
            gone.release(Bytes::new(600));
            using(790)
        });
        assert_eq!(observed, Observed::Fine, "the next sample finds it gone");
        assert!(!call.failed(), "the one that holds something yet was ended");
        light.admit().unwrap();
    }

    #[test]
    fn what_the_pool_keeps_is_not_taken_for_what_nobody_knows() {
        for (kept, observed) in [(0, Observed::Exhausted), (250, Observed::Ended)] {
            let memory = memory(800);
            let account = memory.account(Weight::DEFAULT);
            assert_eq!(memory.observe(|| using(50)), Observed::Fine);
            account.reserve(Bytes::new(200)).unwrap();
            let call = Call::unrecorded(1);
            account.make_evictable(&call);
            let sample = MemorySample { kept: Bytes::new(kept), ..using(790) };
            assert_eq!(memory.observe(|| sample), observed);
        }
    }

    #[test]
    fn who_asks_is_judged_with_all_others_however_old_the_list_is() {
        let memory = memory(800);
        let accounts: Vec<_> = (0..3).map(|_| memory.account(Weight::DEFAULT)).collect();
        // The list is made by an ask at which nobody held anything.
        accounts[0].reserve(Bytes::new(701)).unwrap();
        let call = Call::unrecorded(1);
        accounts[0].make_evictable(&call);
        accounts[1].reserve(Bytes::new(50)).unwrap();
        accounts[2].reserve(Bytes::new(60)).unwrap();
        assert!(call.failed(), "the first gives: it holds more than its share");
    }
}
