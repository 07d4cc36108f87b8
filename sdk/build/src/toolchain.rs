//! Finds out how this machine can build WebAssembly.
//!
//! It looks and asks; it never changes the machine, except [`add_target`], which callers opt into.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{Kind, cargo};

/// What rustup calls the target whose programs are components.
pub(crate) const WASIP2: &str = "wasm32-wasip2";
/// What rustup calls the target whose programs are core modules.
pub(crate) const WASIP1: &str = "wasm32-wasip1";

/// `rustup target add` gets this long: a download of 30 MB on a slow line, not a hung name server.
const RUSTUP_TIME_LIMIT: Duration = Duration::from_secs(60);

/// The oldest rustc that compiles the SDK: the minor version of the workspace's `rust-version`.
const OLDEST_RUSTC_MINOR: u32 = 95;

const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";
const PACKAGES: &str = "rustc-web cargo-web rust-web-src rust-web-llvm lld-22 wasi-libc \
                        libclang-rt-22-dev-wasm32";

/// A way to build WebAssembly that was found on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The cargo on the path builds for this target as it is.
    Installed {
        /// `wasm32-wasip2` or `wasm32-wasip1`.
        triple: &'static str,
    },
    /// The distribution's rustc builds the standard library from source first.
    FromSource(SourceStd),
}

/// Where the parts of a from-source build are (Debian's places).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStd {
    /// The distribution's cargo.
    pub cargo: PathBuf,
    /// The distribution's rustc, which must be the one its library source belongs to.
    pub rustc: PathBuf,
    /// LLVM's WebAssembly linker.
    pub linker: PathBuf,
    /// The directory with `libc.a` and `crt1-command.o`.
    pub libc: PathBuf,
}

/// Nothing here builds WebAssembly. The text says what to install.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub struct MissingToolchain {
    wanted: &'static str,
    /// What the from-source recipe still lacks.
    lacking: Vec<String>,
    /// Why `rustup target add` failed, if it was tried.
    rustup: Option<String>,
}

impl fmt::Display for MissingToolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no toolchain for {} was found", self.wanted)?;
        if let Some(reason) = &self.rustup {
            writeln!(f, "  rustup was tried and failed: {reason}")?;
        }
        writeln!(f, "  with rustup:        rustup target add {WASIP2} {WASIP1}")?;
        writeln!(f, "  on Debian (root):   apt-get install --no-install-recommends {PACKAGES}")?;
        write!(f, "  the second needs, and this machine lacks: {}", self.lacking.join(", "))
    }
}

impl Toolchain {
    /// The best way to build `kind` in `dir` (whose `rust-toolchain` file counts).
    ///
    /// # Errors
    ///
    /// When there is none; the error's text says what to install.
    pub fn detect(dir: &Path, kind: Kind) -> Result<Self, MissingToolchain> {
        // A core module with the adapter is as good a component as one the compiler made.
        let triples: &[&'static str] = match kind {
            Kind::Component => &[WASIP2, WASIP1],
            Kind::CoreCommand => &[WASIP1],
        };
        if let Some(triple) = triples.iter().find(|triple| is_installed(dir, triple)) {
            return Ok(Self::Installed { triple });
        }
        match SourceStd::find() {
            Ok(source) => Ok(Self::FromSource(source)),
            Err(lacking) => {
                Err(MissingToolchain { wanted: preferred_triple(kind), lacking, rustup: None })
            }
        }
    }

    /// As [`Toolchain::detect`], but asks rustup for the target before falling back, for at most a
    /// minute.
    ///
    /// # Errors
    ///
    /// As [`Toolchain::detect`], with rustup's reason.
    pub fn detect_or_install(dir: &Path, kind: Kind) -> Result<Self, MissingToolchain> {
        let found = Self::detect(dir, kind);
        if matches!(found, Ok(Self::Installed { .. })) {
            return found;
        }
        let triple = preferred_triple(kind);
        match add_target(dir, triple, RUSTUP_TIME_LIMIT) {
            Ok(()) => Ok(Self::Installed { triple }),
            Err(reason) => {
                found.map_err(|missing| MissingToolchain { rustup: Some(reason), ..missing })
            }
        }
    }

    /// The target that cargo is told to build for.
    #[must_use]
    pub fn triple(&self) -> &'static str {
        match self {
            Self::Installed { triple } => triple,
            Self::FromSource(_) => WASIP1,
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Installed { triple } => write!(f, "cargo for {triple}"),
            Self::FromSource(source) => {
                write!(f, "{} for {WASIP1}, std from source", source.cargo.display())
            }
        }
    }
}

fn preferred_triple(kind: Kind) -> &'static str {
    match kind {
        Kind::Component => WASIP2,
        Kind::CoreCommand => WASIP1,
    }
}

/// Rustc prints where a target's libraries would be whether or not they are there.
fn is_installed(dir: &Path, triple: &str) -> bool {
    let mut command = cargo::clean_command("rustc");
    command.current_dir(dir).args(["--print", "target-libdir", "--target", triple]);
    let Ok(output) = command.output() else { return false };
    let libdir = String::from_utf8_lossy(&output.stdout);
    output.status.success() && Path::new(libdir.trim()).is_dir()
}

