//! Whole-host benches: us and the alternatives in the same run, printed as ratios.
//! Not timed tests: nothing here fails because a machine is slow.

mod http;
mod load;
mod raw;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures Steerage beside its alternatives, in one run")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Hello over HTTP: raw hyper, a fresh instance per call, a reused instance, and peers
    Http(HttpArguments),
    /// A bare hyper server, started by `http`
    #[command(hide = true)]
    Raw {
        /// Where to listen
        listen: SocketAddr,
    },
}

#[derive(clap::Args)]
pub(crate) struct HttpArguments {
    /// Seconds measured of each server
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Seconds of load before measuring
    #[arg(long, default_value_t = 1)]
    warmup: u64,
    /// Keep-alive connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How often the whole round of servers is measured; the best of each is shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Another server to measure: NAME=COMMAND, with {port} and {component} filled in
    #[arg(long = "peer", value_name = "NAME=COMMAND")]
    peers: Vec<String>,
    /// Also write the results as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

impl HttpArguments {
    fn load(&self, seconds: u64) -> load::Settings {
        load::Settings {
            connections: self.connections.max(1),
            duration: Duration::from_secs(seconds.max(1)),
        }
    }
}

fn main() -> Result<()> {
    match Arguments::parse().bench {
        Bench::Http(arguments) => http::run(&arguments),
        Bench::Raw { listen } => raw::serve(listen),
    }
}
