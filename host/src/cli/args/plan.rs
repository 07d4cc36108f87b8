//! The command line of `steerage plan`.
//! Only describes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use steerage_core::pack::MachineKind;
use steerage_core::place::NewHosts;

use super::{Print, Remote};

const EXAMPLE: &str = "\
Example:
  steerage plan --fleet fleet.csv --host 'm6i.large=2cpu,8GiB,0.096/h' \\
    --today 'm5.xlarge=4cpu,16GiB,0.192/h'

  steerage plan                    what would move in the fleet that --admin belongs to, and why
  steerage plan --without h2       what would become of its apps if h2 died now
  steerage plan --with 3x4cpu,16GiB
                                   what would find room if three such hosts were bought
  steerage plan --history          what was moved lately, and what led to it
  steerage plan --history 12       all that plan 12 moved, and why

The spreadsheet needs columns of apps, cpu and memory; measured use, replicas, today's machine and
its kind are read where there are any. Headings and units may be written in most ways.

Exit codes:
  0  done; in a fleet that runs: nothing would move; with --without or --with: all has room
  1  in a fleet that runs: something would move, or has no room; with --without or --with: something
     has no room
  2  the command line was not understood
255  no plan could be made; the message says why";

/// `steerage plan`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct Plan {
    /// The spreadsheet of the fleet as CSV; - reads it from stdin
    #[arg(long, value_name = "FILE")]
    pub fleet: Option<PathBuf>,
    /// A kind of machine to pack on, with its price; once for each kind there is to choose from
    #[arg(long, value_name = "NAME=CPU,MEMORY,PRICE", requires = "fleet")]
    pub host: Vec<MachineKind>,
    /// A kind of machine that there is today and that is not to be packed on
    #[arg(long, value_name = "NAME=CPU,MEMORY,PRICE", requires = "fleet")]
    pub today: Vec<MachineKind>,
    /// How much to keep free above what was measured
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = percent)]
    pub headroom: u32,
    /// What must not share a machine with another of its sort
    #[arg(long, value_enum, value_delimiter = ',', default_value = "zone")]
    pub apart: Vec<Apart>,
    /// Print tables, or draw both fleets
    #[arg(long, value_enum, default_value = "table", conflicts_with = "output")]
    pub format: Drawing,
    /// Write to this file instead of the terminal
    #[arg(long, value_name = "FILE", requires = "fleet")]
    pub out: Option<PathBuf>,
    /// How many machines, and how many rows that could not be used, to list
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 20)]
    pub lines: usize,
    /// Plan as if hosts were to be emptied that others can absorb
    #[arg(long, conflicts_with = "fleet")]
    pub consolidate: bool,
    /// Plan as if this host were gone; more than once, or with commas, for several
    #[arg(long, value_name = "HOST", value_delimiter = ',', conflicts_with = "fleet")]
    pub without: Vec<String>,
    /// Plan as if there were these hosts as well: COUNTxCPU,MEMORY, such as 3x4cpu,16GiB, with zone=ZONE
    /// and labels as NAME=VALUE behind
    #[arg(long = "with", value_name = "HOSTS", conflicts_with = "fleet")]
    pub with: Vec<NewHosts>,
    /// Show the last plans that changed something, or the one of this number: what led to it, what it
    /// moved and why, and what came of it
    #[arg(long, value_name = "N", num_args = 0..=1,
          conflicts_with_all = ["fleet", "consolidate", "without", "with"])]
    pub history: Option<Option<u32>>,
    /// How to reach a host of the fleet.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// What `steerage plan` keeps on machines of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Apart {
    /// What runs in one zone stays in it.
    Zone,
    /// Environments, such as production and staging.
    Env,
    /// Nothing: everything may be beside everything.
    None,
}

/// What a plan on paper looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// Tables.
    Table,
    /// A picture of all machines before and after.
    Svg,
}

fn percent(text: &str) -> Result<u32, String> {
    let percent = text.trim_end_matches('%').trim().parse().ok();
    percent
        .filter(|percent| *percent <= 1_000)
        .ok_or_else(|| "is not a whole percentage from 0% to 1000%".to_owned())
}
