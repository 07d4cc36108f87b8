//! Hello over HTTP/1.1: what a fresh sandbox per call costs beside no sandbox at all.
//! Server and generator share the machine: compare rows of one run only.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::HttpArguments;
use crate::load;
use crate::server::{Server, free_address, steerage};

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
    path: &'static str,
    start: Box<dyn Fn() -> Result<(Server, Option<TempDir>)>>,
}

/// Measures every server in turn, as often as asked, and prints the best of each.
pub(crate) fn run(arguments: &HttpArguments) -> Result<()> {
    let host = steerage()?;
    let component = steerage_guests::HELLO;
    let mut entries =
        vec![raw_entry(), host_entry(&host, component, 1), host_entry(&host, component, 1000)];
    for peer in &arguments.peers {
        entries.push(peer_entry(peer, component)?);
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
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&as_json(&rows))?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn measure(entry: &Entry, arguments: &HttpArguments) -> Result<Row> {
    let (server, _folder) = (entry.start)()?;
    load::press(server.address, entry.path, arguments.load(arguments.warmup))?;
    let before = server.cpu_time()?;
    let outcome = load::press(server.address, entry.path, arguments.load(arguments.seconds))?;
    let cpu = server.cpu_time()?.saturating_sub(before);
    Ok(Row {
        name: entry.name.clone(),
        per_second: outcome.per_second(),
        p50: outcome.latency.value_at_quantile(0.5),
        p99: outcome.latency.value_at_quantile(0.99),
        cpu: cpu.as_secs_f64() * 1e6 / outcome.n_requests.max(1) as f64,
    })
}

fn raw_entry() -> Entry {
    let start = || {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("raw").arg(address.to_string());
        Ok((Server::start(command, address)?, None))
    };
    Entry { name: "hyper, no Wasm".to_owned(), path: "/", start: Box::new(start) }
}

fn host_entry(host: &Path, component: &'static str, reuse: u32) -> Entry {
    let host = host.to_owned();
    let name = if reuse == 1 {
        "steerage, fresh instance".to_owned()
    } else {
        format!("steerage, instance reused {reuse}x")
    };
    let start = move || {
        let (address, admin) = (free_address()?, free_address()?);
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(&host);
        command
            .args(["host", "--listen", &address.to_string(), "--admin", &admin.to_string()])
            .arg("--data")
            .arg(folder.path());
        let server = Server::start(command, address)?;
        let manifest = folder.path().join("steerage.toml");
        let text = format!(
            "name = \"hello\"\nversion = \"1.0.0\"\nsource = {component:?}\n\
             [instance]\nreuse = {reuse}\n[[route]]\npath = \"/...\"\n"
        );
        std::fs::write(&manifest, text)?;
        let deployed = Command::new(&host)
            .args(["deploy", "-q", "--admin", &format!("http://{admin}"), "-f"])
            .arg(&manifest)
            .status()?;
        if !deployed.success() {
            bail!("cannot deploy {component}");
        }
        Ok((server, Some(folder)))
    };
    Entry { name, path: "/", start: Box::new(start) }
}

fn peer_entry(peer: &str, component: &'static str) -> Result<Entry> {
    let (name, line) = peer.split_once('=').context("--peer wants NAME=COMMAND")?;
    let line = line.to_owned();
    let start = move || {
        let address = free_address()?;
        let line =
            line.replace("{port}", &address.port().to_string()).replace("{component}", component);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("exec {line}"));
        Ok((Server::start(command, address)?, None))
    };
    Ok(Entry { name: name.to_owned(), path: "/", start: Box::new(start) })
}

fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["server", "requests/s", "p50 us", "p99 us", "CPU us/request", "x hyper"]);
    let limit = rows.first().map_or(1.0, |row| row.cpu);
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
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

fn as_json(rows: &[Row]) -> Value {
    let limit = rows.first().map_or(1.0, |row| row.cpu);
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "server": row.name,
                "requests_per_second": row.per_second,
                "p50_us": row.p50,
                "p99_us": row.p99,
                "cpu_us_per_request": row.cpu,
                "cpu_over_hyper": row.cpu / limit,
            })
        })
        .collect();
    json!({ "bench": "http", "rows": rows })
}
