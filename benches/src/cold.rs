//! The first call of an app whose compiled code is on disk: what a caller waits for it.
//! The code has been in the system's cache since it was written; a cold disk is not measured.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::apps::Template;
use crate::fleet::Fleet;
use crate::plain::Plain;
use crate::report::{Report, Target, table};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How many apps are called, each for the first time since the host has started
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    apps: u32,
    /// Also write the results as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Deploys, restarts the host, and calls each app twice.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let template = Template::hello()?;
    let fleet = Fleet { program, data: folder.path(), template: &template };
    eprintln!("deploying {} apps", arguments.apps);
    fleet.fill(arguments.apps)?;
    let host = fleet.start()?;
    host.server.settle()?;
    let mut caller = Plain::connect(host.address())?;
    let mut call = |number: u32| -> Result<u64> {
        let path = format!("/{}/", Fleet::name(number));
        let asked_at = Instant::now();
        let (status, text) = caller.ask("GET", &path, b"")?;
        let latency = asked_at.elapsed();
        let is_its_own = text.contains(&template.answer(number));
        ensure!(status == 200 && is_its_own, "app {number} is not served: {text}");
        Ok(u64::try_from(latency.as_micros())?.max(1))
    };
    // The connection is not what is measured.
    call(0)?;
    let mut rounds = Vec::new();
    for title in ["first", "second"] {
        let mut latencies = Histogram::<u64>::new(3)?;
        for number in 1..=arguments.apps {
            latencies.record(call(number)?)?;
        }
        rounds.push((title, latencies));
    }

    let mut table = table(&["call", "p50 us", "p90 us", "p99 us", "most us"]);
    for (title, latencies) in &rounds {
        let [p50, p90, p99] =
            [0.5, 0.9, 0.99].map(|quantile| latencies.value_at_quantile(quantile).to_string());
        table.add_row([(*title).to_owned(), p50, p90, p99, latencies.max().to_string()]);
    }
    println!("{table}");
    let mut report = Report::new("cold");
    if let Some((_, first)) = rounds.first() {
        for (name, quantile, most) in [("p50", 0.5, 1.0), ("p99", 0.99, 5.0)] {
            let millis = first.value_at_quantile(quantile) as f64 / 1000.0;
            report.goal(&format!("first call, {name}"), millis, "ms", Target::AtMost(most));
        }
    }
    report.detail("calls", rounds.iter().map(as_json).collect());
    report.finish(arguments.json.as_deref())
}

fn as_json((title, latencies): &(&str, Histogram<u64>)) -> Value {
    json!({
        "call": title,
        "n": latencies.len(),
        "p50_us": latencies.value_at_quantile(0.5),
        "p99_us": latencies.value_at_quantile(0.99),
        "max_us": latencies.max(),
    })
}
