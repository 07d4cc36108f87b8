//! The `steerage` program: parses the command line, runs one verb, and says how it went.
//! Holds no logic; the verbs are in `steerage::cli`.

use std::process::ExitCode;

use clap::Parser as _;
use steerage::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::ending::report(&error),
    }
}
