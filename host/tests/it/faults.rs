//! Faults as they happen in real life, seeded one by one on a real host: what `steerage why` and `steerage
//! problems` tell first names the cause, and what they say to do cures it. What only looks like a fault is in
//! `look_alikes`: there nothing may be told.
//! Does not test how it is concluded: `core::why` and `core::problem` have tests of their own.

mod client;
mod deployments;
mod fleet;
mod guest;
mod host;
mod limits;
mod look_alikes;
mod outbound;

use std::time::Instant;

use crate::harness::{Host, PATIENCE, Said, raw};

/// A host that does not take deployments back by itself: a fault shall stay.
pub(crate) fn a_host() -> Host {
    Host::with(&["--watch", "never"])
}

pub(crate) fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Calls so many times, `{n}` of the path being the number of the call.
pub(crate) async fn call(host: &Host, path: &str, number: usize) {
    for n in 0..number {
        let path = path.replace("{n}", &n.to_string());
        // Some faults break the connection off.
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        drop(raw(&host.listen, head.as_bytes()).await);
    }
}

/// What is told first: a claim, and what is indented beneath it.
fn first(said: &Said) -> String {
    let lines = said.stdout.lines().enumerate();
    let of_first = lines.take_while(|(number, line)| *number == 0 || line.starts_with(' '));
    of_first.map(|(_, line)| format!("{line}\n")).collect()
}

/// Waits until what `why` tells first is of this and has all these parts; it is then told as a problem, or
/// none is. Says what was told first.
pub(crate) async fn tells(host: &Host, of: &str, parts: &[&str]) -> String {
    let started_at = Instant::now();
    let told = loop {
        let said = host.run(&["why"]);
        let told = first(&said);
        let claim = told.lines().next().unwrap_or_default();
        if claim.contains(of) && parts.iter().all(|part| told.contains(part)) {
            break told;
        }
        assert!(started_at.elapsed() < PATIENCE, "no {of:?} with {parts:?}: {told}{}", said.stderr);
        tokio::task::yield_now().await;
    };
    let problems = host.run(&["problems"]);
    let claim = first(&problems);
    let claim = claim.lines().next().unwrap_or_default();
    assert!(problems.code == 0 || claim.contains(of), "{problems:?} beside {told}");
    told
}

/// Runs the command that is told, which changes something.
pub(crate) fn cure(host: &Host, told: &str) {
    let line = told.lines().find_map(|line| line.trim().strip_prefix("$ steerage "));
    let line = line.unwrap_or_else(|| panic!("no command in {told}"));
    let (command, note) = line.split_once("    (").unwrap();
    assert!(note.starts_with("changes something"), "{told}");
    let words: Vec<&str> = command.split(' ').collect();
    host.run(&words).done();
}

/// Waits until nothing is wrong with any app or with the host.
pub(crate) async fn is_well(host: &Host) {
    let started_at = Instant::now();
    loop {
        let (why, problems) = (host.run(&["why"]), host.run(&["problems"]));
        if why.code == 0 && problems.code == 0 {
            return;
        }
        assert!(started_at.elapsed() < PATIENCE, "not well: {why:?} {problems:?}");
        tokio::task::yield_now().await;
    }
}

/// Nothing is told, after something that only looks wrong.
pub(crate) fn nothing_is_told(host: &Host, after: &str) {
    for verb in ["why", "problems"] {
        let said = host.run(&[verb]);
        assert_eq!(said.code, 0, "after {after}: {said:?}");
    }
}
