//! `steerage promote`, and how a canary is shown: its figures beside those of the deployment that it
//! shall replace. Judges nothing.

use std::time::Duration;

use anyhow::Context as _;

use super::args::OneApp;
use super::screen::{Screen, Tone};
use super::table::Table;
use super::{human, remote};
use crate::api::wire;

/// Gives the deployment on trial all calls.
pub(super) async fn run(args: &OneApp) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let deployed = client
        .promote(&args.app)
        .await
        .with_context(|| format!("cannot promote a canary of {}", args.app))?;
    if screen.is_json() {
        return screen.json(&deployed);
    }
    let app = screen.paint(Tone::Strong, &args.app);
    screen.say(&format!("{app} is served as generation {}", deployed.generation))
}

/// What there is to say of a trial of an app; nothing where there was none.
pub(super) fn shown(detail: &wire::AppDetail, now: u64) -> Option<String> {
    let Some(canary) = &detail.canary else {
        return detail.taken_back.as_ref().map(|taken| {
            format!(
                "canary generation {} was taken back {} ago: {}",
                taken.generation,
                human::since(taken.at, now),
                taken.why
            )
        });
    };
    let verdict = match &*canary.verdict {
        "too_early" => "too few calls yet to say how it does",
        "fine" => "it does as well as the one served",
        _ => "it does worse and is being taken back",
    };
    let mut table = Table::new(&["CANARY", ">GEN", ">CALLS", ">FAILED", ">P50", ">P95"]);
    let share = format!("on trial, {}", canary.share);
    for (name, generation, side) in [
        ("served".to_owned(), detail.summary.generation, &canary.old),
        (share, canary.generation, &canary.canary),
    ] {
        table.row([
            name,
            generation.to_string(),
            human::count(side.calls),
            human::count(side.failed),
            human::duration(Duration::from_micros(side.p50_us)),
            human::duration(Duration::from_micros(side.p95_us)),
        ]);
    }
    Some(format!(
        "{}\nfor {}, on {} of {} hosts: {verdict}",
        table.render(),
        human::since(canary.since, now),
        canary.trying,
        canary.hosts
    ))
}
