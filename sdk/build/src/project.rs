//! One build of one cargo project: what to make, with what, and where it ends up.
//!
//! It always builds for release: a debug guest costs its users ten times the fuel and teaches
//! nothing that a host-side test does not. While somebody waits for each build, the release is made
//! [`quick`](Project::quick).

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    EncodeError, MissingToolchain, Progress, Toolchain,
    cargo::{self, Built},
    component,
    metadata::{self, Package},
};

/// What is changed of the release profile for a quick build, whatever the package says: a service
/// of fourteen crates is linked in half a second instead of twenty. Code that is optimised a little
/// is as large as the optimised and nearly as fast; code that is not at all has twenty times the
/// size, which the host would compile each time.
const QUICK: [(&str, &str); 4] =
    [("lto", "false"), ("codegen-units", "16"), ("incremental", "true"), ("opt-level", "1")];

/// Where quick builds go, below cargo's own target directory: what the profiles differ in would make
/// one build throw away what the other made.
const QUICK_DIR: &str = "steerage-up";

/// What a build makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A component: an HTTP service (a `cdylib`), or a `wasi:cli` program (a binary).
    Component,
    /// A core module that starts at `_start`, which the host serves the CGI way.
    CoreCommand,
}

/// A program that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The name of the cargo target it was built from.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Where it is, under cargo's target directory.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

impl Artifact {
    /// Puts a copy of it at `path`, unless the same bytes are there already: a file that did not
    /// change keeps its time, so that who watches it does nothing for nothing. Says whether it wrote.
    ///
    /// # Errors
    ///
    /// When either file cannot be used.
    pub fn copy_to(&self, path: &Path) -> Result<bool, BuildError> {
        let bytes = fs::read(&self.path).map_err(|source| io_error("read", &self.path, source))?;
        write_if_changed(path, &bytes)
    }
}

/// A cargo project and how to build it.
#[derive(Clone, Debug)]
pub struct Project {
    manifest_dir: PathBuf,
    target_dir: Option<PathBuf>,
    kind: Option<Kind>,
    selection: Selection,
    install_target: bool,
    quick: bool,
}

/// Which of the package's cargo targets are built.
#[derive(Clone, Debug)]
enum Selection {
    /// What `cargo build` takes: the library and the binaries.
    Default,
    Examples,
    Binary(String),
}

