//! The verbs of the command line. `anyhow` lives here: what fails here ends the program.
//! Each verb is a module; none holds a decision that the host or the core could make.

use std::future::Future;

use anyhow::Context as _;
use clap::CommandFactory as _;
use steerage_core::units::Bytes;

mod advise;
mod again;
mod app;
pub mod args;
mod backup;
mod bill;
mod build;
mod call;
mod calls;
mod cert;
mod deploy;
mod destinations;
mod doctor;
mod drain;
pub mod ending;
mod events;
mod fleet;
mod history;
mod host;
mod hosts;
pub mod human;
mod kv;
mod list;
mod log;
mod logs;
mod new;
mod plan;
mod problems;
mod profile;
mod promote;
mod remote;
mod replay;
mod replicas;
mod rollback;
mod screen;
mod secret;
mod simulate;
mod sources;
mod sql;
pub mod table;
mod top;
mod up;
mod validate;
mod variables;
mod visible;
mod watch;
mod why;

pub use self::args::Cli;
use self::args::{Command, Compile, Completions, Version};
use self::screen::Screen;
use crate::sandbox::child;

/// Runs one verb to its end.
///
/// # Errors
///
/// Whatever made the verb fail, with the object it was about; [`ending::report`] prints it.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let done = run_verb(cli);
    log::flush();
    done
}

fn run_verb(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::New(args) => new::run(&args),
        Command::Up(args) => up::run(&args),
        Command::Build(args) => build::verb(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Deploy(args) => wait(deploy::run(&args)),
        Command::Ps(args) => wait(list::ps(&args)),
        Command::Show(args) => wait(list::show(&args)),
        Command::Logs(args) => wait(logs::run(&args)),
        Command::Events(args) => wait(events::run(&args)),
        Command::Calls(args) => wait(calls::run(&args)),
        Command::Call(args) => wait(call::run(&args)),
        Command::Replay(args) => wait(replay::run(&args)),
        Command::Why(args) => wait(why::run(&args)),
        Command::Problems(args) => wait(problems::run(&args)),
        Command::Profile(args) => wait(profile::run(&args)),
        Command::Top(args) => wait(top::run(&args)),
        Command::Advise(args) => wait(advise::run(&args)),
        Command::Bill(args) => wait(bill::run(&args)),
        Command::Promote(args) => wait(promote::run(&args)),
        Command::Rollback(args) => wait(rollback::rollback(&args)),
        Command::Remove(args) => wait(rollback::remove(&args)),
        Command::Hosts(args) => wait(hosts::hosts(&args)),
        Command::Drain(args) => wait(drain::drain(&args)),
        Command::Cordon(args) => wait(hosts::cordon(&args)),
        Command::Uncordon(args) => wait(hosts::uncordon(&args)),
        Command::Scale(args) => wait(hosts::scale(&args)),
        Command::Kv(args) => wait(kv::run(&args)),
        Command::Secret(args) => wait(secret::run(&args)),
        Command::Sql(args) => wait(sql::run(&args)),
        Command::Backup(args) => wait(backup::backup(&args)),
        Command::Restore(args) => backup::restore(&args),
        Command::Fleet(args) => wait(fleet::run(&args)),
        Command::Cert(args) => cert::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Host(args) => host::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Version(args) => version(&args),
        Command::Completions(args) => completions(&args),
        Command::Compile(args) => {
            let largest_memory = Bytes::new(args.largest_memory);
            let Compile { wasm, out, memory, soon: is_soon, restoring: is_restoring, .. } = args;
            let bounds = child::Task { wasm, out, memory, largest_memory, is_soon, is_restoring };
            child::compile(&bounds)
        }
    }
}

/// Runs a verb that talks to a host.
fn wait(verb: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    runtime()?.block_on(verb)
}

/// One thread is plenty for a client.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

fn version(args: &Version) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let version = env!("CARGO_PKG_VERSION");
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "version": version }));
    }
    screen.say(&format!("steerage {version}"))
}

fn completions(args: &Completions) -> anyhow::Result<()> {
    // The generators offer hidden verbs too, so they get a command without them.
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let mut command = clap::Command::new("steerage").version(env!("CARGO_PKG_VERSION"));
    command = command.subcommands(shown);
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "steerage", &mut script);
    Screen::plain(false).say(String::from_utf8_lossy(&script).trim_end())
}
