//! The command lines of `steerage host` and `steerage doctor`: a flag and an environment variable for
//! every setting of the configuration.
//! Only describes: the settings are in `config`, and so are their bounds and defaults.

use std::path::PathBuf;

use clap::builder::StyledStr;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Subcommand};

use super::Print;
use crate::config::{KNOBS, Knob};
use crate::store::has_password;

/// The setting that says where the store is.
const STORE: &str = "fleet.store";
/// The settings that hold what a collector knows a host by.
const HEADERS: [&str; 4] =
    ["otlp.headers", "otlp.traces_headers", "otlp.metrics_headers", "otlp.logs_headers"];

/// `steerage host`.
#[derive(Debug, Args)]
pub struct Host {
    /// What the host shall be.
    #[command(flatten)]
    pub wishes: Wishes,
    /// What to do instead of running.
    #[command(subcommand)]
    pub verb: Option<HostVerb>,
}

/// What can be done besides running a host.
#[derive(Debug, Subcommand)]
pub enum HostVerb {
    /// Check a file of settings and say everything that is wrong with it, for this machine
    Check(Check),
}

/// `steerage host check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The file to check
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// What the host shall be.
    #[command(flatten)]
    pub wishes: Wishes,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// What an operator wants a host to be.
#[derive(Debug, Args)]
pub struct Wishes {
    /// File of settings in TOML; flags and environment variables go before it
    #[arg(long, value_name = "FILE", env = "STEERAGE_CONFIG")]
    pub config: Option<PathBuf>,
    /// The settings that are flags or environment variables.
    #[command(flatten)]
    pub flags: Flags,
}

/// What was said of settings, by key. Not read yet: the configuration reads the file and this in one
/// way, and tells all mistakes at once.
#[derive(Debug, Default)]
pub struct Flags {
    /// Keys and what was said of them.
    pub said: Vec<(&'static str, String)>,
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        // Everybody on the machine may read the command lines of all processes.
        let is_shown = matches.value_source(STORE) == Some(ValueSource::CommandLine);
        if is_shown && matches.get_one::<String>(STORE).is_some_and(|text| has_password(text)) {
            let why = "--store holds a password, which everybody on this machine can read there: write \
                       etcd://USER@..., and the password into a file for --store-password-file\n";
            return Err(clap::Error::raw(ErrorKind::ValueValidation, why));
        }
        let is_shown = |key: &str| matches.value_source(key) == Some(ValueSource::CommandLine);
        let secret = KNOBS.iter().find(|knob| HEADERS.contains(&knob.key) && is_shown(knob.key));
        if let Some(knob) = secret {
            let why = format!(
                "--{} would be shown to everybody on this machine: say them in {}, or as {} below [otlp] in a file \
                 for --config\n",
                knob.flag,
                knob.env,
                knob.name()
            );
            return Err(clap::Error::raw(ErrorKind::ValueValidation, why));
        }
        let said = KNOBS.iter().filter_map(|knob| {
            let text = matches.get_one::<String>(knob.key)?;
            Some((knob.key, text.clone()))
        });
        self.said = said.collect();
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        KNOBS.iter().fold(command, |command, knob| command.arg(flag(knob)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(knob: &Knob) -> Arg {
    let default = match knob.default {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    let argument = Arg::new(knob.key)
        .long(knob.flag)
        .env(knob.env)
        .value_name(knob.form)
        .help(StyledStr::from(format!("{}{default}", knob.help)));
    match heading(knob) {
        Some(heading) => argument.help_heading(heading),
        None => argument,
    }
}

fn heading(knob: &Knob) -> Option<&'static str> {
    Some(match knob.section() {
        "memory" | "instances" | "apps" | "cpu" | "queue" => "Size of the host",
        "limits.default" => "What an app gets that does not say",
        "limits.maximum" => "The most an app may ask for",
        "fleet" => "The fleet it belongs to",
        "outbound" => "What guests may reach",
        "notify" => "Who is told what is wrong",
        "otlp" => "Who is told about calls, metrics and log records",
        _ if knob.key == "tenants" => "Size of the host",
        _ => return None,
    })
}
