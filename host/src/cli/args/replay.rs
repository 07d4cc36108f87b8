//! `steerage replay` as people type it. Only describes.

use std::path::PathBuf;

use clap::Args;
use steerage_core::id::CallIdPrefix;

use super::{OfHost, Print, Remote};

/// `steerage replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The call's id, or how that begins
    #[arg(required_unless_present = "capsule")]
    pub id: Option<CallIdPrefix>,
    /// Run this component instead of the one that served the call
    #[arg(long, value_name = "FILE")]
    pub component: Option<PathBuf>,
    /// The app's manifest, for the values of its environment, which no host tells
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Read the capsule from this file instead of asking a host
    #[arg(long, value_name = "FILE", conflicts_with = "id", requires = "component")]
    pub capsule: Option<PathBuf>,
    /// Write the capsule into this file as well
    #[arg(long, value_name = "FILE", conflicts_with = "capsule")]
    pub save: Option<PathBuf>,
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
