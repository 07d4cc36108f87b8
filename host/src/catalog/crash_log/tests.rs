//! What is concluded from what the last run left.

use super::*;

fn left(running: &[(&str, u64)], has_ended: bool) -> Written {
    let running = running.iter().map(|(app, n_over)| Running {
        app: (*app).to_owned(),
        generation: 3,
        n_over: *n_over,
        is_canary: *app == "tried",
    });
    Written { boot: "b".to_owned(), has_ended, running: running.collect(), ..Written::default() }
}

/// The apps that are suspected after the last of these runs, and those that are held back.
fn after(runs: Vec<Written>) -> (Vec<String>, Vec<String>) {
    let (mut next, mut is_crash) = (Written::default(), false);
    for (run, at) in runs.into_iter().zip(1..) {
        let run = Written { crashes: next.crashes, held: next.held, ..run };
        (next, is_crash) = next_run(run, "b".to_owned(), at);
    }
    let suspects = next.crashes.last().filter(|_| is_crash).map(|crash| crash.suspects.clone());
    let names = |all: Vec<Suspect>| all.into_iter().map(|suspect| suspect.app).collect();
    (names(suspects.unwrap_or_default()), names(next.held))
}

#[test]
fn only_who_was_there_at_each_crash_is_held_back() {
    let none: [&str; 0] = [];
    let check = |runs: Vec<Written>, suspects: &[&str], held: &[&str]| {
        let found = after(runs.clone());
        let expected = [suspects, held].map(|names| names.iter().map(ToString::to_string));
        let [suspects, held] = expected.map(Iterator::collect::<Vec<_>>);
        assert_eq!(found, (suspects, held), "{runs:?}");
    };
    check(vec![left(&[("a", 0)], true)], &none, &none);
    check(vec![left(&[("a", 0)], false)], &["a"], &none);
    check(vec![left(&[("a", 9)], false), left(&[("a", 0)], false)], &["a"], &["a"]);
    // A busy app always has a call that runs.
    check(vec![left(&[("a", 10)], false), left(&[("a", 500)], false)], &none, &none);
    // But what is on trial is, however often its app was called.
    check(vec![left(&[("a", 10), ("tried", 500)], false)], &["tried"], &none);
    let both = || left(&[("a", 0), ("b", 0)], false);
    check(vec![both(), both()], &["a", "b"], &none);
    check(vec![both(), both(), left(&[("b", 1)], false)], &["b"], &["b"]);
    // An end in between that was wished for changes nothing.
    let end = left(&[], true);
    check(vec![left(&[("a", 0)], false), end, left(&[("a", 0)], false)], &["a"], &["a"]);
    // The machine started again.
    let other = Written { boot: "other".to_owned(), ..left(&[("a", 0)], false) };
    check(vec![left(&[("a", 0)], false), other], &none, &none);
}

#[test]
fn a_run_that_ended_with_its_machine_is_told_from_one_that_was_killed() {
    let earlier = Written { boot: "other".to_owned(), ..left(&[], false) };
    assert_eq!(earlier.end("b"), LastRun::WithMachine);
    assert_eq!(left(&[], false).end("b"), LastRun::Killed);
    assert_eq!(left(&[], true).end("b"), LastRun::Ended);
}
