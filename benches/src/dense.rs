//! A host with very many apps that nobody calls: what each takes of its memory, and how long it
//! takes to start.
//! Each app has a component of its own. That they are served is tried with a few of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::apps::Template;
use crate::fleet::Fleet;
use crate::plain::Plain;
use crate::report::{Report, Target, table};

/// Apps that are called, to see that they are served.
const CALLED: u32 = 100;
const KIBIBYTE: f64 = 1024.0;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How many apps; several sizes are measured one after the other
    #[arg(long, value_name = "COUNT", default_values_t = [10_000, 100_000])]
    apps: Vec<u32>,
    /// Keep the data here, in a folder for each size, and use what an earlier run left
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Also write the results as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What one size costs.
struct Found {
    n_apps: u32,
    /// Memory of the host without apps, and with them.
    empty: u64,
    full: u64,
    /// The same after some of them were called.
    called: u64,
    start_time: Duration,
    call_time: Duration,
}

/// Measures each size on a folder of its own.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let template = Template::tiny(Duration::ZERO)?;
    let mut all = Vec::new();
    for &n_apps in &arguments.apps {
        let folder = tempfile::tempdir()?;
        let kept = arguments.keep.as_ref().map(|keep| keep.join(format!("{n_apps}-apps")));
        let data = kept.as_deref().unwrap_or_else(|| folder.path());
        let found = measure(program, data, &template, n_apps);
        all.push(found.with_context(|| format!("{n_apps} apps"))?);
    }
    print(&all);
    let mut report = Report::new("dense");
    for found in &all {
        let n_apps = found.n_apps;
        let measured = format!("memory of an idle app among {n_apps}");
        report.goal(&measured, found.kibibytes_each(), "KiB", Target::AtMost(8.0));
        let start_time = found.start_time.as_secs_f64();
        let measured = format!("start of a host with {n_apps} apps");
        report.goal(&measured, start_time, "s", Target::AtMost(5.0));
    }
    report.detail("sizes", all.iter().map(as_json).collect());
    report.finish(arguments.json.as_deref())
}

fn measure(program: &Path, data: &Path, template: &Template, n_apps: u32) -> Result<Found> {
    let empty = {
        let folder = tempfile::tempdir()?;
        let host = Fleet { program, data: folder.path(), template }.start()?;
        host.server.settle()?;
        host.server.memory()?
    };
    let fleet = Fleet { program, data, template };
    let filled = data.join("filled");
    if !filled.exists() {
        eprintln!("deploying {n_apps} apps");
        std::fs::create_dir_all(data)?;
        fleet.fill(n_apps)?;
        std::fs::write(&filled, "")?;
    }
    eprintln!("starting the host with {n_apps} apps");
    let host = fleet.start()?;
    host.server.settle()?;
    let full = host.server.memory()?;
    let mut caller = Plain::connect(host.address())?;
    let mut random = fastrand::Rng::with_seed(u64::from(n_apps));
    let began_at = Instant::now();
    for _ in 0..CALLED {
        let number = random.u32(1..=n_apps);
        let (status, text) = caller.ask("GET", &format!("/{}/", Fleet::name(number)), b"")?;
        let is_its_own = text.contains(&template.answer(number));
        ensure!(status == 200 && is_its_own, "app {number} is not served: {text}");
    }
    let call_time = began_at.elapsed() / CALLED;
    let called = host.server.memory()?;
    let start_time = host.server.start_time;
    Ok(Found { n_apps, empty, full, called, start_time, call_time })
}

impl Found {
    fn kibibytes_each(&self) -> f64 {
        self.full.saturating_sub(self.empty) as f64 / KIBIBYTE / f64::from(self.n_apps.max(1))
    }
}

fn print(all: &[Found]) {
    let mut table = table(&[
        "apps",
        "KiB of memory each",
        "host MiB",
        "without apps MiB",
        "after 100 calls MiB",
        "start s",
        "first call us, mean",
    ]);
    let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / KIBIBYTE / KIBIBYTE);
    for found in all {
        table.add_row([
            found.n_apps.to_string(),
            format!("{:.2}", found.kibibytes_each()),
            mebibytes(found.full),
            mebibytes(found.empty),
            mebibytes(found.called),
            format!("{:.2}", found.start_time.as_secs_f64()),
            found.call_time.as_micros().to_string(),
        ]);
    }
    println!("{table}");
}

fn as_json(found: &Found) -> Value {
    json!({
        "apps": found.n_apps,
        "memory_bytes": found.full,
        "memory_without_apps_bytes": found.empty,
        "memory_after_calls_bytes": found.called,
        "start_s": found.start_time.as_secs_f64(),
        "mean_first_call_us": found.call_time.as_micros().to_string(),
    })
}