/// Asks rustup for `triple`, and stops it when it takes longer than `limit`.
fn add_target(dir: &Path, triple: &str, limit: Duration) -> Result<(), String> {
    let mut command = cargo::clean_command("rustup");
    command.current_dir(dir).args(["target", "add", triple]);
    run_within(command, limit).map_err(|reason| format!("`rustup target add {triple}` {reason}"))
}

/// Runs a command that has no input, for at most `limit`. A failure says how it ended and what its
/// last line on standard error was.
fn run_within(mut command: Command, limit: Duration) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("does not start: {error}"))?;
    let (said, heard) = mpsc::sync_channel(1);
    let stderr = child.stderr.take();
    // The pipe closes when the command ends, which can be waited for with a time limit.
    let reader = thread::spawn(move || {
        let text = stderr.map(io::read_to_string);
        said.send(text.and_then(Result::ok).unwrap_or_default())
    });
    let Ok(text) = heard.recv_timeout(limit) else {
        // It may end by itself just now; either way it must be reaped, and the reader follows.
        drop(child.kill());
        drop(child.wait());
        return Err(format!("took over {} s", limit.as_secs()));
    };
    drop(reader.join());
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("failed: {}", text.lines().last().unwrap_or("it does not say why"))),
        Err(error) => Err(format!("cannot be waited for: {error}")),
    }
}

impl SourceStd {
    /// The parts, or the names of those that are not there.
    fn find() -> Result<Self, Vec<String>> {
        let cargo = PathBuf::from("/usr/bin/cargo");
        let rustc = PathBuf::from("/usr/bin/rustc");
        let libc = PathBuf::from(WASI_LIBC);
        let linker = newest_linker(Path::new("/usr/bin"));
        let mut lacking: Vec<String> = [&cargo, &rustc, &libc.join("crt1-command.o")]
            .into_iter()
            .filter(|path| !path.is_file())
            .map(|path| path.display().to_string())
            .collect();
        if linker.is_none() {
            lacking.push("/usr/bin/wasm-ld-*".to_owned());
        }
        if rustc.is_file() {
            if minor_version(&rustc).is_none_or(|minor| minor < OLDEST_RUSTC_MINOR) {
                lacking.push(format!("{} of at least 1.{OLDEST_RUSTC_MINOR}", rustc.display()));
            }
            if !library_source(&rustc).is_some_and(|path| path.is_file()) {
                lacking.push("the standard library's source".to_owned());
            }
        }
        match linker {
            Some(linker) if lacking.is_empty() => Ok(Self { cargo, rustc, linker, libc }),
            _ => Err(lacking),
        }
    }

    /// The flags that make this rustc link for WASI.
    ///
    /// The start-up object stands in a lazy group: the linker takes it for a program, which needs
    /// `_start`, and leaves it for a library, which has no entry. So both are built with the same
    /// flags, and std is compiled once.
    pub(crate) fn rustflags(&self) -> Vec<String> {
        vec![
            format!("-Clinker={}", self.linker.display()),
            "-Clink-self-contained=no".to_owned(),
            format!("-Clink-arg=-L{}", self.libc.display()),
            "-Clink-arg=--start-lib".to_owned(),
            format!("-Clink-arg={}", self.libc.join("crt1-command.o").display()),
            "-Clink-arg=--end-lib".to_owned(),
        ]
    }
}

/// 96 for `rustc 1.96.0 (…)`.
fn minor_version(rustc: &Path) -> Option<u32> {
    let output = Command::new(rustc).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
}

fn library_source(rustc: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    Some(Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std/Cargo.toml"))
}

/// The highest-numbered `wasm-ld-NN` in `dir`: Debian has no unnumbered one.
fn newest_linker(dir: &Path) -> Option<PathBuf> {
    let names =
        std::fs::read_dir(dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let versions = names.filter_map(|name| name.strip_prefix("wasm-ld-")?.parse::<u32>().ok());
    versions.max().map(|version| dir.join(format!("wasm-ld-{version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_that_hangs_is_stopped() {
        let refusal = run_within(shell("exec sleep 60"), Duration::from_millis(10)).unwrap_err();
        assert_eq!(refusal, "took over 0 s");
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let refusal = run_within(shell("echo no network >&2; exit 1"), Duration::MAX).unwrap_err();
        assert_eq!(refusal, "failed: no network");
        assert_eq!(run_within(shell("true"), Duration::MAX), Ok(()));
    }

    #[test]
    fn the_newest_linker_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["wasm-ld-9", "wasm-ld-22", "wasm-ld-x", "ld"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(newest_linker(dir.path()), Some(dir.path().join("wasm-ld-22")));
    }

    #[test]
    fn a_missing_toolchain_names_both_ways_out() {
        let missing = MissingToolchain {
            wanted: WASIP2,
            lacking: vec!["/usr/bin/cargo".to_owned()],
            rustup: Some("failed: no network".to_owned()),
        };
        let text = missing.to_string();
        for part in ["rustup target add", "apt-get install", "/usr/bin/cargo", "no network"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
