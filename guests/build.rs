//! Builds the guest programs and writes the constants that name them.
//!
//! It does nothing when no source changed: the inner cargo keeps its own target directory, beside
//! the outer one's, so std is compiled once.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use steerage_build::{Artifact, Kind, Progress, Project};

/// Everything the programs are made from; this script's own crates cargo watches itself.
const SOURCES: [&str; 4] = ["programs", "../sdk/Cargo.toml", "../sdk/src", "../sdk/macros"];

fn main() -> anyhow::Result<()> {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let target_dir = inner_target_dir(&out_dir)?;
    let programs = Project::at("programs").target_dir(&target_dir);
    let program = programs.clone().binary("cgi_echo");

    let mut guests = BTreeMap::new();
    for service in build(&programs.examples().kind(Kind::Component))? {
        guests.insert(service.name.clone(), service);
    }
    for module in build(&program.clone().kind(Kind::CoreCommand))? {
        guests.insert(module.name.clone(), module);
    }
    for component in build(&program.kind(Kind::Component))? {
        guests.insert(format!("{}_component", component.name), component);
    }
    let source = source(&guests, &target_dir)?;
    fs::write(out_dir.join("guests.rs"), source).context("the list of guests cannot be written")
}

fn build(project: &Project) -> anyhow::Result<Vec<Artifact>> {
    let mut said = Vec::new();
    let built = project.build(Progress::Lines(&mut |line| said.push(line.to_owned())));
    built.with_context(|| format!("the guests do not build:\n{}", said.join("\n")))
}

/// One constant for each guest, and the macro that names them all.
fn source(guests: &BTreeMap<String, Artifact>, target_dir: &Path) -> anyhow::Result<String> {
    let mut source = String::new();
    let mut calls = String::new();
    for (name, guest) in guests {
        let what = match guest.kind {
            Kind::Component => "component",
            Kind::CoreCommand => "core module",
        };
        writeln!(source, "/// The path of the guest `{name}`, a {what}.")?;
        writeln!(source, "pub const {}: &str = {:?};", name.to_uppercase(), guest.path)?;
        write!(calls, " $name!({name});")?;
    }
    writeln!(source, "/// Where guests are built; a build that shares it finds std compiled.")?;
    writeln!(source, "pub const TARGET_DIR: &str = {target_dir:?};")?;
    writeln!(source, "/// Calls a macro with the name of each guest, in lower case.")?;
    writeln!(source, "///\n/// See the documentation of this crate.")?;
    writeln!(source, "#[macro_export]")?;
    writeln!(source, "macro_rules! foreach_guest {{ ($name:ident) => {{{calls} }}; }}")?;
    Ok(source)
}

/// `target/guests`, found from `target/debug/build/steerage-guests-…/out`.
fn inner_target_dir(out_dir: &Path) -> anyhow::Result<PathBuf> {
    let target_dir = out_dir.ancestors().nth(4).context("OUT_DIR is not where cargo puts it")?;
    Ok(target_dir.join("guests"))
}
