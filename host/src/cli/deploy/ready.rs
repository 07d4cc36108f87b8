//! Waiting until what was deployed is ready on the hosts that it is placed on, and who is to blame where
//! it is not.
//! Changes nothing: a deployment that is not ready in time is durable, and its hosts try on.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::api::wire::{Deployed, Event, Replicas};
use crate::cli::screen::Screen;
use crate::cli::visible::visible;
use crate::client::Client;

/// How often it is asked how far the hosts are.
const EVERY: Duration = Duration::from_millis(200);
/// Of so many events of the app the reasons are taken why hosts are not ready.
const EVENTS: u32 = 100;

/// Waits, at most for `patience`; shows which hosts are ready meanwhile. What is known in the end is put
/// into `deployed`.
pub(super) async fn wait(
    client: &Client,
    deployed: &mut Deployed,
    patience: Duration,
    screen: Screen,
) {
    if deployed.canary.is_some() {
        return;
    }
    let (spinner, until) = (screen.spinner("starting"), Instant::now() + patience);
    while let Some(placed) = &deployed.replicas
        && is_waiting(placed, deployed.generation)
        && Instant::now() < until
    {
        spinner.set_message(progress(placed));
        sleep(EVERY).await;
        // One answer that is lost is no reason to give up.
        if let Ok(placed) = client.replicas(&deployed.app).await {
            deployed.replicas = Some(placed);
        }
    }
    spinner.finish_and_clear();
}

/// Whether some host may still become ready: what has room nowhere does not, and what was replaced
/// meanwhile need not.
fn is_waiting(placed: &Replicas, generation: u64) -> bool {
    let is_starting = placed.hosts.iter().any(|replica| replica.state == "starting");
    let is_placed = is_starting || placed.ready > 0;
    placed.generation == generation && (is_starting || !is_placed && placed.lacks.is_none())
}

fn progress(placed: &Replicas) -> String {
    let named = |state: &str| {
        let of_state = placed.hosts.iter().filter(|replica| replica.state == state);
        of_state.map(|replica| visible(&replica.host)).collect::<Vec<_>>().join(", ")
    };
    match (named("ready"), named("starting")) {
        (ready, starting) if ready.is_empty() && starting.is_empty() => "placing".to_owned(),
        (ready, starting) if ready.is_empty() => format!("starting on {starting}"),
        (ready, starting) => format!("ready on {ready}; starting on {starting}"),
    }
}

/// Fails where no replica is ready, with the reasons that the hosts tell. It is durable, and whoever
/// deploys by program must hear that it does not run where it should.
pub(super) async fn check(client: &Client, deployed: &Deployed) -> anyhow::Result<()> {
    let (app, generation) = (&deployed.app, deployed.generation);
    let Some(placed) = deployed.replicas.as_ref() else { return Ok(()) };
    if placed.generation < generation
        && let Ok(detail) = client.app(app, None).await
        && let Some(taken) = detail.taken_back.filter(|taken| taken.generation == generation)
    {
        anyhow::bail!(
            "generation {} of {app} is served again, and not generation {generation}, which was rolled \
             back: {}; see `steerage show {app}`",
            placed.generation,
            visible(&taken.why)
        );
    }
    if placed.ready > 0 || placed.generation != generation || deployed.canary.is_some() {
        return Ok(());
    }
    if placed.lacks.is_some() {
        anyhow::bail!(
            "{app} is deployed as generation {generation}, but no host has room for a replica of it"
        );
    }
    let reasons = reasons(client, app, generation).await;
    let starting = placed.hosts.iter().filter(|replica| replica.state == "starting");
    let told: Vec<String> = starting
        .map(|replica| {
            let why = reasons.get(&replica.host).map_or("it has not said why", String::as_str);
            format!("\n  {}: {}", visible(&replica.host), visible(why))
        })
        .collect();
    anyhow::bail!(
        "{app} is deployed as generation {generation}, but it is ready on no host yet{}\nthe hosts try \
         on, and whichever is called runs it itself meanwhile; see `steerage events {app}`",
        told.concat()
    )
}

/// The latest reason of each host why it cannot bring the app up.
async fn reasons(client: &Client, app: &str, generation: u64) -> BTreeMap<String, String> {
    let told = client.events(Some(app), EVENTS, None).await;
    let events = told.map(|told| told.events).unwrap_or_default().into_iter();
    // Events outlive hosts: those of an earlier deployment are there, too.
    let is_of_it = |event: &Event| event.generation.is_none_or(|of| of == generation);
    let not_ready = events.filter(|event| event.kind == "not_ready" && is_of_it(event));
    not_ready.filter_map(|event| Some((event.host?, event.message))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn placed(generation: u64, hosts: &[(&str, &str)], lacks: Option<&str>) -> Replicas {
        let ready = hosts.iter().filter(|(_, state)| *state == "ready").count();
        let hosts: Vec<_> = hosts
            .iter()
            .map(|(host, state)| json!({ "host": host, "state": state, "generation": null, "canary": null }))
            .collect();
        serde_json::from_value(json!({
            "app": "web", "generation": generation, "wanted": 2, "min": 2, "max": 2, "ready": ready,
            "hosts": hosts, "lacks": lacks
        }))
        .unwrap()
    }

    #[test]
    fn it_is_waited_for_hosts_that_may_still_become_ready() {
        for (placed, waits, shown) in [
            (placed(3, &[], None), true, "placing"),
            (placed(3, &[], Some("memory")), false, "placing"),
            (placed(3, &[("a", "starting"), ("b", "starting")], None), true, "starting on a, b"),
            (
                placed(3, &[("a", "ready"), ("b", "starting")], None),
                true,
                "ready on a; starting on b",
            ),
            (placed(3, &[("a", "starting")], Some("memory")), true, "starting on a"),
            (
                placed(3, &[("a", "ready"), ("b", "leaving")], None),
                false,
                "ready on a; starting on ",
            ),
            (placed(4, &[("a", "starting")], None), false, "starting on a"),
        ] {
            assert_eq!((is_waiting(&placed, 3), &*progress(&placed)), (waits, shown), "{placed:?}");
        }
    }
}
