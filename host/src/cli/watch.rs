//! Notices that an app's sources changed, and waits until the editor is done writing them.
//! Does not look at what build tools write: reacting to that would never end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// How long nothing must change before a change counts as finished. Editors and version control
/// write many files in a row; a person does not notice this wait.
const QUIET: Duration = Duration::from_millis(200);

/// Changes that may wait to be looked at. More say nothing new: one is enough to build again.
const WAITING_CHANGES: usize = 256;

/// A watch on an app's directory.
#[derive(Debug)]
pub(super) struct Watch {
    root: PathBuf,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    changes: mpsc::Receiver<PathBuf>,
}

impl Watch {
    /// Starts to watch this directory.
    pub(super) fn start(root: &Path) -> anyhow::Result<Self> {
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot find directory `{}`", root.display()))?;
        let (sender, changes) = mpsc::channel(WAITING_CHANGES);
        let base = root.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_) | EventKind::Other) {
                return;
            }
            for path in event.paths.iter().filter(|path| is_source(&base, path)) {
                // A full channel already holds the news that something changed.
                sender.try_send(path.clone()).ok();
            }
        })
        .context("cannot watch files on this system")?;
        let mut watch = Self { root, watcher, watched: BTreeSet::new(), changes };
        let root = watch.root.clone();
        watch
            .watcher
            .watch(&root, RecursiveMode::NonRecursive)
            .with_context(|| format!("cannot watch `{}`", root.display()))?;
        watch.follow_directories()?;
        Ok(watch)
    }

    /// Waits for changes to come and to stop; returns what changed, relative to the directory.
    pub(super) async fn next(&mut self) -> anyhow::Result<BTreeSet<PathBuf>> {
        let mut changed = BTreeSet::new();
        let first = self.changes.recv().await.context("the watch on the sources ended")?;
        changed.insert(self.relative(first));
        while let Ok(Some(path)) = tokio::time::timeout(QUIET, self.changes.recv()).await {
            changed.insert(self.relative(path));
        }
        self.follow_directories()?;
        Ok(changed)
    }

    fn relative(&self, path: PathBuf) -> PathBuf {
        path.strip_prefix(&self.root).map(Path::to_path_buf).unwrap_or(path)
    }

    /// Watches each directory of sources by itself. Watching the root recursively would also
    /// watch `target`, thousands of directories that change in every build.
    fn follow_directories(&mut self) -> anyhow::Result<()> {
        let entries = fs::read_dir(&self.root)
            .with_context(|| format!("cannot list `{}`", self.root.display()))?;
        let mut present = BTreeSet::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && is_source(&self.root, &path) {
                present.insert(path);
            }
        }
        for path in present.difference(&self.watched) {
            self.watcher
                .watch(path, RecursiveMode::Recursive)
                .with_context(|| format!("cannot watch `{}`", path.display()))?;
        }
        self.watched = present;
        Ok(())
    }
}

/// Whether a change of this path is one of the sources: not hidden, not made by building.
fn is_source(root: &Path, path: &Path) -> bool {
    let Ok(relative) = path.strip_prefix(root) else { return false };
    let made = relative.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name.starts_with('.') || name == "target" || name == "node_modules"
    });
    let name = relative.to_string_lossy();
    let scratch = name.ends_with('~') || name.ends_with(".wasm") || name.ends_with(".lock");
    !made && !scratch && !relative.as_os_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_building_makes_is_no_source() {
        let root = Path::new("/app");
        for source in ["src/lib.rs", "steerage.toml", "static/logo.svg", "src/target.rs"] {
            assert!(is_source(root, &root.join(source)), "{source}");
        }
        let made =
            ["target/debug/x", ".git/index", "app.wasm", "Cargo.lock", "src/.lib.rs.swp", "a~"];
        for made in made {
            assert!(!is_source(root, &root.join(made)), "{made}");
        }
        assert!(!is_source(root, Path::new("/elsewhere/lib.rs")));
    }

    #[tokio::test]
    async fn a_change_in_a_new_directory_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = Watch::start(directory.path()).unwrap();
        fs::create_dir(directory.path().join("src")).unwrap();
        assert_eq!(watch.next().await.unwrap(), BTreeSet::from([PathBuf::from("src")]));
        fs::write(directory.path().join("src/lib.rs"), "//").unwrap();
        assert_eq!(watch.next().await.unwrap(), BTreeSet::from([PathBuf::from("src/lib.rs")]));
    }
}
