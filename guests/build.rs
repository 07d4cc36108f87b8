//! Builds the guest programs and writes the constants that name them.
//!
//! It does nothing when no source changed: the inner cargo keeps its own target directory, beside
//! the outer one, so std is compiled once.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use steerage_build::{Artifact, Kind, Progress, Project};

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=programs");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let target_dir = inner_target_dir(&out_dir)?;
    let programs = Project::at("programs").target_dir(&target_dir);
    let services = build(&programs.clone().examples().kind(Kind::Component))?;
    let mut source = String::new();
    for artifact in &services {
        let name = artifact.name.to_uppercase();
        writeln!(source, "pub const {name}: &str = {:?};", artifact.path)?;
    }
    fs::write(out_dir.join("guests.rs"), source).context("the list of guests cannot be written")
}

fn build(project: &Project) -> anyhow::Result<Vec<Artifact>> {
    let mut said = Vec::new();
    let built = project.build(Progress::Lines(&mut |line| said.push(line.to_owned())));
    built.with_context(|| format!("the guests do not build:\n{}", said.join("\n")))
}

/// `target/guests`, found from `target/debug/build/steerage-guests-…/out`.
fn inner_target_dir(out_dir: &Path) -> anyhow::Result<PathBuf> {
    let target_dir = out_dir.ancestors().nth(4).context("OUT_DIR is not where cargo puts it")?;
    Ok(target_dir.join("guests"))
}
