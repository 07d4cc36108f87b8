//! Which apps a host sees to, in what order and how many at once, and when it tries again what failed.
//! What fails keeps nobody else back. Takes no step itself, and does not say which: `next_step` does.
//!
//! Inputs are [`Reconciler::add`], [`Reconciler::done`] and [`Reconciler::wake`]. After each,
//! [`Reconciler::next_app`] is called until it says `None`, each app with [`Reconciler::begin`] and how it
//! stands, and then [`Reconciler::batch`] once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{AppName, Generation};
use crate::reconcile::{AppStatus, Step, next_step};

/// How many apps are seen to at once: fetching waits for others, compiling has its own bound.
pub const PARALLEL: usize = 8;
/// As many apps are learned of at once: the host asks for some of them while it keeps others.
pub const FOLLOWED: usize = 8_192;
/// When a failure is tried again, and at most how long after several.
pub const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Which apps are seen to.
#[derive(Debug, Default)]
pub struct Reconciler {
    /// To be looked at.
    queue: BTreeSet<AppName>,
    /// Those about which a step is being taken, or that are learned of.
    busy: BTreeSet<AppName>,
    /// Of these, the ones to look at again as soon as they are not busy.
    again: BTreeSet<AppName>,
    /// Those for which there was no place.
    waiting: BTreeSet<AppName>,
    /// Steps that are being taken, at most [`PARALLEL`].
    n_steps: usize,
    /// Apps that run elsewhere and are to be learned of, while others are: the longer it takes, the more
    /// are learned of at once.
    unlearned: BTreeMap<AppName, Generation>,
    /// Those that are being learned of.
    learning: BTreeSet<AppName>,
    /// How often in a row a step about an app failed, and when it is tried again or was.
    failures: BTreeMap<AppName, (u32, Duration)>,
    /// Those that are tried again later, by when.
    later: BTreeSet<(Duration, AppName)>,
}

impl Reconciler {
    /// Notes apps to look at.
    pub fn add(&mut self, apps: impl IntoIterator<Item = AppName>) {
        self.queue.extend(apps);
    }

