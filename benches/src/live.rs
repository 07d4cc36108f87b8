//! How many instances can be alive at once, each waiting with 64 KiB touched, and what each costs.
//! The calls come as streams of few connections, so that neither ports nor open files are what runs
//! out.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::apps::Template;
use crate::host::{App, Host};
use crate::load;
use crate::report::{Report, Target, table};

/// Calls of one connection: half of what our HTTP/2 takes.
const STREAMS: usize = 100;
/// Calls of one app; a manifest may ask for 10,000 at once.
const CALLS_OF_AN_APP: usize = 8_000;
/// When no instance has been added for this long, there will be no more.
const STANDSTILL: Duration = Duration::from_secs(5);
/// More instances than this do not have 4 GiB of address space each.
const FULL_SIZE: usize = 20_000;
const LOOK: Duration = Duration::from_millis(200);
const WAIT: Duration = Duration::from_secs(3600);
const KIBIBYTE: f64 = 1024.0;
const MAPPINGS: &str = "/proc/sys/vm/max_map_count";
/// Mappings for the second run, more than anybody needs.
const MANY_MAPPINGS: u64 = 4_000_000;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Instances to try for on the kernel's settings as they are
    #[arg(long, default_value_t = 13_000)]
    instances: usize,
    /// Then raise vm.max_map_count, try for --raised-instances, and put it back; needs root
    #[arg(long)]
    raise: bool,
    /// Instances to try for once it is raised
    #[arg(long, default_value_t = 52_000)]
    raised_instances: usize,
    /// Also write the results as JSON to this file
    #[arg(long)]
    json: Option<std::path::PathBuf>,
}

/// What was found.
struct Found {
    title: String,
    wanted: usize,
    n_slots: u64,
    n_live: u64,
    n_refused: u64,
    /// Of the host's own memory, per instance.
    bytes: f64,
    /// Mappings of the host's address space, per instance.
    mappings: f64,
    took: Duration,
}

/// Counts what did not stay alive.
#[derive(Debug, Default)]
struct Ended {
    n: AtomicU64,
}

/// A kernel setting that is put back when this is dropped.
struct Raised {
    before: String,
}

/// Tries with the kernel as it is, and with more mappings where asked to.
pub(crate) fn run(program: &Path, arguments: &Arguments) -> Result<()> {
    let mappings = std::fs::read_to_string(MAPPINGS).unwrap_or_default();
    let title = format!("vm.max_map_count = {}", mappings.trim());
    let mut all = vec![fill(program, arguments.instances, title)?];
    if arguments.raise {
        let _raised = Raised::to(MANY_MAPPINGS)?;
        let title = format!("vm.max_map_count = {MANY_MAPPINGS}");
        all.push(fill(program, arguments.raised_instances, title)?);
    }
    print(&all);
    let mut report = Report::new("live");
    let targets = [12_000.0, 50_000.0].map(Target::AtLeast);
    for (found, target) in all.iter().zip(targets) {
        let measured = format!("instances alive at once, {}", found.title);
        report.goal(&measured, found.n_live as f64, "", target);
    }
    if let [_] = all.as_slice() {
        let why = "pass --raise, as root";
        report.not_measured("the same with vm.max_map_count raised", why, Target::AtLeast(5e4));
    }
    report.detail("runs", all.iter().map(as_json).collect());
    report.finish(arguments.json.as_deref())
}

