//! What is said of pasts that are made up.

use super::*;

/// The moment of the question.
const NOW: u64 = 1_000_000_000;

pub(super) fn past(calls: Vec<PastCall>) -> AppPast {
    AppPast {
        app: "web".parse().unwrap(),
        now: NOW,
        current: 2,
        is_quarantined: false,
        canary: None,
        timeout: Some(Duration::from_secs(30)),
        promised: None,
        request_body: Some(Bytes::new(1024)),
        lines: Vec::new(),
        calls,
        older_failures: Vec::new(),
        events: Vec::new(),
        deployments: vec![(2, NOW - 180_000), (1, NOW - 86_400_000 * 3)],
        destinations: Vec::new(),
        busiest: Vec::new(),
        replicas: None,
    }
}

/// Calls that were well, one a second, the last so many seconds ago.
pub(super) fn good(generation: u64, number: u64, until: u64) -> Vec<PastCall> {
    let at = |place: u64| NOW - (until + number - place) * 1000;
    (0..number).map(|place| call(generation, at(place), "answered", 200)).collect()
}

pub(super) fn call(generation: u64, at: u64, cause: &str, status: u16) -> PastCall {
    PastCall {
        id: format!("{at:08x}"),
        at,
        generation,
        method: "GET".to_owned(),
        path: "/web/".to_owned(),
        status,
        cause: cause.to_owned(),
        took: Duration::from_millis(2),
        phases: vec![(Phase::Guest, Duration::from_millis(2))],
        waited_for: None,
        failed_by: None,
        request_bytes: 0,
        client: None,
        host: None,
    }
}

pub(super) fn failing(generation: u64, number: u64, cause: &str, status: u16) -> Vec<PastCall> {
    let at = |place: u64| NOW - (number - place) * 1000;
    (0..number).map(|place| call(generation, at(place), cause, status)).collect()
}

fn event(kind: &str, first_at: u64, message: &str, advice: &str) -> PastEvent {
    PastEvent {
        kind: kind.to_owned(),
        first_at,
        at: first_at,
        generation: Some(2),
        message: message.to_owned(),
        advice: Some(advice.to_owned()),
        frames: Vec::new(),
    }
}

fn only(past: &AppPast) -> Diagnosis {
    let mut diagnoses = explain(past).diagnoses;
    assert_eq!(diagnoses.len(), 1, "{diagnoses:?}");
    diagnoses.remove(0)
}

fn command(diagnosis: &Diagnosis) -> Option<(&str, bool)> {
    let remedy = diagnosis.remedy.as_ref()?;
    Some((remedy.command.as_deref()?, remedy.changes))
}

#[test]
fn what_was_gone_back_from_lately_is_told_of_an_app_that_is_well() {
    let mut past = past(good(2, 20, 1));
    let told = |past: &AppPast| explain(past).standing;
    let message = "generation 3 of web was rolled back to generation 2: 20 of its 20 calls failed";
    past.events = vec![event("deployment_rolled_back", NOW - 5_000, message, "see it")];
    assert!(told(&past).ends_with(&format!("; 5s ago {message}")), "{}", told(&past));
    past.events[0].at = NOW - 600_001;
    assert!(!told(&past).contains("rolled back"), "{}", told(&past));
}

#[test]
fn an_app_that_is_quarantined_is_told_though_no_call_of_it_is_kept() {
    let mut past = past(Vec::new());
    past.is_quarantined = true;
    let advice = "deploy it again once it is mended";
    past.events =
        vec![event("app_quarantined", NOW - 5_000, "web was there at two crashes", advice)];
    let told = only(&past);
    assert_eq!(told.claim, "calls of web are refused: its generation 2 is quarantined");
    assert_eq!(told.evidence, ["web was there at two crashes"]);
    assert_eq!(told.remedy.unwrap().text, advice);
}

