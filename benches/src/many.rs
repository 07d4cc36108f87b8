//! Very many apps that are called in turn, each with a component of its own, beside one that has all
//! the calls: what a host pays for its callers not asking for the same.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::Common;
use crate::apps::Template;
use crate::fleet::Fleet;
use crate::host::Host;
use crate::load::{Plan, Press};
use crate::report::{Report, Target, table};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// How many apps are called in turn
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    apps: u32,
    /// Keep-alive connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How often both are measured; the best of each is shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Keep the data here, and use what an earlier run left
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Deploys the apps, then presses one and all of them by turns.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = arguments.keep.as_deref().unwrap_or_else(|| folder.path());
    let template = Template::hello()?;
    let fleet = Fleet { program, data, template: &template };
    if !data.join("filled").exists() {
        eprintln!("deploying {} apps", arguments.apps);
        fleet.fill(arguments.apps)?;
        std::fs::write(data.join("filled"), "")?;
    }
    let host = fleet.start()?;
    host.server.settle()?;
    let path = |number: u32| format!("/{}/", Fleet::name(number));
    let all: Vec<String> = (1..=arguments.apps).map(path).collect();
    let rows = [("one app", vec![path(1)]), ("all in turn", all)];
    let mut best = [f64::INFINITY; 2];
    for round in 1..=arguments.rounds.max(1) {
        for ((title, paths), best) in rows.iter().zip(&mut best) {
            eprintln!("round {round}: {title}");
            *best = best.min(cpu_per_call(&host, paths, arguments)?);
        }
    }
    let mut table = table(&["calls of", "CPU us/request"]);
    for ((title, _), cpu) in rows.iter().zip(best) {
        table.add_row([(*title).to_owned(), format!("{cpu:.1}")]);
    }
    println!("{table}");
    let mut report = Report::new("many");
    let measured = format!("CPU per call, {} apps in turn, over one app", arguments.apps);
    let [one, many] = best;
    report.goal(&measured, many / one, "x", Target::AtMost(1.15));
    let as_json = |((title, _), cpu): (&(&str, Vec<String>), f64)| -> Value {
        json!({ "calls_of": title, "cpu_us_per_request": cpu })
    };
    report.detail("rows", rows.iter().zip(best).map(as_json).collect());
    report.finish(arguments.common.json.as_deref())
}

fn cpu_per_call(host: &Host, paths: &[String], arguments: &Arguments) -> Result<f64> {
    let plan = Plan::closed(host.address(), "/", arguments.connections).paths(paths.to_vec());
    let press = Press::start(plan)?;
    drop(press.measure(arguments.common.warmup())?);
    let before = host.server.cpu_time()?;
    let tally = press.measure(arguments.common.duration())?.all_well()?;
    let used = host.server.cpu_time()?.saturating_sub(before);
    press.stop()?;
    Ok(used.as_secs_f64() * 1e6 / tally.n(200).max(1) as f64)
}
