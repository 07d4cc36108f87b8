//! Hello over HTTP/1.1: what a fresh sandbox per call costs beside no sandbox at all.
//! Server and generator share the machine: compare rows of one run only.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Common;
use crate::host::{App, Host};
use crate::load::{self, Plan};
use crate::report::{Report, Target, table};
use crate::server::{Server, free_address};

const HYPER: &str = "hyper, no Wasm";
const FRESH: &str = "steerage, fresh instance";
const REUSED: &str = "steerage, instance reused 1000x";
const ONE_CORE: &str = "steerage, fresh instance, one core";
const WASMTIME: &str = "wasmtime serve, as it comes";
const HELLO: App<'_> = App { name: "hello", source: steerage_guests::HELLO, more: "" };

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Keep-alive connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How often the whole round of servers is measured; the best of each is shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A `wasmtime` to measure `wasmtime serve` of; the one of PATH when absent
    #[arg(long, value_name = "PATH")]
    wasmtime: Option<PathBuf>,
    /// Another server to measure: NAME=COMMAND, with {port} and {component} filled in
    #[arg(long = "peer", value_name = "NAME=COMMAND")]
    peers: Vec<String>,
}

/// One server's figures.
struct Row {
    name: String,
    per_second: f64,
    p50: u64,
    p99: u64,
    /// Microseconds of the server's CPU time per request.
    cpu: f64,
}

/// Something that can be started and pressed.
struct Entry {
    name: String,
    path: String,
    start: Box<dyn Fn() -> Result<Started>>,
}

/// What was started.
enum Started {
    Host(Host),
    Other(Server),
}

impl Started {
    fn server(&self) -> &Server {
        match self {
            Self::Host(host) => &host.server,
            Self::Other(server) => server,
        }
    }
}

/// Measures every server in turn, as often as asked, and prints the best of each.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let mut entries = vec![
        raw_entry(),
        host_entry(FRESH, program, &[], ""),
        host_entry(REUSED, program, &[], "[instance]\nreuse = 1000"),
        host_entry(ONE_CORE, program, &["taskset", "-c", "0"], ""),
    ];
    if let Some(wasmtime) = wasmtime(arguments) {
        let line =
            format!("'{}' serve --addr 127.0.0.1:{{port}} {{component}}", wasmtime.display());
        entries.push(peer_entry(WASMTIME, &line));
    }
    for peer in &arguments.peers {
        let (name, line) = peer.split_once('=').context("--peer wants NAME=COMMAND")?;
        entries.push(peer_entry(name, line));
    }
    let mut rows: Vec<Row> = Vec::new();
    for round in 1..=arguments.rounds.max(1) {
        for entry in &entries {
            eprintln!("round {round}: {}", entry.name);
            let row = measure(entry, arguments).with_context(|| entry.name.clone())?;
            match rows.iter_mut().find(|best| best.name == row.name) {
                Some(best) if row.cpu < best.cpu => *best = row,
                Some(_) => {}
                None => rows.push(row),
            }
        }
    }
    print(&rows);
    report(&rows).finish(arguments.common.json.as_deref())
}

fn measure(entry: &Entry, arguments: &Arguments) -> Result<Row> {
    let started = (entry.start)()?;
    let server = started.server();
    let press =
        load::Press::start(Plan::closed(server.address, &entry.path, arguments.connections))?;
    drop(press.measure(arguments.common.warmup())?);
    let before = server.cpu_time()?;
    let tally = press.measure(arguments.common.duration())?.all_well()?;
    let cpu = server.cpu_time()?.saturating_sub(before);
    press.stop()?;
    Ok(Row {
        name: entry.name.clone(),
        per_second: tally.per_second(200),
        p50: tally.quantile(200, 0.5),
        p99: tally.quantile(200, 0.99),
        cpu: cpu.as_secs_f64() * 1e6 / tally.n(200).max(1) as f64,
    })
}

fn raw_entry() -> Entry {
    let start = || {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("raw").arg(address.to_string());
        Ok(Started::Other(Server::start(command, address)?))
    };
    Entry { name: HYPER.to_owned(), path: "/".to_owned(), start: Box::new(start) }
}

