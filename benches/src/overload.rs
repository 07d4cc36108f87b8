//! Four times the load an app can carry: what still gets through, how soon the rest is told no, and
//! whether memory stays bounded.
//! One app that computes, and callers that do not wait for each other and go away after a while.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::json;

use crate::Common;
use crate::host::{App, Host};
use crate::load::{self, Plan, Press, Tally};
use crate::report::{Report, Target, table};

const APP: App<'_> =
    App { name: "work", source: steerage_guests::WORK, more: "[limits]\ntimeout = \"1s\"" };
/// What comes later than this is of no use to anybody: the app's own timeout.
const DEADLINE: Duration = Duration::from_secs(1);
/// When callers go away.
const GIVE_UP: Duration = Duration::from_secs(2);
/// CPU time of one call.
const CALL: Duration = Duration::from_millis(5);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
const MEBIBYTE: f64 = 1_048_576.0;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// How many times the load that can be carried
    #[arg(long, default_value_t = 4.0)]
    times: f64,
    /// Connections that callers have between them
    #[arg(long, default_value_t = 2000)]
    connections: usize,
}

/// Finds out what can be carried, and then asks for more.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let host = Host::start(program, Command::new(program), &[])?;
    host.deploy(&APP)?;
    let rounds = host.rounds_of_work(APP.name, CALL)?;
    let path = format!("{}?n={rounds}", APP.path());
    eprintln!("what the host can carry");
    let plan = Plan::closed(host.address(), &path, 16);
    let peak = load::press_well(plan, common.warmup(), common.duration())?;
    let memory_at_peak = host.server.memory()?;
    let rate = peak.per_second(200) * arguments.times;
    eprintln!("{rate:.0} requests/s, {} times that", arguments.times);
    let plan = Plan::closed(host.address(), &path, arguments.connections);
    let press = Press::start(plan.open(rate).give_up(GIVE_UP))?;
    // What waits and what callers still wait for has grown to its full size by then.
    drop(press.measure(common.warmup().max(GIVE_UP))?);
    let half = common.duration() / 2;
    let early = most_memory(&host, half)?;
    let late = most_memory(&host, half)?;
    let overload = press.take();
    press.stop()?;

    let goodput = in_time(&overload) as f64 / overload.elapsed.as_secs_f64();
    let refusals = refusals(&overload)?;
    let mut table = table(&["load", "asked/s", "200 in time/s", "p50 ms", "p99 ms", "memory MiB"]);
    let millis =
        |tally: &Tally, quantile| format!("{:.1}", tally.quantile(200, quantile) as f64 / 1000.0);
    for (title, asked, per_second, tally, memory) in [
        (
            "the most it can carry",
            peak.per_second(200),
            peak.per_second(200),
            &peak,
            memory_at_peak,
        ),
        ("overload", rate, goodput, &overload, late.max(early)),
    ] {
        table.add_row([
            title.to_owned(),
            format!("{asked:.0}"),
            format!("{per_second:.0}"),
            millis(tally, 0.5),
            millis(tally, 0.99),
            format!("{:.0}", memory as f64 / MEBIBYTE),
        ]);
    }
    println!("{table}\n\nanswers in overload: {}", overload.summary());

    let mut report = Report::new("overload");
    let share = 100.0 * goodput / peak.per_second(200);
    let times = arguments.times;
    let measured = format!("200s in time at {times}x what can be carried, of the most");
    report.goal(&measured, share, "%", Target::AtLeast(90.0));
    let refused = refusals.value_at_quantile(0.99) as f64 / 1000.0;
    if refusals.is_empty() {
        report.not_measured("time to refuse, p99", "nothing was refused", Target::AtMost(20.0));
    } else {
        report.goal("time to refuse, p99", refused, "ms", Target::AtMost(20.0));
    }
    let growth = late as f64 / early as f64;
    let measured = "memory in the second half of the overload over that in the first";
    report.goal(measured, growth, "x", Target::AtMost(1.1));
    let details = json!({
        "peak_per_second": peak.per_second(200),
        "asked_per_second": rate,
        "goodput_per_second": goodput,
        "answers": overload.summary(),
        "refused_p50_us": refusals.value_at_quantile(0.5),
        "refused_p99_us": refusals.value_at_quantile(0.99),
        "memory_at_peak_bytes": memory_at_peak,
        "memory_in_overload_bytes": late.max(early),
    });
    report.detail("overload", details);
    report.finish(common.json.as_deref())
}

/// The most memory the host has over a span of time.
fn most_memory(host: &Host, span: Duration) -> Result<u64> {
    let began_at = Instant::now();
    let mut most = 0;
    while began_at.elapsed() < span {
        load::pause(LOOK);
        most = most.max(host.server.memory()?);
    }
    Ok(most)
}

/// Answers that came before the deadline.
fn in_time(tally: &Tally) -> u64 {
    let deadline = u64::try_from(DEADLINE.as_micros()).unwrap_or(u64::MAX);
    tally.answers.get(&200).map_or(0, |latencies| latencies.count_between(0, deadline))
}

/// How long it took to say no.
fn refusals(tally: &Tally) -> Result<Histogram<u64>> {
    let mut all = Histogram::new(3)?;
    for latencies in [429, 503].iter().filter_map(|status| tally.answers.get(status)) {
        all.add(latencies)?;
    }
    Ok(all)
}
