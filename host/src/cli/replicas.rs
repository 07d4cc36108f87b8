//! Where an app runs in a fleet, in a line or two for people. Asks nobody.

use super::human;
use super::screen::{Screen, Tone};
use crate::api::wire;

/// How many replicas there are and where, and what is lacking for the others.
pub(super) fn shown(screen: Screen, replicas: &wire::Replicas) -> String {
    let wire::Replicas { wanted, min, max, ready, hosts, lacks, .. } = replicas;
    let range = if min == max { String::new() } else { format!(" ({min} to {max} by load)") };
    let places = hosts.iter().map(|replica| match &*replica.state {
        "ready" => replica.host.clone(),
        state => format!("{} ({state})", replica.host),
    });
    let places = places.collect::<Vec<_>>().join(", ");
    let places = if places.is_empty() { places } else { format!(": {places}") };
    let mut lines = vec![format!("{ready} of {wanted} ready{range}{places}")];
    if let Some(lacks) = lacks {
        lines.push(format!("{}: {lacks}", screen.paint(Tone::Bad, "no room for the rest")));
        lines.push("until there is, whichever host is called runs it itself".to_owned());
    }
    lines.join("\n")
}

/// Since when each replica is where it is, and why; nothing where nobody has said.
pub(super) fn placed(replicas: &wire::Replicas, now: u64) -> String {
    let lines = replicas.hosts.iter().filter_map(|replica| {
        let wire::PlacedBy { plan, at, why } = replica.placed.as_ref()?;
        Some(format!("{} for {}, by plan {plan}: {why}", replica.host, human::since(*at, now)))
    });
    lines.collect::<Vec<_>>().join("\n")
}