fn fill(program: &Path, wanted: usize, title: String) -> Result<Found> {
    eprintln!("{wanted} instances, {title}");
    let slots = wanted.to_string();
    let mut flags = vec!["--slots", &slots, "--idle-timeout", "1h", "--drain-timeout", "1ms"];
    if wanted > FULL_SIZE {
        flags.extend(["--largest-memory", "1GiB"]);
    }
    let host = Host::start(program, Command::new(program), &flags)?;
    let folder = tempfile::tempdir()?;
    let wasm = folder.path().join("wait.wasm");
    std::fs::write(&wasm, Template::tiny(WAIT)?.wasm)?;
    let wasm = wasm.to_string_lossy();
    let mut paths = Vec::new();
    for number in 0..wanted.div_ceil(CALLS_OF_AN_APP) {
        let name = format!("wait-{number}");
        let more = "[limits]\ntimeout = \"1h\"\nconcurrency = 10000";
        let app = App { name: &name, source: &wasm, more };
        host.deploy(&app)?;
        paths.extend(std::iter::repeat_n(app.path(), CALLS_OF_AN_APP));
    }
    paths.truncate(wanted);

    let (memory, mappings) = (host.server.memory()?, host.server.mappings()?);
    let began_at = Instant::now();
    let ended = Arc::new(Ended::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start a load generator")?;
    for paths in paths.chunks(STREAMS) {
        runtime.spawn(call(host.address(), paths.to_vec(), ended.clone()));
    }
    let (n_live, took) = most_alive(&host, wanted, began_at)?;
    let used = host.server.memory()?.saturating_sub(memory);
    let mapped = host.server.mappings()?.saturating_sub(mappings);
    let state = host.state()?;
    runtime.shutdown_background();
    Ok(Found {
        title,
        wanted,
        n_slots: number(&state, "slots_total")?,
        n_live,
        n_refused: ended.n.load(Ordering::Relaxed),
        bytes: used as f64 / n_live.max(1) as f64,
        mappings: mapped as f64 / n_live.max(1) as f64,
        took,
    })
}

/// Looks on until the host has nothing more to do; says how many are alive then, and when the most
/// of them had been let in.
///
/// A slot is in use before its instance has run, so the number of slots alone says too much.
fn most_alive(host: &Host, wanted: usize, began_at: Instant) -> Result<(u64, Duration)> {
    let (mut most, mut last_at) = (0, Instant::now());
    while most < u64::try_from(wanted)? && last_at.elapsed() < STANDSTILL {
        load::pause(LOOK);
        let n_live = number(&host.state()?, "slots_used")?;
        if n_live > most {
            (most, last_at) = (n_live, Instant::now());
        }
    }
    host.server.settle()?;
    Ok((number(&host.state()?, "slots_used")?, last_at - began_at))
}

/// Makes these calls on one connection, and waits for what should not come for an hour.
async fn call(address: SocketAddr, paths: Vec<String>, ended: Arc<Ended>) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut calls = JoinSet::new();
    for path in paths {
        let request = Request::get(format!("http://{address}{path}")).body(Empty::<Bytes>::new())?;
        sender.ready().await?;
        calls.spawn(sender.send_request(request));
    }
    while calls.join_next().await.is_some() {
        ended.n.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn number(state: &Value, name: &str) -> Result<u64> {
    state.get(name).and_then(Value::as_u64).with_context(|| format!("the host says no {name}"))
}

fn print(all: &[Found]) {
    let mut table = table(&[
        "kernel",
        "asked for",
        "slots",
        "alive",
        "refused",
        "after s",
        "KiB each",
        "mappings each",
    ]);
    for found in all {
        table.add_row([
            found.title.clone(),
            found.wanted.to_string(),
            found.n_slots.to_string(),
            found.n_live.to_string(),
            found.n_refused.to_string(),
            format!("{:.1}", found.took.as_secs_f64()),
            format!("{:.1}", found.bytes / KIBIBYTE),
            format!("{:.2}", found.mappings),
        ]);
    }
    println!("{table}");
}

fn as_json(found: &Found) -> Value {
    json!({
        "kernel": found.title,
        "asked_for": found.wanted,
        "slots": found.n_slots,
        "alive": found.n_live,
        "refused": found.n_refused,
        "seconds": found.took.as_secs_f64(),
        "bytes_each": found.bytes,
        "mappings_each": found.mappings,
    })
}

impl Raised {
    fn to(n_mappings: u64) -> Result<Self> {
        let before = std::fs::read_to_string(MAPPINGS).context("cannot read vm.max_map_count")?;
        let raised = std::fs::write(MAPPINGS, n_mappings.to_string());
        raised.context("cannot raise vm.max_map_count; --raise needs root")?;
        Ok(Self { before })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(MAPPINGS, self.before.trim()) {
            eprintln!("vm.max_map_count could not be put back to {}: {error}", self.before.trim());
        }
    }
}
