//! `steerage fleet`: saying which store a host follows, after that was lost or restored, and whether its
//! fleet is planned.
//! Decides nothing: the host knows whether it can be done.

use anyhow::Context as _;

use super::args::{Fleet, FleetVerb};
use super::screen::{Screen, Tone};
use super::{human, remote};

/// Runs the verb.
pub(super) async fn run(args: &Fleet) -> anyhow::Result<()> {
    let (verb, change, what) = match &args.verb {
        FleetVerb::Import(change) => ("import", change, "cannot put apps into the store"),
        FleetVerb::Adopt(change) => ("adopt", change, "cannot follow the store"),
        FleetVerb::Freeze(freeze) => ("freeze", &freeze.change, "cannot stop the planner"),
        FleetVerb::Thaw(change) => ("thaw", change, "cannot have plans made again"),
    };
    let screen = Screen::new(change.print);
    let client = remote::connect(&change.remote)?;
    let changed = match &args.verb {
        FleetVerb::Freeze(freeze) => client.freeze(freeze.why.as_deref()).await,
        _ => client.change_fleet(verb).await,
    };
    let changed = changed.context(what)?;
    if screen.is_json() {
        screen.json(&changed)?;
    } else {
        let apps = changed.apps.iter().map(|app| format!("\n  {app}")).collect::<String>();
        let left = changed.left_out.iter();
        let left = left
            .map(|(app, why)| format!("\n  {} {app}: {why}", screen.paint(Tone::Bad, "left out")));
        screen.say(&format!("{}{apps}{}", changed.done, left.collect::<String>()))?;
    }
    let n_left = changed.left_out.len();
    anyhow::ensure!(
        n_left == 0,
        "the store does not know {} of this host",
        human::many(n_left, "app")
    );
    Ok(())
}
