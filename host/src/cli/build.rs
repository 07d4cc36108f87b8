//! `steerage build`: makes the component that a manifest's `source` names.
//! Does not talk to a host; `up` and `deploy --build` run the same steps before they do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use steerage_build::{Progress, Project};
use steerage_core::id::Digest;

use super::app::App;
use super::args::Build;
use super::ending::Refused;
use super::human;
use super::screen::Screen;
use super::table::Facts;

/// A component as it lies on disk.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) digest: Digest,
}

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    component: String,
    size_bytes: u64,
    digest: String,
}

/// Runs the verb.
pub(super) fn run(args: &Build) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    let app = App::read(&args.file)?;
    let built = build(&app, args.target_dir.as_deref(), Progress::Inherit)?;
    let (component, digest) = (built.path.display().to_string(), built.digest.to_string());
    if screen.is_json() {
        return screen.json(&Report { component, size_bytes: built.bytes, digest });
    }
    let mut facts = Facts::default();
    facts.add("component", component);
    facts.add("size", human::bytes(built.bytes));
    facts.add("digest", digest);
    screen.say(&facts.render())
}

/// Builds the app's component into the place where its manifest says it is.
///
/// A `[build] command` does so itself; without one, the directory must be a cargo package.
pub(super) fn build(
    app: &App,
    target_dir: Option<&Path>,
    mut progress: Progress<'_>,
) -> anyhow::Result<Built> {
    match app.build_command() {
        Some(command) => run_command(app, command, &mut progress)?,
        None => run_cargo(app, target_dir, progress)?,
    }
    inspect(&app.source())
}

/// Looks at a component that has been built.
pub(super) fn inspect(path: &Path) -> anyhow::Result<Built> {
    let component = fs::read(path).with_context(|| {
        format!("cannot read component `{}`; `steerage build` makes it", path.display())
    })?;
    Ok(Built {
        path: path.to_path_buf(),
        bytes: component.len().try_into().unwrap_or(u64::MAX),
        digest: Digest::from_bytes(Sha256::digest(&component).into()),
    })
}

/// The command is a line for the shell, as people write it in a Makefile.
fn run_command(app: &App, line: &str, progress: &mut Progress<'_>) -> anyhow::Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(app.directory()).stdin(Stdio::null());
    let status = match progress {
        Progress::Inherit => command.stdout(io::stderr()).status(),
        Progress::Lines(lines) => command.output().map(|output| {
            for text in [&output.stdout, &output.stderr] {
                String::from_utf8_lossy(text).lines().for_each(&mut **lines);
            }
            output.status
        }),
    };
    let status = status.with_context(|| format!("cannot run build command `{line}`"))?;
    if status.success() {
        Ok(())
    } else {
        Err(anyhow::anyhow!("build command `{line}` failed: {status}"))
    }
}

fn run_cargo(app: &App, target_dir: Option<&Path>, progress: Progress<'_>) -> anyhow::Result<()> {
    let directory = app.directory();
    if !directory.join("Cargo.toml").is_file() {
        return Err(Refused(format!(
            "`{}` has neither a Cargo.toml nor a [build] command; say in steerage.toml how to \
             build `{}`",
            directory.display(),
            app.source().display()
        ))
        .into());
    }
    let mut project = Project::at(directory).install_target(true);
    if let Some(target_dir) = target_dir {
        project = project.target_dir(target_dir);
    }
    let artifact = project
        .build_one(progress)
        .with_context(|| format!("cannot build the app in `{}`", directory.display()))?;
    place(&artifact.path, &app.source())
}

/// Puts the component where the manifest expects it, whole or not at all: a host or a watcher
/// that reads it meanwhile must not see half of it. One that is there already is left alone.
fn place(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = || -> io::Result<()> {
        let component = fs::read(from)?;
        if fs::read(to).is_ok_and(|there| there == component) {
            return Ok(());
        }
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        // Hidden, so that `up` does not take it for a source.
        let beside = to.with_file_name(format!(".{name}.new"));
        fs::write(&beside, component)?;
        fs::rename(&beside, to)
    };
    copied().with_context(|| format!("cannot copy `{}` to `{}`", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_placed_whole_and_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("built.wasm"), directory.path().join("app.wasm"));
        for content in ["first", "second"] {
            fs::write(&from, content).unwrap();
            place(&from, &to).unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), content);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