#[test]
fn of_an_app_that_is_well_nothing_is_wrong() {
    let told = explain(&past(good(2, 20, 5)));
    assert_eq!(told.diagnoses, []);
    assert_eq!(
        told.standing,
        "none of its last 20 calls failed; they took 2.0 ms at the median and 2.0 ms at the 95th \
         percentile, the last one 6s ago"
    );
    let told = explain(&past(Vec::new()));
    assert_eq!(
        (told.diagnoses.len(), &*told.standing),
        (0, "no call of web is kept: nothing is known of how it does")
    );
}

#[test]
fn what_clients_do_is_no_fault_of_the_app() {
    let mut calls = good(2, 5, 40);
    calls.extend(failing(2, 10, "client_gone", 0));
    calls.extend(failing(2, 10, "request_too_large", 413));
    calls.extend(failing(2, 10, "answered", 404));
    assert_eq!(explain(&past(calls)).diagnoses, []);
}

#[test]
fn a_deployment_that_fails_where_the_one_before_did_not_is_named_and_gone_back_from() {
    let mut calls = good(1, 20, 10);
    calls.extend(failing(2, 6, "trapped", 500));
    let mut past = past(calls);
    past.events = vec![
        event("deployed", NOW - 8_000, "generation 2 of web was deployed through this host", ""),
        event("trapped", NOW - 6_000, "the guest trapped: unreachable", "read the backtrace"),
    ];
    past.events[1].frames = vec!["web::handle".to_owned(), "web::main".to_owned()];
    let found = only(&past);
    assert_eq!(found.claim, "6 of the last 26 calls of web: failed (trapped)");
    assert_eq!(
        found.evidence,
        [
            "what was said of it last: the guest trapped: unreachable",
            "all are of generation 2, deployed 3m ago; of generation 1 none of the last 20 calls failed",
            "the guest was in web::handle, called by web::main",
            "2s before the first of them: generation 2 of web was deployed through this host",
            &format!("the last of them is {:08x}, 1s ago", NOW - 1000),
        ]
    );
    assert_eq!(command(&found), Some(("steerage rollback web --to 1", true)));
}

#[test]
fn what_fails_in_two_deployments_is_not_blamed_on_the_last() {
    let mut calls = good(1, 10, 20);
    calls.extend(failing(1, 3, "answered", 503));
    calls.extend(failing(2, 7, "answered", 503));
    let found = only(&past(calls));
    assert_eq!(found.claim, "7 of the last 20 calls of web: the app itself answered 503");
    assert!(found.evidence[0].contains("generations 1 and 2 fail alike"), "{:?}", found.evidence);
    assert_eq!(command(&found), Some(("steerage logs web", false)));
    // Also where the earlier one's failures are kept only for longer.
    let mut calls = good(1, 10, 20);
    calls.extend(failing(2, 7, "answered", 503));
    let mut past = past(calls);
    assert_eq!(command(&only(&past)), Some(("steerage rollback web --to 1", true)));
    past.older_failures = old(failing(1, 3, "answered", 503));
    assert_eq!(command(&only(&past)), Some(("steerage logs web", false)));
    // What failed yesterday is no excuse, nor what failed once.
    past.older_failures.iter_mut().for_each(|call| call.at = NOW - 86_400_000);
    assert_eq!(command(&only(&past)), Some(("steerage rollback web --to 1", true)));
    past.older_failures = old(failing(1, 1, "answered", 503));
    assert_eq!(command(&only(&past)), Some(("steerage rollback web --to 1", true)));
}

/// Calls that are no longer among the last.
fn old(calls: Vec<PastCall>) -> Vec<PastCall> {
    let at = NOW - 1_800_000;
    let old = |call: PastCall| PastCall { id: format!("old{}", call.id), at, ..call };
    calls.into_iter().map(old).collect()
}

