//! What neighbours do to an app: to its throughput, its latency and its share of the CPU.
//! The load generators share the machine with the host; a neighbour's generator takes from the
//! victim too, as far as it is busy.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::Common;
use crate::host::{App, Host};
use crate::load::{self, Plan, Press, Tally};
use crate::report::{Report, Target, table};

const VICTIM: App<'_> = App { name: "victim", source: steerage_guests::HELLO, more: "" };
/// Calls that never end of themselves end after this, and are made again.
const ENDLESS: &str = "[limits]\ntimeout = \"1s\"\nfuel = \"100000B\"";
/// The owner of all hostile apps, where there are many.
const HOSTILE: &str = "tenant = \"hostile\"";
/// CPU time of the calls whose shares are measured: what a call used is known when it ends, so a
/// longer one would blur the borders of a window.
const SHORT_CALL: Duration = Duration::from_micros(500);
const WEIGHTS: [u32; 3] = [1, 2, 4];
const WINDOW: Duration = Duration::from_secs(1);

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Connections of the victim
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Connections of a hostile app, and how many hostile apps there are where there are many
    #[arg(long, default_value_t = 64)]
    hostile: usize,
    /// Have the kernel wake the callers' threads before the host's, as if they ran on another machine;
    /// needs the right to do so. What is then missing to half of the throughput is the host's to give
    #[arg(long)]
    prompt: bool,
    /// Measure only this
    #[arg(long, value_enum)]
    only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Throughput beside one hostile app
    Throughput,
    /// Latency beside many
    Latency,
    /// CPU against weights
    Shares,
}

/// A way to be a bad neighbour.
struct Hostility {
    does: &'static str,
    app: App<'static>,
    query: &'static str,
}

const HOSTILITIES: [Hostility; 4] = [
    Hostility {
        does: "endless loops",
        app: App { name: "spin", source: steerage_guests::SPIN, more: ENDLESS },
        query: "",
    },
    Hostility {
        does: "huge memory.copy",
        app: App { name: "copy", source: steerage_guests::COPY, more: ENDLESS },
        query: "",
    },
    Hostility {
        does: "trap loops",
        app: App { name: "trap", source: steerage_guests::TRAP, more: "" },
        query: "unreachable",
    },
    Hostility {
        does: "many small calls",
        app: App { name: "small", source: steerage_guests::HELLO, more: "" },
        query: "",
    },
];

/// Measures all three, each on a host of its own.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let mut report = Report::new("fair");
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    if wanted(Part::Throughput) {
        throughput(program, arguments, &mut report).context("throughput")?;
    }
    if wanted(Part::Latency) {
        latency(program, arguments, &mut report).context("latency")?;
    }
    if wanted(Part::Shares) {
        shares(program, arguments, &mut report).context("shares")?;
    }
    report.finish(arguments.common.json.as_deref())
}

fn start(program: &Path) -> Result<Host> {
    Host::start(program, Command::new(program), &[])
}