/// Our host, started through the words in `before`, if any.
fn host_entry(
    name: &str,
    program: &Path,
    before: &'static [&'static str],
    more: &'static str,
) -> Entry {
    let program = program.to_owned();
    let start = move || {
        let command = match before {
            [] => Command::new(&program),
            [first, others @ ..] => {
                let mut command = Command::new(first);
                command.args(others).arg(&program);
                command
            }
        };
        let host = Host::start(&program, command, &[])?;
        host.deploy(&App { more, ..HELLO })?;
        Ok(Started::Host(host))
    };
    Entry { name: name.to_owned(), path: HELLO.path(), start: Box::new(start) }
}

fn peer_entry(name: &str, line: &str) -> Entry {
    let line = line.to_owned();
    let start = move || {
        let address = free_address()?;
        let line = line
            .replace("{port}", &address.port().to_string())
            .replace("{component}", HELLO.source);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {line}"));
        Ok(Started::Other(Server::start(command, address)?))
    };
    Entry { name: name.to_owned(), path: "/".to_owned(), start: Box::new(start) }
}

/// The `wasmtime` that was given, or the first in PATH.
fn wasmtime(arguments: &Arguments) -> Option<PathBuf> {
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join("wasmtime")).find(|file| file.is_file())
    };
    arguments.wasmtime.clone().or_else(in_path)
}

fn print(rows: &[Row]) {
    let mut table =
        table(&["server", "requests/s", "p50 us", "p99 us", "CPU us/request", "x hyper"]);
    let limit = cpu(rows, HYPER).unwrap_or(1.0);
    for row in rows {
        table.add_row([
            row.name.clone(),
            format!("{:.0}", row.per_second),
            row.p50.to_string(),
            row.p99.to_string(),
            format!("{:.1}", row.cpu),
            format!("{:.2}", row.cpu / limit),
        ]);
    }
    println!("{table}");
}

fn report(rows: &[Row]) -> Report {
    let mut report = Report::new("http");
    let over = |of: Option<f64>, by: Option<f64>| of.zip(by).map_or(f64::NAN, |(of, by)| of / by);
    let hyper = cpu(rows, HYPER);
    let fresh = over(cpu(rows, FRESH), hyper);
    report.goal("CPU per hello, fresh instance, over hyper's", fresh, "x", Target::AtMost(3.0));
    let reused = over(cpu(rows, REUSED), hyper);
    report.goal("CPU per hello, instance reused, over hyper's", reused, "x", Target::AtMost(1.6));
    let measured = "requests/s, fresh instances, over wasmtime serve's";
    match row(rows, WASMTIME).zip(row(rows, FRESH)) {
        Some((peer, ours)) => {
            let ratio = ours.per_second / peer.per_second;
            report.goal(measured, ratio, "x", Target::AtLeast(3.0));
        }
        None => {
            let why = "no wasmtime found, pass --wasmtime PATH";
            report.not_measured(measured, why, Target::AtLeast(3.0));
        }
    }
    // The generator needs a core's worth itself, so two cores for the server alone are not to be
    // had here. What a core can serve is one over the CPU time of a request.
    let scaling = over(cpu(rows, ONE_CORE), cpu(rows, FRESH)) * 2.0;
    report.goal(
        "requests/s on two cores over one: 2 x CPU per request on one / on two",
        scaling,
        "x",
        Target::AtLeast(1.7),
    );
    report.detail("rows", rows.iter().map(|row| as_json(row, hyper.unwrap_or(1.0))).collect());
    report
}

fn row<'r>(rows: &'r [Row], name: &str) -> Option<&'r Row> {
    rows.iter().find(|row| row.name == name)
}

fn cpu(rows: &[Row], name: &str) -> Option<f64> {
    row(rows, name).map(|row| row.cpu)
}

fn as_json(row: &Row, hyper: f64) -> Value {
    json!({
        "server": row.name,
        "requests_per_second": row.per_second,
        "p50_us": row.p50,
        "p99_us": row.p99,
        "cpu_us_per_request": row.cpu,
        "cpu_over_hyper": row.cpu / hyper,
    })
}