#[test]
fn one_failure_among_many_good_calls_blames_no_deployment() {
    let mut calls = good(1, 5, 80);
    calls.extend(good(2, 58, 10));
    calls.extend(failing(2, 1, "answered", 500));
    let mut past = past(calls);
    assert_eq!(command(&only(&past)), Some(("steerage logs web", false)));
    // Nor does what began long after it was deployed.
    past.calls = good(1, 20, 100);
    past.calls.extend(failing(2, 40, "answered", 500));
    assert!(command(&only(&past)).unwrap().1);
    past.deployments = vec![(2, NOW - 3_600_000), (1, 0)];
    assert!(!command(&only(&past)).unwrap().1);
    // Nor load.
    past.deployments = vec![(2, NOW - 60_000), (1, 0)];
    past.calls = good(1, 20, 100);
    past.calls.extend(failing(2, 40, "app_busy", 503));
    assert_eq!(command(&only(&past)), Some(("steerage logs web", false)));
}

#[test]
fn what_cannot_be_gone_back_to_is_not_offered() {
    let mut calls = good(1, 20, 10);
    calls.extend(failing(2, 6, "trapped", 500));
    let mut past = past(calls);
    past.deployments = vec![(2, NOW - 180_000)];
    assert_eq!(command(&only(&past)), Some(("steerage logs web", false)));
}

#[test]
fn what_failed_a_moment_ago_is_told_though_later_calls_were_well() {
    let mut past = past(good(2, 64, 1));
    let recent = |call: PastCall| PastCall { at: NOW - 300_000, id: "old".to_owned(), ..call };
    past.older_failures = failing(2, 1, "answered", 500).into_iter().map(recent).collect();
    let found = only(&past);
    assert_eq!(found.claim, "within 5m 1 call of web: the app itself answered 500");
    past.older_failures[0].at = NOW - 3_600_000;
    assert_eq!(explain(&past).diagnoses, []);
}

#[test]
fn clients_that_are_slow_make_no_app_slow() {
    let slow = |call: PastCall| PastCall {
        took: Duration::from_secs(20),
        phases: vec![(Phase::Client, Duration::from_secs(20))],
        ..call
    };
    assert_eq!(explain(&past(good(2, 10, 5).into_iter().map(slow).collect())).diagnoses, []);
}

#[test]
fn what_was_gone_back_from_is_wrong_no_more() {
    let mut calls = good(1, 20, 10);
    calls.extend(failing(2, 6, "trapped", 500));
    let mut past = past(calls);
    past.current = 1;
    assert_eq!(explain(&past).diagnoses, []);
    // But what is on trial is served, too.
    past.canary = Some(2);
    let found = only(&past);
    assert!(found.claim.starts_with("6 of the last 26 calls"), "{found:?}");
    assert_eq!(command(&found), Some(("steerage rollback web", true)));
}

#[test]
fn the_one_path_that_fails_is_named() {
    let mut calls = good(2, 10, 20);
    calls.extend(
        failing(2, 4, "answered", 500)
            .into_iter()
            .map(|call| PastCall { path: "/web/pay".to_owned(), ..call }),
    );
    let found = only(&past(calls.clone()));
    assert_eq!(
        found.evidence[0],
        "all have the path /web/pay: 4 of 4 fail there, none of 10 elsewhere"
    );
    // One failure in one place shows nothing of the place.
    calls.truncate(11);
    assert!(!only(&past(calls)).evidence.iter().any(|line| line.contains("path")));
}

#[test]
fn what_failed_calls_waited_for_is_told_with_what_can_be_done_about_it() {
    let mut calls = good(2, 10, 20);
    calls.extend(failing(2, 4, "timed_out", 504).into_iter().map(|call| PastCall {
        phases: vec![
            (Phase::Guest, Duration::from_millis(20)),
            (Phase::Outbound, Duration::from_secs(29)),
        ],
        ..call
    }));
    let found = only(&past(calls));
    assert!(
        found.evidence[0].starts_with("99% of the time of a call that failed it waited for an")
    );
    let remedy = found.remedy.unwrap();
    assert_eq!((&*remedy.text, remedy.changes), (Phase::Outbound.remedy(), false));
}

#[test]
fn what_the_host_refuses_is_not_gone_back_from() {
    let mut calls = good(1, 20, 10);
    calls.extend(failing(2, 6, "host_full", 503));
    let mut past = past(calls);
    past.events = vec![event("host_full", NOW - 6_000, "no slot is free", "add hosts")];
    let found = only(&past);
    assert_eq!(found.remedy.unwrap().text, "add hosts");
}

