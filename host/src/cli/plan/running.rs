//! `steerage plan` of a fleet that runs: what would move now, why, and what has no room.
//! Only asks and arranges; the host plans with the core that also places.

use anyhow::Context as _;

use crate::api::wire;
use crate::cli::args::Plan;
use crate::cli::ending::{NoPlan, WouldChange};
use crate::cli::remote;
use crate::cli::screen::{Screen, Tone};
use crate::cli::table::Table;

/// Asks a host of the fleet. Ends with [`WouldChange`] where something would move or has no room.
pub(super) async fn run(args: &Plan) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote).context(NoPlan)?;
    let plan = client.plan(args.consolidate).await.context(NoPlan)?;
    if screen.is_json() {
        screen.json(&plan).context(NoPlan)?;
    } else {
        screen.say(&tell(screen, &plan)).context(NoPlan)?;
    }
    if !plan.store_answers {
        // What it says is of what was known last, and nothing of it happens now.
        let text = "the host that was asked does not hear of the store: this is of what it knew last, \
                    and nothing moves until the store answers";
        return Err(anyhow::anyhow!(text).context(NoPlan));
    }
    if plan.moves.is_empty() && plan.unplaced.is_empty() {
        return Ok(());
    }
    Err(WouldChange.into())
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
