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
mod neighbours;
mod outbound;

use std::time::Instant;

use crate::harness::{Host, PATIENCE, Said, raw};

/// A host that does not take deployments back by itself: a fault shall stay.
pub(crate) fn a_host() -> Host {
    let host = Host::with(&["--watch", "never"]);
    neighbours::beside(&host);
    host
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

/// That a busy machine kept the process from running is true, told last, and no fault that a test has seeded.
const STALL: &str = "this host stood still for ";
/// The same of a machine whose disk is full of other things.
const DISK: &str = "the disk of this host is nearly used up";

/// Whether something is true of the machine that runs the tests, so that it is told whatever a test does. Of the disk
/// it is so only where it is as full as `df` says, or was while the problem closes.
fn is_of_the_machine(claim: &str) -> bool {
    let is_full = || {
        let disk = rustix::fs::statvfs(std::env::temp_dir()).unwrap();
        let used = (disk.f_blocks - disk.f_bfree) as f64;
        used >= 0.9 * (used + disk.f_bavail as f64)
    };
    claim.contains(STALL) || claim.contains(DISK) && is_full()
}

/// What is told first that has to do with this: a claim, and what is indented beneath it.
fn first(said: &Said, of: &str) -> String {
    let lines: Vec<&str> = said.stdout.lines().collect();
    let claims = lines.chunk_by(|_, next| next.starts_with(' '));
    let told = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let mut told = claims.map(told);
    told.find(|told| !is_of_the_machine(told) || of.contains(STALL)).unwrap_or_default()
}

/// All that `why` claims.
fn claims(host: &Host) -> Vec<String> {
    let said = host.run(&["why", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let of = |told: &serde_json::Value, key: &str| {
        let diagnoses = told[key].as_array().cloned().unwrap_or_default();
        let claims = diagnoses.into_iter().map(|found| found["claim"].as_str().unwrap().to_owned());
        claims.collect::<Vec<_>>()
    };
    let all = told.as_array().unwrap().iter();
    let all = all.flat_map(|told| [of(told, "diagnoses"), of(told, "unrouted")].concat());
    all.filter(|claim| !is_of_the_machine(claim)).collect()
}

/// All problems that are open.
fn problems(host: &Host) -> Vec<String> {
    let told = host.run(&["problems", "-o", "json"]).json();
    let claims = told["problems"].as_array().unwrap().iter();
    let claims = claims.map(|problem| problem["claim"].as_str().unwrap().to_owned());
    claims.filter(|claim| !is_of_the_machine(claim)).collect()
}

/// Waits until what `why` tells first is of this and has all these parts; it is then told as a problem, or
/// none is. Says what was told first.
pub(crate) async fn tells(host: &Host, of: &str, parts: &[&str]) -> String {
    let started_at = Instant::now();
    let told = loop {
        let said = host.run(&["why"]);
        let told = first(&said, of);
        let claim = told.lines().next().unwrap_or_default();
        if claim.contains(of) && parts.iter().all(|part| told.contains(part)) {
            break told;
        }
        assert!(started_at.elapsed() < PATIENCE, "no {of:?} with {parts:?}: {told}{}", said.stderr);
        tokio::task::yield_now().await;
    };
    let (open, problems) = (problems(host), host.run(&["problems"]));
    let claim = first(&problems, of);
    let claim = claim.lines().next().unwrap_or_default();
    assert!(open.is_empty() || claim.contains(of), "{problems:?} beside {told}");
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
        let (wrong, problems) = (claims(host), problems(host));
        if wrong.is_empty() && problems.is_empty() {
            return;
        }
        assert!(started_at.elapsed() < PATIENCE, "not well: {wrong:?} {problems:?}");
        tokio::task::yield_now().await;
    }
}

/// Nothing is told, after something that only looks wrong.
pub(crate) fn nothing_is_told(host: &Host, after: &str) {
    let (wrong, problems) = (claims(host), problems(host));
    assert!(wrong.is_empty() && problems.is_empty(), "after {after}: {wrong:?} {problems:?}");
}
