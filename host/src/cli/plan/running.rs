//! `steerage plan` of a fleet that runs: what would move now, why, and what has no room.
//! Only asks and arranges; the host plans with the core that also places.

use anyhow::Context as _;

use crate::api::wire;
use crate::cli::args::Plan;
use crate::cli::ending::{NoPlan, WouldChange};
use crate::cli::screen::{Screen, Tone};
use crate::cli::table::Table;
use crate::cli::{human, remote};
use crate::client::Supposed;

/// Asks a host of the fleet. Ends with [`WouldChange`] where something would move or has no room.
pub(super) async fn run(args: &Plan) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote).context(NoPlan)?;
    let Plan { consolidate, without, with, .. } = args;
    let is_supposed = !without.is_empty() || !with.is_empty();
    let supposed = Supposed {
        consolidate: *consolidate,
        without: without.clone(),
        with: with.clone(),
        ..Supposed::default()
    };
    let plan = client.plan(&supposed).await.context(NoPlan)?;
    if screen.is_json() {
        screen.json(&plan).context(NoPlan)?;
    } else {
        if is_supposed {
            screen.say(&headline(&supposed, &plan)).context(NoPlan)?;
        }
        screen.say(&tell(screen, &plan)).context(NoPlan)?;
    }
    if let Some(frozen) = plan.frozen.as_ref().filter(|_| !screen.is_json()) {
        screen.note(&human::frozen(frozen));
    }
    if !plan.store_answers {
        // What it says is of what was known last, and nothing of it happens now.
        let text = "the host that was asked does not hear of the store: this is of what it knew last, \
                    and nothing moves until the store answers";
        return Err(anyhow::anyhow!(text).context(NoPlan));
    }
    // What is only supposed has to move: what was asked is whether it has room.
    if (is_supposed || plan.moves.is_empty()) && plan.unplaced.is_empty() {
        return Ok(());
    }
    Err(WouldChange.into())
}

/// What was supposed and what would come of it, in a line.
fn headline(supposed: &Supposed, plan: &wire::Plan) -> String {
    let without = supposed.without.iter().map(|host| format!("without {host}"));
    let with = supposed.with.iter().map(|new| format!("with {new} more"));
    let supposed: Vec<String> = without.chain(with).collect();
    let n_lacking: u32 = plan.unplaced.iter().map(|unplaced| unplaced.replicas).sum();
    let lacking = match n_lacking {
        0 => "all have room".to_owned(),
        1 => "1 replica has no room".to_owned(),
        n => format!("{n} replicas have no room"),
    };
    let moves = human::many(plan.moves.len(), "move");
    format!("{}: {moves}, {lacking}\n", supposed.join(", "))
}

fn tell(screen: Screen, plan: &wire::Plan) -> String {
    let mut parts = Vec::new();
    if plan.moves.is_empty() {
        parts.push("nothing would move".to_owned());
    } else {
        let mut table = Table::new(&["APP", "FROM", "TO", "WHY"]);
        for step in &plan.moves {
            let place = |place: &Option<String>| place.clone().unwrap_or_else(|| "-".to_owned());
            table.row([step.app.clone(), place(&step.from), place(&step.to), step.why.clone()]);
        }
        parts.push(table.render());
    }
    if !plan.unplaced.is_empty() {
        let heading = screen.paint(Tone::Bad, "has no room");
        let lines = plan.unplaced.iter().map(|unplaced| {
            let wire::Unplaced { app, replicas, lacks, stays_on } = unplaced;
            let stays = match stays_on.join(", ") {
                hosts if hosts.is_empty() => hosts,
                hosts => format!(" (stays on {hosts} meanwhile)"),
            };
            format!("  {app}: {replicas} {}{stays}: {lacks}", replica_word(*replicas))
        });
        let lines: Vec<String> = lines.collect();
        parts.push(format!("{heading}\n{}", lines.join("\n")));
    }
    if !plan.spare.is_empty() {
        parts.push(format!("could be given back then: {}", plan.spare.join(", ")));
    }
    parts.join("\n\n")
}

fn replica_word(replicas: u32) -> &'static str {
    if replicas == 1 { "replica" } else { "replicas" }
}
