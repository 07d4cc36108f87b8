//! What an alert says, and when it ends.
//! Sends nothing.

use std::sync::Arc;

use super::*;
use crate::notify::NoticeIdentity;
use crate::notify::tests::failing;

const NOW: u64 = 1_795_780_000_000;

fn of_fleet() -> NotifyOrigin {
    NotifyOrigin { fleet: Some("steerage".to_owned()), host: "h1".to_owned() }
}

fn alone() -> NotifyOrigin {
    NotifyOrigin { fleet: None, host: "machine".to_owned() }
}

fn notice(notice: Notice, opened_at: u64, closed_at: Option<u64>) -> FullNotice {
    let problem = failing("web");
    let identity = NoticeIdentity { opening: 0, n_settled: 0, material: 0 };
    let (key, problem) = (problem.key(), Arc::new(problem));
    FullNotice { notice, key, problem, opened_at, closed_at, identity }
}

/// The same of a host.
fn of_host(told: FullNotice, host: Option<&str>) -> FullNotice {
    let (kind, host) = ("open files".to_owned(), host.map(str::to_owned));
    FullNotice { key: steerage_core::problem::ProblemKey { kind, app: None, host }, ..told }
}

#[test]
fn an_alert_that_is_open_ends_in_four_minutes() {
    let told = alert(&of_fleet(), &notice(Notice::Repeated, NOW - 5_000, None), NOW);
    assert_eq!(told["startsAt"], time(NOW - 5_000).unwrap());
    assert_eq!(told["endsAt"], time(NOW + 240_000).unwrap());
}

#[test]
fn an_alert_that_is_over_ends_when_it_was_over() {
    let told = alert(&of_fleet(), &notice(Notice::Closed, NOW - 5_000, Some(NOW - 10)), NOW);
    assert_eq!(told["startsAt"], time(NOW - 5_000).unwrap());
    assert_eq!(told["endsAt"], time(NOW - 10).unwrap());
}

/// What the problem says of itself, or what was computed a moment ago, is of a clock that was set back since.
#[test]
fn an_alert_that_is_over_ends_now_at_the_latest_and_begins_before() {
    let mut told = notice(Notice::Closed, NOW + 5_000, Some(NOW + 9_000));
    for since in [None, Some(NOW + 4_000)] {
        told.problem = Arc::new(steerage_core::problem::FoundProblem { since, ..failing("web") });
        let told = alert(&of_fleet(), &told, NOW);
        assert_eq!((&told["startsAt"], &told["endsAt"]), (&time(NOW).into(), &time(NOW).into()));
    }
}

#[test]
fn an_open_alert_begins_now_at_the_latest() {
    let told = alert(&of_fleet(), &notice(Notice::Opened, NOW + 5_000, None), NOW);
    assert_eq!(told["startsAt"], time(NOW).unwrap());
}

#[test]
fn labels_are_as_the_readme_says() {
    let told = notice(Notice::Opened, NOW, None);
    for (origin, told, expected) in [
        (
            of_fleet(),
            told.clone(),
            json!({
                "alertname": "SteerageFailing", "job": "steerage", "kind": "failing",
                "severity": "warning", "app": "web", "fleet": "steerage",
            }),
        ),
        (
            of_fleet(),
            of_host(told.clone(), Some("h2")),
            json!({
                "alertname": "SteerageOpenFiles", "job": "steerage", "kind": "open files",
                "severity": "critical", "host": "h2", "fleet": "steerage",
            }),
        ),
        (
            alone(),
            of_host(told, None),
            json!({
                "alertname": "SteerageOpenFiles", "job": "steerage", "kind": "open files",
                "severity": "critical", "host": "machine",
            }),
        ),
    ] {
        assert_eq!(alert(&origin, &told, NOW)["labels"], expected);
    }
}
