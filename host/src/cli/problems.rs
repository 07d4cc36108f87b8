//! `steerage problems`: what is wrong now, since when, why, and what to do; with `-w` also what becomes
//! of it.
//! Judges nothing: the host does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;

use super::args::Problems;
use super::ending::IsWrong;
use super::screen::{Screen, Tone};
use super::visible::visible;
use super::{human, remote, sources, why};
use crate::api::wire::{self, ToldProblem};

/// How often is looked with `-w`.
const EVERY: Duration = Duration::from_secs(2);
/// What is said where the host cannot be asked.
const CANNOT: &str = "cannot say what is wrong";

/// Runs the verb; fails without a word of its own where something is wrong.
pub(super) async fn run(args: &Problems) -> anyhow::Result<()> {
    if args.watch {
        return tokio::select! {
            ended = follow(args) => ended,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for Ctrl-C"),
        };
    }
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let told = client.problems(args.of.host.as_deref()).await.context(CANNOT)?;
    let is_wrong = told.problems.iter().any(|problem| problem.state == "open");
    if screen.is_json() {
        screen.json(&told)?;
    } else {
        sources::tell(screen, told.sources.as_ref());
        for problem in &told.problems {
            screen.say(&shown(problem, screen))?;
        }
        if told.problems.is_empty() {
            screen.say(&screen.paint(Tone::Good, "no problems"))?;
        }
    }
    if is_wrong { Err(IsWrong.into()) } else { Ok(()) }
}

/// Tells each problem when it opens, and that it is over when it is.
async fn follow(args: &Problems) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let mut known: BTreeMap<Key, ToldProblem> = BTreeMap::new();
    let (mut is_first, mut is_away) = (true, false);
    let mut looks = tokio::time::interval(EVERY);
    loop {
        looks.tick().await;
        let told = match client.problems(args.of.host.as_deref()).await {
            Ok(told) => told,
            Err(error) if !is_first => {
                if !is_away {
                    screen.note(&format!("{CANNOT}: {error}; trying on"));
                }
                is_away = true;
                continue;
            }
            Err(error) => return Err(anyhow::Error::from(error).context(CANNOT)),
        };
        is_away = false;
        let silent = silent(&told);
        let now: BTreeMap<Key, ToldProblem> =
            told.problems.into_iter().map(|problem| (key(&problem), problem)).collect();
        let new = now.iter().filter(|(key, _)| !known.contains_key(*key));
        for (_, problem) in new {
            turn(screen, "opened", problem)?;
        }
        let is_over = |problem: &ToldProblem| {
            // A host that says nothing has not said that it is over; and what another problem brings about
            // stands beneath that one.
            let is_heard = problem.hosts.iter().all(|host| !silent.contains(host));
            let app = problem.app.as_ref().map(|app| format!("{app} "));
            let is_beneath = app.is_some_and(|app| {
                let symptoms = now.values().flat_map(|problem| &problem.symptoms);
                symptoms.into_iter().any(|symptom| symptom.starts_with(&app))
            });
            is_heard && !is_beneath
        };
        let gone: Vec<Key> = known
            .iter()
            .filter(|(key, problem)| !now.contains_key(*key) && is_over(problem))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some(problem) = known.remove(&key) {
                turn(screen, "closed", &problem)?;
            }
        }
        if is_first && now.is_empty() {
            screen.hint(&screen.paint(Tone::Good, "no problems; waiting for one"))?;
        }
        is_first = false;
        known.extend(now);
    }
}

/// The hosts whose word is missing.
fn silent(told: &wire::Problems) -> BTreeSet<String> {
    let unanswered = told.sources.iter().flat_map(|sources| &sources.unanswered);
    unanswered.map(|gone| gone.host.clone()).collect()
}

/// What tells one problem from another.
type Key = (String, Option<String>, Vec<String>);

fn key(problem: &ToldProblem) -> Key {
    let hosts = if problem.app.is_some() { Vec::new() } else { problem.hosts.clone() };
    (problem.kind.clone(), problem.app.clone(), hosts)
}

fn turn(screen: Screen, turn: &str, problem: &ToldProblem) -> anyhow::Result<()> {
    if screen.is_json() {
        return screen.json_line(&serde_json::json!({ "turn": turn, "problem": problem }));
    }
    let at = human::clock(human::now());
    if turn == "closed" {
        let over = screen.paint(Tone::Good, "over");
        return screen.say(&format!("{at}  {over}: {}", visible(&problem.claim)));
    }
    screen.say(&format!("{at}  {}", shown(problem, screen)))
}

fn shown(problem: &ToldProblem, screen: Screen) -> String {
    let ToldProblem { claim, evidence, remedy, hosts, since, state, .. } = problem;
    let mut lines = vec![screen.paint(Tone::Bad, &visible(claim))];
    let hosts = if hosts.is_empty() { String::new() } else { format!(", on {}", hosts.join(", ")) };
    if let Some(since) = since {
        let since = human::since(*since, human::now());
        lines.push(format!("{:>9}  for {since}{}", "open", visible(&hosts)));
    }
    if state == "unmeasured" {
        let last = problem.last_at.map(|at| human::since(at, human::now()));
        let last = last.map(|last| format!("; its last failure is {last} ago")).unwrap_or_default();
        lines.push(format!(
            "{:>9}  nobody has called it since: whether it is over is not known{last}",
            ""
        ));
    }
    lines.extend(why::because(evidence));
    lines.extend(problem.symptoms.iter().enumerate().map(|(number, symptom)| {
        let word = if number == 0 { "so" } else { "" };
        format!("{word:>9}  {}", visible(symptom))
    }));
    lines.extend(remedy.as_ref().into_iter().flat_map(why::next));
    lines.join("\n")
}
