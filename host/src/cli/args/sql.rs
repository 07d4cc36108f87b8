//! The command line of `steerage sql`.

use std::path::PathBuf;

use clap::Args;
use steerage_core::id::DatabaseLabel;

use super::{Print, Remote};

/// `steerage sql`.
#[derive(Debug, Args)]
pub struct SqlShell {
    /// The app's name; it need not run
    pub app: String,
    /// A statement; those that come from stdin where it is left out, each up to its semicolon
    #[arg(conflicts_with_all = ["sizes", "copy", "drop"])]
    pub statement: Option<String>,
    /// The database, as sqlite_databases in the manifest has it
    #[arg(long, value_name = "LABEL", default_value = DatabaseLabel::DEFAULT)]
    pub database: String,
    /// Say how large the app's databases are, and may be
    #[arg(long, conflicts_with_all = ["copy", "drop"])]
    pub sizes: bool,
    /// Write a copy of the database as it is now into this file, which must not be there yet
    #[arg(long, value_name = "FILE", conflicts_with = "drop")]
    pub copy: Option<PathBuf>,
    /// Remove the database with all that is in it
    #[arg(long)]
    pub drop: bool,
    /// Do not ask before
    #[arg(short, long, requires = "drop")]
    pub yes: bool,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}