#[test]
fn a_deployment_that_is_slower_than_the_one_before_is_named() {
    let slow = |call: PastCall| PastCall {
        took: Duration::from_millis(80),
        phases: vec![(Phase::Outbound, Duration::from_millis(78))],
        ..call
    };
    let mut calls = good(1, 20, 20);
    calls.extend(good(2, 10, 5).into_iter().map(slow));
    let found = only(&past(calls));
    assert_eq!(
        found.claim,
        "generation 2 of web takes 80.0 ms at the median, where generation 1 took 2.0 ms"
    );
    assert_eq!(command(&found), Some(("steerage rollback web --to 1", true)));
}

#[test]
fn calls_that_take_nearly_as_long_as_they_may_are_told_before_they_fail() {
    let slow = |call: PastCall| PastCall { took: Duration::from_secs(20), ..call };
    let found = only(&past(good(2, 10, 5).into_iter().map(slow).collect()));
    assert_eq!(
        found.claim,
        "calls of web take 20.0 s at the 95th percentile, and are cut after 30.0 s"
    );
}

#[test]
fn replicas_that_lack_a_place_come_first() {
    let mut past = past(failing(2, 4, "answered", 500));
    past.replicas = Some(PastReplicas {
        wanted: 3,
        ready: 1,
        others: 0,
        lacks: Some("2 hosts lack memory".to_owned()),
    });
    let told = explain(&past);
    assert_eq!(told.diagnoses.len(), 2);
    assert_eq!(told.diagnoses[0].claim, "1 of 3 replicas of web is ready");
    assert_eq!(told.diagnoses[0].evidence, ["there is no place for the rest: 2 hosts lack memory"]);
    // While one takes the place of another, the other one answers.
    past.replicas = Some(PastReplicas { wanted: 3, ready: 0, others: 3, lacks: None });
    assert_eq!(explain(&past).diagnoses.len(), 1);
}

const API: &str = "api.example.com:443";

/// A call that waited so long for a destination.
fn waiting(
    call: PastCall,
    destination: &str,
    waited: Duration,
    wrong: Option<RequestEnd>,
) -> PastCall {
    let took = call.took.max(waited);
    let phases = vec![(Phase::Guest, took - waited), (Phase::Outbound, waited)];
    let waited_for = Some(PastWait { destination: destination.to_owned(), waited, wrong });
    let failed_by = waited_for.clone().filter(|wait| wait.wrong.is_some());
    PastCall { took, phases, waited_for, failed_by, ..call }
}

/// The same, and it had no good answer at once from somebody else whom it does not need.
fn beside(call: PastCall, failed_by: &str) -> PastCall {
    let (destination, waited) = (failed_by.to_owned(), Duration::from_millis(1));
    let wrong = Some(RequestEnd::Unconnected);
    PastCall { failed_by: Some(PastWait { destination, waited, wrong }), ..call }
}

/// A destination whose last requests ended so, one a second, the last a second ago.
fn asked(name: &str, ends: &[(RequestEnd, u64)], why: &str) -> PastDestination {
    let of = |(end, ms): &(RequestEnd, u64)| (*end, Duration::from_millis(*ms));
    let ends: Vec<_> = ends.iter().map(of).collect();
    let at = |place: usize| NOW - (ends.len() - place) as u64 * 1000;
    PastDestination {
        name: name.to_owned(),
        recent: ends.iter().enumerate().map(|(n, (end, took))| (at(n), *end, *took)).collect(),
        last_error: ends.last().filter(|_| !why.is_empty()).map(|(end, _)| (*end, why.to_owned())),
    }
}

