//! `steerage calls`: the last calls of an app, how each ended and what it cost.
//! The host keeps a handful; metrics are the place for totals.

use std::time::Duration;

use anyhow::Context as _;

use super::args::Calls;
use super::screen::Screen;
use super::table::Table;
use super::{human, remote, sources};
use crate::api::wire;

/// Runs the verb.
pub(super) async fn run(args: &Calls) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    let calls = client
        .calls(&args.app, (args.lines, args.failed), args.of.host.as_deref())
        .await
        .with_context(|| format!("cannot read the calls of {}", args.app))?;
    if screen.is_json() {
        return screen.json(&calls);
    }
    sources::tell(screen, calls.sources.as_ref());
    if calls.calls.is_empty() {
        if args.lines == 0 {
            return screen.hint("no calls were asked for (-n 0)");
        }
        let failed = if args.failed { " that failed" } else { "" };
        return screen.hint(&format!("no calls of {}{failed} are kept", args.app));
    }
    screen.say(&table(&calls.calls, human::now()))
}

/// What took most of a call's time, and how much of it: `outbound 97%`.
fn mostly(call: &wire::Call) -> String {
    let most = call.time_us.iter().max_by_key(|(_, us)| **us);
    most.map_or_else(String::new, |(phase, us)| {
        format!("{phase} {}%", us.saturating_mul(100) / call.time_us.values().sum::<u64>().max(1))
    })
}

fn table(calls: &[wire::Call], now: u64) -> String {
    // Named where there is a choice of hosts.
    let is_of_fleet = calls.iter().any(|call| call.host.is_some());
    let of_host: &[&str] = if is_of_fleet { &["HOST"] } else { &[] };
    let columns = [
        ">AGE", "CALL", "GEN", "REQUEST", ">STATUS", "OUTCOME", ">FUEL", ">MEMORY", ">CPU",
        ">TIME", "MOSTLY",
    ];
    let mut table = Table::new(&[columns.as_slice(), of_host].concat());
    for call in calls {
        let row = [
            human::since(call.at, now),
            call.id.get(..8).unwrap_or(&call.id).to_owned(),
            call.generation.to_string(),
            format!("{} {}", call.method, call.path),
            call.status.to_string(),
            call.cause.clone(),
            human::count(call.fuel),
            human::bytes(call.memory_bytes),
            human::duration(Duration::from_micros(call.cpu_us)),
            human::duration(Duration::from_micros(call.duration_us)),
            mostly(call),
        ];
        table.row(row.into_iter().chain(call.host.clone().filter(|_| is_of_fleet)));
    }
    table.render()
}
