//! Whole-host benches: us and the alternatives in the same run, printed as ratios.
//! Not timed tests: nothing here fails because a machine is slow.

mod apps;
mod body;
mod cold;
mod dense;
mod fair;
mod fleet;
mod guests;
mod host;
mod http;
mod live;
mod load;
mod many;
mod members;
mod overload;
mod place;
mod plain;
mod raw;
mod report;
mod server;
mod shared;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures Steerage beside its alternatives, in one run")]
struct Arguments {
    /// Measure this build of the host; one of this source is built when absent
    #[arg(long, value_name = "PATH", global = true)]
    host: Option<PathBuf>,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Hello over HTTP: raw hyper, a fresh instance per call, a reused instance, and peers
    Http(http::Arguments),
    /// Calls of a JavaScript and a Python app in a fresh sandbox each, beside `wasmtime serve`
    Guests(guests::Arguments),
    /// Very many apps called in turn, beside one
    Many(many::Arguments),
    /// A large body echoed, beside `wasmtime serve`, and slow readers
    Body(body::Arguments),
    /// One app beside hostile ones: its throughput, its latency, and CPU shares against weights
    Fair(fair::Arguments),
    /// Four times the load an app can carry: goodput, time to refuse, memory
    Overload(overload::Arguments),
    /// Memory and start of a host with very many apps that nobody calls
    Dense(dense::Arguments),
    /// The first call of an app whose code is on disk
    Cold(cold::Arguments),
    /// How many instances can be alive at once, and what each costs
    Live(live::Arguments),
    /// Placement: machines a cell needs, beside the rules of others, and how fast plans are made
    Place(place::Arguments),
    /// A large fleet on one etcd: what its store sends, what members use, how long changes take
    Members(members::Arguments),
    /// Locks taken and shared lines written per hello call, by a build of the host that counts them
    Shared(shared::Arguments),
    /// A bare hyper server, started by `http`
    #[command(hide = true)]
    Raw {
        /// Where to listen
        listen: SocketAddr,
    },
}

/// How long to measure, and where to write what was found.
#[derive(clap::Args, Debug)]
pub(crate) struct Common {
    /// Seconds measured of each thing
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Seconds of load before measuring
    #[arg(long, default_value_t = 1)]
    warmup: u64,
    /// Also write the results as JSON to this file
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Common {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }

    fn warmup(&self) -> Duration {
        Duration::from_secs(self.warmup)
    }
}

fn main() -> Result<()> {
    let Arguments { host, bench } = Arguments::parse();
    let counting = matches!(bench, Bench::Shared(_));
    let built = || if counting { server::counting() } else { server::steerage() };
    let host = || host.map_or_else(built, Ok);
    match bench {
        Bench::Http(arguments) => http::run(&host()?, &arguments),
        Bench::Guests(arguments) => guests::run(&host()?, &arguments),
        Bench::Many(arguments) => many::run(&host()?, &arguments),
        Bench::Body(arguments) => body::run(&host()?, &arguments),
        Bench::Fair(arguments) => fair::run(&host()?, &arguments),
        Bench::Dense(arguments) => dense::run(&host()?, &arguments),
        Bench::Cold(arguments) => cold::run(&host()?, &arguments),
        Bench::Overload(arguments) => overload::run(&host()?, &arguments),
        Bench::Live(arguments) => live::run(&host()?, &arguments),
        Bench::Members(arguments) => members::run(&host()?, &arguments),
        Bench::Place(arguments) => place::run(&arguments),
        Bench::Shared(arguments) => shared::run(&host()?, &arguments),
        Bench::Raw { listen } => raw::serve(listen),
    }
}
