//! Runs an inner cargo and reads what it built.
//!
//! It does not choose the toolchain and does not look into the files that come out.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::Value;

/// Where cargo's own output (progress, warnings, errors) goes.
pub enum Progress<'a> {
    /// To this process's standard error, with colours if that is a terminal.
    Inherit,
    /// Line by line to a function.
    Lines(&'a mut dyn FnMut(&str)),
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inherit => "Inherit",
            Self::Lines(_) => "Lines",
        })
    }
}

/// A `.wasm` file that cargo says it made (or found up to date).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Built {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// A command without the variables an outer cargo leaves behind.
///
/// A build script, or a binary started by `cargo run`, sees the flags, wrappers and paths of the
/// build around it. An inner cargo that obeyed them would use clippy's driver as its compiler, or
/// the host's flags for the guest's target. Settings of the machine and its user (registries,
/// network, where cargo lives and builds, the job server) stay.
pub(crate) fn clean_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_leak) {
            command.env_remove(name);
        }
    }
    command
}

fn is_leak(name: &str) -> bool {
    const KEPT: [&str; 9] = [
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_JOBS",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    match name {
        "CARGO"
        | "RUSTC"
        | "RUSTDOC"
        | "RUSTFLAGS"
        | "RUSTDOCFLAGS"
        | "RUSTC_WRAPPER"
        | "RUSTC_WORKSPACE_WRAPPER"
        | "RUSTC_LINKER"
        | "CLIPPY_ARGS"
        | "CLIPPY_CONF_DIR"
        | "TARGET"
        | "HOST"
        | "OUT_DIR"
        | "PROFILE"
        | "OPT_LEVEL"
        | "DEBUG" => true,
        // The outer toolchain's libraries must not be loaded by another toolchain's compiler.
        "LD_LIBRARY_PATH" | "DYLD_FALLBACK_LIBRARY_PATH" => true,
        _ => name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept)),
    }
}

/// Runs `command`, whose message format is JSON, and lists the `.wasm` files of the package whose
/// manifest is `manifest`.
pub(crate) fn run(
    mut command: Command,
    manifest: &str,
    progress: Progress<'_>,
) -> io::Result<(bool, Vec<Built>)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let lines = match progress {
        Progress::Inherit => None,
        Progress::Lines(lines) => {
            command.stderr(Stdio::piped());
            Some(lines)
        }
    };
    let mut child = command.spawn()?;
    let built = match (child.stderr.take(), lines) {
        (Some(stderr), Some(lines)) => thread::scope(|scope| {
            let reader = scope.spawn(|| read_artifacts(&mut child, manifest));
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines(&line);
            }
            reader.join().unwrap_or_else(|_| {
                Err(io::Error::other("the reader of cargo's messages panicked"))
            })
        }),
        _ => read_artifacts(&mut child, manifest),
    }?;
    Ok((child.wait()?.success(), built))
}

fn read_artifacts(child: &mut Child, manifest: &str) -> io::Result<Vec<Built>> {
    let Some(stdout) = child.stdout.take() else { return Ok(Vec::new()) };
    let mut built = Vec::new();
    for line in BufReader::new(stdout).lines() {
        if let Ok(message) = serde_json::from_str(&line?) {
            built.extend(wasm_files(&message, manifest));
        }
    }
    Ok(built)
}

fn wasm_files(message: &Value, manifest: &str) -> Vec<Built> {
    let text = |pointer| message.pointer(pointer).and_then(Value::as_str);
    if text("/reason") != Some("compiler-artifact") || text("/manifest_path") != Some(manifest) {
        return Vec::new();
    }
    let Some(name) = text("/target/name") else { return Vec::new() };
    let files = message.get("filenames").and_then(Value::as_array).into_iter().flatten();
    files
        .filter_map(Value::as_str)
        .filter(|file| file.ends_with(".wasm"))
        .map(|file| Built { name: name.to_owned(), path: PathBuf::from(file) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_packages_own_wasm_files_count() {
        let check = |message: &str, expected: &[&str]| {
            let built = wasm_files(&serde_json::from_str(message).unwrap(), "/app/Cargo.toml");
            assert_eq!(built.iter().map(|built| &built.name).collect::<Vec<_>>(), expected);
        };
        check(
            r#"{"reason": "compiler-artifact", "manifest_path": "/app/Cargo.toml",
                "target": {"name": "app"}, "filenames": ["/t/app.wasm", "/t/libapp.rlib"]}"#,
            &["app"],
        );
        check(
            r#"{"reason": "compiler-artifact", "manifest_path": "/dep/Cargo.toml",
                "target": {"name": "dep"}, "filenames": ["/t/dep.wasm"]}"#,
            &[],
        );
        check(r#"{"reason": "build-finished", "success": true}"#, &[]);
    }

    #[test]
    fn an_outer_build_does_not_leak_in() {
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO"] {
            assert!(is_leak(name), "{name}");
        }
        for name in ["PATH", "CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_TARGET_DIR", "RUSTUP_HOME"] {
            assert!(!is_leak(name), "{name}");
        }
    }
}
