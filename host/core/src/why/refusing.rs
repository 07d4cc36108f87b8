//! A deployment that says no to its callers (4xx) where the one before it answered them: what was renamed, or who is
//! let in, is another thing now. Each such call is well by itself, so nobody else tells of them.
//! Says nothing of a deployment that has no earlier one: what it refuses may be what it is for.

use std::collections::BTreeSet;

use super::{AppPast, Diagnosis, PastCall, Remedy};
use crate::units::many;

/// So many calls of each of two deployments are compared, at least.
const COMPARED: usize = 8;
/// This part of a deployment's calls is refused at least, and of those of the one before it at most: percent.
const MOST: usize = 90;
const FEW: usize = 10;

fn is_refused(call: &&&PastCall) -> bool {
    (400..500).contains(&call.status)
}

/// Calls that the deployment which is served refuses.
pub(super) fn calls(past: &AppPast) -> Option<Diagnosis> {
    let answered: Vec<&PastCall> =
        past.calls.iter().filter(|call| call.cause == "answered").collect();
    let of = |generation: u64| -> Vec<&PastCall> {
        answered.iter().copied().filter(|call| call.generation == generation).collect()
    };
    let earlier = past.deployments.iter().map(|(generation, _)| *generation);
    let before = earlier.filter(|generation| *generation < past.current).max()?;
    let (now, then) = (of(past.current), of(before));
    let well: Vec<&PastCall> = then.iter().filter(|call| !is_refused(call)).copied().collect();
    let is_path_known = |call: &&&PastCall| well.iter().any(|known| known.path == call.path);
    // Who asks for what nobody ever answered, as bots do, says nothing of the deployment.
    let is_known = |call: &&&PastCall| {
        let is_caller = |known: &&PastCall| {
            call.client.is_some() && known.client == call.client && known.method == call.method
        };
        is_path_known(call) || well.iter().any(is_caller)
    };
    let refused: Vec<&PastCall> = now.iter().filter(is_refused).copied().collect();
    let n_refused_then = then.len() - well.len();
    let is_told = refused.iter().filter(is_known).count() >= COMPARED
        && refused.len() * 100 >= now.len() * MOST
        && then.len() >= COMPARED
        && n_refused_then * 100 <= then.len() * FEW;
    if !is_told {
        return None;
    }
    let statuses: BTreeSet<u16> = refused.iter().map(|call| call.status).collect();
    let statuses: Vec<String> = statuses.into_iter().map(|status| status.to_string()).collect();
    let same = refused.iter().filter(is_path_known).count();
    let mut evidence = vec![format!(
        "the app itself answered so: {n_refused_then} of the last {} of generation {before} were refused",
        many(then.len(), "call"),
    )];
    if same > 0 {
        evidence.push(format!("{same} of them ask for paths that generation {before} answered"));
    }
    Some(Diagnosis {
        claim: format!(
            "generation {} of {} answers {} to {} of its last {}, which generation {before} did not",
            past.current,
            past.app,
            statuses.join(" and "),
            refused.len(),
            many(now.len(), "call"),
        ),
        evidence,
        remedy: Some(Remedy {
            text: format!(
                "if callers are to be answered as before, go back to generation {before}, and see which paths, \
                 methods and credentials the new one takes"
            ),
            command: Some(format!("steerage rollback {} --to {before}", past.app)),
            changes: true,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{good, past};
    use super::*;

    fn refused(generation: u64, number: u64, until: u64) -> Vec<PastCall> {
        let calls = good(generation, number, until).into_iter();
        calls.map(|call| PastCall { status: 404, ..call }).collect()
    }

    fn told(calls: Vec<PastCall>) -> Option<Diagnosis> {
        super::calls(&past(calls))
    }

    #[test]
    fn a_deployment_that_refuses_whom_the_one_before_answered_is_named() {
        let mut calls = good(1, 20, 20);
        calls.extend(refused(2, 12, 5));
        let found = told(calls).unwrap();
        assert_eq!(
            found.claim,
            "generation 2 of web answers 404 to 12 of its last 12 calls, which generation 1 did not"
        );
        assert_eq!(found.remedy.unwrap().command.unwrap(), "steerage rollback web --to 1");
        assert_eq!(found.evidence.len(), 2, "{:?}", found.evidence);
    }

    #[test]
    fn what_was_refused_before_or_by_others_or_only_in_part_is_no_fault_of_a_deployment() {
        // As before.
        assert_eq!(told([refused(1, 20, 20), refused(2, 12, 5)].concat()), None);
        // A few, or some of many.
        assert_eq!(told([good(1, 20, 20), refused(2, 7, 5)].concat()), None);
        assert_eq!(told([good(1, 20, 40), good(2, 12, 20), refused(2, 12, 5)].concat()), None);
        // Nobody knows what it did before.
        assert_eq!(told(refused(2, 12, 5)), None);
        assert_eq!(told([good(1, 7, 20), refused(2, 12, 5)].concat()), None);
        // Other clients, which ask for what was never there.
        let by = |client: &str, path: &'static str, calls: Vec<PastCall>| -> Vec<PastCall> {
            let client = Some(client.to_owned());
            let of = |call| PastCall { client: client.clone(), path: path.to_owned(), ..call };
            calls.into_iter().map(of).collect()
        };
        let bots = by("10.0.0.2", "/web/.env", refused(2, 12, 5));
        assert_eq!(told([by("10.0.0.1", "/web/", good(1, 20, 20)), bots].concat()), None);
        let unknown = refused(2, 12, 5).into_iter();
        let unknown = unknown.map(|call| PastCall { path: "/web/.env".to_owned(), ..call });
        assert_eq!(told([good(1, 20, 20), unknown.collect()].concat()), None);
        let same = by("10.0.0.2", "/web/", refused(2, 12, 5));
        assert!(told([by("10.0.0.1", "/web/", good(1, 20, 20)), same].concat()).is_some());
    }
}
