//! `steerage bill`: what the hosts cost, split among tenants and apps.
//! Only shows: the host splits, and the operator knows the prices.

use anyhow::Context as _;
use clap::ValueEnum as _;

use super::args::Bill;
use super::screen::Screen;
use super::table::Table;
use super::{human, remote, sources};
use crate::api::wire::{self, BilledHost, SpareHosts};

/// The tenant of an app of which nobody says it, such as one that was removed.
const NOBODY: &str = "-";
/// Millionths of a whole of the currency, and how many decimals these are.
const WHOLE: u64 = 1_000_000;
const ALL_DECIMALS: u32 = 6;

/// Runs the verb.
pub(super) async fn run(args: &Bill) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let client = remote::connect(&args.remote)?;
    // Programs read all decimals, people as many as are worth it.
    let decimals = screen.is_json().then_some(ALL_DECIMALS);
    let idle = args.idle.to_possible_value();
    let idle = idle.as_ref().map_or("apart", |idle| idle.get_name());
    let bill = client.bill(&args.price, args.since.before(human::now()), idle, decimals).await;
    let bill = bill.context("cannot bill what the hosts cost")?;
    sources::tell(screen, bill.sources.as_ref());
    for line in not_known(&bill.hosts) {
        screen.note(&line);
    }
    if screen.is_json() {
        return screen.json(&bill);
    }
    screen.say(&shown(&bill))?;
    screen.hint(&format!("\n{}", spare(&bill.spare)))
}

fn spare(spare: &SpareHosts) -> String {
    let hourly = |millionths| amount(millionths, ALL_DECIMALS);
    match spare.hosts.as_deref() {
        None => "which hosts are needed is not known: the host that was asked does not hear of the store"
            .to_owned(),
        Some([]) => "no host could be given back now".to_owned(),
        Some(names) => format!(
            "could be given back now: {}, which cost {} of {} an hour; `steerage plan --consolidate` \
             says what moves",
            names.join(", "),
            hourly(spare.hourly_millionths),
            hourly(spare.hourly_of_all_millionths)
        ),
    }
}

/// A line for each host of which not all is known.
fn not_known(hosts: &[BilledHost]) -> Vec<String> {
    let partly = hosts.iter().filter(|host| host.known_seconds < host.seconds);
    let line = |host: &BilledHost| {
        format!(
            "of {} it is known for {} of {} hours what apps used; what it cost in the others is not \
             split",
            host.host,
            hours(host.known_seconds),
            hours(host.seconds)
        )
    };
    partly.map(line).collect()
}

/// Hours with one decimal.
fn hours(seconds: u64) -> String {
    let tenths = seconds / 360;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn amount(millionths: u64, decimals: u32) -> String {
    let unit = 10_u64.pow(ALL_DECIMALS.saturating_sub(decimals));
    let part = millionths % WHOLE / unit;
    match decimals {
        0 => (millionths / WHOLE).to_string(),
        _ => format!("{}.{part:0width$}", millionths / WHOLE, width = decimals as usize),
    }
}

fn shown(bill: &wire::Bill) -> String {
    let mut table = Table::new(&["TENANT", "APP", ">USE", ">RESERVED", ">IDLE", ">SUM"]);
    let amount = |millionths| amount(millionths, bill.decimals);
    let mut sums = [0_u64; 3];
    for app in &bill.apps {
        let parts = [app.use_millionths, app.reserved_millionths, app.idle_millionths];
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum = sum.saturating_add(part);
        }
        let [used, reserved, idle] = parts.map(amount);
        let tenant = app.tenant.as_deref().unwrap_or(NOBODY).to_owned();
        table.row([tenant, app.app.clone(), used, reserved, idle, amount(app.sum_millionths)]);
    }
    let alone = |name: &str, idle: String, millionths: u64| {
        let nothing = String::new;
        [NOBODY.to_owned(), name.to_owned(), nothing(), nothing(), idle, amount(millionths)]
    };
    if bill.idle_millionths > 0 {
        table.row(alone("(idle)", amount(bill.idle_millionths), bill.idle_millionths));
    }
    if bill.unknown_millionths > 0 {
        table.row(alone("(not known)", String::new(), bill.unknown_millionths));
    }
    let [used, reserved, idle] = sums;
    let idle = idle.saturating_add(bill.idle_millionths);
    let sums = [used, reserved, idle, bill.total_millionths].map(amount);
    table.row(["total".to_owned(), String::new()].into_iter().chain(sums));
    table.render()
}

#[cfg(test)]
mod tests;
