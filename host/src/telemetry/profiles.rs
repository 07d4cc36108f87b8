//! Where guests spend their CPU time, by deployment: samples of the threads that run guests, put together.
//! Does not sample (`steerage-sampler` does) and shows nothing.

mod mapped;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use steerage_core::id::{AppName, Generation};
use steerage_core::profile::Profile;
use steerage_sampler::{Sample, SampledThread};

pub use self::mapped::{FoundFunction, MappedCode};

/// Samples for each second of CPU time of a thread, unless somebody says otherwise. No beat that guests may keep, such
/// as a hundredth of a second, is a multiple of it.
pub const FREQUENCY: u32 = 19;
/// The most that can be asked for.
pub const MOST_FREQUENCY: u32 = 1000;
/// How often samples are taken: a thread keeps 64.
const EVERY: Duration = Duration::from_millis(50);
/// The longest while, where less often is often enough.
const SELDOM: Duration = Duration::from_secs(1);
/// Deployments of which a host keeps a profile; of each app so many, the last ones.
const MOST_PROFILES: usize = 200;
const MOST_OF_APP: usize = 3;

/// What threads that begin are sampled with; 0 for not at all. Threads and their signals are the process's, so this
/// is, too.
static WANTED: AtomicU32 = AtomicU32::new(0);
/// Who works on a thread is known to the signal's handler by a number, which is never given twice.
static NEXT_SCOPE: AtomicU64 = AtomicU64::new(1);
static SCOPES: Mutex<BTreeMap<u64, Weak<ProfileScope>>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// Sampling ends with the thread.
    static SAMPLED: OnceCell<Option<SampledThread>> = const { OnceCell::new() };
}

/// Threads that begin from here on are sampled so often for each second of CPU time.
pub fn want(frequency: u32) {
    WANTED.store(frequency, Ordering::Relaxed);
}

/// Samples for each second of CPU time of a thread; 0 where there are none.
#[must_use]
pub fn frequency() -> u32 {
    WANTED.load(Ordering::Relaxed)
}

/// Samples that were lost in this process, since nobody took them in time.
#[must_use]
pub fn n_lost() -> u64 {
    steerage_sampler::n_lost()
}

/// Samples this thread from here on, if that is wanted. To be called once on each thread that runs guests.
pub fn sample_here() {
    let frequency = WANTED.load(Ordering::Relaxed);
    if frequency == 0 {
        return;
    }
    SAMPLED.with(|sampled| {
        sampled.get_or_init(|| {
            SampledThread::start(frequency)
                .inspect_err(|error| tracing::warn!(%error, "guests on a thread have no profile"))
                .ok()
        });
    });
}

/// Takes what was sampled, until it is dropped.
pub async fn drive() {
    let frequency = WANTED.load(Ordering::Relaxed);
    if frequency == 0 {
        return;
    }
    let every = if frequency <= FREQUENCY { SELDOM } else { EVERY };
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // The functions of a large component take a while to read.
        drop(tokio::task::spawn_blocking(take).await);
    }
}

/// Takes what was sampled until now.
pub fn take() {
    let now = super::destinations::now();
    steerage_sampler::take(|sample| {
        let scope = scopes().get(&sample.scope).and_then(Weak::upgrade);
        // A deployment that is gone by now has no profile.
        if let Some(scope) = scope {
            scope.profiles.note(now, &scope, sample);
        }
    });
}

fn scopes() -> MutexGuard<'static, BTreeMap<u64, Weak<ProfileScope>>> {
    SCOPES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The profiles that one host keeps.
#[derive(Debug, Default)]
pub struct Profiles {
    all: Mutex<BTreeMap<(AppName, Generation), Profile>>,
}

/// For whom a thread works while it runs guests of one deployment.
#[derive(Debug)]
pub struct ProfileScope {
    id: u64,
    app: AppName,
    generation: Generation,
    profiles: Arc<Profiles>,
}

impl Profiles {
    /// For whom threads work that run guests of this deployment.
    #[must_use]
    pub fn scope(self: &Arc<Self>, app: &AppName, generation: Generation) -> Arc<ProfileScope> {
        let id = NEXT_SCOPE.fetch_add(1, Ordering::Relaxed);
        let (app, profiles) = (app.clone(), self.clone());
        let scope = Arc::new(ProfileScope { id, app, generation, profiles });
        scopes().insert(id, Arc::downgrade(&scope));
        scope
    }

    /// The profiles of the last deployments of an app, the oldest first.
    #[must_use]
    pub fn of(&self, app: &AppName) -> Vec<(Generation, Profile)> {
        let all = self.all();
        let of_app = all.iter().filter(|((name, _), _)| name == app);
        of_app.map(|((_, generation), profile)| (*generation, profile.clone())).collect()
    }

    fn note(&self, now: u64, scope: &ProfileScope, sample: &Sample) {
        let stack = mapped::stack(sample);
        let key = (scope.app.clone(), scope.generation);
        let mut all = self.all();
        if !all.contains_key(&key) && !make_room(&mut all, &key) {
            return;
        }
        let names = stack.iter().map(|name| &**name);
        all.entry(key).or_default().note(now, names, sample.weight);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<(AppName, Generation), Profile>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more; not for a deployment that is older than those that are kept of its app, whose last calls
/// end now.
fn make_room(
    all: &mut BTreeMap<(AppName, Generation), Profile>,
    new: &(AppName, Generation),
) -> bool {
    let of_app: Vec<_> = all.keys().filter(|(name, _)| *name == new.0).cloned().collect();
    // By generation: the oldest is first.
    if let Some(oldest) = of_app.first().filter(|_| of_app.len() >= MOST_OF_APP) {
        if new < oldest {
            return false;
        }
        all.remove(oldest);
    }
    if all.len() >= MOST_PROFILES {
        let last = |profile: &Profile| profile.found().map(|(_, last)| last);
        let oldest = all.iter().min_by_key(|(_, profile)| last(profile));
        let oldest = oldest.map(|(key, _)| key.clone());
        oldest.and_then(|oldest| all.remove(&oldest));
    }
    true
}

impl ProfileScope {
    /// Does something for this deployment.
    #[inline]
    pub fn within<R>(&self, run: impl FnOnce() -> R) -> R {
        steerage_sampler::within(self.id, run)
    }
}

impl Drop for ProfileScope {
    fn drop(&mut self) {
        scopes().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> AppName {
        name.parse().unwrap()
    }

    #[test]
    fn of_each_app_the_last_deployments_are_kept_and_of_all_those_that_ran_last() {
        let mut all: BTreeMap<(AppName, Generation), Profile> = BTreeMap::new();
        let mut note = |name: &str, generation: u64, at: u64| {
            let key = (app(name), Generation::new(generation).unwrap());
            if !all.contains_key(&key) && !make_room(&mut all, &key) {
                return;
            }
            all.entry(key).or_default().note(at, ["main"].into_iter(), 1);
        };
        (1..=9).for_each(|generation| note("web", generation, 1_000_000));
        // The last calls of an earlier one.
        note("web", 5, 1_000_001);
        for n in 0..2 * MOST_PROFILES {
            note(&format!("app{n}"), 1, n as u64);
        }
        assert_eq!(all.len(), MOST_PROFILES);
        let kept = |name: &str| {
            let of_app = all.keys().filter(|(known, _)| *known == app(name));
            of_app.map(|(_, generation)| generation.get()).collect::<Vec<_>>()
        };
        assert_eq!(kept("web"), [7, 8, 9]);
        assert_eq!((kept("app0").len(), kept("app399").len()), (0, 1));
    }
}
