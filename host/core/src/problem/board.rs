//! The problems of a fleet: what several hosts say of one problem is one, and what a problem brings about
//! stands beneath it.
//! Asks nobody.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::course::ProblemState;
use super::slow::slow_claim;
use super::told::failing_claim;
use crate::why::Remedy;

/// A problem as one host or more tell it. Times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundProblem {
    /// What kind: `failing` or `slow` of an app, else what of a host is nearly used up or wrong.
    pub kind: String,
    /// The app it is of.
    pub app: Option<String>,
    /// The hosts that have it.
    pub hosts: Vec<String>,
    /// How it stands.
    pub state: ProblemState,
    /// Since when, where that is known.
    pub since: Option<u64>,
    /// The last time that it was so.
    pub last_at: Option<u64>,
    /// Calls that failed, each a piece of evidence of its own, and those that were answered well meanwhile.
    pub calls: (u64, u64),
    /// The cause of most of them, and how that is said.
    pub cause: Option<(String, String)>,
    /// Of an app that is slow: calls that took longer are.
    pub slow_after: Option<Duration>,
    /// What is wrong, in a sentence.
    pub claim: String,
    /// What that is concluded from.
    pub evidence: Vec<String>,
    /// What to do about it.
    pub remedy: Option<Remedy>,
    /// Claims of other problems that this one brings about.
    pub symptoms: Vec<String>,
}

/// For each kind of problem of a host the causes of failed calls that it brings about.
const BRINGS: [(&str, &[&str]); 3] = [
    ("memory", &["host_memory", "host_exhausted"]),
    ("slots", &["host_full", "host_busy"]),
    ("disk", &["host_failed"]),
];

/// And other problems of the same host. None of these brings about anything itself, so that each stands beneath one
/// that is told.
const BRINGS_HERE: [(&str, &[&str]); 2] = [
    ("folder", &["history_not_kept", "events_not_kept"]),
    ("disk_full", &["history_not_kept", "events_not_kept"]),
];

/// Puts together what hosts say: each problem once, the oldest first, and beneath it what it brings about.
#[must_use]
pub fn together(found: Vec<FoundProblem>) -> Vec<FoundProblem> {
    let problems = with_symptoms(each_once(found)).into_iter();
    let problems = problems.filter(|(_, is_symptom)| !is_symptom);
    let mut problems: Vec<_> = problems.map(|(problem, _)| problem).collect();
    problems.sort_by_key(|problem| problem.since);
    problems
}

/// What is told of one problem is put together, by one host or by several.
#[must_use]
pub fn each_once(found: Vec<FoundProblem>) -> Vec<FoundProblem> {
    let mut each: BTreeMap<(String, Option<String>, Vec<String>), FoundProblem> = BTreeMap::new();
    for problem in found {
        // An app's is one wherever its calls are; what a host lacks is that host's.
        let hosts = if problem.app.is_some() { Vec::new() } else { problem.hosts.clone() };
        match each.entry((problem.kind.clone(), problem.app.clone(), hosts)) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(problem);
            }
            std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().add(problem),
        }
    }
    each.into_values().collect()
}

/// Each problem, and whether another one of them brings it about, which then has its claim beneath it.
#[must_use]
pub fn with_symptoms(found: Vec<FoundProblem>) -> Vec<(FoundProblem, bool)> {
    let by: Vec<Option<usize>> =
        found.iter().map(|problem| found.iter().position(|other| other.brings(problem))).collect();
    let mut all: Vec<_> =
        found.into_iter().zip(&by).map(|(problem, by)| (problem, by.is_some())).collect();
    for (place, by) in by.into_iter().enumerate() {
        let symptom = all.get(place).map(|(problem, _)| problem.claim.clone());
        let bringing = by.and_then(|by| all.get_mut(by));
        if let (Some((bringing, _)), Some(symptom)) = (bringing, symptom) {
            bringing.symptoms.push(symptom);
        }
    }
    all
}

