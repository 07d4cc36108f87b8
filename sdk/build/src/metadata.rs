//! What cargo says of a package without building it.
//!
//! It asks `cargo metadata` and knows nothing of toolchains.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{BuildError, Kind, cargo, project::io_error};

/// A package, as cargo sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// What it is built as, when nobody says.
    pub(crate) kind: Kind,
    /// Where cargo puts what it builds.
    pub(crate) target_dir: PathBuf,
    /// Whether it belongs to a workspace whose root is another directory.
    pub(crate) is_member: bool,
}

impl Package {
    /// The package in this directory, which must be a whole path.
    pub(crate) fn read(dir: &Path) -> Result<Self, BuildError> {
        let not_a_package = |reason: &str| not_a_package(dir, reason);
        let metadata = metadata(dir, &["--no-deps"])?;
        let path = |key: &str| {
            let text = metadata.get(key).and_then(Value::as_str);
            text.map(PathBuf::from).ok_or_else(|| not_a_package(&format!("cargo tells no {key}")))
        };
        let package = list(&metadata, "packages")
            .find(|package| directory(package).as_deref() == Some(dir))
            .ok_or_else(|| not_a_package("it is a workspace without a package of its own"))?;
        let mut crate_types =
            list(package, "targets").flat_map(|target| list(target, "crate_types"));
        // A package with a `cdylib` is a service; without one it is a program.
        let kind = if crate_types.any(|crate_type| crate_type == "cdylib") {
            Kind::Component
        } else {
            Kind::CoreCommand
        };
        Ok(Self {
            kind,
            target_dir: path("target_directory")?,
            is_member: path("workspace_root")? != dir,
        })
    }
}

/// The directories of the packages outside `dir` that the one in `dir` is built from: what it
/// depends on by path, directly or through others of them. None when cargo cannot tell offline.
pub(crate) fn local_dependencies(dir: &Path) -> Vec<PathBuf> {
    let Ok(dir) = fs::canonicalize(dir) else { return Vec::new() };
    let Ok(metadata) = metadata(&dir, &["--offline"]) else { return Vec::new() };
    let packages = || list(&metadata, "packages");
    let id = |package: &Value| package.get("id").and_then(Value::as_str).map(str::to_owned);
    let own = packages().find(|package| directory(package).as_deref() == Some(&dir));
    let mut waiting: Vec<String> = own.and_then(id).into_iter().collect();
    let mut reached = BTreeSet::new();
    let nodes = metadata.get("resolve").unwrap_or(&Value::Null);
    while let Some(next) = waiting.pop() {
        let node = list(nodes, "nodes").find(|node| id(node).as_ref() == Some(&next));
        let dependencies = node.into_iter().flat_map(|node| list(node, "dependencies"));
        let new = dependencies.filter_map(Value::as_str).filter(|id| !reached.contains(*id));
        waiting.extend(new.map(str::to_owned));
        reached.insert(next);
    }
    let is_local = |package: &&Value| {
        package.get("source").is_none_or(Value::is_null)
            && id(package).is_some_and(|id| reached.contains(&id))
    };
    let mut directories: Vec<_> = packages()
        .filter(is_local)
        .filter_map(directory)
        .filter(|d| !d.starts_with(&dir))
        .collect();
    directories.sort();
    directories.dedup();
    directories
}

fn metadata(dir: &Path, arguments: &[&str]) -> Result<Value, BuildError> {
    let mut command = cargo::clean_command("cargo");
    command.current_dir(dir).args(["metadata", "--format-version=1"]).args(arguments);
    let output = command.output().map_err(|source| io_error("run cargo in", dir, source))?;
    if !output.status.success() {
        return Err(not_a_package(dir, String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| not_a_package(dir, &format!("cargo metadata cannot be read: {error}")))
}

fn directory(package: &Value) -> Option<PathBuf> {
    let manifest = package.get("manifest_path").and_then(Value::as_str)?;
    Path::new(manifest).parent().map(Path::to_owned)
}

fn not_a_package(dir: &Path, reason: &str) -> BuildError {
    BuildError::NotAPackage { dir: dir.to_owned(), reason: reason.to_owned() }
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_package_with_a_cdylib_is_a_service() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let check = |manifest: &str, source: &str, expected| {
            write(&root, source, "");
            let package = "[package]\nname = \"app\"\n[workspace]\n";
            write(&root, "Cargo.toml", &format!("{package}{manifest}"));
            let package = Package::read(&root).unwrap();
            assert_eq!((package.kind, package.is_member), (expected, false));
        };
        check("", "src/main.rs", Kind::CoreCommand);
        check("[lib]\ncrate-type = [\"cdylib\"]\n", "src/lib.rs", Kind::Component);
    }

    #[test]
    fn what_lies_outside_and_is_built_from_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        write(&root, "Cargo.toml", "[workspace]\nmembers = [\"*\"]\nresolver = \"3\"\n");
        let package = |name: &str, dependencies: &str| {
            let text = format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependencies}");
            write(&root, &format!("{name}/Cargo.toml"), &text);
            write(&root, &format!("{name}/src/lib.rs"), "");
        };
        package("app", "shared = { path = \"../shared\" }\n");
        package("shared", "deep = { path = \"../deep\" }\n");
        package("deep", "");
        package("other", "");
        let app = root.join("app");
        assert_eq!(local_dependencies(&app), [root.join("deep"), root.join("shared")]);
        assert_eq!(local_dependencies(&root.join("gone")), [] as [PathBuf; 0]);
        let package = Package::read(&app).unwrap();
        assert!(package.is_member);
        assert_eq!(package.target_dir, root.join("target"));
    }
}