#[test]
fn the_destination_that_failed_calls_wait_for_is_named_with_its_figures() {
    let long = Duration::from_secs(29);
    let wait = |call| waiting(call, API, long, Some(RequestEnd::TimedOut));
    let mut calls = good(2, 10, 20);
    calls.extend(failing(2, 14, "timed_out", 504).into_iter().map(wait));
    let mut past = past(calls);
    let mut ends = vec![(RequestEnd::Answered, 30)];
    ends.extend([(RequestEnd::TimedOut, 29_000); 14]);
    past.destinations =
        vec![asked("other:80", &[(RequestEnd::Answered, 1); 9], ""), asked(API, &ends, "late")];
    let found = only(&past);
    assert_eq!(
        found.evidence[1],
        format!("it waits for {API}: 14 of its last 15 requests timed out (late)")
    );
    let remedy = found.remedy.unwrap();
    assert!(remedy.text.starts_with(&format!("{API}: see why it takes so long")), "{remedy:?}");
    // A destination that is only slow is named as well, and so is one of which no request is over.
    let slow = |call| waiting(call, API, long, None);
    past.calls = failing(2, 14, "timed_out", 504).into_iter().map(slow).collect();
    past.destinations = vec![asked(API, &[(RequestEnd::Answered, 9_000); 5], "")];
    let told = |past: &AppPast| only(past).evidence.iter().find(|line| line.contains(API)).cloned();
    assert_eq!(
        told(&past),
        Some(format!("it waits for {API}: its last 5 requests took 9.0 s at the median"))
    );
    past.destinations.clear();
    assert_eq!(
        told(&past),
        Some(format!("it waits for {API}: 14 of the 14 calls had no good answer from it"))
    );
}

#[test]
fn a_destination_that_fails_calls_at_once_is_named_though_they_wait_for_nothing() {
    let short = Duration::from_micros(100);
    let wait = |call| waiting(call, API, short, Some(RequestEnd::Unconnected));
    let mut calls = good(2, 10, 20);
    calls.extend(failing(2, 4, "answered", 502).into_iter().map(wait));
    let mut past = past(calls);
    past.destinations = vec![asked(API, &[(RequestEnd::Unconnected, 0); 4], "connection refused")];
    let found = only(&past);
    assert_eq!(
        found.evidence[0],
        format!(
            "its requests to {API} fail: all of its last 4 requests got no connection (connection \
             refused)"
        )
    );
    let remedy = found.remedy.unwrap();
    assert!(remedy.text.starts_with(&format!("{API}: see whether it runs")), "{remedy:?}");
    // A guest that traps over it is told what to do about the trap.
    past.calls
        .iter_mut()
        .filter(|call| call.is_failed())
        .for_each(|call| "trapped".clone_into(&mut call.cause));
    assert!(!only(&past).remedy.unwrap().text.contains(API));
}

#[test]
fn a_destination_is_not_blamed_that_fails_good_calls_as_well_nor_one_of_several() {
    let short = Duration::from_micros(100);
    let wait = |call| waiting(call, API, short, Some(RequestEnd::Unconnected));
    let mut calls: Vec<_> = good(2, 10, 20).into_iter().map(wait).collect();
    calls.extend(failing(2, 4, "answered", 502).into_iter().map(wait));
    let is_named = |past: &AppPast| only(past).evidence.iter().any(|line| line.contains(API));
    assert!(!is_named(&past(calls)));
    let several = failing(2, 9, "timed_out", 504).into_iter().enumerate().map(|(number, call)| {
        let name = format!("h{}:80", number % 3);
        waiting(call, &name, Duration::from_secs(29), Some(RequestEnd::TimedOut))
    });
    let found = only(&past(several.collect()));
    assert!(!found.evidence.iter().any(|line| line.contains(":80")), "{:?}", found.evidence);
}

