//! One trial: load, an event in the middle of it, and what came of every request; and the table of
//! all trials. Does not know how an event is brought about.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Method;
use steerage_guests as guests;

use crate::events::{Event, Failures, Happened};
use crate::harness::says;
use crate::load::{Ask, Load, Record, longest_gap};
use crate::world::{HOSTS, World};

/// Apps under load, of two replicas each.
pub(crate) const APPS: usize = 6;
/// Load before the event and after it.
const MARGIN: Duration = Duration::from_millis(700);
/// The app that takes its time, so that there is always something under way.
const SLOW: usize = APPS - 1;
/// How long it takes.
const SLOW_MS: u32 = 60;

/// The name of an app.
pub(crate) fn app(number: usize) -> String {
    format!("app{number}")
}

/// The manifest of an app of two replicas.
pub(crate) fn manifest(name: &str) -> String {
    crate::harness::manifest(name, &format!("/{name}/..."), "[replicas]\nmin = 2\n")
}

/// Deploys all apps, through one host after the other.
pub(crate) fn prepare(world: &World) -> anyhow::Result<()> {
    for number in 0..APPS {
        let name = app(number);
        let wasm = match number {
            SLOW => std::fs::read(guests::SLOW)?,
            _ => says(&format!("{name} first")),
        };
        let said = world.deploy(number % HOSTS.len(), &wasm, &manifest(&name))?;
        ensure!(said.is_success(), "{name} was not deployed: {said:?}");
    }
    world.settle(&(0..APPS).map(app).collect::<Vec<_>>())
}

/// What the load asks for: mostly what is idempotent.
fn asks() -> Vec<Ask> {
    let mut asks = Vec::new();
    for (number, method) in [Method::GET, Method::GET, Method::GET, Method::POST]
        .iter()
        .flat_map(|method| (0..APPS).map(move |number| (number, method)))
    {
        let name = app(number);
        let (path, begins) = match number {
            SLOW => (format!("/{name}?ms={SLOW_MS}"), "waited".to_owned()),
            _ => (format!("/{name}"), name),
        };
        asks.push(Ask { method: method.clone(), path, begins });
    }
    asks
}

/// What was seen in one trial.
#[derive(Debug)]
pub(crate) struct Seen {
    event: &'static str,
    target: crate::events::Target,
    n_requests: usize,
    n_failed: usize,
    n_allowed: usize,
    n_retried: usize,
    longest_gap: Duration,
    slowest: Duration,
    happened: Happened,
    /// What is not as it must be.
    pub(crate) wrong: Vec<String>,
}

/// Lets an event happen under load.
pub(crate) fn run(world: &mut World, event: &Event) -> Seen {
    let load = Load::start(world.doors(), asks());
    let began_at = load.began_at();
    world.pause(MARGIN);
    let event_at = began_at.elapsed();
    let happened = (event.act)(world);
    let event_took = began_at.elapsed() - event_at;
    world.pause(MARGIN);
    let mut wrong = Vec::new();
    let happened = happened.unwrap_or_else(|error| {
        wrong.push(format!("{error:#} (the event took {event_took:?})"));
        Happened::default()
    });
    let records = load.stop().unwrap_or_else(|error| {
        wrong.push(format!("{error:#}"));
        Vec::new()
    });
    judge(event, happened, &records, wrong)
}

fn judge(event: &Event, happened: Happened, records: &[Record], mut wrong: Vec<String>) -> Seen {
    let (mut failed, mut n_allowed) = (Vec::new(), 0);
    for record in records.iter().filter(|record| record.failure.is_some()) {
        let was_there = record.is_silent && Some(record.host) == happened.to;
        let is_allowed = match event.target.failures {
            Failures::None => false,
            Failures::Posts => !record.is_idempotent,
            Failures::There => !record.is_idempotent || was_there,
        };
        if is_allowed {
            n_allowed += 1;
        } else {
            failed.push(record);
        }
    }
    wrong.extend(tell(&failed, happened.to));
    if let Some(target) = event.target.restored
        && let Some(restored) = happened.restored
        && restored > target
    {
        wrong.push(format!("restored after {restored:?}, {target:?} is the target"));
    }
    if records.is_empty() {
        wrong.push("no requests were made".to_owned());
    }
    let answered = records.iter().filter(|record| record.failure.is_none());
    Seen {
        event: event.name,
        target: event.target,
        n_requests: records.len(),
        n_failed: failed.len(),
        n_allowed,
        n_retried: records.iter().filter(|record| record.is_retried).count(),
        longest_gap: longest_gap(records),
        slowest: answered.map(|record| record.took).max().unwrap_or_default(),
        happened,
        wrong,
    }
}

/// Failed requests in a few lines: how many of a kind, where, when and why.
fn tell(failed: &[&Record], lost: Option<usize>) -> Vec<String> {
    let mut kinds: BTreeMap<(usize, &str), Vec<&Record>> = BTreeMap::new();
    for record in failed {
        let why = record.failure.as_deref().unwrap_or_default();
        kinds.entry((record.host, why)).or_default().push(record);
    }
    let line = |((host, why), records): ((usize, &str), Vec<&Record>)| {
        let first = records[0];
        let method = if first.is_idempotent { "GET" } else { "POST" };
        format!(
            "{} failed at {}{}, the first {method} {} sent {:?} after the load began{}, after {:?}: {why}",
            records.len(),
            HOSTS[host],
            if lost == Some(host) { " itself" } else { "" },
            first.path,
            first.at,
            if first.is_retried { " and tried twice" } else { "" },
            first.took,
        )
    };
    kinds.into_iter().map(line).collect()
}

/// All trials as a table.
pub(crate) fn table(trials: &[Seen]) -> String {
    let mut text = format!(
        "{:34} {:>8} {:>6} {:>7} {:>7} {:>7} {:>7} {:>8}  target\n",
        "event under load",
        "requests",
        "failed",
        "allowed",
        "retried",
        "gap",
        "slowest",
        "restored"
    );
    for seen in trials {
        let Seen { event, n_requests, n_failed, n_allowed, n_retried, .. } = seen;
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        let restored = seen.happened.restored.map(ms).unwrap_or_default();
        let (gap, slowest) = (ms(seen.longest_gap), ms(seen.slowest));
        let (target, note) = (seen.target.to_text(), &seen.happened.note);
        let missed = if seen.wrong.is_empty() { "" } else { "MISSED: " };
        let line = format!(
            "{event:34} {n_requests:>8} {n_failed:>6} {n_allowed:>7} {n_retried:>7} {gap:>7} \
             {slowest:>7} {restored:>8}  {missed}{target}{}{note}",
            if note.is_empty() { "" } else { "; " },
        );
        text.push_str(&line);
        text.push('\n');
    }
    text
}

impl crate::events::Target {
    fn to_text(self) -> String {
        let failures = match self.failures {
            Failures::None => "0 failed",
            Failures::Posts => "0 failed but POSTs",
            Failures::There => "0 failed but there, and POSTs",
        };
        match self.restored {
            Some(restored) => format!("{failures}, restored in {} s", restored.as_secs_f64()),
            None => failures.to_owned(),
        }
    }
}

/// Waits until the fleet is at rest again after an event.
pub(crate) fn rest(world: &World) -> anyhow::Result<Duration> {
    let began_at = Instant::now();
    let apps: Vec<String> = (0..APPS).map(app).collect();
    world.settle(&apps).context("the fleet does not come to rest")?;
    Ok(began_at.elapsed())
}