/// A victim that always asks, alone and beside one hostile app of its own weight.
fn throughput(program: &Path, arguments: &Arguments, report: &mut Report) -> Result<()> {
    let mut table = table(&[
        "beside 1 app of",
        "alone/s",
        "beside/s",
        "share",
        "p99 alone us",
        "p99 beside us",
        "guest CPU of victim : hostile",
        "the hostile app's answers",
    ]);
    let mut rows: Vec<Value> = Vec::new();
    for hostility in &HOSTILITIES {
        eprintln!("throughput beside {}", hostility.does);
        let host = start(program)?;
        host.deploy(&VICTIM)?;
        host.deploy(&hostility.app)?;
        let common = &arguments.common;
        // The same connections throughout, since where the system puts them matters.
        let plan = |path: &str, connections| {
            Plan::closed(host.address(), path, connections).prompt(arguments.prompt)
        };
        let victim = Press::start(plan(&VICTIM.path(), arguments.connections))?;
        drop(victim.measure(common.warmup())?);
        let before = victim.measure(common.duration())?.all_well()?;
        let path = format!("{}{}", hostility.app.path(), hostility.query);
        let hostile = Press::start(plan(&path, arguments.hostile))?;
        drop(hostile.measure(common.warmup())?);
        drop(hostile.take());
        let apps = [VICTIM.name, hostility.app.name];
        let cpu_before = host.guest_cpu(&apps)?;
        let beside = victim.measure(common.duration())?.all_well()?;
        let cpu = since(&cpu_before, &host.guest_cpu(&apps)?);
        let suffered = hostile.take();
        hostile.stop()?;
        drop(victim.measure(common.warmup())?);
        let after = victim.measure(common.duration())?.all_well()?;
        victim.stop()?;
        let alone = f64::midpoint(before.per_second(200), after.per_second(200));
        let share = 100.0 * beside.per_second(200) / alone;
        let [of_victim, of_hostile] = cpu.as_slice() else { continue };
        table.add_row([
            hostility.does.to_owned(),
            format!("{alone:.0}"),
            format!("{:.0}", beside.per_second(200)),
            format!("{share:.0} %"),
            before.quantile(200, 0.99).to_string(),
            beside.quantile(200, 0.99).to_string(),
            format!("{:.1} s : {:.1} s", of_victim.as_secs_f64(), of_hostile.as_secs_f64()),
            suffered.summary(),
        ]);
        report.goal(
            &format!("throughput beside one app of {}, of that alone", hostility.does),
            share,
            "%",
            Target::AtLeast(45.0),
        );
        rows.push(json!({
            "beside": hostility.does,
            "alone_per_second": alone,
            "beside_per_second": beside.per_second(200),
            "p99_alone_us": before.quantile(200, 0.99),
            "p99_beside_us": beside.quantile(200, 0.99),
            "victim_guest_cpu_s": of_victim.as_secs_f64(),
            "hostile_guest_cpu_s": of_hostile.as_secs_f64(),
            "hostile_answers": suffered.summary(),
        }));
    }
    println!("{table}\n");
    report.detail("throughput", rows.into());
    Ok(())
}

/// A victim at a fifth of what it could do, alone and beside many apps that spin.
///
/// One of 65 apps of one owner is entitled to 3 % of two cores, and no order of calls gives it a
/// fifth of them in time. So the victim has an owner of its own, who is entitled to half of the
/// machine; what it gets as one of 65 is shown beside it.
fn latency(program: &Path, arguments: &Arguments, report: &mut Report) -> Result<()> {
    let host = start(program)?;
    let common = &arguments.common;
    let n_hostile = arguments.hostile.max(1);
    host.deploy(&App { more: "tenant = \"victim\"", ..VICTIM })?;
    let mut paths = Vec::new();
    for index in 0..n_hostile {
        let name = format!("spin-{index}");
        let more = format!("{HOSTILE}\n{ENDLESS}");
        let app = App { name: &name, source: steerage_guests::SPIN, more: &more };
        host.deploy(&app)?;
        paths.push(app.path());
    }
    eprintln!("latency: what the victim can do at most");
    let plan = Plan::closed(host.address(), &VICTIM.path(), 32).prompt(arguments.prompt);
    let peak = load::press_well(plan.clone(), common.warmup(), common.duration())?;
    let plan = plan.open(peak.per_second(200) * 0.2);
    eprintln!("latency: a fifth of it alone, then beside {n_hostile} apps");
    let alone = load::press_well(plan.clone(), common.warmup(), common.duration())?;
    let spinning =
        Plan::closed(host.address(), "/", n_hostile).paths(paths).prompt(arguments.prompt);
    let hostile = Press::start(spinning)?;
    let beside = load::press_well(plan.clone(), common.warmup(), common.duration())?;
    host.deploy(&App { more: HOSTILE, ..VICTIM })?;
    let starved = Press::start(plan)?;
    drop(starved.measure(common.warmup())?);
    let equal = starved.measure(common.duration())?;
    drop(starved);
    hostile.stop()?;

    let mut table = table(&["victim", "requests/s", "p50 us", "p90 us", "p99 us", "p99.9 us"]);
    let titles = [
        "alone".to_owned(),
        format!("beside {n_hostile} spinning apps of another owner"),
        format!("beside {n_hostile} spinning apps of its own owner"),
    ];
    for (title, tally) in titles.into_iter().zip([&alone, &beside, &equal]) {
        let quantile = |quantile| tally.quantile(200, quantile).to_string();
        let per_second = format!("{:.0}", tally.per_second(200));
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(quantile);
        table.add_row([title, per_second, p50, p90, p99, p999]);
    }
    println!("{table}\n");
    let (lone, busy) = (alone.quantile(200, 0.99), beside.quantile(200, 0.99));
    let ratio = busy as f64 / lone as f64;
    let measured = format!("p99 at 20 % of its peak beside {n_hostile} apps of another owner");
    report.goal(&format!("{measured}, over that alone"), ratio, "x", Target::AtMost(2.0));
    report.goal(&measured, busy as f64 / 1000.0, "ms", Target::AtMost(2.0));
    let details = json!({
        "peak_per_second": peak.per_second(200),
        "alone": latencies(&alone),
        "beside": latencies(&beside),
        "beside_apps_of_its_own_owner": latencies(&equal),
    });
    report.detail("latency", details);
    Ok(())
}

