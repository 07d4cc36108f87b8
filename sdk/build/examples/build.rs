//! Builds the projects named on the command line and prints what came out: the library in use, and
//! a way to build an app where the `steerage` binary is not there yet.
//!
//! `cargo run -p steerage-build --example build -- examples/hello`

use std::{env, error::Error};

use steerage_build::{Progress, Project};

fn main() -> Result<(), Box<dyn Error>> {
    for dir in env::args_os().skip(1) {
        let mut project = Project::at(dir);
        if let Some(target_dir) = env::var_os("CARGO_TARGET_DIR") {
            project = project.target_dir(target_dir);
        }
        let artifact = project.build_one(Progress::Inherit)?;
        println!("{} {} {:?}", artifact.path.display(), artifact.bytes, artifact.kind);
    }
    Ok(())
}
