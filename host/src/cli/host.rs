//! `steerage host`: a host in this process, until it is told to stop.
//! Fills in the settings; `serve` builds and runs the host.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use super::args::{Format, Host, LogFormat, Print};
use super::screen::Screen;
use super::table::Facts;
use crate::budget::MemorySettings;
use crate::catalog::MappedSettings;
use crate::ingress::tls;
use crate::serve::{self, Settings};

/// What is logged when `RUST_LOG` does not say.
const DEFAULT_LOG: &str = "info";

/// Runs the verb.
pub(super) fn run(args: Host) -> anyhow::Result<()> {
    start_log(args.log_format, DEFAULT_LOG);
    let host = serve::start(settings(args)?).context("the host cannot start")?;
    // Whoever started this with port 0 learns the addresses here, once both doors are open.
    let mut facts = Facts::default();
    facts.add("apps", url(host.listen, host.is_tls));
    facts.add("admin", url(host.admin, false));
    Screen::new(Print { output: Format::Table, quiet: false }).say(&facts.render())?;
    let calm = host.run_until_signal().context("the host cannot wait for signals")?;
    anyhow::ensure!(calm, "calls were still running when the host had to end, and were cut");
    Ok(())
}

/// The URL of a door of a host.
pub(super) fn url(address: SocketAddr, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// This program, which is also the compiler that a host starts.
pub(super) fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find the program that is running")
}

/// Starts the host's own log on stderr; only the first call of a process counts.
pub(super) fn start_log(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().with_current_span(true).with_span_list(false).try_init(),
    };
    started.ok();
}

fn settings(args: Host) -> anyhow::Result<Settings> {
    let defaults = Settings::new(args.data, this_program()?);
    let tls = match (args.tls_cert, args.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::Files { certificate, key }),
        _ => None,
    };
    let slots = args.slots.unwrap_or(defaults.slots);
    let fitting = MappedSettings::fitting(slots, serve::CONNECTIONS);
    Ok(Settings {
        listen: args.listen,
        admin: args.admin,
        cache: args.cache,
        token_file: args.token_file,
        tls,
        drain_timeout: args.drain_timeout,
        slots,
        mapped: MappedSettings {
            most: args.mapped_apps.unwrap_or(fitting.most),
            idle: args.mapped_idle,
        },
        memory: MemorySettings {
            budget: args.memory_budget.unwrap_or(defaults.memory.budget),
            overcommit: args.memory_overcommit,
        },
        compile_timeout: args.compile_timeout,
        compile_memory: args.compile_memory,
        max_component: args.max_component,
        head_timeout: args.head_timeout,
        idle_timeout: args.idle_timeout,
        ..defaults
    })
}