    /// Notes those to look at again that failed and whose time has come.
    pub fn wake(&mut self, now: Duration) {
        while self.later.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, app)) = self.later.pop_first()
        {
            self.queue.insert(app);
        }
    }

    /// When [`Reconciler::wake`] has something to do; `None` for never.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Duration> {
        self.later.first().map(|(at, _)| *at)
    }

    /// The next app to look at.
    pub fn next_app(&mut self) -> Option<AppName> {
        let has_place = self.n_steps < PARALLEL;
        self.queue.pop_first().or_else(|| if has_place { self.waiting.pop_first() } else { None })
    }

    /// What to do about an app that stands like this: a step that is taken from now on, until
    /// [`Reconciler::done`] says what it came to. [`Step::EndCanary`] is over at once: it waits for
    /// nobody, since others may compile for a minute and it harms callers. `None` where there is nothing
    /// to do now.
    pub fn begin(&mut self, app: &AppName, status: &AppStatus) -> Option<Step> {
        match next_step(status) {
            Step::Rest => None,
            Step::EndCanary => {
                self.queue.insert(app.clone());
                Some(Step::EndCanary)
            }
            _ if self.busy.contains(app) => {
                self.again.insert(app.clone());
                None
            }
            Step::Follow(generation) => {
                self.busy.insert(app.clone());
                self.unlearned.insert(app.clone(), generation);
                None
            }
            _ if self.n_steps >= PARALLEL => {
                self.waiting.insert(app.clone());
                None
            }
            step => {
                self.busy.insert(app.clone());
                self.n_steps += 1;
                Some(step)
            }
        }
    }

    /// The apps to learn of now, each a [`Step::Follow`] that is taken from now on; none while others are
    /// learned of.
    pub fn batch(&mut self) -> Vec<(AppName, Generation)> {
        let mut batch = Vec::new();
        while self.learning.len() == batch.len()
            && batch.len() < FOLLOWED
            && let Some((app, generation)) = self.unlearned.pop_first()
        {
            self.learning.insert(app.clone());
            batch.push((app, generation));
        }
        batch
    }

    /// Takes what a step about an app came to. Returns how often in a row it had failed before, where it
    /// has failed.
    pub fn done(&mut self, app: &AppName, is_well: bool, now: Duration) -> Option<u32> {
        self.busy.remove(app);
        if !self.learning.remove(app) {
            self.n_steps = self.n_steps.saturating_sub(1);
        }
        let has_news = self.again.remove(app);
        if is_well || has_news {
            self.queue.insert(app.clone());
        }
        // Tried once more at a time, however often it was looked at.
        let failed = self.failures.remove(app);
        if let Some((_, at)) = failed {
            self.later.remove(&(at, app.clone()));
        }
        if is_well {
            return None;
        }
        let n_before = failed.map_or(0, |(n_failures, _)| n_failures);
        let (shortest, longest) = RETRY;
        let pause = shortest.saturating_mul(1 << n_before.min(8)).min(longest);
        let again_at = now.saturating_add(pause);
        self.failures.insert(app.clone(), (n_before.saturating_add(1), again_at));
        self.later.insert((again_at, app.clone()));
        Some(n_before)
    }

    /// Whether no step is being taken, but that apps are learned of.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.n_steps == 0
    }

    /// Whether nothing is left to be done or to be looked at, but what is tried again.
    #[must_use]
    pub fn has_settled(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_empty() && self.busy.is_empty()
    }

    /// Whether the last step about an app failed.
    #[must_use]
    pub fn has_failed(&self, app: &AppName) -> bool {
        self.failures.contains_key(app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::{Wanted, Wish};

    fn app(name: &str) -> AppName {
        name.parse().unwrap()
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// An app that shall be served here, or followed.
    fn wanted(is_here: bool) -> AppStatus {
        let generation = Generation::FIRST;
        let wanted = Wanted { generation, is_here, is_placed: true, is_ready: false, canary: None };
        AppStatus { wish: Wish::Wanted(wanted), ..AppStatus::default() }
    }

    /// Looks at all that there are to look at; the steps that begin.
    fn look(reconciler: &mut Reconciler, status: &AppStatus) -> Vec<(String, Step)> {
        let mut begun = Vec::new();
        while let Some(app) = reconciler.next_app() {
            begun.extend(reconciler.begin(&app, status).map(|step| (app.to_string(), step)));
        }
        begun
    }

    #[test]
    fn only_so_many_steps_are_taken_at_once_and_the_others_follow() {
        let mut reconciler = Reconciler::default();
        reconciler.add((0..20).map(|number| app(&format!("a{number:02}"))));
        assert_eq!(look(&mut reconciler, &wanted(true)).len(), PARALLEL);
        assert!(!reconciler.is_idle() && !reconciler.has_settled());
        assert_eq!(reconciler.done(&app("a03"), true, at(0)), None);
        let begun = look(&mut reconciler, &wanted(true));
        // The one that is done is looked at again, and takes its place anew.
        assert_eq!(begun.len(), 1, "{begun:?}");
    }

    #[test]
    fn one_that_is_busy_is_looked_at_once_more_however_often_it_changed() {
        let mut reconciler = Reconciler::default();
        for _ in 0..3 {
            reconciler.add([app("a")]);
            look(&mut reconciler, &wanted(true));
        }
        assert_eq!(reconciler.done(&app("a"), false, at(0)), Some(0));
        assert_eq!(look(&mut reconciler, &wanted(true)).len(), 1);
        assert!(reconciler.next_app().is_none());
    }

    #[test]
    fn what_fails_is_tried_again_later_and_later_and_keeps_nobody_back() {
        let mut reconciler = Reconciler::default();
        reconciler.add([app("a")]);
        let mut now = at(0);
        for pause in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            assert_eq!(look(&mut reconciler, &wanted(true)).len(), 1);
            reconciler.done(&app("a"), false, now);
            assert!(reconciler.has_failed(&app("a")) && reconciler.has_settled());
            assert_eq!(reconciler.wakes_at(), Some(now + at(pause)));
            reconciler.wake(now + at(pause - 1));
            assert!(reconciler.next_app().is_none());
            now += at(pause);
            reconciler.wake(now);
            assert_eq!(reconciler.wakes_at(), None);
        }
        reconciler.add([app("b")]);
        assert_eq!(look(&mut reconciler, &wanted(true)).len(), 2);
        reconciler.done(&app("a"), true, now);
        assert!(!reconciler.has_failed(&app("a")));
    }

    #[test]
    fn apps_are_learned_of_in_batches_one_after_the_other() {
        let mut reconciler = Reconciler::default();
        reconciler.add([app("first")]);
        look(&mut reconciler, &wanted(false));
        assert_eq!(reconciler.batch().len(), 1);
        reconciler.add((0..FOLLOWED + 1).map(|number| app(&format!("a{number}"))));
        assert!(look(&mut reconciler, &wanted(false)).is_empty());
        assert!(reconciler.batch().is_empty(), "others are learned of");
        assert!(reconciler.is_idle() && !reconciler.has_settled());
        reconciler.done(&app("first"), true, at(0));
        let batch = reconciler.batch();
        assert_eq!(batch.len(), FOLLOWED);
        // Not before all of them are through.
        for (app, _) in batch.iter().skip(1) {
            reconciler.done(app, true, at(0));
        }
        assert!(reconciler.batch().is_empty());
        reconciler.done(&batch[0].0, true, at(0));
        assert_eq!(reconciler.batch().len(), 1);
    }

    #[test]
    fn a_hundred_thousand_apps_are_learned_of_in_a_few_batches() {
        let mut reconciler = Reconciler::default();
        reconciler.add((0..100_000).map(|number| app(&format!("a{number}"))));
        let (mut n_batches, mut n_learned) = (0, 0);
        loop {
            look(&mut reconciler, &wanted(false));
            let batch = reconciler.batch();
            if batch.is_empty() {
                break;
            }
            (n_batches, n_learned) = (n_batches + 1, n_learned + batch.len());
            // What has gone well is looked at again, and is then as it shall be.
            for (app, _) in batch {
                reconciler.done(&app, true, at(0));
                assert_eq!(reconciler.next_app(), Some(app));
            }
        }
        assert!(reconciler.has_settled());
        assert_eq!(n_learned, 100_000);
        assert!(n_batches <= 16, "{n_batches} batches");
    }

    #[test]
    fn a_canary_ends_though_all_places_are_taken() {
        let mut reconciler = Reconciler::default();
        reconciler.add((0..PARALLEL).map(|number| app(&format!("a{number}"))));
        look(&mut reconciler, &wanted(true));
        let bad = AppStatus { tried: Some(Generation::FIRST), ..wanted(true) };
        reconciler.add([app("a0")]);
        let next = reconciler.next_app().unwrap();
        assert_eq!(reconciler.begin(&next, &bad), Some(Step::EndCanary));
        assert_eq!(reconciler.next_app(), Some(app("a0")), "and what is next of it?");
    }
}
