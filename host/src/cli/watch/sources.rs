//! Which files an app is made from, and how they are now.
//! Does not watch anything and does not know who changed what.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, WalkBuilder};

use crate::ledger;

/// A file of more bytes is told to have changed by its time alone; reading it each time would take
/// longer than many a build.
const LARGEST_READ: u64 = 8 << 20;

/// What has none of an app's sources in it, whatever it is below.
const MADE: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// Where an app's sources are.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    roots: Vec<Root>,
    /// What they were made of: patterns, and what is beside them.
    pub(crate) said: (Vec<String>, Vec<PathBuf>),
}

/// A file, or a directory with all below it that is a source.
#[derive(Clone, Debug)]
struct Root {
    path: PathBuf,
    /// What of it is meant, when its author says so: that goes before all other rules.
    chosen: Option<Override>,
}

/// Files with what they were at one moment, and the directories they can be in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) files: BTreeMap<PathBuf, Stamp>,
    pub(crate) directories: BTreeSet<PathBuf>,
}

/// How a file was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    n_bytes: u64,
    /// A hash of what is in it.
    pub(crate) content: u64,
}

impl Sources {
    /// The sources of the app whose manifest is `manifest`: what `patterns` name, relative to its
    /// directory, or all of the directory when that is nothing; and `others` beside.
    pub(crate) fn of(
        manifest: &Path,
        patterns: &[String],
        others: &[PathBuf],
    ) -> anyhow::Result<Self> {
        let directory = manifest.parent().unwrap_or(manifest);
        let whole = |path: &Path| Root { path: path.to_owned(), chosen: None };
        let mut roots = vec![whole(manifest)];
        if patterns.is_empty() {
            roots.push(whole(directory));
        }
        for pattern in patterns {
            roots.push(Root::of(directory, pattern)?);
        }
        roots.extend(others.iter().map(|path| whole(path)));
        Ok(Self { roots, said: (patterns.to_vec(), others.to_vec()) })
    }

    /// Every root that is not there.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().map(|root| root.path.as_path()).filter(|path| !path.exists())
    }

    /// How they are now. What looks as it did in `before` is taken to have what it had.
    pub(crate) fn scan(&self, before: &Snapshot) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for root in &self.roots {
            root.scan(before, &mut snapshot);
        }
        snapshot
    }
}

impl Root {
    /// The part of the pattern before its first special letter is a place to look at; the rest says
    /// what of it is meant.
    fn of(directory: &Path, pattern: &str) -> anyhow::Result<Self> {
        let is_special = |part: &Component<'_>| {
            part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{'])
        };
        let parts: Vec<_> = Path::new(pattern).components().collect();
        let n_plain = parts.iter().take_while(|part| !is_special(part)).count();
        let (plain, special) = parts.split_at_checked(n_plain).unwrap_or((&parts, &[]));
        let path = clean(&directory.join(plain.iter().collect::<PathBuf>()));
        if special.is_empty() {
            return Ok(Self { path, chosen: None });
        }
        let glob: PathBuf = special.iter().collect();
        let mut chosen = OverrideBuilder::new(&path);
        let chosen = chosen
            // From here on down; without the slash `*.ts` would mean any depth.
            .add(&format!("/{}", glob.display()))
            .and_then(|builder| builder.build())
            .with_context(|| format!("[build] watch has `{pattern}`, which is no pattern"))?;
        Ok(Self { path, chosen: Some(chosen) })
    }

    fn scan(&self, before: &Snapshot, snapshot: &mut Snapshot) {
        let n_before = snapshot.files.len();
        self.walk(true, before, snapshot);
        // Where a directory above says that nothing below it counts, the app is not meant.
        if snapshot.files.len() == n_before && self.chosen.is_none() {
            self.walk(false, before, snapshot);
        }
    }

    fn walk(&self, is_below_others: bool, before: &Snapshot, snapshot: &mut Snapshot) {
        if let Some(parent) = self.path.parent().filter(|_| !self.path.is_dir()) {
            // A file may go away and come back, of which only its directory tells.
            snapshot.directories.insert(parent.to_owned());
        }
        let mut builder = WalkBuilder::new(&self.path);
        builder.ignore(false).parents(is_below_others).require_git(false).follow_links(true);
        if let Some(chosen) = &self.chosen {
            builder.overrides(chosen.clone());
        }
        let is_chosen = self.chosen.is_some();
        builder.filter_entry(move |entry| entry.depth() == 0 || is_source(entry, is_chosen));
        for entry in builder.build().flatten() {
            let path = entry.path();
            if entry.file_type().is_some_and(|kind| kind.is_dir()) {
                snapshot.directories.insert(path.to_owned());
            } else if let Some(stamp) = Stamp::of(path, before.files.get(path)) {
                snapshot.files.insert(path.to_owned(), stamp);
            }
        }
    }
}

impl Stamp {
    fn of(path: &Path, before: Option<&Self>) -> Option<Self> {
        // Reading a pipe or a socket would wait for whoever writes it.
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        if is_own_output(&metadata) {
            return None;
        }
        let (modified, n_bytes) = (metadata.modified().ok(), metadata.len());
        if let Some(before) = before
            && (before.modified, before.n_bytes) == (modified, n_bytes)
        {
            return Some(before.clone());
        }
        let mut hasher = DefaultHasher::new();
        if n_bytes > LARGEST_READ {
            (modified, n_bytes).hash(&mut hasher);
        } else {
            fs::read(path).ok()?.hash(&mut hasher);
        }
        Some(Self { modified, n_bytes, content: hasher.finish() })
    }
}

