//! The app that a manifest file describes, as the verbs that work on a directory see it.
//! Reads and checks; does not build and does not deploy.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use steerage_core::manifest::Manifest;

use crate::manifest;

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
        let path = if path.is_dir() { path.join("steerage.toml") } else { path.to_path_buf() };
        let text = fs::read_to_string(&path).with_context(|| {
            format!("cannot read manifest `{}`; `steerage new` makes one", path.display())
        })?;
        let manifest = manifest::read(&text)
            .with_context(|| format!("manifest `{}` cannot be used", path.display()))?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        Ok(Self { manifest, text, directory })
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
        self.manifest.build_command.as_deref()
    }
}
