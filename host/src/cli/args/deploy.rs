//! The command lines of the verbs that bring an app to a host.
//! Only describes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use steerage_core::rollout::{Steps, WatchTime};
use steerage_core::units::parse_duration;

use super::{Print, Remote};
use crate::cli::variables::parse_flag;

/// `steerage build`.
#[derive(Debug, Args)]
pub struct Build {
    /// The app's manifest
    #[arg(short, long, value_name = "FILE", default_value = "steerage.toml")]
    pub file: PathBuf,
    /// Where cargo keeps what it builds; apps that share it compile the standard library once
    #[arg(long, value_name = "DIR", env = "CARGO_TARGET_DIR")]
    pub target_dir: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The manifest to check
    #[arg(short, long, value_name = "FILE", default_value = "steerage.toml")]
    pub file: PathBuf,
    /// What a variable of the manifest is
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = parse_flag)]
    pub variables: Vec<(String, String)>,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage deploy`, of a manifest or of a bare component.
#[derive(Debug, Args)]
pub struct Deploy {
    /// A component without a manifest; needs --name and --route
    #[arg(value_name = "COMPONENT", conflicts_with = "file", requires_all = ["name", "route"])]
    pub component: Option<PathBuf>,
    /// The app's manifest
    #[arg(short, long, value_name = "FILE", default_value = "steerage.toml")]
    pub file: PathBuf,
    /// The app's name, in place of the manifest's
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The one path to serve, in place of the manifest's routes: /exact, /with/:parameter or
    /// /below/...
    #[arg(long, value_name = "PATH")]
    pub route: Option<String>,
    /// The host name to serve, in place of the manifest's: exact or *.suffix
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// What a variable of the manifest is that is no secret; also STEERAGE_VARIABLE_NAME in the environment or in
    /// .env beside the manifest
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = parse_flag, conflicts_with = "component")]
    pub variables: Vec<(String, String)>,
    /// Build the component first, as `steerage build` does
    #[arg(long, conflicts_with = "component")]
    pub build: bool,
    /// Try it on so many of the calls beside the deployment that is served, like 5%, or in steps, like
    /// 5%,25%,50% or 5%:2m,25%:5m; it is rolled back if it does worse
    #[arg(long, value_name = "STEPS")]
    pub canary: Option<Steps>,
    /// How long each step of the canary takes at least that has no time of its own: 5m unless said otherwise
    #[arg(long, value_name = "DURATION", requires = "canary", value_parser = parse_duration)]
    pub step: Option<Duration>,
    /// Give the canary all calls by itself after its last step, if it did no worse in any
    #[arg(long, requires = "canary")]
    pub auto_promote: bool,
    /// Watch it for so long, and roll it back if it fails where the deployment before it did not [default:
    /// what the host was told, else 5m]
    #[arg(long, value_name = "DURATION", conflicts_with = "canary")]
    pub watch: Option<WatchTime>,
    /// Have it served whatever it does
    #[arg(long, conflicts_with_all = ["watch", "canary"])]
    pub no_watch: bool,
    /// Take the app from the tenant that it belongs to, and give it to the manifest's
    #[arg(long)]
    pub change_tenant: bool,
    /// How long to wait in a fleet until the hosts have it ready that it is placed on; it fails where none
    /// has then
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub wait: Duration,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}
