//! `steerage host`: a host in this process, until it is told to stop; and a check of its settings.
//! Reads the file of settings; `config` makes settings of it, `serve` builds and runs the host.

use std::env;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use steerage_core::doctor;
use tracing_subscriber::EnvFilter;

use super::args::{Check, Format, Host, HostVerb, Print, Wishes};
use super::ending::{BadConfig, Misused};
use super::log::Log;
use super::screen::Screen;
use super::table::Facts;
use crate::api::auth::{self, Token};
use crate::api::wire;
use crate::config::{File, LogFormat, Settings, Wrong};
use crate::identity::Identity;
use crate::identity::signing::Signer;
use crate::listener::tls;
use crate::serve::AtReload;
use crate::telemetry::chain;
use crate::{kernel, serve};

/// What runs guests logs as warnings what guests do: one function of preview 1, called in a loop, is
/// gigabytes a minute. It also opens a span for each call of a host function, which costs more than
/// many of these functions. Silent unless `RUST_LOG` names them.
const OF_GUESTS: [&str; 3] = ["wasmtime_wasi", "wasmtime_wasi_http", "wasmtime_wasi_io"];

/// Runs the verb.
pub(super) fn run(args: &Host) -> anyhow::Result<()> {
    if let Some(HostVerb::Check(check)) = &args.verb {
        return self::check(args, check);
    }
    let mut settings = settings(&args.wishes, args.wishes.config.as_deref())?;
    settings.secrets_key.or_credentials(credentials());
    let set_filter = start_log(settings.log_format, &settings.log);
    warn_of_troubles(&settings);
    serve::keep_private();
    let log = settings.log.clone();
    let runtime = super::runtime()?;
    let signals = {
        let _inside = runtime.enter();
        serve::Signals::listen().context("the host cannot wait for signals")?
    };
    let host = serve::start(settings).context("the host cannot start")?;
    if let (Some(config), Some(set_filter)) = (args.wishes.config.clone(), set_filter) {
        let log = LogFilter { said: said(&args.wishes), config, current: log, set_filter };
        host.at_reload(log);
    }
    // Whoever started this with port 0 learns the addresses here, once both doors are open.
    let (apps, admin) = (url(host.listen, host.is_tls), url(host.admin, false));
    let mut facts = Facts::default();
    facts.add("apps", apps.clone());
    facts.add("admin", admin.clone());
    facts.add("page", format!("{admin}/"));
    let told = Screen::new(Print { output: Format::Table, quiet: false }).say(&facts.render());
    // Who started the host may have gone, or read no more than it needed. Callers come all the same.
    if let Err(error) = told {
        let error = format!("{error:#}");
        tracing::warn!(apps, admin, error, "nobody reads the addresses of this host");
    }
    let calm = host.run_until_signal(signals);
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
    env::current_exe().context("cannot find the program that is running")
}

/// Replaces the filter of the log.
type SetFilter = Box<dyn Fn(EnvFilter) + Send>;

/// Starts the host's own log on stderr; only the first call of a process counts. Returns what replaces
/// its filter.
pub(super) fn start_log(format: LogFormat, filter: &str) -> Option<SetFilter> {
    let filter = EnvFilter::new(log_filter(filter));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    let log = log.with_writer(Log::on_stderr().ok()?);
    match format {
        LogFormat::Text => {
            let log = log.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
            let handle = log.reload_handle();
            log.try_init().ok()?;
            Some(Box::new(move |filter| drop(handle.reload(filter))))
        }
        LogFormat::Json => {
            let log = log.json().with_current_span(true).with_span_list(false);
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            log.try_init().ok()?;
            Some(Box::new(move |filter| drop(handle.reload(filter))))
        }
    }
}

/// What `RUST_LOG` says, if that is a filter.
pub(super) fn rust_log() -> Option<String> {
    let said = env::var("RUST_LOG").ok()?;
    (!said.is_empty() && EnvFilter::builder().parse(&said).is_ok()).then_some(said)
}