#[test]
fn who_fails_every_call_at_once_and_is_not_needed_is_not_blamed_for_who_is_waited_for() {
    let side = "side:80";
    let wait = |call, long| beside(waiting(call, API, long, None), side);
    let all = |failed: Vec<PastCall>| {
        let mut calls: Vec<_> =
            good(2, 10, 20).into_iter().map(|call| wait(call, Duration::from_millis(2))).collect();
        calls.extend(failed);
        let mut past = past(calls);
        past.destinations = vec![
            asked(API, &[(RequestEnd::Answered, 9_000); 5], ""),
            asked(side, &[(RequestEnd::Unconnected, 1); 5], "connection refused"),
        ];
        past
    };
    let named = |past: &AppPast| {
        let found = only(past);
        [API, side].map(|name| found.evidence.iter().any(|line| line.contains(name)))
    };
    // It runs out of time, or answers 502 after it waited; with good calls beside these and without.
    for (cause, status) in [("timed_out", 504), ("answered", 502)] {
        let failed = failing(2, 8, cause, status).into_iter();
        let failed: Vec<_> = failed.map(|call| wait(call, Duration::from_secs(4))).collect();
        assert_eq!(named(&all(failed)), [true, false], "{cause}");
    }
    let failed = failing(2, 8, "timed_out", 504).into_iter();
    let mut alone = all(failed.map(|call| wait(call, Duration::from_secs(4))).collect());
    alone.calls.retain(PastCall::is_failed);
    assert_eq!(named(&alone), [true, false]);
    // Slow calls are not slow by it either.
    let mut slow = all(Vec::new());
    slow.calls = good(1, 20, 20);
    slow.calls.extend(good(2, 10, 5).into_iter().map(|call| wait(call, Duration::from_secs(4))));
    assert_eq!(named(&slow), [true, false]);
}

#[test]
fn who_gives_no_answer_is_blamed_and_not_who_gave_one_after_longer() {
    let wait = |call| beside(waiting(call, "slow:80", Duration::from_millis(50), None), API);
    let mut calls: Vec<_> = good(2, 10, 20);
    calls.extend(failing(2, 8, "answered", 502).into_iter().map(wait));
    let mut past = past(calls);
    past.destinations = vec![asked(API, &[(RequestEnd::Unconnected, 1); 8], "connection refused")];
    let found = only(&past);
    assert!(found.evidence[1].starts_with(&format!("its requests to {API} fail")), "{found:?}");
    assert!(!found.evidence.iter().any(|line| line.contains("slow:80")), "{found:?}");
}

#[test]
fn the_destination_that_makes_calls_slow_is_named() {
    let slow = |call| waiting(call, API, Duration::from_millis(78), None);
    let mut calls = good(1, 20, 20);
    calls.extend(good(2, 10, 5).into_iter().map(slow));
    let mut past = past(calls);
    past.destinations = vec![asked(API, &[(RequestEnd::Answered, 76); 10], "")];
    assert_eq!(
        only(&past).evidence[1],
        format!("it waits for {API}: its last 10 requests took 76.0 ms at the median")
    );
}

#[test]
fn a_destination_that_all_calls_wait_for_is_blamed_for_those_only_that_it_makes_fail() {
    let ms = Duration::from_millis;
    let quick = |call| waiting(call, API, ms(30), None);
    let told = |past: &AppPast| only(past).evidence.iter().find(|line| line.contains(API)).cloned();
    // It answers quickly mostly, and then not at all.
    let mut calls: Vec<_> = good(2, 20, 20).into_iter().map(quick).collect();
    let late = |call| waiting(call, API, ms(29_000), None);
    calls.extend(failing(2, 4, "timed_out", 504).into_iter().map(late));
    let mut past = past(calls);
    past.destinations = vec![asked(API, &[(RequestEnd::TimedOut, 29_000); 4], "late")];
    let all = format!("it waits for {API}: all of its last 4 requests timed out (late)");
    assert_eq!(told(&past), Some(all));
    // It answers 503 as quickly as it answers well.
    past.calls.truncate(20);
    let refused = |call| waiting(call, API, ms(30), Some(RequestEnd::ServerError));
    past.calls.extend(failing(2, 4, "answered", 500).into_iter().map(refused));
    past.destinations = vec![asked(API, &[(RequestEnd::ServerError, 30); 4], "answered 503")];
    let all =
        format!("it waits for {API}: all of its last 4 requests were answered 5xx (answered 503)");
    assert_eq!(told(&past), Some(all));
    // It does what it always does, and the app fails by itself.
    past.calls.truncate(20);
    past.calls.extend(failing(2, 4, "answered", 500).into_iter().map(quick));
    past.destinations = vec![asked(API, &[(RequestEnd::Answered, 30); 4], "")];
    assert_eq!(told(&past), None);
}

