//! The `steerage` program: parses the command line, runs one verb, and says how it went.
//! Holds no logic; the verbs are in `steerage::cli`.

use std::process::ExitCode;

use steerage::cli::{self, args};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let line = match args::parse(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => return cli::ending::misread(&error, std::env::args_os()),
    };
    match cli::run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::ending::report(&error),
    }
}
