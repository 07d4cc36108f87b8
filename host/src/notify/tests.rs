//! Times of notices, and what the tests of this module share.
//! Sends nothing.

use steerage_core::problem::ProblemState;

use super::*;

/// A problem of an app.
pub(super) fn failing(app: &str) -> FoundProblem {
    FoundProblem {
        kind: "failing".to_owned(),
        app: Some(app.to_owned()),
        hosts: Vec::new(),
        state: ProblemState::Open,
        since: None,
        last_at: None,
        calls: (4, 0),
        cause: Some(("trapped".to_owned(), "it trapped".to_owned())),
        slow_after: None,
        claim: format!("{app} fails"),
        evidence: Vec::new(),
        remedy: None,
        symptoms: Vec::new(),
    }
}

/// The one notice that is due, at a moment by both clocks.
pub(super) fn due(receiver: &mut Receiver<ProblemKey>, now: NotifyMoment) -> FullNotice {
    let problem = failing("web");
    let last = BTreeMap::from([(problem.key(), Arc::new(problem))]);
    let due = receiver.next(now.since_start);
    full(now, receiver, &last, due).pop().unwrap()
}

#[test]
fn the_end_of_a_problem_is_not_in_the_future_when_the_clock_was_set_back() {
    let key = failing("web").key();
    let here = Sighting::Here { material: 1, is_symptom: false };
    let mut receiver = Receiver::new(alertmanager::RULES);
    receiver.note(0, &BTreeMap::from([(key, here)]));
    let opened = due(
        &mut receiver,
        NotifyMoment { since_start: 5, wall: 1_000_005, wall_at_start: 1_000_000 },
    );
    assert_eq!((opened.opened_at, opened.closed_at), (1_000_000, None));
    receiver.done(5, Delivery::Taken, 0);
    receiver.note(5_000, &BTreeMap::new());
    // The machine's clock was set back by ten minutes.
    let closed = due(
        &mut receiver,
        NotifyMoment { since_start: 6_000, wall: 400_000, wall_at_start: 1_000_000 },
    );
    assert_eq!((closed.opened_at, closed.closed_at), (394_000, Some(399_000)));
}