#[test]
fn what_the_guest_printed_when_it_failed_is_told() {
    let mut past = past(failing(2, 4, "trapped", 500));
    let line = |call: &str, is_error, text: &str| PastLine {
        call: call.to_owned(),
        is_error,
        text: text.to_owned(),
    };
    let last = past.calls[3].id.clone();
    past.lines = vec![
        line(&last, false, "begin"),
        line(&last, true, "thread 'main' panicked at src/main.rs:7:5:"),
        line(&last, true, "no such column: mail"),
        line(
            &last,
            true,
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        ),
        line("another", true, "all is well"),
    ];
    let printed = |past: &AppPast| {
        let evidence = only(past).evidence;
        evidence.into_iter().find(|line| line.starts_with("it printed: "))
    };
    let told = "it printed: thread 'main' panicked at src/main.rs:7:5: / no such column: mail";
    assert_eq!(printed(&past).as_deref(), Some(told));
    past.lines.truncate(1);
    assert_eq!(printed(&past).as_deref(), Some("it printed: begin"));
    past.lines[0].call = "another".to_owned();
    assert_eq!(printed(&past), None);
}

#[test]
fn where_the_guest_was_is_told_by_its_own_functions() {
    let frames = ["abort", "std::process::abort", "web::handle", "core::ops::call", "main"];
    let frames: Vec<String> = frames.into_iter().map(str::to_owned).collect();
    let told = "the guest was in web::handle, called by core::ops::call, called by main";
    assert_eq!(printed::frames(&frames).as_deref(), Some(told));
    let told = "the guest was in abort, called by std::process::abort";
    assert_eq!(printed::frames(&frames[..2]).as_deref(), Some(told));
    assert_eq!(printed::frames(&[]), None);
    // What only begins like the library's is an app's own.
    for own in
        ["exit_order", "abortive::run", "rust_app::main", "panic_button::press", "coreutils::cut"]
    {
        let told = printed::frames(&["abort".to_owned(), own.to_owned()]);
        assert_eq!(told, Some(format!("the guest was in {own}")));
    }
}

#[test]
fn one_client_and_large_requests_are_what_failing_calls_have_in_common() {
    let of = |client: &str, request_bytes: u64, calls: Vec<PastCall>| -> Vec<PastCall> {
        let of = |call| PastCall { client: Some(client.to_owned()), request_bytes, ..call };
        calls.into_iter().map(of).collect()
    };
    let evidence = |bad: (&str, u64), good_calls: (&str, u64)| {
        let mut calls = of(good_calls.0, good_calls.1, good(2, 5, 10));
        calls.extend(of(bad.0, bad.1, failing(2, 5, "trapped", 500)));
        only(&past(calls)).evidence.join("\n")
    };
    let one = evidence(("10.0.0.9", 10), ("10.0.0.1", 10));
    assert!(one.contains("all have the client 10.0.0.9: 5 of 5 fail there, none of 5"), "{one}");
    let large = evidence(("10.0.0.1", 300_000), ("10.0.0.1", 5000));
    assert!(large.contains("all have a large request: of 292.9KiB of body"), "{large}");
    assert!(large.contains("the 5 calls that did not fail had 4.8KiB at most"), "{large}");
    for (bad, good_calls) in [(5000, 4000), (500, 0)] {
        let told = evidence(("10.0.0.1", bad), ("10.0.0.1", good_calls));
        assert!(!told.contains("large") && !told.contains("the client"), "{told}");
    }
}

