//! The arguments of `steerage profile`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::looks::OfHost;
use super::{Print, Remote};

/// `steerage profile`.
#[derive(Debug, Args)]
pub struct Profile {
    /// The app's name
    pub app: String,
    /// Which generation; the last one that was called unless said otherwise
    #[arg(short, long, value_name = "NUMBER")]
    pub generation: Option<u64>,
    /// Show what changed since this generation
    #[arg(long, value_name = "GENERATION")]
    pub diff: Option<u64>,
    /// What to make of it
    #[arg(short, long, value_enum, default_value_t = ProfileFormat::Text)]
    pub format: ProfileFormat,
    /// Write it to this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How many functions to show in the table
    #[arg(short = 'n', long, value_name = "FUNCTIONS", default_value_t = 20)]
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

/// What is made of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileFormat {
    /// A table of functions
    Text,
    /// A flame graph that browsers show
    Svg,
    /// What `pprof` and other tools read
    Pprof,
    /// A line for each stack, as flame graph tools read it
    Folded,
}
