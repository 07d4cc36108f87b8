//! The command line of `steerage simulate`.
//! Only describes.

use clap::Args;
use clap::value_parser;
use steerage_core::world::{MOST_APPS, MOST_HOSTS};

use super::Print;

/// `steerage simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// Hosts at the start, each of 16 cores and 64 GiB
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=i64::from(MOST_HOSTS)))]
    pub hosts: u32,
    /// Zones that they are divided over
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u32).range(1..=100))]
    pub zones: u32,
    /// Apps at the start, each with 1 to 3 replicas
    #[arg(long, default_value_t = 2000, value_parser = value_parser!(u32).range(0..=i64::from(MOST_APPS)))]
    pub apps: u32,
    /// Hours to live through
    #[arg(long, default_value_t = 168, value_parser = value_parser!(u32).range(1..=87_600))]
    pub hours: u32,
    /// Which history; the same seed is the same history
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Empty hosts each hour that others can absorb
    #[arg(long)]
    pub consolidate: bool,
    /// How many hours to list; the totals are of all
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 14)]
    pub lines: u32,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}
