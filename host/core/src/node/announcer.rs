//! Telling the store which code is at hand here: soon, and many at once where there are many. Others count
//! on what is ready while the rest is not. Writes nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::records::LeaseId;
use crate::id::{AppName, Generation};
use crate::reconcile::Step;

/// What is ready is announced so soon, though others that would go into the same commit are not.
pub const SOON: Duration = Duration::from_millis(200);
/// As many announcements go into one commit; see the store's bound.
pub const BATCH: usize = 100;

/// Code that is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeAtHand {
    /// Of which deployment.
    pub generation: Generation,
    /// Of which deployment that is tried, besides.
    pub canary: Option<Generation>,
}

/// What this host has announced, and under which lease.
#[derive(Debug, Default)]
pub struct Announcer {
    lease: Option<LeaseId>,
    ready: BTreeMap<AppName, CodeAtHand>,
    /// What is to be written.
    due: BTreeSet<AppName>,
    /// Since when there is anything, or since the store did not take it.
    due_since: Option<Duration>,
}

impl Announcer {
    /// Which deployment of an app is announced, or about to be.
    #[must_use]
    pub fn announced(&self, app: &AppName) -> Option<Generation> {
        self.ready.get(app).map(|ready| ready.generation)
    }

    /// Notes a step that was taken.
    pub fn note(&mut self, app: &AppName, step: Step, now: Duration) {
        match step {
            Step::Prepare(generation) => {
                self.ready.insert(app.clone(), CodeAtHand { generation, canary: None });
            }
            Step::Retire | Step::Forget(_) => drop(self.ready.remove(app)),
            Step::Rest | Step::Follow(_) | Step::Try(_) | Step::EndCanary => return,
        }
        self.is_to_tell(app.clone(), now);
    }

    /// Notes what is tried, however that came to be: a trial ends with what it was published beside.
    pub fn note_canary(&mut self, app: &AppName, canary: Option<Generation>, now: Duration) {
        if let Some(ready) = self.ready.get_mut(app)
            && ready.canary != canary
        {
            ready.canary = canary;
            self.is_to_tell(app.clone(), now);
        }
    }

    /// Notes under which lease this host is registered by now. What was told under another is gone with
    /// that.
    pub fn note_lease(&mut self, lease: Option<LeaseId>, now: Duration) {
        if lease.is_some() && self.lease != lease {
            self.lease = lease;
            let all: Vec<AppName> = self.ready.keys().cloned().collect();
            all.into_iter().for_each(|app| self.is_to_tell(app, now));
        }
    }

    /// When what is to be written is written at the latest; `None` where that is nothing.
    #[must_use]
    pub fn due_at(&self) -> Option<Duration> {
        let since = self.due_since.filter(|_| !self.due.is_empty());
        since.map(|since| since.saturating_add(SOON))
    }

    /// What to write now, if it is time: nothing more will come soon, or it is a batch, or long enough
    /// ago. With `None` an app's announcement is deleted. What it comes to is said to
    /// [`Announcer::written`] or [`Announcer::failed`].
    #[must_use]
    pub fn batch(&self, is_all: bool, now: Duration) -> Vec<(AppName, Option<CodeAtHand>)> {
        let is_late = self.due_at().is_some_and(|at| now >= at);
        if !(is_all || is_late || self.due.len() >= BATCH) {
            return Vec::new();
        }
        let batch = self.due.iter().take(BATCH);
        batch.map(|app| (app.clone(), self.ready.get(app).copied())).collect()
    }

    /// Notes that this was written. What has changed meanwhile is still to be written.
    pub fn written(&mut self, batch: &[(AppName, Option<CodeAtHand>)]) {
        for (app, ready) in batch {
            if self.ready.get(app) == ready.as_ref() {
                self.due.remove(app);
            }
        }
        if self.due.is_empty() {
            self.due_since = None;
        }
    }

    /// Notes that the store did not take it. It is tried again as soon as what is new.
    pub fn failed(&mut self, now: Duration) {
        self.due_since = Some(now);
    }

    fn is_to_tell(&mut self, app: AppName, now: Duration) {
        self.due.insert(app);
        self.due_since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> AppName {
        name.parse().unwrap()
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const FIRST: Step = Step::Prepare(Generation::FIRST);

    #[test]
    fn what_is_ready_is_told_soon_though_others_are_not() {
        let mut announcer = Announcer::default();
        announcer.note(&app("a"), FIRST, at(1000));
        assert!(announcer.batch(false, at(1199)).is_empty());
        assert_eq!(announcer.due_at(), Some(at(1200)));
        assert_eq!(announcer.batch(true, at(1000)).len(), 1, "nothing more will come");
        let batch = announcer.batch(false, at(1200));
        assert_eq!(batch.len(), 1);
        // The store does not take it.
        announcer.failed(at(1300));
        assert!(announcer.batch(false, at(1400)).is_empty());
        assert_eq!(announcer.batch(false, at(1500)), batch);
        announcer.written(&batch);
        assert_eq!(announcer.due_at(), None);
        assert!(announcer.batch(true, at(9000)).is_empty());
    }

    #[test]
    fn what_changes_while_it_is_written_is_written_again() {
        let mut announcer = Announcer::default();
        announcer.note(&app("a"), FIRST, at(0));
        let batch = announcer.batch(true, at(0));
        announcer.note(&app("a"), Step::Retire, at(1));
        announcer.written(&batch);
        assert_eq!(announcer.batch(true, at(2)), [(app("a"), None)]);
    }

    #[test]
    fn under_another_lease_all_is_told_again() {
        let mut announcer = Announcer::default();
        for name in ["a", "b"] {
            announcer.note(&app(name), FIRST, at(0));
        }
        announcer.note_lease(Some(LeaseId(1)), at(0));
        announcer.written(&announcer.batch(true, at(0)));
        announcer.note_lease(None, at(1));
        announcer.note_lease(Some(LeaseId(1)), at(2));
        assert!(announcer.batch(true, at(2)).is_empty());
        announcer.note_lease(Some(LeaseId(2)), at(3));
        assert_eq!(announcer.batch(true, at(3)).len(), 2);
    }

    #[test]
    fn a_canary_is_told_when_it_begins_and_when_it_ends() {
        let mut announcer = Announcer::default();
        let canary = Some(Generation::FIRST.next());
        announcer.note_canary(&app("a"), canary, at(0));
        assert!(announcer.batch(true, at(0)).is_empty(), "what is not announced has none");
        announcer.note(&app("a"), FIRST, at(0));
        announcer.written(&announcer.batch(true, at(0)));
        for canary in [canary, None] {
            announcer.note_canary(&app("a"), canary, at(0));
            let batch = announcer.batch(true, at(0));
            let told = CodeAtHand { generation: Generation::FIRST, canary };
            assert_eq!(batch, [(app("a"), Some(told))]);
            announcer.written(&batch);
        }
    }
}
