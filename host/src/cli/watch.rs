//! Notices that an app's sources changed, and waits until whoever writes them is done.
//! The system only says when to look; what changed is found by comparing (`sources`), and whether it
//! counts by knowing when builds ran (`written`).

mod sources;
mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::sources::Snapshot;
pub(super) use self::sources::Sources;
pub(super) use self::written::Builder;
use self::written::{Changes, Written};

/// How long nothing must change before a change counts as finished. Editors and version control
/// write many files in a row; a person does not notice this wait.
const QUIET: Duration = Duration::from_millis(200);

/// The longest wait for that: something may be written all the time.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What changes so soon after a build that led to nothing may be an answer to what was said of it.
/// Longer than [`QUIET`], which passes before a change is seen; shorter than a person takes.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A watch on an app's sources.
#[derive(Debug)]
pub(super) struct Watch {
    sources: Sources,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    /// Says that something changed, once however much did.
    changes: mpsc::Receiver<()>,
    seen: Snapshot,
    written: Written,
    /// Changed while the last build ran, and not built yet.
    unbuilt: BTreeSet<PathBuf>,
    /// Changed at once after so many builds that it says nothing, and not told yet.
    echoes: BTreeSet<PathBuf>,
    /// When it was said of the last build that it led to nothing new, if it was.
    futile_at: Option<Instant>,
}

impl Watch {
    /// Starts to watch these.
    pub(super) fn start(sources: Sources) -> anyhow::Result<Self> {
        let (sender, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if !matches!(event.kind, EventKind::Access(_) | EventKind::Other) {
                // A full channel already holds the news that something changed.
                sender.try_send(()).ok();
            }
        })
        .context("cannot watch files on this system")?;
        let (watched, seen) = (BTreeSet::new(), Snapshot::default());
        let (written, unbuilt) = (Written::default(), BTreeSet::new());
        let (echoes, futile_at) = (BTreeSet::new(), None);
        let mut watch =
            Self { sources, watcher, watched, changes, seen, written, unbuilt, echoes, futile_at };
        watch.seen = watch.look()?;
        Ok(watch)
    }

    /// Watches these from now on. Of what was watched before, nothing is taken for seen that was
    /// not: somebody may have saved it a moment ago. Says whether they are others than before.
    pub(super) fn follow(&mut self, sources: Sources) -> anyhow::Result<bool> {
        if self.sources.said == sources.said {
            return Ok(false);
        }
        self.sources = sources;
        let mut now = self.look()?;
        for (path, stamp) in &mut now.files {
            if let Some(seen) = self.seen.files.get(path) {
                stamp.clone_from(seen);
            }
        }
        self.seen = now;
        Ok(true)
    }

    /// A build begins: what changed until now, it sees.
    pub(super) fn build_begins(&mut self) -> anyhow::Result<()> {
        self.seen = self.look()?;
        self.unbuilt.clear();
        Ok(())
    }

    /// A build ended. Returns what is from now on taken for what changes with each build, and is no
    /// source.
    pub(super) fn build_ended(&mut self, builder: Builder) -> anyhow::Result<BTreeSet<PathBuf>> {
        let now = self.look()?;
        let Changes { by_somebody, mut newly_own } =
            self.written.during_build(builder, &self.seen, &now);
        self.seen = now;
        self.unbuilt = by_somebody;
        newly_own.append(&mut self.echoes);
        Ok(newly_own)
    }

    /// It was said what the build led to: something new to serve, or nothing.
    pub(super) fn said(&mut self, is_new: bool) {
        self.futile_at = (!is_new).then(Instant::now);
    }

    /// Waits for changes to come and to stop; returns what changed.
    pub(super) async fn next(&mut self) -> anyhow::Result<BTreeSet<PathBuf>> {
        if !self.unbuilt.is_empty() {
            return Ok(std::mem::take(&mut self.unbuilt));
        }
        loop {
            self.changes.recv().await.context("the watch on the sources ended")?;
            let latest = Instant::now() + LONGEST_WAIT;
            while Instant::now() < latest
                && let Ok(Some(())) = tokio::time::timeout(QUIET, self.changes.recv()).await
            {
            }
            let now = self.look()?;
            let mut touched = written::touched(&self.seen, &now);
            self.seen = now;
            let is_at_once = self.futile_at.is_some_and(|said_at| said_at.elapsed() < AT_ONCE);
            let mut echoes = self.written.after_build(is_at_once, &mut touched);
            self.echoes.append(&mut echoes);
            if !touched.is_empty() {
                return Ok(touched);
            }
        }
    }

    /// How the sources are now, all their directories being watched.
    fn look(&mut self) -> anyhow::Result<Snapshot> {
        loop {
            let now = self.sources.scan(&self.seen);
            if !self.watch_directories(&now.directories)? {
                return Ok(now);
            }
            // What came into a new directory before it was watched is seen by looking again.
        }
    }

    /// Watches each directory by itself; says whether there were new ones. Watching the root
    /// recursively would also watch `target`, thousands of directories that change in every build.
    fn watch_directories(&mut self, directories: &BTreeSet<PathBuf>) -> anyhow::Result<bool> {
        for gone in self.watched.difference(directories) {
            // The system forgets a directory that was removed before we do.
            self.watcher.unwatch(gone).ok();
        }
        self.watched.retain(|path| directories.contains(path));
        let new: Vec<PathBuf> = directories.difference(&self.watched).cloned().collect();
        let found_new = !new.is_empty();
        for path in new {
            match self.watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.watched.insert(path),
                // It was there a moment ago, and is looked for again with the next change.
                Err(_) if !path.exists() => return Ok(false),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot watch `{}`", path.display()));
                }
            }
        }
        Ok(found_new)
    }
}

