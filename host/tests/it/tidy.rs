//! The rules of the house that a compiler does not know.

mod circles;
mod names;

use std::path::{Path, PathBuf};

/// Lines of a file outside its tests.
const LONGEST_FILE: usize = 400;

/// Which level each module of the host stands on; it may use only lower ones. See ARCHITECTURE.md.
const LEVELS: &[(&str, u32)] = &[
    ("cli", 9),
    ("serve", 8),
    ("client", 7),
    ("config", 7),
    ("ingress", 6),
    ("api", 6),
    ("member", 6),
    ("request", 5),
    ("placement", 5),
    ("agent", 5),
    ("code", 4),
    ("backup", 3),
    ("catalog", 3),
    ("fleet", 3),
    ("listener", 2),
    ("cpu", 2),
    ("admission", 2),
    ("sandbox", 2),
    ("forward", 2),
    ("ledger", 2),
    ("store", 2),
    ("blobs", 2),
    ("respond", 2),
    ("identity", 1),
    ("manifest", 1),
    ("budget", 1),
    ("io_charge", 1),
    ("telemetry", 1),
    ("body", 0),
    ("call", 0),
    ("document", 0),
    ("flow", 0),
    ("fuzzing", 0),
    ("header", 0),
    ("kernel", 0),
    ("meter", 0),
    ("pem", 0),
    ("priority", 0),
    ("reload", 0),
    ("shutdown", 0),
    ("lib", 10),
    ("main", 10),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for folder in ["host", "guests", "sdk", "examples", "benches"] {
        sources(&root.join(folder), &mut found);
    }
    assert!(found.len() > 50, "only {} sources", found.len());
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<PathBuf> = all_sources()
        .into_iter()
        .filter(|path| !std::fs::read_to_string(path).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "files that do not open with //!: {silent:#?}");
}

#[test]
fn files_stay_short() {
    let long: Vec<(PathBuf, usize)> = all_sources()
        .into_iter()
        .filter(|path| {
            !path.components().any(|part| {
                // Tests may be as long as they need.
                part.as_os_str() == "tests" || part.as_os_str() == "tests.rs"
            })
        })
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let n_lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
            (path, n_lines)
        })
        .filter(|(_, n_lines)| *n_lines > LONGEST_FILE)
        .collect();
    assert!(long.is_empty(), "longer than {LONGEST_FILE} lines: {long:#?}");
}

#[test]
fn modules_use_only_lower_levels() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let level = |module: &str| {
        let found = LEVELS.iter().find(|(name, _)| *name == module);
        found.unwrap_or_else(|| panic!("{module} has no level")).1
    };
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for path in files {
        let inside = path.strip_prefix(&root).unwrap();
        let module = inside.iter().next().unwrap().to_string_lossy();
        let module = module.trim_end_matches(".rs").to_owned();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if line.starts_with("#[cfg(test)]") {
                break;
            }
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|char| char.is_alphanumeric() || *char == '_')
                    .collect();
                let known = LEVELS.iter().any(|(name, _)| *name == used);
                if known && used != module && level(&used) >= level(&module) {
                    wrong.push(format!("{}: {line}", inside.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "upward or sideways: {wrong:#?}");
}

#[test]
fn the_core_has_no_effects() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let dependencies = text.split("[dependencies]").nth(1).unwrap().split('[').next().unwrap();
    for effect in ["tokio", "hyper", "wasmtime", "serde", "tracing", "rand", "etcd"] {
        assert!(!dependencies.contains(effect), "steerage-core depends on {effect}");
    }
}

/// The names of the tests that a line of a document names, as `topic::test`.
fn tests_named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split('`').filter_map(|word| word.split_once("::")).filter(|(topic, test)| {
        let is_name =
            |part: &str| part.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        is_name(topic) && is_name(test)
    })
}

#[test]
fn each_invariant_names_a_test_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## Invariants").nth(1).unwrap().split("\n## ").next().unwrap();
    let invariants: Vec<&str> = section.lines().filter(|line| line.starts_with("- ")).collect();
    assert!(invariants.len() > 15, "only {} invariants", invariants.len());
    let mut wrong = Vec::new();
    for invariant in invariants {
        let mut named = tests_named(invariant).peekable();
        if named.peek().is_none() {
            wrong.push(format!("names no test: {invariant}"));
        }
        for (topic, test) in named {
            let file = root.join(format!("host/tests/it/{topic}.rs"));
            let source = std::fs::read_to_string(file).unwrap_or_default();
            if !source.contains(&format!("fn {test}()")) {
                wrong.push(format!("there is no test {topic}::{test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
