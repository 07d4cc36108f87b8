//! The command line of `steerage bill`.
//! Only describes.

use clap::{Args, ValueEnum};
use steerage_core::pack::{BadPrice, KindPrice};

use super::moment::{Moment, moment};
use super::{Print, Remote};

const EXAMPLE: &str = "\
Examples:
  steerage bill --price 0.096/h                           every host costs the same
  steerage bill --price m6i.large=0.096/h --price m6i.xlarge=140/month --since 7d
                                   a host is of a kind that is its name or the value of one of its
                                   labels, such as kind=m6i.large";

/// `steerage bill`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct Bill {
    /// What a host costs; with KIND= only hosts of that kind, once for each kind
    #[arg(long, value_name = "[KIND=]AMOUNT/h", required = true, value_parser = price)]
    pub price: Vec<String>,
    /// Since when, from the beginning of that hour: 6h, "10m ago", 7d, 2026-11-25T03:12:00Z; 30 days at most
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = moment)]
    pub since: Moment,
    /// Who pays for what stood idle
    #[arg(long, value_enum, default_value = "apart")]
    pub idle: BilledIdle,
    /// How to reach the host.
    #[command(flatten)]
    pub remote: Remote,
    /// How to print.
    #[command(flatten)]
    pub print: Print,
}

/// The text of a price, which the host reads again: it splits what hosts cost.
fn price(text: &str) -> Result<String, BadPrice> {
    text.parse::<KindPrice>().map(|_| text.to_owned())
}

/// Who pays for what stood idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BilledIdle {
    /// Nobody: it has a line of its own.
    Apart,
    /// Each app in proportion to what it pays otherwise.
    Use,
    /// Each app the same.
    Even,
}
