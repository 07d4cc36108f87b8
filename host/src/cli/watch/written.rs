//! What changed while a build ran: written by somebody, or by the build itself.
//! Does not read files: it compares what was seen before with what was seen after.
//!
//! Nobody tells which of the two it was, and both mistakes are bad: taking the build's for somebody's
//! builds for ever, the reverse forgets what a person saved. So a file is taken for somebody's at
//! first, which costs one build, and for the build's when that does not end it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::sources::Snapshot;

/// How the app is built, as far as it says what a build writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builder {
    /// Cargo writes into its own directory, and next to nothing among the sources.
    Cargo,
    /// A command writes where it likes: bundles, generated code.
    Command,
}

/// How often a file may change at once after a build that led to nothing, and be somebody's.
const ECHOES: u32 = 3;

/// Who writes which file, as far as that shows.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// How often each changed while a build ran, since it last changed while none did.
    times: BTreeMap<PathBuf, u32>,
    /// How often each changed at once after such a build, one build after the other. What changes more
    /// often is the work of whoever reads what is printed about builds, `tee` for one.
    echoes: BTreeMap<PathBuf, u32>,
}

/// What a build leaves behind for its author.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// What somebody may have changed meanwhile: build again.
    pub(crate) by_somebody: BTreeSet<PathBuf>,
    /// What is from now on taken for the build's own.
    pub(crate) newly_own: BTreeSet<PathBuf>,
}

impl Builder {
    /// How often a file is taken for somebody's.
    fn benefit_of_doubt(self) -> u32 {
        match self {
            Self::Cargo => 3,
            Self::Command => 1,
        }
    }
}

impl Written {
    /// Sorts what changed while a build ran.
    pub(crate) fn during_build(
        &mut self,
        builder: Builder,
        before: &Snapshot,
        after: &Snapshot,
    ) -> Changes {
        let mut changes = Changes::default();
        for (path, is_new_or_gone) in changed_content(before, after) {
            if self.is_echo(&path) {
                continue;
            }
            let is_own = is_new_or_gone && builder == Builder::Command;
            let times = self.times.entry(path.clone()).or_default();
            *times += 1;
            let doubt = builder.benefit_of_doubt();
            if is_own {
                *times = doubt + 1;
            } else if *times <= doubt {
                changes.by_somebody.insert(path);
            } else if *times == doubt + 1 {
                changes.newly_own.insert(path);
            }
        }
        changes
    }

    /// Files changed while no build ran, so somebody writes them. Leaves those that say nothing but
    /// that a build ended, and says which of them are from now on taken for such.
    pub(crate) fn after_build(
        &mut self,
        is_at_once: bool,
        touched: &mut BTreeSet<PathBuf>,
    ) -> BTreeSet<PathBuf> {
        touched.retain(|path| !self.is_echo(path));
        for path in &*touched {
            self.times.remove(path);
            if is_at_once {
                *self.echoes.entry(path.clone()).or_default() += 1;
            }
        }
        self.echoes.retain(|path, times| *times > ECHOES || (is_at_once && touched.contains(path)));
        touched.iter().filter(|path| self.is_echo(path)).cloned().collect()
    }

    /// Whether the file says nothing but that builds end.
    fn is_echo(&self, path: &Path) -> bool {
        self.echoes.get(path).is_some_and(|times| *times > ECHOES)
    }
}

/// What has another content, and whether it came or went altogether.
fn changed_content(before: &Snapshot, after: &Snapshot) -> Vec<(PathBuf, bool)> {
    let paths: BTreeSet<&PathBuf> = before.files.keys().chain(after.files.keys()).collect();
    let changed = paths.into_iter().filter_map(|path| {
        match (before.files.get(path), after.files.get(path)) {
            (Some(before), Some(after)) if before.content == after.content => None,
            (Some(_), Some(_)) => Some((path.clone(), false)),
            _ => Some((path.clone(), true)),
        }
    });
    changed.collect()
}

