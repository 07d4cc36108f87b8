//! Looks every few seconds at what is wrong, finds the reasons of what is new, and asks other hosts about
//! what is over here: it is over only where none of them tells it.
//! Tells nobody: the tasks of the receivers do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use steerage_core::notify::Sighting;
use steerage_core::problem::{FoundProblem, ProblemKey, each_once, with_symptoms};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::source::{ProblemSource, ToldElsewhere};

/// How often is looked.
const EVERY: Duration = Duration::from_secs(5);
/// Reasons are looked for of so many problems at once, and of each for so long: each takes asking all hosts.
const EXPLAINED: usize = 10;
const EXPLAINED_WITHIN: Duration = Duration::from_secs(6);
/// A host that says nothing for so long may have the problem or not: nobody waits for it any longer.
const UNCLEAR_FOR: Duration = Duration::from_secs(600);

/// What was found.
pub(super) type Looked = BTreeMap<ProblemKey, FoundHere>;

/// One problem.
#[derive(Clone, Debug)]
pub(super) struct FoundHere {
    /// How it stands.
    pub(super) sighting: Sighting,
    /// What is said of it.
    pub(super) problem: Arc<FoundProblem>,
}

/// A problem with its reason, as long as it is materially the same.
struct Reason {
    material: u64,
    evidence: Vec<String>,
    remedy: Option<steerage_core::why::Remedy>,
}

/// Looks until nobody wants to know.
pub(super) async fn look(source: impl ProblemSource, publish: watch::Sender<Arc<Looked>>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reasons = BTreeMap::new();
    let mut leaving: BTreeMap<ProblemKey, Instant> = BTreeMap::new();
    let mut before = Arc::new(Looked::default());
    while !publish.is_closed() {
        ticks.tick().await;
        let mut found = Looked::new();
        let here = source.here().await;
        for (problem, is_symptom) in with_symptoms(each_once(here.own)) {
            let sighting = Sighting::Here { material: problem.material(), is_symptom };
            found.insert(problem.key(), FoundHere { sighting, problem: Arc::new(problem) });
        }
        explain(&source, &mut found, &mut reasons).await;
        // What is not seen any more may be seen elsewhere, where it is an app's.
        leaving.retain(|key, since| !found.contains_key(key) && since.elapsed() < UNCLEAR_FOR);
        let was_here = |found: &FoundHere| matches!(found.sighting, Sighting::Here { .. });
        for (key, _) in before.iter().filter(|(_, found)| was_here(found)) {
            if key.app.is_some() && !found.contains_key(key) {
                leaving.insert(key.clone(), Instant::now());
            }
        }
        for (key, found_before) in before.iter().filter(|(key, _)| here.of_others.contains(*key)) {
            let elsewhere = FoundHere { sighting: Sighting::Elsewhere, ..found_before.clone() };
            found.entry(key.clone()).or_insert(elsewhere);
        }
        if !leaving.is_empty() {
            let elsewhere = source.elsewhere().await;
            let still = leaving.keys().filter_map(|key| {
                let problem = before.get(key)?.problem.clone();
                Some((key.clone(), FoundHere { sighting: left(key, &elsewhere)?, problem }))
            });
            let still: Looked = still.collect();
            leaving.retain(|key, since| {
                let Some(found) = still.get(key) else { return false };
                // Nobody waits for who says nothing; for who has it, everybody does.
                if found.sighting == Sighting::Elsewhere {
                    *since = Instant::now();
                }
                true
            });
            found.extend(still);
        }
        before = Arc::new(found);
        publish.send_replace(before.clone());
    }
}

/// Where a problem is that is not here any more; nothing where it is over.
fn left(key: &ProblemKey, elsewhere: &ToldElsewhere) -> Option<Sighting> {
    if elsewhere.told.contains(key) {
        return Some(Sighting::Elsewhere);
    }
    (!elsewhere.is_all).then_some(Sighting::Unclear)
}

