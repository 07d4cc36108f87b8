//! Which files use which, and who of them use each other in a circle.
//! Reads paths that begin with `super::`, `self::` or `crate::`, outside tests and comments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module by the parts of its path.
type Module = Vec<String>;

/// Circles that are there still, by one module of each: a file and what lies below it, or files side by
/// side. New ones are refused, and one that was taken apart leaves this list.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "host/src",
        &[
            "api",
            "backup",
            "catalog",
            "code",
            "cli::args",
            "config",
            "fleet",
            "forward",
            "ledger",
            "listener",
            "member",
            "member::settle",
            "request",
            "respond",
            "sandbox::idle",
            "sandbox::needs",
            "serve",
            "store",
            "telemetry::events",
            "telemetry::metrics",
        ],
    ),
    (
        "host/core/src",
        &[
            "fair",
            "fair::laws",
            "id",
            "machine",
            "manifest",
            "pack",
            "place",
            "route",
            "sheet",
            "units",
        ],
    ),
];

fn modules(folder: &Path) -> BTreeMap<Module, String> {
    let mut files = Vec::new();
    super::sources(folder, &mut files);
    let module = |path: &Path| -> Module {
        let inside = path.strip_prefix(folder).unwrap().with_extension("");
        inside.iter().map(|part| part.to_string_lossy().into_owned()).collect()
    };
    let text = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let code = super::without_tests(&text);
        let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n")
    };
    let all = files.iter().map(|path| (module(path), text(path)));
    all.filter(|(module, _)| module.last().unwrap() != "tests").collect()
}

/// What stands behind a prefix: one path, or those between braces.
fn paths(rest: &str) -> Vec<&str> {
    let Some(inside) = rest.strip_prefix('{') else {
        let is_path = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
        return vec![rest.split(|char| !is_path(char)).next().unwrap_or_default()];
    };
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, char) in inside.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(inside[from..at].trim());
                from = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// The modules that one uses, by its text.
fn used(module: &Module, text: &str, all: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    let mut note = |base: &[String], rest: &str| {
        for path in paths(rest) {
            let mut target = base.to_vec();
            for part in path.split("::") {
                target.push(part.to_owned());
                if !all.contains_key(&target) {
                    target.pop();
                    break;
                }
            }
            if target != *module && all.contains_key(&target) {
                found.insert(target);
            }
        }
    };
    for (prefix, base) in [("crate::", &[][..]), ("self::", module.as_slice())] {
        for rest in text.split(prefix).skip(1) {
            note(base, rest);
        }
    }
    // Whatever stands before the last `super::` of a row only counts how far up it leads.
    let mut n_up = 0;
    for piece in text.split("super::").skip(1) {
        n_up += 1;
        if !piece.is_empty() {
            note(&module[..module.len().saturating_sub(n_up)], piece);
            n_up = 0;
        }
    }
    found
}

/// Groups of modules that use each other, each by its path.
fn circles(folder: &Path) -> Vec<Vec<String>> {
    let all = modules(folder);
    let uses: BTreeMap<&Module, BTreeSet<Module>> =
        all.iter().map(|(module, text)| (module, used(module, text, &all))).collect();
    let reached = |from: &Module| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            for used in &uses[&module] {
                if reached.insert(used.clone()) {
                    next.push(used.clone());
                }
            }
        }
        reached
    };
    let reach: BTreeMap<&Module, BTreeSet<Module>> =
        all.keys().map(|module| (module, reached(module))).collect();
    let mut groups = BTreeSet::new();
    for (module, reached) in &reach {
        let group = reached.iter().filter(|other| reach[other].contains(*module));
        let group: Vec<String> = group.map(|module| module.join("::")).collect();
        if group.len() > 1 {
            groups.insert(group);
        }
    }
    groups.into_iter().collect()
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (folder, known) in KNOWN {
        let found = circles(&root.join(folder));
        let new: Vec<_> =
            found.iter().filter(|group| !known.contains(&group[0].as_str())).collect();
        assert!(new.is_empty(), "new circles in {folder}: {new:#?}");
        let gone = |known: &&&str| !found.iter().any(|group| group[0] == **known);
        let gone: Vec<_> = known.iter().filter(gone).collect();
        assert!(gone.is_empty(), "no circles any more, so take them off the list: {gone:?}");
    }
}

#[test]
fn a_circle_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    write("a.rs", "use self::b::B;\nuse crate::d;");
    write("a/b.rs", "use super::{c::{C, D}, Other};\n// use crate::e;");
    write("a/c.rs", "fn c() { super::b::call() }\n#[cfg(test)]\nuse crate::d;");
    write("d.rs", "use std::sync::Arc;");
    write("e.rs", "use crate::a;");
    assert_eq!(circles(folder.path()), [["a", "a::b", "a::c"]]);
    write("a/b.rs", "use super::c::{C, D};");
    assert_eq!(circles(folder.path()), [["a::b", "a::c"]]);
    write("a/c.rs", "");
    assert_eq!(circles(folder.path()), [[""; 0]; 0]);
}
