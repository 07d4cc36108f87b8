//! `steerage new`: a directory with a small app that builds and runs as it is, anywhere.
//! Makes files, and asks cargo whether a workspace around them takes them in; installs nothing.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use steerage_build::Project;
use steerage_core::id::AppName;

use super::args::{New, Template};
use super::ending::Refused;
use super::screen::Screen;

/// One file of a template: where it goes and what it says before names are filled in.
type File = (&'static str, &'static str);

const HTTP: &[File] = &[
    ("Cargo.toml", include_str!("templates/http/Cargo.toml.in")),
    ("src/lib.rs", include_str!("templates/http/lib.rs.in")),
    ("steerage.toml", include_str!("templates/http/steerage.toml")),
    (".gitignore", include_str!("templates/gitignore")),
];

const CGI: &[File] = &[
    ("Cargo.toml", include_str!("templates/cgi/Cargo.toml.in")),
    ("src/main.rs", include_str!("templates/cgi/main.rs.in")),
    ("steerage.toml", include_str!("templates/cgi/steerage.toml")),
    (".gitignore", include_str!("templates/gitignore")),
];

/// Where the SDK is put below an app that uses it.
const SDK_FOLDER: &str = "steerage-sdk";

/// What makes a package of the SDK's source.
const SDK_PACKAGE: &[File] = &[
    ("Cargo.toml", include_str!("templates/sdk/Cargo.toml.in")),
    ("macros/Cargo.toml", include_str!("templates/sdk/macros.toml.in")),
    ("README.md", include_str!("templates/sdk/README.md")),
];

/// The SDK's source, carried in this program: the place it was built at may be gone, and nobody
/// else has it.
const SDK_SOURCES: &[File] = include!(concat!(env!("OUT_DIR"), "/sdk_sources.rs"));

/// What a package says that is no member of a workspace: there the workspace's root says it for all.
const ROOT: &str = include_str!("templates/root.toml");

/// What is filled into a template.
struct Values<'v> {
    name: &'v str,
    /// The directory of the SDK, as Cargo.toml says it.
    sdk: &'v str,
    /// What only the root of a workspace says.
    root: &'v str,
}

/// Runs the verb.
pub(super) fn run(args: &New) -> anyhow::Result<()> {
    let screen = Screen::plain(args.quiet);
    let name = AppName::parse(&args.name)
        .map_err(|error| Refused(format!("`{}` cannot name an app: {error}", args.name)))?;
    let directory = PathBuf::from(name.as_str());
    if directory.exists() {
        return Err(Refused(format!(
            "`{}` exists already; choose another name or move it away",
            directory.display()
        ))
        .into());
    }
    let sdk = args.sdk.as_deref().map(given_sdk).transpose()?;
    let uses_sdk = matches!(args.template, Template::Http);
    if uses_sdk && name.as_str() == SDK_FOLDER {
        let why = format!("`{SDK_FOLDER}` cannot name an app: the SDK in it has this name");
        return Err(Refused(why).into());
    }
    if uses_sdk && sdk.is_none() {
        write_sdk(&directory.join(SDK_FOLDER))?;
    }
    let sdk = sdk.as_deref().unwrap_or(SDK_FOLDER);
    let mut values = Values { name: name.as_str(), sdk, root: "" };
    for (path, text) in files(args.template) {
        write(&directory.join(path), &values.fill(text))?;
    }
    // Where a workspace around it lists it, cargo finds it to be a member, which must not be a
    // workspace itself. Anywhere else it becomes one, and then builds wherever it is moved to.
    if !Project::at(&directory).is_member() {
        values.root = ROOT;
        for (path, text) in files(args.template).iter().filter(|(path, _)| *path == "Cargo.toml") {
            write(&directory.join(path), &values.fill(text))?;
        }
    }
    screen.hint(&format!("made {}/ with:", directory.display()))?;
    for (path, _) in files(args.template) {
        screen.hint(&format!("  {path}"))?;
    }
    if uses_sdk && args.sdk.is_none() {
        screen.hint(&format!("  {SDK_FOLDER}/"))?;
    }
    screen.hint(&format!("\nnext:\n  cd {name}\n  steerage up"))
}

fn files(template: Template) -> &'static [File] {
    match template {
        Template::Http => HTTP,
        Template::Cgi => CGI,
    }
}