/// What is logged, read again from the file of settings when an operator asks.
struct LogFilter {
    said: Vec<(&'static str, String)>,
    config: PathBuf,
    current: String,
    set_filter: SetFilter,
}

impl AtReload for LogFilter {
    fn read_again(&mut self) -> Result<Option<String>, String> {
        let settings = read(&self.config).and_then(|file| read_settings(&self.said, Some(&file)));
        let wanted = settings.map_err(|error| format!("{error:#}"))?.log;
        if wanted == self.current {
            return Ok(None);
        }
        (self.set_filter)(EnvFilter::new(log_filter(&wanted)));
        self.current = wanted;
        Ok(Some(format!("the log shows {} now", self.current)))
    }
}

fn log_filter(wished: &str) -> String {
    let mut filter = wished.to_owned();
    let named = |target: &str| {
        filter.split(',').any(|directive| directive.split(['=', '[']).next() == Some(target))
    };
    let silenced: Vec<_> = OF_GUESTS.into_iter().filter(|target| !named(target)).collect();
    for target in silenced {
        filter.push_str(&format!(",{target}=off"));
    }
    filter
}

/// The settings that an operator wishes for, with this file.
pub(super) fn settings(wishes: &Wishes, file: Option<&Path>) -> anyhow::Result<Settings> {
    read_settings(&said(wishes), file.map(read).transpose()?.as_ref())
}

fn read_settings(said: &[(&'static str, String)], file: Option<&File>) -> anyhow::Result<Settings> {
    Settings::read(said, file, &kernel::machine(), this_program()?).map_err(refused)
}

/// What flags and environment say; of the log also the variable that other programs know.
fn said(wishes: &Wishes) -> Vec<(&'static str, String)> {
    let mut said = wishes.flags.said.clone();
    if said.iter().all(|(key, _)| *key != "log") {
        said.extend(rust_log().map(|filter| ("log", filter)));
    }
    said
}

/// The same, and what they name is looked at, as a host that starts would.
fn settings_and_files(wishes: &Wishes, file: &Path) -> anyhow::Result<Settings> {
    let (file, program) = (read(file)?, this_program()?);
    let machine = kernel::machine();
    Settings::check(&said(wishes), Some(&file), &machine, program, &look).map_err(refused)
}

/// The folder with what systemd hands over.
fn credentials() -> Option<PathBuf> {
    env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// What is wrong with the files that settings name.
fn look(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let token = settings.token_file.as_deref().map(Token::read).transpose();
    match &token {
        Ok(token) => {
            if let Err(error) = auth::check_listen(settings.admin, token.as_ref()) {
                wrong.push(("admin", error.to_string()));
            }
        }
        Err(error) => wrong.push(("token_file", chain(error))),
    }
    if let Err(error) = settings.secrets_key.read() {
        wrong.push(("secrets_key", chain(&error)));
    }
    if let Some(Err(error)) = settings.tls.as_ref().map(tls::Files::load) {
        wrong.push((error.key(), chain(&error)));
    }
    if let Err(error) = settings.notify.check() {
        wrong.push(("notify.webhook_secret_file", error));
    }
    let fleet = settings.fleet.as_ref();
    match fleet.and_then(|fleet| fleet.identity.as_deref()).map(Identity::load) {
        Some(Err(error)) => wrong.push(("fleet.identity", chain(&error))),
        Some(Ok(identity)) => {
            let key = fleet.and_then(|fleet| fleet.authority_key.as_deref());
            if let Some(Err(error)) = key.map(|key| Signer::open(key, &identity)) {
                wrong.push(("fleet.authority_key", chain(&error)));
            }
        }
        None => {}
    }
    wrong
}

fn read(path: &Path) -> anyhow::Result<File> {
    let name = path.display().to_string();
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read settings `{name}`"))?;
    Ok(File { name, text })
}

/// A mistake in the file is told apart from one on the command line by the exit code.
fn refused(wrong: Wrong) -> anyhow::Error {
    if wrong.file.is_some() {
        BadConfig(wrong).into()
    } else {
        Misused(format!("the settings have mistakes:\n{wrong}")).into()
    }
}

/// What the machine lacks is told at the start too, since nobody runs the doctor every day.
fn warn_of_troubles(settings: &Settings) {
    for finding in doctor::examine(&kernel::machine(), &settings.wanted()) {
        let Some(trouble) = finding.trouble else { continue };
        let doctor::Trouble { why, change, .. } = trouble;
        tracing::warn!(found = finding.found, change, "{}: {why}", finding.subject);
    }
}

/// What `-o json` prints of a check.
#[derive(Debug, Serialize)]
struct Checked {
    valid: bool,
    mistakes: Vec<wire::Mistake>,
}

fn check(args: &Host, check: &Check) -> anyhow::Result<()> {
    let screen = Screen::new(check.print);
    match settings_and_files(&args.wishes, &check.file) {
        Ok(_) if screen.is_json() => screen.json(&Checked { valid: true, mistakes: Vec::new() }),
        Ok(_) => {
            let file = check.file.display();
            screen.hint(&format!("{file} is valid; `steerage doctor --config {file}` says more"))
        }
        Err(error) => {
            if let (true, Some(BadConfig(wrong))) = (screen.is_json(), error.downcast_ref()) {
                screen.json(&Checked { valid: false, mistakes: mistakes(wrong) })?;
            }
            Err(error)
        }
    }
}

fn mistakes(wrong: &Wrong) -> Vec<wire::Mistake> {
    let in_file = wrong.file.iter().flat_map(|(_, mistakes)| mistakes.iter());
    let in_file = in_file.map(|mistake| wire::Mistake {
        key: mistake.key.clone(),
        line: mistake.line,
        column: mistake.column,
        message: mistake.message.clone(),
    });
    in_file.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_guests_cause_is_not_logged_unless_it_is_named() {
        let silent = "wasmtime_wasi=off,wasmtime_wasi_http=off,wasmtime_wasi_io=off";
        for (wished, filter) in [
            ("debug", format!("debug,{silent}")),
            (
                "warn,wasmtime_wasi=trace",
                "warn,wasmtime_wasi=trace,wasmtime_wasi_http=off,wasmtime_wasi_io=off".to_owned(),
            ),
        ] {
            assert_eq!(log_filter(wished), filter);
        }
    }
}
