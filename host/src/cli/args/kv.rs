//! The command line of `steerage kv`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use steerage_core::id::StoreLabel;
use steerage_core::units::parse_duration;

use super::{Print, Remote};

/// `steerage kv`.
#[derive(Debug, Args)]
pub struct KeyValue {
    /// What to do.
    #[command(subcommand)]
    pub verb: KeyValueVerb,
}

/// What can be done with the key-value stores of an app.
#[derive(Debug, Subcommand)]
pub enum KeyValueVerb {
    /// Print the value of a key
    Get(KeyValueGet),
    /// Give a key a value
    Set(KeyValueSet),
    /// Take a key and its value away
    Delete(KeyValueDelete),
    /// Print the keys of a store
    List(KeyValueList),
    /// Write all pairs of a store into a file, one line of JSON each
    Export(KeyValueFile),
    /// Set all pairs that such a file has; others stay
    Import(KeyValueFile),
    /// Say how much an app keeps, and how much it may
    Usage(KeyValueUsageOf),
    /// Delete all pairs of all stores of an app, or of one that was removed
    Drop(KeyValueDrop),
}

/// Which store of which app, and how it is reached.
#[derive(Debug, Args)]
pub struct StoreOf {
    /// The app's name
    pub app: String,
    /// The store, as key_value_stores in the manifest has it
    #[arg(long, value_name = "LABEL", default_value = StoreLabel::DEFAULT)]
    pub store: String,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage kv get`.
#[derive(Debug, Args)]
pub struct KeyValueGet {
    /// Which store.
    #[command(flatten)]
    pub of: StoreOf,
    /// The key
    pub key: String,
    /// Write the value into this file instead, byte by byte; it must not be there yet
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `steerage kv set`.
#[derive(Debug, Args)]
pub struct KeyValueSet {
    /// Which store.
    #[command(flatten)]
    pub of: StoreOf,
    /// The key
    pub key: String,
    /// The value; or --file
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub value: Option<String>,
    /// Read the value from this file
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How long the value shall last, such as 90s or 12h; for good unless said
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub ttl: Option<Duration>,
}

/// `steerage kv delete`.
#[derive(Debug, Args)]
pub struct KeyValueDelete {
    /// Which store.
    #[command(flatten)]
    pub of: StoreOf,
    /// The key
    pub key: String,
}

/// `steerage kv list`.
#[derive(Debug, Args)]
pub struct KeyValueList {
    /// Which store.
    #[command(flatten)]
    pub of: StoreOf,
}

/// `steerage kv export` and `steerage kv import`.
#[derive(Debug, Args)]
pub struct KeyValueFile {
    /// Which store.
    #[command(flatten)]
    pub of: StoreOf,
    /// The file
    pub file: PathBuf,
}

/// `steerage kv usage`.
#[derive(Debug, Args)]
pub struct KeyValueUsageOf {
    /// The app's name
    pub app: String,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage kv drop`.
#[derive(Debug, Args)]
pub struct KeyValueDrop {
    /// The app's name
    pub app: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}
