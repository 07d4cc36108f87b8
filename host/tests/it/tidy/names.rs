//! One meaning for each type name: a name that stands for two public things is refused, unless it is
//! listed with the reason. What only one file sees may be called as that file likes.

use std::collections::BTreeMap;
use std::path::Path;

/// Names that stand twice, and why.
const TWICE: &[(&str, &str)] = &[
    ("App", "what a host serves, and the same in the planner's view"),
    ("Cpu", "an amount of it in the core, and the host's cores"),
    ("Guest", "what a sandbox runs; the run queue sees a future and no more"),
    ("Host", "a process, and the same in the planner's view"),
    ("Memory", "the host's, and an app's as it is reported"),
    ("Settings", "each part has its own, named with its module"),
    ("View", "what a host knows of its fleet, and what the planner reads of that"),
];

/// The names of public types of a text, outside its tests.
fn types(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub ")?;
        let (kind, rest) = rest.split_once(' ')?;
        let is_type = ["struct", "enum", "trait", "type", "union"].contains(&kind);
        let is_name = |char: char| char.is_alphanumeric() || char == '_';
        is_type.then(|| rest.split(|char| !is_name(char)).next().unwrap_or_default())
    })
}

/// The public types of the host and of the core, by name: where they are. Shapes of JSON and of flags are
/// left out, which are called as what they show.
fn all(root: &Path) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ["host/src", "host/core/src"] {
        let mut files = Vec::new();
        super::sources(&root.join(folder), &mut files);
        for path in files {
            let shown = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if ["/api/wire", "/cli/args", "/tests", "fuzzing"].iter().any(|it| shown.contains(it)) {
                continue;
            }
            let text = super::without_tests(&std::fs::read_to_string(&path).unwrap());
            for name in types(&text) {
                found.entry(name.to_owned()).or_default().push(shown.clone());
            }
        }
    }
    found
}

#[test]
fn a_type_name_stands_for_one_thing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let found = all(root);
    assert!(found.len() > 300, "only {} types", found.len());
    let twice = |name: &str| found.get(name).is_some_and(|files| files.len() > 1);
    let known = |name: &str| TWICE.iter().any(|(known, _)| *known == name);
    let new: Vec<_> =
        found.iter().filter(|(name, files)| files.len() > 1 && !known(name)).collect();
    assert!(new.is_empty(), "names that stand for two things: {new:#?}");
    let gone: Vec<_> = TWICE.iter().filter(|(name, _)| !twice(name)).collect();
    assert!(gone.is_empty(), "these stand once, so take them off the list: {gone:?}");
}

#[test]
fn types_are_found() {
    let text = "pub struct One<T>(T);\nstruct Own;\npub(super) enum Near {}\n    pub struct In;\n\
        pub enum Two {\npub fn three() {}\npub type Four = u8;\n#[cfg(test)]\npub struct Tested;";
    let code = super::without_tests(text);
    assert_eq!(types(&code).collect::<Vec<_>>(), ["One", "Two", "Four"]);
}
