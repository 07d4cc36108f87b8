//! The command line of `steerage cert`.
//! Only describes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Remote;

const DEFAULT_DIR: &str = "fleet-ca";

/// `steerage cert`.
#[derive(Debug, Args)]
pub struct Cert {
    /// What to make.
    #[command(subcommand)]
    pub verb: CertVerb,
}

/// What can be made.
#[derive(Debug, Subcommand)]
pub enum CertVerb {
    /// Make the fleet's own authority, once
    Init(CertInit),
    /// Make a host's certificate
    Issue(CertIssue),
    /// Make it again for the same names, before its time is over
    Renew(CertRenew),
    /// Have a host believe another authority as well
    Trust(CertTrust),
    /// Have a host believe an authority no more
    Distrust(CertTrust),
    /// Put another authority in the place of the fleet's: all of these, one step after the other
    Rotate(CertRotate),
}

/// `steerage cert trust` and `steerage cert distrust`.
#[derive(Debug, Args)]
pub struct CertTrust {
    /// Folder with the host's files, as `steerage cert issue` made it
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Folder with the authority; only its ca.pem is read
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// `steerage cert rotate`.
#[derive(Debug, Args)]
pub struct CertRotate {
    /// Folders with the files of all hosts of the fleet, as `steerage cert issue` made them
    #[arg(value_name = "FOLDER", required = true)]
    pub folders: Vec<PathBuf>,
    /// Folder with the authority that goes; only its ca.pem is read
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub dir: PathBuf,
    /// Folder with the authority that comes, as `steerage cert init --dir NEW` made it
    #[arg(long, value_name = "DIR")]
    pub new: PathBuf,
    /// How many days the new certificates are valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// How many seconds to wait for the hosts in each step; what is done stays, and the same again goes on
    #[arg(long, default_value_t = 600)]
    pub timeout: u64,
    /// How to reach a host of the fleet
    #[command(flatten)]
    pub remote: Remote,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// `steerage cert init`.
#[derive(Debug, Args)]
pub struct CertInit {
    /// Folder for the authority; whoever can read ca.key in it can let hosts into the fleet
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub dir: PathBuf,
    /// How many days the authority is valid
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub days: u32,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// `steerage cert issue`.
#[derive(Debug, Args)]
pub struct CertIssue {
    /// The host's name in the fleet, as `steerage host --name` says it
    pub name: String,
    /// Folder with the authority
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub dir: PathBuf,
    /// An address or DNS name of the host, besides its name; may be given again
    #[arg(long, value_name = "IP|DNS")]
    pub address: Vec<String>,
    /// Folder for the host's files; the host's name unless said otherwise
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How many days the certificate is valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// `steerage cert renew`.
#[derive(Debug, Args)]
pub struct CertRenew {
    /// Folder with the host's files, as `steerage cert issue` made it
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Folder with the authority
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    pub dir: PathBuf,
    /// How many days the certificate is valid from now on
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}