fn latencies(tally: &Tally) -> Value {
    json!({
        "per_second": tally.per_second(200),
        "p50_us": tally.quantile(200, 0.5),
        "p99_us": tally.quantile(200, 0.99),
        "p999_us": tally.quantile(200, 0.999),
    })
}

/// Apps that are always busy, and what share of their CPU time each gets, second by second.
fn shares(program: &Path, arguments: &Arguments, report: &mut Report) -> Result<()> {
    let host = start(program)?;
    let names = WEIGHTS.map(|weight| format!("weight-{weight}"));
    for (name, weight) in names.iter().zip(WEIGHTS) {
        let more = format!("[share]\nweight = {weight}");
        host.deploy(&App { name, source: steerage_guests::WORK, more: &more })?;
    }
    let names = names.each_ref().map(String::as_str);
    let rounds = host.rounds_of_work(names[0], SHORT_CALL)?;
    let mut presses = Vec::new();
    for name in names {
        let path = format!("/{name}/?n={rounds}");
        presses.push(Press::start(Plan::closed(host.address(), &path, 8))?);
    }
    load::pause(arguments.common.warmup());
    let sum_of_weights = f64::from(WEIGHTS.iter().sum::<u32>());
    let header: Vec<String> = std::iter::once("second".to_owned())
        .chain(WEIGHTS.map(|weight| format!("weight {weight}")))
        .chain(["CPU s".to_owned(), "furthest off".to_owned()])
        .collect();
    let mut table = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut worst, mut windows) = (0.0_f64, Vec::<Value>::new());
    let mut before = host.guest_cpu(&names)?;
    for second in 1..=arguments.common.seconds.max(1) {
        load::pause(WINDOW);
        let now = host.guest_cpu(&names)?;
        let used = since(&before, &now);
        before = now;
        let sum: f64 = used.iter().map(Duration::as_secs_f64).sum();
        let shares: Vec<f64> = used.iter().map(|used| used.as_secs_f64() / sum).collect();
        let off = shares
            .iter()
            .zip(WEIGHTS)
            .map(|(share, weight)| (share * sum_of_weights / f64::from(weight) - 1.0).abs() * 100.0)
            .fold(0.0, f64::max);
        worst = worst.max(off);
        let cells = std::iter::once(second.to_string())
            .chain(shares.iter().map(|share| format!("{:.2} %", share * 100.0)))
            .chain([format!("{sum:.2}"), format!("{off:.1} %")]);
        table.add_row(cells);
        windows.push(json!({ "shares": shares, "cpu_s": sum, "off_percent": off }));
    }
    for press in presses {
        press.stop()?;
    }
    println!("{table}\n");
    let measured = "CPU share of busy apps with weights 1:2:4, furthest off in any second";
    report.goal(measured, worst, "%", Target::AtMost(3.0));
    report.detail("shares", json!({ "weights": WEIGHTS, "windows": windows }));
    Ok(())
}

fn since(before: &[Duration], now: &[Duration]) -> Vec<Duration> {
    now.iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).collect()
}