/// A build that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Install something.
    #[error(transparent)]
    Toolchain(#[from] MissingToolchain),
    /// The directory is no cargo package; cargo's reason is attached.
    #[error("{dir} is not a cargo package that can be built: {reason}", dir = .dir.display())]
    NotAPackage {
        /// Where `Cargo.toml` was looked for.
        dir: PathBuf,
        /// What cargo said.
        reason: String,
    },
    /// Cargo failed and has already said why where [`Progress`] sent its output.
    #[error("cargo could not build {dir} with {toolchain}", dir = .dir.display())]
    Cargo {
        /// The project.
        dir: PathBuf,
        /// What it was built with.
        toolchain: Toolchain,
    },
    /// The project compiles, but to nothing that can be deployed.
    #[error(
        "{dir} builds no WebAssembly program: give it `[lib] crate-type = [\"cdylib\"]` for a \
         service or a src/main.rs for a CGI program", dir = .dir.display()
    )]
    NothingBuilt {
        /// The project.
        dir: PathBuf,
    },
    /// One program was asked for and there are several.
    #[error(
        "{dir} builds several programs ({names}): say which one", dir = .dir.display(),
        names = .names.join(", ")
    )]
    Several {
        /// The project.
        dir: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
    /// The module is not fit to be a component.
    #[error("{path} was built, but {source}", path = .path.display())]
    Encode {
        /// The core module.
        path: PathBuf,
        /// Why not.
        source: EncodeError,
    },
    /// A file or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was being done to which file.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Project {
    /// The project whose `Cargo.toml` is in `manifest_dir`.
    pub fn at(manifest_dir: impl Into<PathBuf>) -> Self {
        Self {
            manifest_dir: manifest_dir.into(),
            target_dir: None,
            kind: None,
            selection: Selection::Default,
            install_target: false,
            quick: false,
        }
    }

    /// Builds this kind; without it, a component if the package has a `cdylib`, else a core command.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Builds under this directory instead of the project's own. Projects that share one compile
    /// std and what else they share once. A build script must give one that is not its outer
    /// cargo's, which holds a lock on its own.
    #[must_use]
    pub fn target_dir(self, target_dir: impl Into<PathBuf>) -> Self {
        Self { target_dir: Some(target_dir.into()), ..self }
    }

    /// Builds the package's examples and nothing else.
    #[must_use]
    pub fn examples(self) -> Self {
        Self { selection: Selection::Examples, ..self }
    }

    /// Builds this binary of the package and nothing else.
    #[must_use]
    pub fn binary(self, name: impl Into<String>) -> Self {
        Self { selection: Selection::Binary(name.into()), ..self }
    }

    /// Builds for whoever waits and builds again: less optimised, in parts that are compiled anew
    /// only where they changed, and apart from what other builds make.
    #[must_use]
    pub fn quick(self, is_quick: bool) -> Self {
        Self { quick: is_quick, ..self }
    }

    /// Whether the package belongs to a workspace around it; no, too, where cargo cannot say.
    #[must_use]
    pub fn is_member(&self) -> bool {
        let dir = fs::canonicalize(&self.manifest_dir).ok();
        dir.and_then(|dir| Package::read(&dir).ok()).is_some_and(|package| package.is_member)
    }

    /// The directories of packages outside of this one that it is built from, by path. Empty until
    /// it has been built once and whenever cargo cannot say.
    #[must_use]
    pub fn local_dependencies(&self) -> Vec<PathBuf> {
        metadata::local_dependencies(&self.manifest_dir)
    }

    /// Allows `rustup target add` when the target is missing. It is given a minute.
    #[must_use]
    pub fn install_target(self, allowed: bool) -> Self {
        Self { install_target: allowed, ..self }
    }

    /// Builds a project that makes one program.
    ///
    /// # Errors
    ///
    /// As [`Project::build`], and when there are several programs.
    pub fn build_one(&self, progress: Progress<'_>) -> Result<Artifact, BuildError> {
        let mut artifacts = self.build(progress)?;
        match (artifacts.pop(), artifacts.is_empty()) {
            (Some(artifact), true) => Ok(artifact),
            (last, _) => {
                artifacts.extend(last);
                let names = artifacts.into_iter().map(|artifact| artifact.name).collect();
                Err(BuildError::Several { dir: self.manifest_dir.clone(), names })
            }
        }
    }

    /// Builds everything selected; at least one program.
    ///
    /// # Errors
    ///
    /// Each [`BuildError`] says what the author can do.
    pub fn build(&self, progress: Progress<'_>) -> Result<Vec<Artifact>, BuildError> {
        let dir = fs::canonicalize(&self.manifest_dir)
            .map_err(|source| io_error("find", &self.manifest_dir, source))?;
        let (kind, target_dir) = self.kind_and_target_dir(&dir)?;
        let toolchain = if self.install_target {
            Toolchain::detect_or_install(&dir, kind)?
        } else {
            Toolchain::detect(&dir, kind)?
        };
        let manifest = dir.join("Cargo.toml").display().to_string();
        let command = self.command(&dir, &toolchain, target_dir.as_deref());
        let (succeeded, built) = cargo::run(command, &manifest, progress)
            .map_err(|source| io_error("run cargo in", &dir, source))?;
        if !succeeded {
            return Err(BuildError::Cargo { dir, toolchain });
        }
        if built.is_empty() {
            return Err(BuildError::NothingBuilt { dir });
        }
        built.into_iter().map(|built| finish(built, kind)).collect()
    }

    /// Asks cargo only for what nobody has said.
    fn kind_and_target_dir(&self, dir: &Path) -> Result<(Kind, Option<PathBuf>), BuildError> {
        match (self.kind, &self.target_dir) {
            (Some(kind), target_dir) if !self.quick || target_dir.is_some() => {
                Ok((kind, target_dir.clone()))
            }
            (kind, target_dir) => {
                let package = Package::read(dir)?;
                let quick_dir = self.quick.then(|| package.target_dir.join(QUICK_DIR));
                Ok((kind.unwrap_or(package.kind), target_dir.clone().or(quick_dir)))
            }
        }
    }

    fn command(&self, dir: &Path, toolchain: &Toolchain, target_dir: Option<&Path>) -> Command {
        let mut command = match toolchain {
            Toolchain::Installed { .. } => cargo::clean_command("cargo"),
            Toolchain::FromSource(source) => {
                let mut command = cargo::clean_command(&source.cargo);
                // Building std is an unstable flag that this rustc, though stable, must accept.
                command.env("RUSTC", &source.rustc).env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        command.current_dir(dir).args(["build", "--release", "--target", toolchain.triple()]);
        command.arg("--message-format=json-render-diagnostics");
        if let Toolchain::FromSource(source) = toolchain {
            let flags = Value::from(source.rustflags());
            command.arg("-Zbuild-std=std,panic_abort");
            command.arg(format!("--config=target.{}.rustflags={flags}", toolchain.triple()));
        }
        match &self.selection {
            Selection::Default => {}
            Selection::Examples => _ = command.arg("--examples"),
            Selection::Binary(name) => _ = command.args(["--bin", name]),
        }
        if self.quick {
            for (key, value) in QUICK {
                command.arg(format!("--config=profile.release.{key}={value}"));
            }
        }
        if let Some(target_dir) = target_dir {
            command.arg("--target-dir").arg(target_dir);
        }
        command
    }
}

/// Makes a component of what cargo built, if a component is wanted and it is none yet.
fn finish(built: Built, kind: Kind) -> Result<Artifact, BuildError> {
    let module = fs::read(&built.path).map_err(|source| io_error("read", &built.path, source))?;
    if kind == Kind::CoreCommand || component::is_component(&module) {
        return Ok(Artifact { name: built.name, kind, path: built.path, bytes: n_bytes(&module) });
    }
    let component = component::encode(&module)
        .map_err(|source| BuildError::Encode { path: built.path.clone(), source })?;
    let path = built.path.with_extension("component.wasm");
    write_if_changed(&path, &component)?;
    Ok(Artifact { name: built.name, kind, path, bytes: n_bytes(&component) })
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, BuildError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    // Whoever reads it meanwhile must not find half of it.
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, path))
        .map_err(|source| io_error("write", path, source))?;
    Ok(true)
}