/// Whether this process prints into the file: it says more with each build.
fn is_own_output(file: &fs::Metadata) -> bool {
    let is_it = |stream| {
        fs::metadata(stream)
            .is_ok_and(|stream| (stream.dev(), stream.ino()) == (file.dev(), file.ino()))
    };
    ["/dev/fd/1", "/dev/fd/2"].into_iter().any(is_it)
}

/// Whether this is a source, or a directory that may have some: not made by building, not what an
/// editor keeps beside a file. Hidden ones do not come here, nor does what `.gitignore` names.
fn is_source(entry: &DirEntry, is_chosen: bool) -> bool {
    let name = entry.file_name().to_string_lossy();
    if entry.file_type().is_some_and(|kind| kind.is_dir()) {
        // What can be made again says so, whatever it is called (bford.info/cachedir); and a host that
        // was started here keeps its data beside the sources.
        let is_marked = |mark| entry.path().join(mark).exists();
        return !MADE.contains(&&*name) && !is_marked("CACHEDIR.TAG") && !is_marked(ledger::FILE);
    }
    let made = [".wasm", ".lock", ".pyc"];
    let scratch = ["~", ".swp", ".tmp", "#"];
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    !ends(&scratch) && (is_chosen || !ends(&made))
}

/// The path without `.` and, where that is plain, without `..`.
fn clean(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for file in files.iter().chain(&["app/steerage.toml"]) {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        (folder, root)
    }

    fn found(root: &Path, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        let sources = Sources::of(&root.join("app/steerage.toml"), &patterns, &[]).unwrap();
        let snapshot = sources.scan(&Snapshot::default());
        let relative = snapshot.files.keys().map(|path| path.strip_prefix(root).unwrap());
        relative.map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn what_building_and_editing_make_is_no_source() {
        let (_folder, root) = app(&[
            "app/src/lib.rs",
            "app/src/target.rs",
            "app/static/logo.svg",
            "app/target/debug/x.rs",
            "app/targetpNu3sr/CACHEDIR.TAG",
            "app/targetpNu3sr/x.rs",
            "app/steerage-data/steerage.redb",
            "app/steerage-data/blobs/x",
            "app/.git/index",
            "app/app.wasm",
            "app/Cargo.lock",
            "app/src/.lib.rs.swp",
            "app/src/lib.rs~",
            "app/__pycache__/app.cpython-314.pyc",
            "app/node_modules/x/index.js",
        ]);
        let expected =
            ["app/src/lib.rs", "app/src/target.rs", "app/static/logo.svg", "app/steerage.toml"];
        assert_eq!(found(&root, &[]), expected);
    }

    #[test]
    fn what_gitignore_names_is_no_source_with_or_without_git() {
        let files = ["app/src/main.ts", "app/dist/bundle.js", "app/src/gen/api.ts", "app/x.log"];
        let (_folder, root) = app(&files);
        fs::write(root.join(".gitignore"), "dist/\n").unwrap();
        fs::write(root.join("app/.gitignore"), "*.log\n").unwrap();
        fs::write(root.join("app/src/.gitignore"), "/gen\n").unwrap();
        let expected = ["app/src/main.ts", "app/steerage.toml"];
        assert_eq!(found(&root, &[]), expected);
        fs::create_dir(root.join(".git")).unwrap();
        assert_eq!(found(&root, &[]), expected);
        // Somebody works in a folder that is ignored as a whole.
        fs::write(root.join(".gitignore"), "*\n").unwrap();
        assert!(found(&root, &[]).contains(&"app/src/main.ts".to_owned()));
    }

    #[test]
    fn what_the_manifest_says_to_watch_is_all_that_is_watched() {
        let (_folder, root) = app(&[
            "app/src/a.ts",
            "app/src/deep/b.ts",
            "app/src/a.css",
            "app/gen/x.wasm",
            "app/other.txt",
            "shared/lib.ts",
            "shared/readme.md",
        ]);
        fs::write(root.join(".gitignore"), "gen/\n").unwrap();
        let check = |patterns: &[&str], expected: &[&str]| {
            let mut found = found(&root, patterns);
            found.retain(|path| path != "app/steerage.toml");
            assert_eq!(found, expected, "{patterns:?}");
        };
        check(&["src"], &["app/src/a.css", "app/src/a.ts", "app/src/deep/b.ts"]);
        check(&["src/*.ts"], &["app/src/a.ts"]);
        check(&["src/**/*.ts"], &["app/src/a.ts", "app/src/deep/b.ts"]);
        check(&["./src/a.css", "../shared/*.ts"], &["app/src/a.css", "shared/lib.ts"]);
        check(&["gen/x.wasm"], &["app/gen/x.wasm"]);
        check(&["*.txt"], &["app/other.txt"]);
        let sources = |pattern: &str| {
            Sources::of(&root.join("app/steerage.toml"), &[pattern.to_owned()], &[])
        };
        assert_eq!(sources("nowhere").unwrap().missing().count(), 1);
        assert!(sources("src/[").unwrap_err().to_string().contains("`src/[`"));
    }

    #[test]
    fn a_file_is_what_is_in_it() {
        let (_folder, root) = app(&["app/a"]);
        let sources = Sources::of(&root.join("app/steerage.toml"), &[], &[]).unwrap();
        let before = sources.scan(&Snapshot::default());
        let file = root.join("app/a");
        let later = SystemTime::now() + std::time::Duration::from_secs(9);
        fs::File::open(&file).unwrap().set_modified(later).unwrap();
        let touched = sources.scan(&before);
        assert_ne!(touched.files[&file], before.files[&file]);
        assert_eq!(touched.files[&file].content, before.files[&file].content);
        fs::write(&file, "b").unwrap();
        assert_ne!(sources.scan(&touched).files[&file].content, before.files[&file].content);
    }
}
