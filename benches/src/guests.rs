//! What a call costs that has a sandbox of its own, where each is made anew and where it is put back,
//! beside `wasmtime serve` on the same component: for a lean service, and for apps that bring a whole
//! engine along.
//! `benches/guests.sh` makes the components of those.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Common;
use crate::host::{App, Host};
use crate::load::{Plan, Press, pause};
use crate::plain::Plain;
use crate::report::{Report, Target, table};
use crate::server::{Server, free_address};

/// What is called, and the most that a call in a restored sandbox may cost, over `wasmtime serve`'s.
const GUESTS: [(&str, f64); 3] = [("hello", 0.15), ("js", 0.08), ("py", 0.05)];
/// How a sandbox comes to be fresh, as a manifest says it.
const WAYS: [(&str, &str); 2] = [
    ("steerage, new", "[instance]\nfresh = \"new\""),
    ("steerage, restored", "[instance]\nfresh = \"restored\""),
];
/// Most page faults of a call, once warm.
const MOST_FAULTS: f64 = 5.0;
/// Calls that were restored before they are measured, and the longest wait for them.
const ENOUGH: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(180);

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
        let component = component(guest, arguments)?;
        let source = component.to_string_lossy();
        let host = Host::start(program, Command::new(program), &[])?;
        let mut ours = Vec::new();
        for (name, more) in WAYS {
            eprintln!("{guest}: {name}");
            let app = App { name: guest, source: &source, more };
            host.deploy(&app)?;
            if more.contains("restored") {
                until_restored(&host, &app)?;
            }
            ours.push(measure(&host.server, (name, guest), &app.path(), arguments)?);
        }
        drop(host);
        eprintln!("{guest}: wasmtime serve");
        let address = free_address()?;
        let mut command = Command::new(&arguments.wasmtime);
        command.args(["serve", "-S", "cli", "--addr", &address.to_string()]).arg(&component);
        let server = Server::start(command, address)?;
        let theirs = measure(&server, ("wasmtime serve", guest), "/", arguments)?;
        if let Some(restored) = ours.last() {
            let measured = format!("CPU per call of {guest}, restored, over wasmtime serve's");
            report.goal(&measured, restored.cpu / theirs.cpu, "x", Target::AtMost(most));
            let measured = format!("page faults per call of {guest}, restored");
            report.goal(&measured, restored.faults, "", Target::AtMost(MOST_FAULTS));
        }
        rows.extend(ours);
        rows.push(theirs);
    }
    print(&rows);
    report.detail("rows", rows.iter().map(as_json).collect());
    report.finish(arguments.common.json.as_deref())
}

fn component(guest: &str, arguments: &Arguments) -> Result<PathBuf> {
    if guest == "hello" {
        return Ok(PathBuf::from(steerage_guests::HELLO));
    }
    let path = arguments.guests.join(format!("{guest}.wasm"));
    path.canonicalize()
        .with_context(|| format!("no {}: benches/guests.sh makes it", path.display()))
}

/// Calls an app until its instances are put back: the code for that is compiled beside the first calls.
fn until_restored(host: &Host, app: &App<'_>) -> Result<()> {
    let mut caller = Plain::connect(host.address())?;
    let began_at = Instant::now();
    while host.n_restored(app.name)? < ENOUGH {
        ensure!(
            began_at.elapsed() < PATIENCE,
            "{} is not restored; steerage show says why",
            app.name
        );
        for _ in 0..20 {
            let (status, text) = caller.ask("GET", &app.path(), b"")?;
            ensure!(status == 200, "{}: {text}", app.name);
        }
        pause(Duration::from_millis(50));
    }
    Ok(())
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
