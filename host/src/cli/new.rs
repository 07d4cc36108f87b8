//! `steerage new`: a directory with a small app that builds and runs as it is.
//! Makes files only; it installs nothing and starts nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
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

/// The SDK beside the source this program was built from: gone on any other machine.
const SDK_OF_THIS_SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");

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
    let sdk = sdk_dependency(args.sdk.as_deref())?;
    for (path, text) in files(args.template) {
        write(&directory.join(path), &fill(text, name.as_str(), &sdk))?;
    }
    screen.hint(&format!("made {}/ with:", directory.display()))?;
    for (path, _) in files(args.template) {
        screen.hint(&format!("  {path}"))?;
    }
    screen.hint(&format!("\nnext:\n  cd {name}\n  steerage up"))
}

fn files(template: Template) -> &'static [File] {
    match template {
        Template::Http => HTTP,
        Template::Cgi => CGI,
    }
}

fn fill(text: &str, name: &str, sdk: &str) -> String {
    text.replace("{{name}}", name).replace("{{sdk}}", sdk)
}

/// The value of the SDK's line in `[dependencies]`: a directory where one is known.
fn sdk_dependency(given: Option<&Path>) -> anyhow::Result<String> {
    let directory = match given {
        Some(given) => given
            .canonicalize()
            .with_context(|| format!("cannot find the SDK in `{}`", given.display()))?,
        None => match Path::new(SDK_OF_THIS_SOURCE).canonicalize() {
            Ok(beside) => beside,
            Err(_) => return Ok(format!("{:?}", env!("CARGO_PKG_VERSION"))),
        },
    };
    if !directory.join("Cargo.toml").is_file() {
        return Err(Refused(format!(
            "`{}` is not the SDK: it has no Cargo.toml",
            directory.display()
        ))
        .into());
    }
    // TOML basic strings escape as Rust's debug form does for any path people have.
    Ok(format!("{{ path = {:?} }}", directory.display().to_string()))
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
    use super::*;
    use crate::manifest;

    fn assert_toml(path: &str, text: &str) {
        if let Err(error) = toml::de::DeTable::parse(text) {
            panic!("{path}: {error}");
        }
    }

    #[test]
    fn every_placeholder_of_every_template_is_filled() {
        for (path, text) in HTTP.iter().chain(CGI) {
            let filled = fill(text, "hello", "\"0.1\"");
            assert!(!filled.contains("{{"), "{path}: {filled}");
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
    fn a_source_build_uses_the_sdk_beside_it() {
        assert_toml("the SDK's line", &format!("sdk = {}", sdk_dependency(None).unwrap()));
    }

    #[test]
    fn a_directory_without_a_package_is_not_the_sdk() {
        let directory = tempfile::tempdir().unwrap();
        let error = sdk_dependency(Some(directory.path())).unwrap_err();
        assert!(error.to_string().contains("has no Cargo.toml"), "{error}");
    }
}
