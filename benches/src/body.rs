//! Bodies: what the host pays for a large one that goes in and comes out again, beside `wasmtime serve`,
//! over each version of HTTP; and what clients cost that are slow to take theirs.

mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::wire::{Certificate, Wire, echoed, read_slowly};
use crate::host::{App, Host};
use crate::load::pause;
use crate::report::{Report, Target, table};
use crate::server::{Server, free_address};

const ECHO: App<'_> = App {
    name: "echo",
    source: steerage_guests::ECHO,
    more: "[limits]\nrequest_body = \"1GiB\"\nresponse_body = \"1GiB\"\ntimeout = \"10m\"",
};
const FLOOD: App<'_> = App {
    name: "flood",
    source: steerage_guests::FLOOD,
    more: "[limits]\ntimeout = \"10m\"\nconcurrency = 10000\nresponse_body = \"1GiB\"",
};
const LOOK: Duration = Duration::from_millis(200);

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Megabytes that are sent and come back
    #[arg(long, default_value_t = 200)]
    megabytes: u64,
    /// How often each is measured; the best is shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Clients that are slow to take their answers
    #[arg(long, default_value_t = 1000)]
    slow: usize,
    /// Seconds that they take their time
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// A `wasmtime` to measure `wasmtime serve` of
    #[arg(long, value_name = "PATH", default_value = "wasmtime")]
    wasmtime: PathBuf,
    /// Also write the results as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What one way of echoing costs.
struct Row {
    name: &'static str,
    /// Seconds of the server's CPU time.
    cpu: f64,
    seconds: f64,
}

/// Echoes a large body in each way, then has many clients read slowly.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start a load generator")?;
    let certificate = Certificate::new()?;
    let folder = tempfile::tempdir()?;
    let plain = Host::start(program, Command::new(program), &[])?;
    let tls = start_tls(program, &certificate, &folder)?;
    for host in [&plain, &tls] {
        host.deploy(&ECHO)?;
    }
    let address = free_address()?;
    let mut command = Command::new(&arguments.wasmtime);
    command.args(["serve", "-S", "cli", "--addr", &address.to_string(), ECHO.source]);
    let wasmtime = Server::start(command, address)?;
    let path = format!("{}body", ECHO.path());
    let ways = [
        ("wasmtime serve, HTTP/1.1", &wasmtime, Wire::Http1, "/body"),
        ("steerage, HTTP/1.1", &plain.server, Wire::Http1, path.as_str()),
        ("steerage, HTTP/2", &plain.server, Wire::Http2, path.as_str()),
        ("steerage, HTTP/2 over TLS", &tls.server, Wire::Tls(&certificate), path.as_str()),
    ];
    let n_bytes = arguments.megabytes * 1_000_000;
    let mut rows: Vec<Row> = Vec::new();
    for round in 1..=arguments.rounds.max(1) {
        for (name, server, wire, path) in &ways {
            eprintln!("round {round}: {name}");
            let (began_at, before) = (Instant::now(), server.cpu_time()?);
            let n_back = runtime.block_on(echoed(server.address, path, *wire, n_bytes))?;
            ensure!(n_back == n_bytes, "{name}: {n_back} of {n_bytes} bytes came back");
            let cpu = server.cpu_time()?.saturating_sub(before).as_secs_f64();
            let row = Row { name, cpu, seconds: began_at.elapsed().as_secs_f64() };
            match rows.iter_mut().find(|best| best.name == row.name) {
                Some(best) if row.cpu < best.cpu => *best = row,
                Some(_) => {}
                None => rows.push(row),
            }
        }
    }
    drop((wasmtime, tls));
    let each = memory_of_slow_readers(&plain, &runtime, arguments)?;
    print(&rows, arguments.megabytes);
    let mut report = Report::new("body");
    let theirs = rows.first().map_or(f64::NAN, |row| row.cpu);
    for row in rows.iter().skip(1) {
        let measured = format!("CPU for an echo, {}, over wasmtime serve's", row.name);
        report.goal(&measured, row.cpu / theirs, "x", Target::AtMost(0.5));
    }
    let measured = format!("memory for each of {} slow readers", arguments.slow);
    report.goal(&measured, each, "KiB", Target::AtMost(512.0));
    report.detail("rows", rows.iter().map(as_json).collect());
    report.finish(arguments.json.as_deref())
}

fn start_tls(program: &Path, certificate: &Certificate, folder: &TempDir) -> Result<Host> {
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, &certificate.cert)?;
    std::fs::write(&key, &certificate.key)?;
    let (cert, key) = (cert.to_string_lossy(), key.to_string_lossy());
    Host::start(program, Command::new(program), &["--tls-cert", &cert, "--tls-key", &key])
}

/// KiB of the host's own memory, at most, for each client that takes a little now and then.
fn memory_of_slow_readers(
    host: &Host,
    runtime: &tokio::runtime::Runtime,
    arguments: &Arguments,
) -> Result<f64> {
    host.deploy(&FLOOD)?;
    host.server.settle()?;
    let before = host.server.memory()?;
    eprintln!("{} slow readers", arguments.slow);
    let path = FLOOD.path();
    let address: SocketAddr = host.address();
    for _ in 0..arguments.slow {
        runtime.spawn(read_slowly(address, path.clone()));
    }
    let (began_at, mut most) = (Instant::now(), 0);
    while began_at.elapsed() < Duration::from_secs(arguments.seconds) {
        pause(LOOK);
        most = most.max(host.server.memory()?);
    }
    Ok(most.saturating_sub(before) as f64 / 1024.0 / arguments.slow.max(1) as f64)
}

fn print(rows: &[Row], megabytes: u64) {
    let mut table = table(&["server", "MB/s both ways", "CPU s", "CPU ms/MB"]);
    for row in rows {
        table.add_row([
            row.name.to_owned(),
            format!("{:.0}", 2.0 * megabytes as f64 / row.seconds),
            format!("{:.2}", row.cpu),
            format!("{:.2}", row.cpu * 1e3 / megabytes.max(1) as f64),
        ]);
    }
    println!("{table}");
}

fn as_json(row: &Row) -> Value {
    json!({ "server": row.name, "cpu_s": row.cpu, "seconds": row.seconds })
}
