//! `steerage hosts`, `cordon`, `uncordon` and `scale`: a fleet's hosts, and what is wanted of
//! them. Only asks and arranges what it is told.

use std::time::Duration;

use anyhow::Context as _;
use steerage_core::units::show_duration;

use super::args::{List, OneHost, Scale};
use super::screen::{Screen, Tone};
use super::table::Table;
use super::{human, remote};
use crate::api::wire;

/// Lists the hosts.
pub(super) async fn hosts(args: &List) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let hosts = client.hosts().await.context("cannot list the hosts")?;
    if screen.is_json() {
        return screen.json(&hosts);
    }
    if !hosts.store_answers {
        let asked = &hosts.asked;
        let since = hosts
            .store_silent_seconds
            .map(|seconds| format!(", for {} by now", show_duration(Duration::from_secs(seconds))));
        let since = since.unwrap_or_default();
        screen
            .note(&format!("{asked} does not hear of the store{since}: this is what it knew last"));
    }
    if let Some(frozen) = &hosts.frozen {
        screen.note(&human::frozen(frozen));
    }
    if let Some(trouble) = &hosts.trouble {
        screen.note(&format!("the host that was asked says: {trouble}"));
    }
    screen.say(&hosts_table(&hosts))?;
    for host in hosts.hosts.iter().filter(|host| host.clock_ahead_seconds != 0) {
        let gap = Duration::from_secs(host.clock_ahead_seconds.unsigned_abs());
        let way = if host.clock_ahead_seconds > 0 { "ahead of" } else { "behind" };
        let (name, gap, asked) = (&host.host, show_duration(gap), &hosts.asked);
        screen.note(&format!("the clock of {name} is {gap} {way} that of {asked}"));
    }
    for host in &hosts.hosts {
        if let Some(why) = host.why.as_ref().filter(|_| host.state == "silent") {
            screen.note(&format!("{} is silent: {why}", host.host));
        }
    }
    screen.hint(&format!("* was asked: states are as {} sees them", hosts.asked))?;
    match idle(&hosts) {
        Some(idle) => screen.hint(&idle),
        None => Ok(()),
    }
}

/// Which hosts have nothing to do while others have.
fn idle(hosts: &wire::Hosts) -> Option<String> {
    let there = || hosts.hosts.iter().filter(|host| host.lost_seconds.is_none());
    let is_idle = |host: &&wire::HostSummary| host.replicas == 0 && host.ready == 0;
    let idle: Vec<_> = there().filter(is_idle).map(|host| &*host.host).collect();
    let (some, their) = match idle.len() {
        0 => return None,
        n if n == there().count() => return None,
        1 => ("host has", "it"),
        _ => ("hosts have", "them"),
    };
    let names = idle.join(", ");
    Some(format!(
        "{} {some} nothing to do: {names}; to give {their} back, drain and stop {their}",
        idle.len(),
    ))
}

fn hosts_table(hosts: &wire::Hosts) -> String {
    let mut table = Table::new(&[
        "HOST",
        "ZONE",
        "STANDING",
        "STATE",
        ">REPLICAS",
        ">READY",
        ">CPU",
        ">OF",
        ">MEMORY",
        ">OF",
        "CALLERS",
        "VERSION",
    ]);
    for host in &hosts.hosts {
        let mark = if host.host == hosts.asked { "*" } else { "" };
        table.row([
            format!("{}{mark}", host.host),
            host.zone.clone(),
            host.standing.clone(),
            match host.lost_seconds {
                Some(seconds) => {
                    format!("lost {} ago", show_duration(Duration::from_secs(seconds)))
                }
                None => host.state.clone(),
            },
            host.replicas.to_string(),
            host.ready.to_string(),
            cores(host.cpu_used_millicores),
            cores(host.cpu_millicores),
            human::bytes(host.memory_used_bytes),
            human::bytes(host.memory_bytes),
            host.listen.clone(),
            host.version.clone(),
        ]);
    }
    table.render()
}

/// Cores with two digits behind the point; whole ones without.
fn cores(millicores: u64) -> String {
    let (whole, rest) = (millicores / 1000, millicores % 1000 / 10);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:02}") }
}

/// Lets nothing new come to a host.
pub(super) async fn cordon(args: &OneHost) -> anyhow::Result<()> {
    stand(args, "cordoned", "gets no new replicas; those it has stay").await
}

/// Opens a host again.
pub(super) async fn uncordon(args: &OneHost) -> anyhow::Result<()> {
    stand(args, "open", "is open for replicas").await
}

async fn stand(args: &OneHost, standing: &str, done: &str) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let host = client
        .set_standing(&args.host, standing)
        .await
        .with_context(|| format!("cannot change {}", args.host))?;
    if screen.is_json() {
        return screen.json(&host);
    }
    screen.say(&format!("{} {done}", screen.paint(Tone::Strong, &args.host)))
}

/// Says how many replicas an app shall have.
pub(super) async fn scale(args: &Scale) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let told = client
        .scale(&args.app, args.replicas)
        .await
        .with_context(|| format!("cannot scale {}", args.app))?;
    if screen.is_json() {
        return screen.json(&told);
    }
    let app = screen.paint(Tone::Strong, &args.app);
    screen.say(&format!(
        "{app} shall have {}; it has {} now",
        human::many(told.wanted, "replica"),
        told.ready
    ))?;
    screen.hint("`steerage show` tells where they are")
}