impl Values<'_> {
    fn fill(&self, text: &str) -> String {
        // TOML basic strings escape as Rust's debug form does for any path people have.
        text.replace("{{name}}", self.name)
            .replace("{{sdk}}", &format!("{{ path = {:?} }}", self.sdk))
            .replace("{{root}}", self.root.trim_end())
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
    }
}

/// The SDK in a directory that was named, as seen from the app: a relative path stays one, so that
/// both can be moved together.
fn given_sdk(given: &Path) -> anyhow::Result<String> {
    if !given.join("Cargo.toml").is_file() {
        return Err(
            Refused(format!("`{}` is not the SDK: it has no Cargo.toml", given.display())).into()
        );
    }
    let from_app = if given.is_absolute() {
        Cow::Borrowed(given)
    } else {
        Cow::Owned(Path::new("..").join(given))
    };
    Ok(from_app.display().to_string())
}

fn write_sdk(folder: &Path) -> anyhow::Result<()> {
    let values = Values { name: "", sdk: "", root: "" };
    for (path, text) in SDK_PACKAGE {
        write(&folder.join(path), &values.fill(text))?;
    }
    for (path, text) in SDK_SOURCES {
        write(&folder.join(path), text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot make directory `{}`", parent.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use toml::de::{DeTable, DeValue};

    use super::*;
    use crate::manifest;

    fn assert_toml(path: &str, text: &str) {
        if let Err(error) = DeTable::parse(text) {
            panic!("{path}: {error}");
        }
    }

    #[test]
    fn every_placeholder_of_every_template_is_filled() {
        let values = Values { name: "hello", sdk: "../sdk", root: ROOT };
        for (path, text) in HTTP.iter().chain(CGI).chain(SDK_PACKAGE) {
            let filled = values.fill(text);
            assert!(!filled.contains("{{") && !filled.contains("}}"), "{path}: {filled}");
            if Path::new(path).extension().is_some_and(|extension| extension == "toml") {
                assert_toml(path, &filled);
            }
            if *path == "steerage.toml" {
                let manifest = manifest::read(&filled, &Default::default()).unwrap();
                assert_eq!(manifest.name.as_str(), "hello");
            }
        }
    }

    #[test]
    fn the_sdk_that_is_carried_needs_what_the_one_of_this_source_needs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        let values = Values { name: "", sdk: "", root: "" };
        let texts = [read("Cargo.toml"), read("sdk/Cargo.toml"), values.fill(SDK_PACKAGE[0].1)];
        let [shared, own, carried] =
            texts.each_ref().map(|text| DeTable::parse(text).unwrap().into_inner());
        let keys = |table: &DeTable<'_>, section: &str| -> Vec<String> {
            inner(table, section).keys().map(|key| key.get_ref().to_string()).collect()
        };
        for section in ["features", "dependencies"] {
            assert_eq!(keys(&carried, section), keys(&own, section));
        }
        let shared = inner(inner(&shared, "workspace"), "dependencies");
        for name in keys(&own, "dependencies") {
            if name != "steerage-sdk-macros" {
                let dependencies = inner(&carried, "dependencies");
                assert_eq!(version(dependencies, &name), version(shared, &name), "{name}");
            }
        }
    }

    fn inner<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> &'t DeTable<'i> {
        match table.get(key).unwrap().get_ref() {
            DeValue::Table(table) => table,
            other => panic!("{key} is {other:?}"),
        }
    }

    fn version(dependencies: &DeTable<'_>, name: &str) -> String {
        match dependencies.get(name).unwrap().get_ref() {
            DeValue::String(version) => version.to_string(),
            _ => version(inner(dependencies, name), "version"),
        }
    }

    #[test]
    fn the_whole_sdk_is_carried() {
        let folder = tempfile::tempdir().unwrap();
        write_sdk(folder.path()).unwrap();
        for file in ["src/lib.rs", "src/router/table.rs", "macros/src/lib.rs", "macros/Cargo.toml"]
        {
            assert!(folder.path().join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn a_directory_without_a_package_is_not_the_sdk() {
        let directory = tempfile::tempdir().unwrap();
        let error = given_sdk(directory.path()).unwrap_err();
        assert!(error.to_string().contains("has no Cargo.toml"), "{error}");
    }
}
