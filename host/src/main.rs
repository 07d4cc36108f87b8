//! The `steerage` program: parses the command line, runs one verb, and says how it went.
//! Holds no logic; the verbs are in `steerage::cli`.

use std::process::ExitCode;

use steerage::cli::{self, args};
use steerage::kernel::arenas;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    arenas::share_one();
    let line = match args::parse(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => return cli::ending::misread(&error, std::env::args_os()),
    };
    match cli::run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::ending::report(&error),
    }
}
