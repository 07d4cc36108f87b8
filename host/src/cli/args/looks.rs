//! The command lines of the verbs that look at apps and at what happened.
//! Only describes.

use clap::{Args, ValueEnum};
use steerage_core::id::CallIdPrefix;

use super::moment::{Moment, moment};
use super::{Print, Remote};

/// Whose word is wanted of the hosts of a fleet.
#[derive(Debug, Clone, Args)]
pub struct OfHost {
    /// Only what this host of the fleet knows; what all of them know when absent
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
}

/// `steerage ps`.
#[derive(Debug, Args)]
pub struct Ps {
    /// Whose word is wanted.
    #[command(flatten)]
    pub of: OfHost,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage advise`.
#[derive(Debug, Args)]
pub struct Advise {
    /// The app's name; the apps for which there is something to change when absent
    pub app: Option<String>,
    /// Write what is advised into this manifest, or into the steerage.toml of this directory; print the difference
    #[arg(long, value_name = "PATH", requires = "app")]
    pub write: Option<std::path::PathBuf>,
    /// Look at so many apps: those that used the most CPU time
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    pub limit: usize,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The app's name
    pub app: String,
    /// Show what it did since this moment instead: 6h, "10m ago", 2d, 2026-11-25T03:12:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Moment>,
    /// In minutes, which are kept for a day, or in hours, kept for 30; in minutes for up to two hours when
    /// absent
    #[arg(long, value_enum, requires = "since")]
    pub step: Option<Step>,
    /// Whose word is wanted.
    #[command(flatten)]
    pub of: OfHost,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// How long each line of what an app did is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

/// `steerage logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The app's name
    pub app: String,
    /// Stay and print new lines as they come
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// How many of the kept lines to print
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
    pub lines: u32,
    /// Whose word is wanted.
    #[command(flatten)]
    pub of: OfHost,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Only this app's events
    pub app: Option<String>,
    /// Stay and print new events as they come
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// How many of the kept events to print
    #[arg(short = 'n', long, value_name = "EVENTS", default_value_t = 50)]
    pub lines: u32,
    /// Whose word is wanted.
    #[command(flatten)]
    pub of: OfHost,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage call`.
#[derive(Debug, Args)]
pub struct Call {
    /// Its id, or how that begins: the `x-request-id` of the answer, or a CALL of another table
    pub id: CallIdPrefix,
    /// Whose word is wanted.
    #[command(flatten)]
    pub of: OfHost,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage why`.
#[derive(Debug, Args)]
pub struct Why {
    /// The app's name, how the id of a call begins, a host of the fleet, or what clients ask for, as host/path or /path; without one, what is wrong with the hosts and with apps that failed
    #[arg(value_name = "APP|CALL|HOST|ROUTE")]
    pub of_what: Option<String>,
    /// Whose word is wanted.
    #[command(flatten)]
    pub of: OfHost,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage problems`.
#[derive(Debug, Args)]
pub struct Problems {
    /// Stay, and tell each problem when it opens and when it is over
    #[arg(short, long)]
    pub watch: bool,
    /// Whose word is wanted.
    #[command(flatten)]
    pub of: OfHost,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage calls`.
#[derive(Debug, Args)]
pub struct Calls {
    /// The app's name
    pub app: String,
    /// How many calls to show
    #[arg(short = 'n', long, value_name = "CALLS", default_value_t = 20)]
    pub lines: u32,
    /// Show only calls that failed through the app or the host; they are kept for longer than others
    #[arg(long)]
    pub failed: bool,
    /// Whose word is wanted.
    #[command(flatten)]
    pub of: OfHost,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}
