//! `make demo`: a host on this machine, the example apps built from source, what each call costs,
//! and a hostile app that is stopped while another keeps answering. Ends by itself and leaves
//! nothing; `--stay` keeps the host until Ctrl-C.
//!
//! Does nothing a user could not do with the command line and an HTTP client.

mod cast;
mod scenes;
mod stage;
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    let stays = std::env::args().any(|argument| argument == "--stay");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(scenes::play(stays)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
