//! The apps that a manifest file describes, as the verbs that work on a directory see them: one of
//! `steerage.toml`, one for each component of `spin.toml`.
//! Reads and checks; does not build and does not deploy.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use steerage_core::limits::LimitsPolicy;
use steerage_core::manifest::{Manifest, VariableName};

use super::ending::{BadManifest, Misused, Refused};
use super::variables;
use crate::manifest::{self, Mistakes, Overrides};

/// What a manifest is called where nobody says otherwise.
const FILE_NAME: &str = "steerage.toml";
/// What one of Spin's is called, which is read where there is none of ours.
const SPIN_FILE_NAME: &str = "spin.toml";

/// A manifest and where it was found.
#[derive(Debug)]
pub(super) struct App {
    /// What the manifest says.
    pub(super) manifest: Manifest,
    /// What was written, as it is sent to the host: with what variables are set to.
    pub(super) text: String,
    /// What was written, as it is in its file.
    pub(super) written: String,
    /// What is given here for its secrets, which is not sent with it.
    pub(super) secrets: BTreeMap<VariableName, String>,
    directory: PathBuf,
}

/// What a manifest file describes.
#[derive(Debug)]
pub(super) struct AppSet {
    /// Its apps: one at least.
    pub(super) apps: Vec<App>,
    /// What of a manifest of Spin's makes no difference here.
    pub(super) notes: Vec<String>,
}

impl App {
    /// Reads the manifest in this file, or in this directory.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        Self::read_with(path, &Overrides::default())
    }

    /// The same, with what flags say in place of it.
    pub(super) fn read_with(path: &Path, overrides: &Overrides<'_>) -> anyhow::Result<Self> {
        let mut all = Self::read_all(path, overrides)?;
        match (all.apps.pop(), all.apps.len()) {
            (Some(app), 0) => Ok(app),
            (_, others) => {
                let file = manifest_file(path);
                Err(Misused(format!(
                    "`{}` has {} components with a route, and this works on one: `steerage deploy`, \
                     `build` and `validate` take all",
                    file.display(),
                    others + 1
                ))
                .into())
            }
        }
    }

    /// All apps of the manifest in this file, or in this directory: one at least.
    pub(super) fn read_all(path: &Path, overrides: &Overrides<'_>) -> anyhow::Result<AppSet> {
        let path = manifest_file(path);
        let text = fs::read_to_string(&path).with_context(|| unreadable(&path))?;
        let file = path.display().to_string();
        let bad = |mistakes| BadManifest { file: file.clone(), mistakes };
        overrides.variables.map_or(Ok(()), |flags| variables::check_flags(flags, &text))?;
        let given = variables::given(overrides.variables, &directory_of(&path))?;
        let overrides = &Overrides { variables: Some(&given), ..*overrides };
        if !manifest::is_spin(&text) {
            let app = Self::of(text, &path, overrides, bad)?;
            return Ok(AppSet { apps: vec![app], notes: Vec::new() });
        }
        let spin = manifest::read_spin(&text, &given).map_err(bad)?;
        if spin.manifests.len() != 1 && !overrides.is_as_written() {
            let told = "--name, --route and --host are for an app of one component";
            return Err(Misused(told.to_owned()).into());
        }
        let apps = spin.manifests.into_iter().map(|text| Self::of(text, &path, overrides, bad));
        let apps = apps.collect::<anyhow::Result<Vec<_>>>()?;
        if apps.is_empty() {
            return Err(Refused(format!("`{file}` has no component with a route")).into());
        }
        Ok(AppSet { apps, notes: spin.notes })
    }

    fn of(
        written: String,
        path: &Path,
        overrides: &Overrides<'_>,
        bad: impl Fn(Mistakes) -> BadManifest,
    ) -> anyhow::Result<Self> {
        let cannot = || format!("the flags cannot be put into `{}`", path.display());
        let of_variables = Overrides { variables: overrides.variables, ..Overrides::default() };
        // What is no TOML says more where it is read.
        let mut text = of_variables.apply(&written).unwrap_or_else(|_| written.clone());
        let mut manifest = read(&text).map_err(bad)?;
        if !overrides.is_as_written() {
            text = overrides.apply(&text).with_context(cannot)?;
            manifest = read(&text).map_err(|mistakes| refused(&mistakes))?;
        }
        let given = overrides.variables;
        let secrets = manifest
            .secrets()
            .filter_map(|(name, _)| Some((name.clone(), given?.get(name.as_str())?.clone())));
        let secrets = secrets.collect();
        Ok(Self { manifest, text, written, secrets, directory: directory_of(path) })
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
        let (written, secrets) = (text.clone(), BTreeMap::new());
        Ok(Self { manifest, text, written, secrets, directory: directory_of(component) })
    }

    /// Its environment, as far as it is known here.
    pub(super) fn env(&self) -> BTreeMap<String, String> {
        let secret = |name: &VariableName| self.secrets.get(name).map(String::as_str);
        let filled = self.manifest.secret_env.iter();
        let filled = filled.filter_map(|(name, it)| Some((name.clone(), it.fill(secret).ok()?)));
        self.manifest.env.clone().into_iter().chain(filled).collect()
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
    let path = if path.is_dir() { path.join(FILE_NAME) } else { path.to_path_buf() };
    let is_ours = path.file_name().is_some_and(|name| name == FILE_NAME);
    let of_spin = path.with_file_name(SPIN_FILE_NAME);
    if is_ours && !path.exists() && of_spin.is_file() { of_spin } else { path }
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
