//! The command line of `steerage secret`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Print, Remote};

/// `steerage secret`.
#[derive(Debug, Args)]
pub struct Secret {
    /// What to do.
    #[command(subcommand)]
    pub verb: SecretVerb,
}

/// What can be done with the secrets of an app.
#[derive(Debug, Subcommand)]
pub enum SecretVerb {
    /// Give a secret a value, read from stdin; new calls get it at once
    Set(SecretSet),
    /// List the secrets of an app, without what they are
    List(SecretList),
    /// Take a secret away that no deployment uses
    Delete(SecretDelete),
    /// Print a new key for --secrets-key of a host: `(umask 077; steerage secret key > FILE)`
    Key,
}

/// Which secret of which app, and how it is reached.
#[derive(Debug, Args)]
pub struct SecretOf {
    /// The app's name
    pub app: String,
    /// The secret's name, as the manifest has it among its variables
    pub name: String,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage secret set`.
#[derive(Debug, Args)]
pub struct SecretSet {
    /// Which secret.
    #[command(flatten)]
    pub of: SecretOf,
    /// Read the value from this file, byte by byte; from stdin one end of line at the end is left out
    #[arg(long, value_name = "FILE")]
    pub from_file: Option<PathBuf>,
}

/// `steerage secret list`.
#[derive(Debug, Args)]
pub struct SecretList {
    /// The app's name
    pub app: String,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// `steerage secret delete`.
#[derive(Debug, Args)]
pub struct SecretDelete {
    /// Which secret.
    #[command(flatten)]
    pub of: SecretOf,
}
