//! The command lines of the verbs that speak of a fleet.
//! Only describes.

use clap::{Args, Subcommand};

use super::{Print, Remote};

const DRAIN: &str = "\
What has nowhere to go is told at once, and then nothing is changed unless --force says so.

Exit codes:
  0  everything has gone elsewhere; with --no-wait: the host is told to drain
  1  something has nowhere to go, and stays; or it took too long";

/// `steerage drain`.
#[derive(Debug, Args)]
#[command(after_help = DRAIN)]
pub struct Drain {
    /// The host's name
    pub host: String,
    /// Come back at once instead of when everything has gone elsewhere
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait at most, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Drain it though some of its replicas have nowhere to go: these stay on it
    #[arg(long)]
    pub force: bool,
    /// How to reach a host of the fleet.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage cordon` and `steerage uncordon`.
#[derive(Debug, Args)]
pub struct OneHost {
    /// The host's name
    pub host: String,
    /// How to reach a host of the fleet.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage fleet`.
#[derive(Debug, Args)]
pub struct Fleet {
    /// What to do.
    #[command(subcommand)]
    pub verb: FleetVerb,
}

/// What can be said about the store that a host follows, and about who is of its fleet.
#[derive(Debug, Subcommand)]
pub enum FleetVerb {
    /// Put those apps of a host into the store that it does not know, such as after its data was lost
    Import(FleetChange),
    /// Follow the store as it is from now on, such as after it was restored; deletes nothing
    Adopt(FleetChange),
    /// Have nothing planned: replicas stay where they are, also those of hosts that are lost
    Freeze(Freeze),
    /// Have plans made again
    Thaw(FleetChange),
    /// Revoke a host's certificates: no host lets it in or asks it any more
    Revoke(Revoke),
    /// Show which authority made each host's certificate, how long that is valid, and whom it believes
    Authorities(FleetChange),
}

/// `steerage fleet freeze`.
#[derive(Debug, Args)]
pub struct Freeze {
    /// Why, for whoever wonders: `steerage hosts` tells it
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// How to reach the host, and how to print.
    #[command(flatten)]
    pub change: FleetChange,
}

/// `steerage fleet revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The host's name
    pub host: String,
    /// Also where that cuts off the host that is asked, leaves no host, or nobody knows the host
    #[arg(long)]
    pub force: bool,
    /// How to reach the host that is asked, and how to print.
    #[command(flatten)]
    pub change: FleetChange,
}

/// `steerage fleet import`, `adopt`, `thaw` and `authorities`.
#[derive(Debug, Args)]
pub struct FleetChange {
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage scale`.
#[derive(Debug, Args)]
pub struct Scale {
    /// The app's name
    pub app: String,
    /// How many replicas it shall have
    pub replicas: u32,
    /// How to reach a host of the fleet.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}