/// Gives what is found its reasons, those of new problems as far as they are found in time.
async fn explain(
    source: &impl ProblemSource,
    found: &mut Looked,
    reasons: &mut BTreeMap<ProblemKey, Reason>,
) {
    reasons.retain(|key, reason| {
        found.get(key).is_some_and(|found| found.problem.material() == reason.material)
    });
    let new = found.iter().filter(|(key, found)| {
        let is_symptom = matches!(found.sighting, Sighting::Here { is_symptom: true, .. });
        key.app.is_some() && !is_symptom && !reasons.contains_key(key)
    });
    let asked = new.take(EXPLAINED).map(|(key, found)| async {
        let material = found.problem.material();
        let explained = source.explained((*found.problem).clone());
        // Each has a time of its own: one that does not come keeps no other from being told.
        let explained = tokio::time::timeout(EXPLAINED_WITHIN, explained).await;
        let FoundProblem { evidence, remedy, .. } = explained.ok()?;
        Some((key.clone(), Reason { material, evidence, remedy }))
    });
    let asked: Vec<_> = asked.collect();
    reasons.extend(join_all(asked).await.into_iter().flatten());
    for (key, reason) in reasons {
        if let Some(found) = found.get_mut(key) {
            let mut problem = (*found.problem).clone();
            problem.evidence.clone_from(&reason.evidence);
            problem.remedy.clone_from(&reason.remedy);
            found.problem = Arc::new(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use super::*;
    use crate::notify::source::ProblemsHere;
    use crate::notify::tests::failing;

    /// What is said, to be set by a test.
    #[derive(Clone, Default)]
    struct Says {
        here: Arc<Mutex<ProblemsHere>>,
        elsewhere: Arc<Mutex<ToldElsewhere>>,
        n_explained: Arc<Mutex<usize>>,
        /// Of this app no reason ever comes.
        unexplained: Arc<Mutex<Option<String>>>,
    }

    impl ProblemSource for Says {
        async fn here(&self) -> ProblemsHere {
            self.here.lock().unwrap().clone()
        }

        async fn explained(&self, problem: FoundProblem) -> FoundProblem {
            *self.n_explained.lock().unwrap() += 1;
            let is_unexplained = *self.unexplained.lock().unwrap() == problem.app;
            if is_unexplained {
                std::future::pending::<()>().await;
            }
            FoundProblem { evidence: vec!["the reason".to_owned()], ..problem }
        }

        async fn elsewhere(&self) -> ToldElsewhere {
            self.elsewhere.lock().unwrap().clone()
        }
    }

    async fn next(looks: &mut watch::Receiver<Arc<Looked>>) -> Vec<(String, Sighting)> {
        looks.changed().await.unwrap();
        let looked = looks.borrow_and_update().clone();
        let shown = looked.values().map(|found| (found.problem.claim.clone(), found.sighting));
        shown.collect()
    }

    fn looking() -> (Says, watch::Receiver<Arc<Looked>>) {
        let says = Says::default();
        let (publish, looks) = watch::channel(Arc::default());
        drop(tokio::spawn(look(says.clone(), publish)));
        (says, looks)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_here_is_over_where_all_others_say_so() {
        let (says, mut looks) = looking();
        says.here.lock().unwrap().own = vec![failing("shop"), failing("web")];
        assert_eq!(next(&mut looks).await.len(), 2);
        // One host does not answer, another one tells the one of the two.
        says.here.lock().unwrap().own = Vec::new();
        *says.elsewhere.lock().unwrap() =
            ToldElsewhere { told: BTreeSet::from([failing("web").key()]), is_all: false };
        let shown = next(&mut looks).await;
        assert_eq!(shown[0], ("shop fails".to_owned(), Sighting::Unclear));
        assert_eq!(shown[1], ("web fails".to_owned(), Sighting::Elsewhere));
        let unclear = vec![
            ("shop fails".to_owned(), Sighting::Unclear),
            ("web fails".to_owned(), Sighting::Elsewhere),
        ];
        assert_eq!(next(&mut looks).await, unclear);
        says.elsewhere.lock().unwrap().is_all = true;
        let elsewhere = vec![("web fails".to_owned(), Sighting::Elsewhere)];
        for _ in 0..2 {
            assert_eq!(next(&mut looks).await, elsewhere, "for as long as another host has it");
        }
        says.elsewhere.lock().unwrap().told.clear();
        assert_eq!(next(&mut looks).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_for_a_host_that_says_nothing() {
        let (says, mut looks) = looking();
        says.here.lock().unwrap().own = vec![failing("shop")];
        next(&mut looks).await;
        says.here.lock().unwrap().own = Vec::new();
        let begun = Instant::now();
        while !next(&mut looks).await.is_empty() {}
        let waited = begun.elapsed();
        assert!((UNCLEAR_FOR..UNCLEAR_FOR + 3 * EVERY).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_host_has_to_tell_now_is_not_over() {
        let (says, mut looks) = looking();
        let lost = FoundProblem { app: None, hosts: vec!["h3".to_owned()], ..failing("") };
        says.here.lock().unwrap().own = vec![lost.clone()];
        next(&mut looks).await;
        *says.here.lock().unwrap() =
            ProblemsHere { own: Vec::new(), of_others: BTreeSet::from([lost.key()]) };
        assert_eq!(next(&mut looks).await[0].1, Sighting::Elsewhere);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_that_does_not_come_keeps_no_other_from_being_told() {
        let (says, mut looks) = looking();
        *says.unexplained.lock().unwrap() = Some("shop".to_owned());
        says.here.lock().unwrap().own = vec![failing("shop"), failing("web")];
        next(&mut looks).await;
        let looked = looks.borrow().clone();
        let evidence: Vec<_> =
            looked.values().map(|found| found.problem.evidence.clone()).collect();
        assert_eq!(evidence, [Vec::new(), vec!["the reason".to_owned()]]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_reason_is_looked_for_once() {
        let (says, mut looks) = looking();
        says.here.lock().unwrap().own = vec![failing("shop")];
        for _ in 0..5 {
            next(&mut looks).await;
            let looked = looks.borrow().clone();
            assert!(looked.values().all(|found| found.problem.evidence == ["the reason"]));
        }
        assert_eq!(*says.n_explained.lock().unwrap(), 1);
        let other = ("timed_out".to_owned(), "it timed out".to_owned());
        says.here.lock().unwrap().own =
            vec![FoundProblem { cause: Some(other), ..failing("shop") }];
        next(&mut looks).await;
        assert_eq!(*says.n_explained.lock().unwrap(), 2, "it is another one");
    }
}
