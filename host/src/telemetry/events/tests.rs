//! What is told, counted, kept and dropped.

use super::kept::{KEPT, KEPT_BYTES, OF_APP, OVER_AFTER, PLACES};
use super::*;

fn failure(app: &str, at: u64) -> Event {
    Event {
        app: Some(app.parse().unwrap()),
        severity: Severity::Warning,
        first_at: at,
        at,
        ..Event::now("trapped", "the app trapped".to_owned())
    }
}

fn in_place(place: u64, failure: Event) -> Event {
    Event { place: EventPlace::of(place), ..failure }
}

#[test]
fn a_crash_loop_is_one_event() {
    let events = Events::default();
    events.push(failure("calm", 0));
    for at in 0..5000 {
        events.push(failure("loop", at));
    }
    let all = events.recent(None, 10);
    assert_eq!(all.len(), 2);
    assert_eq!((all[1].count, all[1].first_at, all[1].at), (5000, 0, 4999));
    let calm = "calm".parse().unwrap();
    assert_eq!(events.recent(Some(&calm), 10).len(), 1);
}

#[tokio::test]
async fn a_failure_that_goes_on_is_told_again_now_and_then() {
    let events = Events::default();
    let mut coming = events.follow();
    for at in (0..=3 * TOLD_AGAIN).step_by(100) {
        events.push(Event { message: format!("at {at}"), ..in_place(1, failure("loop", at)) });
    }
    let kept = events.recent(None, 10);
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].count, kept[0].first_at, kept[0].at), (301, 0, 30_000));
    // What is shown of it is of its last telling, as is the call one can still look up.
    assert_eq!(kept[0].message, "at 20200");
    let told = [coming.recv().await, coming.recv().await, coming.recv().await];
    let counts: Vec<u64> = told.iter().map(|event| event.as_ref().unwrap().count).collect();
    assert_eq!(counts, [1, 102, 203]);
    assert!(coming.is_empty());
}

#[test]
fn what_was_quiet_for_long_is_new_when_it_comes_again() {
    let events = Events::default();
    events.push(failure("loop", 0));
    events.push(failure("loop", OVER_AFTER + 1));
    let kept = events.recent(None, 10);
    assert_eq!(kept.iter().map(|event| event.count).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(kept[1].first_at, OVER_AFTER + 1);
}

#[test]
fn what_is_new_is_not_counted_onto_something_else() {
    let events = Events::default();
    events.push(failure("loop", 0));
    events.push(in_place(7, failure("loop", 1)));
    events.push(Event { generation: Generation::new(2), ..failure("loop", 2) });
    events.push(failure("other", 3));
    let deployed = Event { severity: Severity::Info, ..failure("loop", 4) };
    events.push(Event { kind: "deployed".into(), ..deployed.clone() });
    events.push(Event { kind: "deployed".into(), ..deployed });
    assert_eq!(events.recent(None, 10).len(), 6);
    events.push(failure("loop", 5));
    let last = events.recent(None, 10).pop().unwrap();
    assert_eq!((last.id, last.count), (1, 2), "in the order in which they last happened");
}

#[test]
fn amounts_make_no_new_event_of_the_same_place() {
    let events = Events::default();
    for n in 0..50 {
        let message = format!("the app holds {n} bytes");
        events.push(Event { message, place: EventPlace::ANY, ..failure("loop", n) });
    }
    let kept = events.recent(None, 10);
    assert_eq!((kept.len(), kept[0].count), (1, 50));
}

#[test]
fn a_repetition_is_counted_before_anything_is_made_of_it() {
    let events = Events::default();
    let app = "loop".parse().unwrap();
    let same = Same { app: Some(&app), generation: None, kind: "too_late", place: EventPlace::ANY };
    assert!(!events.counted(&same), "nothing tells of it yet");
    let refused =
        Event { app: Some(app.clone()), place: EventPlace::ANY, ..now_failing("too_late") };
    events.push(refused);
    for _ in 0..9 {
        assert!(events.counted(&same));
    }
    assert!(!events.counted(&Same { kind: "app_busy", ..same }));
    assert_eq!(events.recent(None, 10)[0].count, 10);
}

fn now_failing(kind: &'static str) -> Event {
    Event { severity: Severity::Warning, ..Event::now(kind, "too late".to_owned()) }
}

#[test]
fn an_app_that_fails_in_ever_new_places_is_told_of_some_of_them() {
    let events = Events::default();
    events.push(Event::now("started", "serving 0 apps".to_owned()));
    events.push(failure("calm", 0));
    for n in 0..3000 {
        events.push(in_place(n, failure("noisy", n)));
    }
    let all = events.recent(None, 2 * KEPT);
    assert_eq!(all.len(), 2 + PLACES + 1);
    let elsewhere = all.iter().map(|event| event.count).max();
    assert_eq!(elsewhere, Some(3000 - PLACES as u64));
    assert_eq!(events.kept().n_remembered(), (PLACES + 2, PLACES + 2, all.len()));
}

#[test]
fn an_app_that_fails_in_every_way_keeps_its_last_failures_and_pushes_out_no_other() {
    let events = Events::default();
    events.push(Event { severity: Severity::Info, ..failure("noisy", 0) });
    events.push(failure("calm", 0));
    for n in 1..=500 {
        events.push(Event { generation: Generation::new(n), ..failure("noisy", n) });
    }
    let all = events.recent(None, 2 * KEPT);
    assert_eq!(all.len(), OF_APP + 2);
    assert_eq!(all[1].app, "calm".parse().ok());
    assert_eq!(all.last().unwrap().at, 500);
    let noisy = "noisy".parse().unwrap();
    assert_eq!(events.recent(Some(&noisy), 2 * KEPT)[0].severity, Severity::Info);
    assert_eq!(events.kept().n_remembered(), (OF_APP + 1, OF_APP + 1, OF_APP + 2));
}

#[test]
fn what_is_kept_is_bounded_in_bytes_whoever_wrote_it() {
    let events = Events::default();
    events.push(failure("calm", 0));
    for app in 0..200 {
        for n in 1..=OF_APP as u64 {
            let long = "\u{1}".repeat(20_000);
            let evidence = (0..9).map(|frame| (frame.to_string(), long.clone())).collect();
            events.push(Event {
                generation: Generation::new(n),
                message: long.clone(),
                advice: Some(long),
                evidence,
                ..failure(&format!("app-{app}"), n)
            });
        }
    }
    let all = events.recent(None, 2 * KEPT);
    let sizes: Vec<usize> = all.iter().map(Event::size).collect();
    assert!(sizes.iter().sum::<usize>() <= KEPT_BYTES, "{}", sizes.iter().sum::<usize>());
    let most = excerpt::EVIDENCE + 2 * excerpt::MESSAGE;
    assert!(sizes.iter().all(|size| *size <= most), "{sizes:?}");
    assert!(all.len() > 300 && all[0].app == "calm".parse().ok(), "{}", all.len());
}

#[tokio::test]
async fn followers_hear_of_a_repeated_failure_once() {
    let events = Events::default();
    let mut coming = events.follow();
    for at in 0..3 {
        events.push(failure("loop", at));
    }
    events.push(Event::now("stopping", String::new()));
    assert_eq!(coming.recv().await.unwrap().kind, "trapped");
    assert_eq!(coming.recv().await.unwrap().kind, "stopping");
}