#[test]
fn clients_that_keep_their_calls_from_being_answered_are_told_of() {
    let gone = |number| {
        let slow = |call: PastCall| PastCall {
            took: Duration::from_secs(5),
            phases: vec![(Phase::Outbound, Duration::from_millis(4990))],
            ..call
        };
        failing(2, number, "client_gone", 0).into_iter().map(slow)
    };
    let mut calls = good(2, 6, 20);
    calls.extend(gone(6));
    let told = only(&past(calls));
    let claim = "6 of the last 12 calls of web: the client went away before it was answered \
                 (client_gone), after 5.0 s at the median";
    assert_eq!(told.claim, claim);
    let evidence = told.evidence.join("\n");
    assert!(
        evidence.contains("100% of the time until they went it waited for an outbound"),
        "{evidence}"
    );
    let large = only(&past(failing(2, 6, "request_too_large", 413)));
    let claim = "all of the last 6 calls of web: refused (request_too_large), the request is larger \
                 than 1KiB";
    assert_eq!(large.claim, claim);
    assert!(large.remedy.unwrap().text.contains("raise [limits] request_body above 1KiB"));
    // A few among many good calls are the affair of those few; who leaves an answer had enough of it.
    let mut calls = good(2, 20, 20);
    calls.extend(gone(6));
    assert_eq!(explain(&past(calls)).diagnoses, []);
    assert_eq!(explain(&past(failing(2, 9, "client_gone", 200))).diagnoses, []);
}

#[test]
fn a_destination_that_does_not_answer_is_told_of_an_app_that_does_without() {
    let mut past = past(good(2, 10, 1));
    let recent = |end| (1..=6).map(move |n| (NOW - n * 1000, end, Duration::from_millis(1))).rev();
    let known = |end, last_error| PastDestination {
        name: "db:80".to_owned(),
        recent: recent(end).collect(),
        last_error,
    };
    past.destinations = vec![known(RequestEnd::ServerError, None)];
    let told = only(&past);
    assert_eq!(
        told.claim,
        "requests of web to db:80 fail, and its calls are answered all the same"
    );
    // What was denied is the host's work.
    let denied = Some((RequestEnd::Denied, "its address is not open to apps".to_owned()));
    past.destinations = vec![known(RequestEnd::Denied, denied)];
    assert!(explain(&past).diagnoses.is_empty());
    // Nor is it told where calls are not answered, or where another deployment asked it.
    past.destinations = vec![known(RequestEnd::ServerError, None)];
    past.deployments = vec![(2, NOW)];
    assert!(explain(&past).diagnoses.is_empty());
    past.deployments = Vec::new();
    let answered = std::mem::replace(&mut past.calls, failing(2, 10, "client_gone", 0));
    assert!(explain(&past).diagnoses.is_empty());
    past.calls = answered;
    // What was wrong long ago, or once, is not told.
    past.now += 3_600_000;
    assert!(explain(&past).diagnoses.is_empty());
    past.now = NOW;
    past.destinations = vec![known(RequestEnd::Answered, None)];
    assert!(explain(&past).diagnoses.is_empty());
}

#[test]
fn clients_that_went_since_somebody_else_is_slow_are_told_with_its_name() {
    let gone = failing(2, 6, "client_gone", 0).into_iter().map(|call| PastCall {
        took: Duration::from_secs(5),
        phases: vec![(Phase::Outbound, Duration::from_secs(5))],
        waited_for: Some(PastWait {
            destination: "db:5432".to_owned(),
            waited: Duration::from_secs(5),
            wrong: None,
        }),
        ..call
    });
    let mut past = past(gone.collect());
    past.destinations = vec![PastDestination {
        name: "db:5432".to_owned(),
        recent: vec![(NOW, RequestEnd::GivenUp, Duration::from_secs(5))],
        last_error: None,
    }];
    let told = only(&past);
    assert!(told.evidence[0].starts_with("it waits for db:5432"), "{told:?}");
    assert_eq!(told.remedy.unwrap().text, "see why db:5432 takes so long");
}

#[test]
fn a_deployment_is_not_slower_since_the_cores_are_busy() {
    let phases =
        vec![(Phase::Core, Duration::from_millis(88)), (Phase::Guest, Duration::from_millis(2))];
    let slow = |call: PastCall| PastCall {
        took: Duration::from_millis(90),
        phases: phases.clone(),
        ..call
    };
    let mut calls = good(1, 20, 40);
    calls.extend(good(2, 20, 1).into_iter().map(slow));
    assert_eq!(explain(&past(calls)).diagnoses, []);
}
