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
use super::screen::{Screen, Tools, warn};
use super::table::Facts;
use crate::manifest::Overrides;

/// A component as it lies on disk.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) digest: Digest,
}

/// How a component is wanted.
#[derive(Debug)]
pub(super) struct Wish {
    /// Where cargo keeps what it builds, unless where it says itself.
    target_dir: Option<PathBuf>,
    /// Whether somebody waits for it and will wait again soon.
    is_quick: bool,
}

/// What `-o json` prints.
#[derive(Debug, Serialize)]
struct Report {
    component: String,
    size_bytes: u64,
    digest: String,
}

/// Runs the verb.
pub(super) fn verb(args: &Build) -> anyhow::Result<()> {
    let screen = Screen::new(args.print);
    for app in App::read_all(&args.file, &Overrides::default())?.apps {
        one(&app, args, screen)?;
    }
    Ok(())
}

fn one(app: &App, args: &Build, screen: Screen) -> anyhow::Result<()> {
    let built = build(app, &Wish::release(args.target_dir.clone()), screen.tools())?;
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

impl Wish {
    /// As it shall be deployed.
    pub(super) fn release(target_dir: Option<PathBuf>) -> Self {
        Self { target_dir, is_quick: false }
    }

    /// To be tried out here, and not to be found by a later `deploy`.
    pub(super) fn quick() -> Self {
        Self { target_dir: None, is_quick: true }
    }
}

/// Builds the app's component, its tools saying what they do to `tools`.
pub(super) fn build(app: &App, wish: &Wish, tools: Tools) -> anyhow::Result<Built> {
    if tools == Tools::Shown {
        return run(app, wish, Progress::Inherit);
    }
    let mut said = Vec::new();
    let result = run(app, wish, Progress::Lines(&mut |line| said.push(line.to_owned())));
    if result.is_err() {
        said.iter().for_each(|line| warn(line));
    }
    result
}

/// Builds the app's component. One for release goes where its manifest says it is.
///
/// A `[build] command` does so itself; without one, the directory must be a cargo package.
pub(super) fn run(app: &App, wish: &Wish, mut progress: Progress<'_>) -> anyhow::Result<Built> {
    let path = match app.build_command() {
        Some(command) => {
            run_command(app, command, &mut progress)?;
            app.source()
        }
        None => run_cargo(app, wish, progress)?,
    };
    check(&path)?;
    inspect(&path)
}

/// Refuses what a build made that cannot be a component; of what is deployed the host says more.
fn check(path: &Path) -> anyhow::Result<()> {
    let made = fs::read(path).with_context(|| {
        format!("the build made no `{}`, which the manifest names as source", path.display())
    })?;
    let Some(what) = no_wasm(&made) else { return Ok(()) };
    let (path, size) = (path.display(), human::bytes(made.len() as u64));
    Err(Refused(format!("`{path}` is no WebAssembly binary: it is {what}, {size}")).into())
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

/// What the bytes are when they cannot be a component or a module.
fn no_wasm(bytes: &[u8]) -> Option<&'static str> {
    let is_text = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
    let start = bytes.trim_ascii_start();
    Some(match bytes {
        [b'\0', b'a', b's', b'm', ..] => return None,
        [] => "empty",
        [0x7f, b'E', b'L', b'F', ..] => "a program for this machine: build for wasm32-wasip2",
        [0x1f, 0x8b, ..] => "compressed with gzip",
        [b'P', b'K', ..] => "a zip archive",
        _ if start.starts_with(b"(module") || start.starts_with(b"(component") => {
            "WebAssembly as text, which `wasm-tools parse` makes a binary of"
        }
        _ if is_text => "a text",
        _ => "something else",
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

fn run_cargo(app: &App, wish: &Wish, progress: Progress<'_>) -> anyhow::Result<PathBuf> {
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
    let mut project = Project::at(directory).install_target(true).quick(wish.is_quick);
    if let Some(target_dir) = &wish.target_dir {
        project = project.target_dir(target_dir);
    }
    let artifact = project
        .build_one(progress)
        .with_context(|| format!("cannot build the app in `{}`", directory.display()))?;
    if wish.is_quick {
        return Ok(artifact.path);
    }
    place(&artifact.path, &app.source())?;
    Ok(app.source())
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
    fn what_is_no_wasm_is_said_to_be_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("out.wasm");
        for (bytes, what) in [
            (&b""[..], "empty"),
            (b"123456789", "a text, 9 B"),
            (b" (module)", "as text"),
            (b"\x7fELF\x02\0", "a program for this machine"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"asm\0", "something else"),
        ] {
            fs::write(&file, bytes).unwrap();
            let error = check(&file).unwrap_err();
            assert!(error.is::<Refused>() && error.to_string().contains(what), "{what}: {error}");
        }
        fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
        check(&file).unwrap();
    }

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