/// The path as people see it who are in this directory.
pub(super) fn shown(path: &Path, directory: &Path) -> String {
    let path = path.strip_prefix(directory).unwrap_or(path);
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn watch(directory: &Path) -> Watch {
        Watch::start(Sources::of(&directory.join("steerage.toml"), &[], &[]).unwrap()).unwrap()
    }

    fn names(paths: &BTreeSet<PathBuf>, directory: &Path) -> Vec<String> {
        paths.iter().map(|path| shown(path, directory)).collect()
    }

    #[tokio::test]
    async fn a_change_in_a_new_directory_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = watch(folder.path());
        fs::create_dir_all(folder.path().join("src/deep")).unwrap();
        fs::write(folder.path().join("src/deep/lib.rs"), "//").unwrap();
        let changed = watch.next().await.unwrap();
        assert_eq!(names(&changed, folder.path()), ["src/deep/lib.rs"]);
        fs::write(folder.path().join("src/deep/lib.rs"), "// again").unwrap();
        let changed = watch.next().await.unwrap();
        assert_eq!(names(&changed, folder.path()), ["src/deep/lib.rs"]);
    }

    #[tokio::test]
    async fn what_an_editor_makes_and_takes_away_is_not_noticed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("lib.rs"), "//").unwrap();
        let mut watch = watch(folder.path());
        fs::write(folder.path().join("4913"), "").unwrap();
        fs::remove_file(folder.path().join("4913")).unwrap();
        let rename = |text: &str| {
            fs::write(folder.path().join("sedmO5uuk"), text).unwrap();
            fs::rename(folder.path().join("sedmO5uuk"), folder.path().join("lib.rs")).unwrap();
        };
        rename("// by sed");
        let changed = watch.next().await.unwrap();
        assert_eq!(names(&changed, folder.path()), ["lib.rs"]);
    }

    #[tokio::test]
    async fn what_is_saved_while_sources_are_added_is_noticed() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("lib.rs"), "//").unwrap();
        fs::write(other.path().join("shared.rs"), "//").unwrap();
        let mut watch = watch(folder.path());
        fs::write(folder.path().join("lib.rs"), "// saved").unwrap();
        let manifest = folder.path().join("steerage.toml");
        watch.follow(Sources::of(&manifest, &[], &[other.path().to_owned()]).unwrap()).unwrap();
        assert_eq!(names(&watch.next().await.unwrap(), folder.path()), ["lib.rs"]);
        fs::write(other.path().join("shared.rs"), "// saved").unwrap();
        assert_eq!(names(&watch.next().await.unwrap(), other.path()), ["shared.rs"]);
    }

    #[tokio::test]
    async fn what_a_build_writes_is_not_waited_for_and_what_is_saved_meanwhile_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("lib.rs"), "//").unwrap();
        let mut watch = watch(folder.path());
        watch.build_begins().unwrap();
        fs::create_dir(folder.path().join("dist")).unwrap();
        fs::write(folder.path().join("dist/bundle.js"), "1").unwrap();
        watch.build_ended(Builder::Command).unwrap();
        fs::write(folder.path().join("lib.rs"), "// saved").unwrap();
        assert_eq!(names(&watch.next().await.unwrap(), folder.path()), ["lib.rs"]);
        watch.build_begins().unwrap();
        fs::write(folder.path().join("lib.rs"), "// saved while it runs").unwrap();
        watch.build_ended(Builder::Command).unwrap();
        assert_eq!(names(&watch.next().await.unwrap(), folder.path()), ["lib.rs"]);
    }
}
