//! `make demo-fleet`: a store and three hosts on this machine, two example apps in two replicas each,
//! one host killed under load and another one emptied. Ends by itself and leaves nothing.
//!
//! Does nothing a user could not do with the command line and an HTTP client.

#[path = "../../tests/fleet/load.rs"]
#[expect(dead_code, reason = "the fleet's tests use all of it")]
mod load;
mod scenes;
mod stage;

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result =
        runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(scenes::play()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