/// What was touched at all: while no build runs that is a wish to build.
pub(crate) fn touched(before: &Snapshot, after: &Snapshot) -> BTreeSet<PathBuf> {
    let paths = before.files.keys().chain(after.files.keys());
    paths.filter(|path| before.files.get(*path) != after.files.get(*path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::sources::Sources;
    use super::*;

    /// A folder of sources, looked at before and after each change.
    struct Folder {
        folder: tempfile::TempDir,
        sources: Sources,
        seen: Snapshot,
        written: Written,
    }

    impl Folder {
        fn with(files: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let sources = Sources::of(&folder.path().join("steerage.toml"), &[], &[]).unwrap();
            let (seen, written) = (Snapshot::default(), Written::default());
            let mut folder = Self { folder, sources, seen, written };
            files.iter().for_each(|file| folder.write(file, "first"));
            folder.seen = folder.sources.scan(&folder.seen);
            folder
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.folder.path().join(file), text).unwrap();
        }

        fn names(&self, paths: &BTreeSet<PathBuf>) -> Vec<String> {
            let relative = paths.iter().map(|path| path.strip_prefix(self.folder.path()).unwrap());
            relative.map(|path| path.display().to_string()).collect()
        }

        /// What a build that wrote these leads to.
        fn build(&mut self, builder: Builder, files: &[(&str, &str)]) -> Vec<String> {
            files.iter().for_each(|(file, text)| self.write(file, text));
            let after = self.sources.scan(&self.seen);
            let changes = self.written.during_build(builder, &self.seen, &after);
            self.seen = after;
            self.names(&changes.by_somebody)
        }

        fn edit(&mut self, file: &str, text: &str) {
            self.write(file, text);
            let after = self.sources.scan(&self.seen);
            let mut touched = touched(&self.seen, &after);
            assert_eq!(self.names(&touched), [file]);
            self.written.after_build(false, &mut touched);
            self.seen = after;
        }
    }

    #[test]
    fn a_bundle_is_never_a_reason_to_build() {
        let mut app = Folder::with(&["main.ts"]);
        for text in ["1", "2", "3"] {
            assert!(app.build(Builder::Command, &[("bundle.js", text)]).is_empty());
        }
    }

    #[test]
    fn a_bundle_that_was_there_is_a_reason_once() {
        let mut app = Folder::with(&["main.ts", "bundle.js"]);
        assert_eq!(app.build(Builder::Command, &[("bundle.js", "1")]), ["bundle.js"]);
        for text in ["2", "3"] {
            assert!(app.build(Builder::Command, &[("bundle.js", text)]).is_empty());
        }
        app.edit("main.ts", "second");
        assert!(app.build(Builder::Command, &[("bundle.js", "4")]).is_empty());
    }

    #[test]
    fn what_is_written_again_as_it_was_is_no_change() {
        let mut app = Folder::with(&["api.ts"]);
        assert!(app.build(Builder::Command, &[("api.ts", "first")]).is_empty());
        assert!(app.build(Builder::Cargo, &[("api.ts", "first")]).is_empty());
    }

    #[test]
    fn what_is_saved_while_a_build_runs_is_built() {
        let mut app = Folder::with(&["lib.rs"]);
        for text in ["1", "2", "3"] {
            assert_eq!(app.build(Builder::Cargo, &[("lib.rs", text)]), ["lib.rs"]);
        }
        assert!(app.build(Builder::Cargo, &[("lib.rs", "4")]).is_empty(), "a script writes it");
        app.edit("lib.rs", "by hand");
        assert_eq!(app.build(Builder::Cargo, &[("lib.rs", "5")]), ["lib.rs"]);
        assert_eq!(app.build(Builder::Cargo, &[("new.rs", "1")]), ["new.rs"]);
        let mut app = Folder::with(&["main.py"]);
        assert_eq!(app.build(Builder::Command, &[("main.py", "1")]), ["main.py"]);
    }

    #[test]
    fn what_changes_at_once_after_each_build_is_no_reason_for_another() {
        let mut written = Written::default();
        let all = |names: &[&str]| names.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        let mut after = |is_at_once, names: &[&str]| {
            let mut touched = all(names);
            let newly_own = written.after_build(is_at_once, &mut touched);
            (touched, newly_own)
        };
        for _ in 0..3 {
            assert_eq!(after(true, &["up.log"]), (all(&["up.log"]), all(&[])));
        }
        // A person is not that quick each time.
        assert_eq!(after(false, &["lib.rs"]), (all(&["lib.rs"]), all(&[])));
        for _ in 0..3 {
            assert_eq!(after(true, &["lib.rs", "up.log"]), (all(&["lib.rs", "up.log"]), all(&[])));
        }
        assert_eq!(after(true, &["up.log"]), (all(&["up.log"]), all(&["up.log"])));
        // From now on it may change when it likes: what an app prints is in it too.
        assert_eq!(after(false, &["up.log"]), (all(&[]), all(&[])));
        assert_eq!(after(true, &["lib.rs", "up.log"]), (all(&["lib.rs"]), all(&[])));
    }
}
