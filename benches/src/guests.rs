//! Apps that bring a whole engine along: what a call costs that has a sandbox of its own, beside
//! `wasmtime serve` on the same component.
//! `benches/guests.sh` makes the components.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Common;
use crate::host::{App, Host};
use crate::load::{Plan, Press};
use crate::report::{Report, Target, table};
use crate::server::{Server, free_address};

/// What `benches/guests.sh` makes, and the most that a call of it may cost, over `wasmtime serve`.
const GUESTS: [(&str, f64); 2] = [("js", 0.08), ("py", 0.05)];
/// Most page faults of a call, once warm.
const MOST_FAULTS: f64 = 5.0;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Where `js.wasm` and `py.wasm` are
    #[arg(long, value_name = "DIR", default_value = "target/bench-guests")]
    guests: PathBuf,
    /// Keep-alive connections
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// A `wasmtime` to measure `wasmtime serve` of
    #[arg(long, value_name = "PATH", default_value = "wasmtime")]
    wasmtime: PathBuf,
    /// More of our app's manifest, like `[instance]` and a line
    #[arg(long, value_name = "TOML", default_value = "")]
    manifest: String,
}

/// One server's figures for one guest.
struct Row {
    server: &'static str,
    guest: &'static str,
    per_second: f64,
    /// Microseconds of the server's CPU time per call.
    cpu: f64,
    /// Its page faults per call.
    faults: f64,
}

/// Measures each guest on our host and on `wasmtime serve`.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let mut report = Report::new("guests");
    let mut rows = Vec::new();
    for (guest, most) in GUESTS {
        let component = arguments.guests.join(format!("{guest}.wasm"));
        let component = component
            .canonicalize()
            .with_context(|| format!("no {}: benches/guests.sh makes it", component.display()))?;
        eprintln!("{guest}: steerage");
        let host = Host::start(program, Command::new(program), &[])?;
        let source = component.to_string_lossy();
        let app = App { name: guest, source: &source, more: &arguments.manifest };
        host.deploy(&app)?;
        let ours = measure(&host.server, ("steerage", guest), &app.path(), arguments)?;
        drop(host);
        eprintln!("{guest}: wasmtime serve");
        let address = free_address()?;
        let mut command = Command::new(&arguments.wasmtime);
        command.args(["serve", "-S", "cli", "--addr", &address.to_string()]).arg(&component);
        let server = Server::start(command, address)?;
        let theirs = measure(&server, ("wasmtime serve", guest), "/", arguments)?;
        let measured = format!("CPU per call of {guest} in a fresh sandbox, over wasmtime serve's");
        report.goal(&measured, ours.cpu / theirs.cpu, "x", Target::AtMost(most));
        let measured = format!("page faults per call of {guest}");
        report.goal(&measured, ours.faults, "", Target::AtMost(MOST_FAULTS));
        rows.extend([ours, theirs]);
    }
    print(&rows);
    report.detail("rows", rows.iter().map(as_json).collect());
    report.finish(arguments.common.json.as_deref())
}

fn measure(
    server: &Server,
    (name, guest): (&'static str, &'static str),
    path: &str,
    arguments: &Arguments,
) -> Result<Row> {
    let press = Press::start(Plan::closed(server.address, path, arguments.connections))?;
    drop(press.measure(arguments.common.warmup())?);
    let (cpu, faults) = (server.cpu_time()?, server.faults()?);
    let tally = press.measure(arguments.common.duration())?.all_well()?;
    let n_calls = tally.n(200);
    ensure!(n_calls > 0, "{name} has answered no call of {guest}");
    let cpu = server.cpu_time()?.saturating_sub(cpu);
    let faults = server.faults()?.saturating_sub(faults);
    press.stop()?;
    Ok(Row {
        server: name,
        guest,
        per_second: tally.per_second(200),
        cpu: cpu.as_secs_f64() * 1e6 / n_calls as f64,
        faults: faults as f64 / n_calls as f64,
    })
}

fn print(rows: &[Row]) {
    let mut table = table(&["guest", "server", "calls/s", "CPU us/call", "page faults/call"]);
    for row in rows {
        table.add_row([
            row.guest.to_owned(),
            row.server.to_owned(),
            format!("{:.0}", row.per_second),
            format!("{:.0}", row.cpu),
            format!("{:.2}", row.faults),
        ]);
    }
    println!("{table}");
}

fn as_json(row: &Row) -> Value {
    json!({
        "server": row.server,
        "guest": row.guest,
        "calls_per_second": row.per_second,
        "cpu_us_per_call": row.cpu,
        "page_faults_per_call": row.faults,
    })
}