/// By what a problem is the same from look to look, whatever is said of it, and on each host that tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProblemKey {
    /// What kind.
    pub kind: String,
    /// The app it is of.
    pub app: Option<String>,
    /// The host it is of, where it is none of an app.
    pub host: Option<String>,
}

impl FoundProblem {
    /// By what it is the same.
    #[must_use]
    pub fn key(&self) -> ProblemKey {
        let host = if self.app.is_some() { None } else { self.hosts.first().cloned() };
        ProblemKey { kind: self.kind.clone(), app: self.app.clone(), host }
    }

    /// A number that changes when it is another problem than before to whoever has to mend it: how it
    /// stands, the cause of most failures, the deployment that is to blame. How often it happened is not.
    #[must_use]
    pub fn material(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.state == ProblemState::Open).hash(&mut hasher);
        if self.app.is_some() {
            let cause = self.cause.as_ref().map(|(cause, _)| cause);
            (cause, &self.evidence).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Adds what another host says of the same one.
    fn add(&mut self, other: Self) {
        if other.calls.0 > self.calls.0 {
            self.cause = other.cause;
        }
        self.calls = (self.calls.0 + other.calls.0, self.calls.1 + other.calls.1);
        self.hosts.extend(
            other.hosts.into_iter().filter(|host| !self.hosts.contains(host)).collect::<Vec<_>>(),
        );
        // A host may have two of a kind, such as receivers that take nothing.
        if self.app.is_none() && other.claim != self.claim {
            self.evidence.push(other.claim);
        }
        self.since = self.since.into_iter().chain(other.since).min();
        self.last_at = self.last_at.max(other.last_at);
        if other.state == ProblemState::Open {
            self.state = ProblemState::Open;
        }
        self.evidence.extend(other.evidence);
        if let (Some(app), Some((_, how))) = (&self.app, &self.cause) {
            let say = if self.kind == "slow" { slow_claim } else { failing_claim };
            self.claim = say(app, self.calls.0, self.calls.0 + self.calls.1, how);
        }
    }

    /// Whether this one of a host brings about that one of an app, on the same host and by its cause, or that one of
    /// the same host.
    fn brings(&self, other: &Self) -> bool {
        if self.app.is_some() {
            return false;
        }
        let has = |brings: &[(&str, &[&str])], what: &str| {
            let brought = brings.iter().find(|(kind, _)| *kind == self.kind);
            brought.is_some_and(|(_, brought)| brought.contains(&what))
        };
        if other.app.is_none() {
            return has(&BRINGS_HERE, &other.kind) && other.hosts == self.hosts;
        }
        let cause = other.cause.as_ref().map_or("", |(cause, _)| cause);
        has(&BRINGS, cause) && other.hosts.iter().all(|host| self.hosts.contains(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_app(app: &str, host: &str, cause: &str, calls: (u64, u64), since: u64) -> FoundProblem {
        FoundProblem {
            kind: "failing".to_owned(),
            app: Some(app.to_owned()),
            hosts: vec![host.to_owned()],
            state: ProblemState::Open,
            since: Some(since),
            last_at: Some(since),
            calls,
            cause: Some((cause.to_owned(), cause.to_owned())),
            slow_after: None,
            claim: failing_claim(app, calls.0, calls.0 + calls.1, cause),
            evidence: Vec::new(),
            remedy: None,
            symptoms: Vec::new(),
        }
    }

    fn of_host(kind: &str, host: &str) -> FoundProblem {
        FoundProblem {
            app: None,
            cause: None,
            kind: kind.to_owned(),
            claim: format!("{kind} of {host}"),
            ..of_app("", host, "", (0, 0), 50)
        }
    }

    #[test]
    fn what_hosts_say_of_one_app_is_one_problem() {
        let all = together(vec![
            of_app("shop", "h1", "trapped", (4, 6), 20),
            of_app("shop", "h2", "timed_out", (10, 0), 10),
            of_app("web", "h2", "trapped", (4, 0), 30),
        ]);
        let claims: Vec<&str> = all.iter().map(|problem| &*problem.claim).collect();
        assert_eq!(
            claims,
            [
                "shop fails: 14 of 20 calls, mostly: timed_out",
                "web fails: 4 of 4 calls, mostly: trapped"
            ]
        );
        assert_eq!((all[0].since, all[0].last_at), (Some(10), Some(20)));
        assert_eq!(all[0].hosts, ["h1", "h2"]);
    }

    #[test]
    fn what_a_host_lacks_has_the_apps_that_suffer_beneath_it() {
        let all = together(vec![
            of_app("shop", "h1", "host_memory", (4, 6), 20),
            of_app("web", "h2", "host_memory", (4, 6), 20),
            of_app("api", "h1", "trapped", (4, 6), 20),
            of_host("memory", "h1"),
        ]);
        let shown: Vec<(&str, usize)> =
            all.iter().map(|problem| (&*problem.claim, problem.symptoms.len())).collect();
        assert_eq!(
            shown,
            [
                ("api fails: 4 of 10 calls, mostly: trapped", 0),
                ("web fails: 4 of 10 calls, mostly: host_memory", 0),
                ("memory of h1", 1),
            ]
        );
    }

    #[test]
    fn a_folder_that_is_gone_has_beneath_it_what_is_not_kept_in_it() {
        let all = together(vec![
            of_host("history_not_kept", "h1"),
            of_host("history_not_kept", "h2"),
            of_host("folder", "h1"),
        ]);
        let shown: Vec<(&str, &[String])> =
            all.iter().map(|problem| (&*problem.claim, &*problem.symptoms)).collect();
        let beneath: &[String] = &["history_not_kept of h1".to_owned()];
        assert_eq!(shown, [("folder of h1", beneath), ("history_not_kept of h2", &[])]);
    }

    #[test]
    fn of_two_of_a_kind_on_a_host_both_are_told() {
        let failing = |receiver: &str| FoundProblem {
            claim: format!("{receiver} takes nothing"),
            ..of_host("receiver_failing", "h1")
        };
        let all = together(vec![failing("the webhook"), failing("the Alertmanager")]);
        let [both] = &all[..] else { panic!("{all:?}") };
        assert_eq!(
            (&*both.claim, &*both.hosts),
            ("the webhook takes nothing", &["h1".to_owned()][..])
        );
        assert_eq!(both.evidence, ["the Alertmanager takes nothing"]);
    }

    #[test]
    fn what_counts_of_a_problem_is_not_how_often_it_happened() {
        let problem = of_app("shop", "h1", "trapped", (4, 6), 20);
        let more = of_app("shop", "h2", "trapped", (40, 6), 20);
        assert_eq!((problem.key(), problem.material()), (more.key(), more.material()));
        let other = of_app("shop", "h1", "timed_out", (4, 6), 20);
        assert_ne!(problem.material(), other.material());
        let unmeasured = FoundProblem { state: ProblemState::Unmeasured, ..problem.clone() };
        assert_ne!(problem.material(), unmeasured.material());
        let blamed = FoundProblem { evidence: vec!["generation 2".to_owned()], ..problem };
        assert_ne!(blamed.material(), more.material());
        assert_ne!(of_host("memory", "h1").key(), of_host("memory", "h2").key());
    }

    #[test]
    fn what_two_hosts_lack_are_two_problems() {
        assert_eq!(together(vec![of_host("memory", "h1"), of_host("memory", "h2")]).len(), 2);
    }

    #[test]
    fn it_is_open_where_one_host_still_sees_it() {
        let mut unmeasured = of_app("shop", "h1", "trapped", (4, 6), 20);
        unmeasured.state = ProblemState::Unmeasured;
        let open = of_app("shop", "h2", "trapped", (4, 6), 20);
        assert_eq!(together(vec![unmeasured, open])[0].state, ProblemState::Open);
    }
}
