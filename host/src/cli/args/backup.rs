//! The command lines of `steerage backup` and `steerage restore`.

use std::path::PathBuf;

use clap::Args;

use super::{Print, Remote};

/// `steerage backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write; it must not be there yet
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The data folder to make of it: empty, or not there yet
    #[arg(long, value_name = "DIR", env = "STEERAGE_DATA")]
    pub data: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}
