//! The rules of the house that a compiler does not know.

mod circles;
mod names;

use std::path::{Path, PathBuf};

/// Lines of a file outside its tests.
const LONGEST_FILE: usize = 400;

/// Which level each module of the host stands on; it may use only lower ones. See ARCHITECTURE.md.
const LEVELS: &[(&str, u32)] = &[
    ("cli", 11),
    ("serve", 10),
    ("client", 9),
    ("config", 9),
    ("api", 8),
    ("member", 8),
    ("ingress", 7),
    ("desired", 7),
    ("request", 6),
    ("placement", 6),
    ("agent", 6),
    ("code", 5),
    ("history", 5),
    ("backup", 4),
    ("catalog", 4),
    ("fleet", 4),
    ("listener", 3),
    ("cpu", 3),
    ("admission", 3),
    ("sandbox", 3),
    ("forward", 3),
    ("notify", 3),
    ("otlp", 3),
    ("ledger", 3),
    ("store", 3),
    ("blobs", 3),
    ("respond", 3),
    ("identity", 2),
    ("manifest", 2),
    ("budget", 2),
    ("io_charge", 2),
    ("key_value", 2),
    ("sql", 2),
    ("telemetry", 2),
    ("body", 0),
    ("call", 1),
    ("capsule", 0),
    ("replay", 4),
    ("clock", 1),
    ("connector", 1),
    ("document", 1),
    ("flow", 1),
    ("fuzzing", 1),
    ("header", 1),
    ("kernel", 1),
    ("meter", 1),
    ("pem", 1),
    ("priority", 1),
    ("seal", 1),
    ("reload", 1),
    ("shared", 0),
    ("shutdown", 1),
    ("tenants", 1),
    ("lib", 12),
    ("main", 12),
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

/// A text without its tests: what stands behind `#[cfg(test)]`, to the end where that is a module's text,
/// and one line otherwise.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
        } else if lines.next().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{')) {
            break;
        }
    }
    code
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
            let n_lines = without_tests(&text).lines().count();
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
        for line in without_tests(&std::fs::read_to_string(&path).unwrap()).lines() {
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

/// What makes keys that only `desired` may write.
const DESIRED: &[&str] = &[
    "keys::app(",
    "keys::deployment(",
    "keys::last(",
    "keys::removed(",
    "keys::route(",
    "keys::host_wanted(",
    "keys::MARK",
    "keys::FREEZE",
];

#[test]
fn only_desired_writes_what_shall_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let (mut writers, mut wrong) = (0, Vec::new());
    for path in files {
        let inside = path.strip_prefix(&root).unwrap().display().to_string();
        let code = without_tests(&std::fs::read_to_string(&path).unwrap());
        let named = DESIRED.iter().find(|key| code.contains(**key));
        if !code.contains("Write::") || inside.starts_with("store") {
            continue;
        }
        match named {
            Some(_) if inside.starts_with("desired/") => writers += 1,
            Some(key) => wrong.push(format!("{inside} makes writes and names {key}")),
            None => {}
        }
    }
    assert!(writers >= 5, "only {writers} files of desired write, so this test sees nothing");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The tests that a line of a document names, as `topic::test`, or `module::tests::test` where they lie in
/// the library.
fn tests_named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split('`').filter_map(|word| word.rsplit_once("::")).filter(|(topic, test)| {
        let is_name =
            |part: &str| part.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        let is_topic = is_name(topic) || topic.ends_with("::tests");
        is_topic && is_name(test)
    })
}

/// Where the tests of a topic may be.
fn places_of(topic: &str) -> Vec<String> {
    match topic.strip_suffix("::tests") {
        Some(module) => {
            let of = |part| module.strip_prefix(part);
            let (root, module) = match (of("core::"), of("sampler::")) {
                (Some(of_core), _) => ("host/core/src", of_core),
                (_, Some(of_sampler)) => ("host/sampler/src", of_sampler),
                _ => ("host/src", module),
            };
            let module = module.replace("::", "/");
            vec![format!("{root}/{module}.rs"), format!("{root}/{module}/tests.rs")]
        }
        None => {
            vec![format!("host/tests/it/{topic}.rs"), format!("host/core/tests/{topic}/main.rs")]
        }
    }
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
            let is_in = |place: &String| {
                let source = std::fs::read_to_string(root.join(place)).unwrap_or_default();
                source.contains(&format!("fn {test}("))
            };
            if !places_of(topic).iter().any(is_in) {
                wrong.push(format!("there is no test {topic}::{test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Kinds of events are named in the core and made elsewhere: one that is misspelt would never be told.
#[test]
fn kinds_of_events_that_the_core_names_are_made_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let mut made = String::new();
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    files.iter().for_each(|file| made.push_str(&std::fs::read_to_string(file).unwrap()));
    let mut n_kinds = 0;
    for (path, list) in [("core/src/why/lately.rs", "MOMENTS"), ("core/src/lasting.rs", "STATES")] {
        let text = read(path);
        let list = text.split(&format!("const {list}: ")).nth(1).unwrap();
        let list = list.split("];").next().unwrap();
        for kind in list.split('"').skip(1).step_by(2) {
            assert!(made.contains(&format!("\"{kind}\"")), "{path}: nobody tells {kind:?}");
            n_kinds += 1;
        }
    }
    assert!(n_kinds > 30, "{n_kinds}");
}
