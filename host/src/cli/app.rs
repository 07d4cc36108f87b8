//! The app that a manifest file describes, as the verbs that work on a directory see it.
//! Reads and checks; does not build and does not deploy.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use steerage_core::limits::LimitsPolicy;
use steerage_core::manifest::Manifest;

use super::ending::{BadManifest, Refused};
use crate::manifest::{self, Mistakes, Overrides};

/// What a manifest is called where nobody says otherwise.
const FILE_NAME: &str = "steerage.toml";

/// A manifest and where it was found.
#[derive(Debug)]
pub(super) struct App {
    /// What the manifest says.
    pub(super) manifest: Manifest,
    /// What was written, as it is sent to the host.
    pub(super) text: String,
    directory: PathBuf,
}

impl App {
    /// Reads the manifest in this file, or in this directory.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        Self::read_with(path, &Overrides::default())
    }

    /// The same, with what flags say in place of it.
    pub(super) fn read_with(path: &Path, overrides: &Overrides<'_>) -> anyhow::Result<Self> {
        let path = manifest_file(path);
        let mut text = fs::read_to_string(&path).with_context(|| unreadable(&path))?;
        let file = path.display().to_string();
        let mut manifest =
            read(&text).map_err(|mistakes| BadManifest { file: file.clone(), mistakes })?;
        if !overrides.is_empty() {
            text = overrides
                .apply(&text)
                .with_context(|| format!("the flags cannot be put into `{file}`"))?;
            manifest = read(&text).map_err(|mistakes| refused(&mistakes))?;
        }
        Ok(Self { manifest, text, directory: directory_of(&path) })
    }

    /// An app of one component and one route, as the flags of `deploy` describe it.
    pub(super) fn bare(
        component: &Path,
        name: &str,
        route: &str,
        host: Option<&str>,
    ) -> anyhow::Result<Self> {
        let file = component.file_name().unwrap_or(component.as_os_str()).to_string_lossy();
        let text = manifest::bare(name, &file, host, route);
        let manifest = read(&text).map_err(|mistakes| refused(&mistakes))?;
        Ok(Self { manifest, text, directory: directory_of(component) })
    }

    /// The directory the manifest is in; its paths are relative to it.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the component is, or will be once it is built.
    pub(super) fn source(&self) -> PathBuf {
        self.directory.join(&self.manifest.source)
    }

    /// The shell command that builds the component, if the manifest has one.
    pub(super) fn build_command(&self) -> Option<&str> {
        self.manifest.build.command.as_deref()
    }

    /// What the manifest says to watch in place of the whole directory.
    pub(super) fn watched(&self) -> &[String] {
        &self.manifest.build.watch
    }
}

/// What to do about a manifest that cannot be read: often one is there, a directory higher.
fn unreadable(path: &Path) -> String {
    let file = path.display();
    let directory = directory_of(path).canonicalize().ok();
    let above = directory.iter().flat_map(|directory| directory.ancestors().skip(1));
    match above.map(|directory| directory.join(FILE_NAME)).find(|above| above.is_file()) {
        Some(above) if !path.exists() => {
            format!(
                "cannot read manifest `{file}`; there is one above, for `-f {}`",
                above.display()
            )
        }
        _ => format!("cannot read manifest `{file}`; `steerage new` makes one"),
    }
}

/// Mistakes in what flags said, each beside its flag.
fn refused(mistakes: &Mistakes) -> Refused {
    let lines = mistakes.iter().map(|mistake| {
        let flag = match mistake.key.as_str() {
            "name" => "--name",
            key if key.ends_with("host") => "--host",
            key if key.ends_with("path") => "--route",
            key => key,
        };
        format!("{flag}: {}", mistake.message)
    });
    Refused(lines.collect::<Vec<_>>().join("\n"))
}

/// What is too much for the host that it is sent to, only that host can say.
fn read(text: &str) -> Result<Manifest, Mistakes> {
    manifest::read(text, &LimitsPolicy::default())
}

/// The manifest that a path means: a file, or the one in a directory.
pub(super) fn manifest_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE_NAME) } else { path.to_path_buf() }
}

/// The directory a file is in, never the empty path.
pub(super) fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_bare_component_lies_where_it_was_named() {
        let app = App::bare(Path::new("out/app.wasm"), "echo", "/echo/...", None).unwrap();
        assert_eq!(app.source(), Path::new("out/app.wasm"));
        assert_eq!(app.manifest.name.as_str(), "echo");
    }

    #[test]
    fn mistakes_of_a_bare_component_name_the_flag() {
        let app = App::bare(Path::new("app.wasm"), "../up", "echo", Some("a..b"));
        expect![[r#"
            --name: "../up" is not an app name: only a-z, 0-9 and - are allowed
            --host: "a..b" is not a host: each label has 1 to 63 characters
            --route: "echo" is not a route's path: it must start with /"#]]
        .assert_eq(&app.unwrap_err().to_string());
    }
}