fn n_bytes(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

pub(crate) fn io_error(verb: &str, path: &Path, source: io::Error) -> BuildError {
    BuildError::Io { what: format!("cannot {verb} {}", path.display()), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceStd;

    fn arguments(project: &Project, toolchain: &Toolchain) -> String {
        let target_dir = project.target_dir.as_deref();
        let command = project.command(Path::new("/app"), toolchain, target_dir);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_installed_target_is_built_as_anyone_would() {
        let toolchain = Toolchain::Installed { triple: "wasm32-wasip2" };
        assert_eq!(
            arguments(&Project::at("/app"), &toolchain),
            "cargo build --release --target wasm32-wasip2 --message-format=json-render-diagnostics"
        );
        let project = Project::at("/app").binary("tool").target_dir("/t");
        assert!(arguments(&project, &toolchain).ends_with(" --bin tool --target-dir /t"));
    }

    #[test]
    fn a_quick_build_has_a_profile_and_a_place_of_its_own() {
        let toolchain = Toolchain::Installed { triple: "wasm32-wasip2" };
        let project = Project::at("/app").quick(true).target_dir("/t");
        let config = "--config=profile.release.lto=false --config=profile.release.codegen-units=16 \
                      --config=profile.release.incremental=true \
                      --config=profile.release.opt-level=1 --target-dir /t";
        assert!(arguments(&project, &toolchain).ends_with(config));
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("src")).unwrap();
        fs::write(root.join("src/main.rs"), "").unwrap();
        fs::write(root.join("Cargo.toml"), "[package]\nname = \"app\"\n[workspace]\n").unwrap();
        let quick = Project::at(&root).quick(true).kind_and_target_dir(&root).unwrap();
        // Cargo's own directory may be set for all of this machine.
        assert!(quick.1.unwrap().ends_with(QUICK_DIR));
        let plain = Project::at(&root).kind_and_target_dir(&root).unwrap();
        assert_eq!(plain, (Kind::CoreCommand, None));
    }

    #[test]
    fn programs_and_libraries_share_a_std_from_source() {
        let toolchain = Toolchain::FromSource(SourceStd {
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            linker: "/usr/bin/wasm-ld-22".into(),
            libc: "/usr/lib/wasm32-wasi".into(),
        });
        let flags = |project: Project| {
            let arguments = arguments(&project, &toolchain);
            arguments.split_once("--config=").map(|(_, flags)| flags.to_owned()).unwrap()
        };
        let (library, program) =
            (flags(Project::at("/app")), flags(Project::at("/app").binary("b")));
        assert!(program.starts_with(&library), "{program}");
        assert!(library.contains(r#"rustflags=["-Clinker=/usr/bin/wasm-ld-22","#), "{library}");
    }

    #[test]
    fn a_directory_without_a_package_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Project::at(dir.path()).build(Progress::Inherit).unwrap_err();
        assert!(matches!(&error, BuildError::NotAPackage { .. }), "{error}");
        let error = Project::at(dir.path().join("gone")).build(Progress::Inherit).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
    }

    #[test]
    fn a_copy_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("built.wasm");
        fs::write(&path, "bytes").unwrap();
        let artifact = Artifact { name: "app".into(), kind: Kind::Component, path, bytes: 5 };
        let copy = dir.path().join("app.wasm");
        assert!(artifact.copy_to(&copy).unwrap());
        assert!(!artifact.copy_to(&copy).unwrap());
        assert_eq!(fs::read(copy).unwrap(), b"bytes");
    }
}
