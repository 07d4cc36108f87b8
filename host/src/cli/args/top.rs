//! The command line of `steerage top`.
//! Only describes.

use std::time::Duration;

use clap::{Args, ValueEnum};
use steerage_core::units::parse_duration;

use super::moment::{Moment, moment};
use super::{OfHost, Print, Remote};

/// `steerage top`.
#[derive(Debug, Args)]
pub struct Top {
    /// What to sort by, the most first
    #[arg(long, value_enum, default_value = "cpu")]
    pub sort: Sort,
    /// How many apps to show; as many as the terminal has room for when absent
    #[arg(short = 'n', long, value_name = "APPS")]
    pub lines: Option<usize>,
    /// Over how long to measure, and how often to show it
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Show it once, over one interval, and end
    #[arg(long)]
    pub once: bool,
    /// Show what it was in the minute of this moment and end: "10m ago", 2d, 2026-11-25T03:12:00Z; in the
    /// hour, where that is more than a day ago
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["once", "interval"])]
    pub at: Option<Moment>,
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

/// What `steerage top` sorts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// CPU time in the interval.
    Cpu,
    /// Memory held now.
    Memory,
    /// Calls that ended in the interval.
    Calls,
    /// Calls that were refused for want of room in the interval.
    Refused,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    // The host's counters are read over HTTP each time.
    if interval < Duration::from_millis(100) {
        return Err("is shorter than 100ms, the least".to_owned());
    }
    Ok(interval)
}
