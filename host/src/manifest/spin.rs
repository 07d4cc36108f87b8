//! Reads `spin.toml` (manifest version 2) and says the same in manifests of ours: one for each component that
//! has a route. Does not open files, and leaves the rules to the manifests that it writes, which are read
//! as any other.
//!
//! The form is that of Spin's manifest reference (spinframework.dev, version 3). What no host offers yet is a
//! mistake that names it: an app that lacks what it counts on would fail at its first call.

mod component;
mod keys;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use self::component::Component;
use self::keys::KEYS;
use self::variables::Variables;
use super::write::{line, quoted};
use crate::document::{self, Entry, Findings, Mistakes, Section};

/// An app of Spin's, told in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpinApp {
    /// A manifest of ours for each component that has a route, in the order of their names.
    pub manifests: Vec<String>,
    /// What of it makes no difference here, in one line each.
    pub notes: Vec<String>,
}

/// What all components of an app have in common.
struct Application {
    name: String,
    version: Option<String>,
    description: Option<String>,
}

/// A route and the component that answers there.
struct Trigger {
    component: String,
    path: String,
}

/// Whether a text is a manifest of Spin's rather than one of ours.
#[must_use]
pub fn is_spin(text: &str) -> bool {
    let (root, _) = DeTable::parse_recoverable(text);
    root.get_ref().contains_key("spin_manifest_version")
}

/// Reads a manifest of Spin's. `values` are those given for its variables, by their names; `check` says what
/// one of our own has of mistakes.
///
/// # Errors
/// All mistakes found, and all that no host offers, each with its place.
pub(super) fn read(
    text: &str,
    values: &BTreeMap<String, String>,
    check: impl Fn(&str) -> Option<Mistakes>,
) -> Result<SpinApp, Mistakes> {
    let mut notes = Vec::new();
    let manifests = document::read(text, |table, findings| {
        let top = Section::top(table);
        manifests(&top, values, check, &mut notes, findings)
    })?;
    Ok(SpinApp { manifests, notes })
}

fn manifests(
    top: &Section<'_, '_>,
    values: &BTreeMap<String, String>,
    check: impl Fn(&str) -> Option<Mistakes>,
    notes: &mut Vec<String>,
    findings: &mut Findings<'_>,
) -> Option<Vec<String>> {
    document::refuse_unknown(top, "", &KEYS, findings);
    check_version(top, findings);
    let variables = Variables::read(top, values, findings);
    let application = application(top, findings);
    let (triggers, inline) = triggers(top, &variables, notes, findings)?;
    let mut components = inline;
    if let Some(section) = top.section("component", findings) {
        for (id, _, entry) in section.entries() {
            let read = entry
                .section("a component's table", findings)
                .and_then(|section| component::read(&section, &variables, notes, findings));
            if let Some(component) = read {
                components.insert(id.to_owned(), component);
            }
        }
    }
    let application = application?;
    let mut named: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for trigger in &triggers {
        named.entry(&trigger.component).or_default().push(&trigger.path);
    }
    for id in components.keys().filter(|id| !named.contains_key(id.as_str())) {
        notes.push(format!("component {id} has no route and is left out"));
    }
    let is_one = named.len() == 1;
    let app_of = |id: &str| match is_one {
        true => application.name.clone(),
        false => joined(&application.name, id),
    };
    let apps: BTreeMap<String, String> =
        named.keys().map(|id| (id.to_ascii_lowercase(), app_of(id))).collect();
    let (mut texts, mut names) = (Vec::new(), BTreeSet::new());
    for (id, paths) in named {
        let Some(component) = components.get(id) else { continue };
        let name = app_of(id);
        texts.push(written(&application, &name, component, &paths) + &spin_table(&apps));
        if let Some(name) = names.replace(name) {
            let told = format!("another component becomes app {name} as well: rename one");
            findings.wrong(0, &format!("component.{id}"), told);
        }
    }
    // The rules of our own manifests hold for what was said in other words as well.
    for text in &texts {
        for mistake in check(text).iter().flat_map(Mistakes::iter) {
            findings.wrong(0, &mistake.key, &mistake.message);
        }
    }
    Some(texts)
}

fn check_version(top: &Section<'_, '_>, findings: &mut Findings<'_>) {
    let example = "spin_manifest_version = 2";
    let Some(entry) = top.need("spin_manifest_version", example, findings) else { return };
    // Some tools write it in quotes.
    if entry.scalar(findings).is_some_and(|version| version != "2") {
        findings.wrong(entry.at, &entry.key, "only manifests of version 2 are read");
    }
}

fn application(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Option<Application> {
    let section = top.need("application", "[application] and below it name = \"app\"", findings)?;
    let section = section.section("a table", findings)?;
    document::refuse_unknown(&section, "application", &KEYS, findings);
    let name = section.need("name", "name = \"my-app\"", findings)?.text(findings)?;
    let text = |key: &str, findings: &mut Findings<'_>| {
        section.get(key).and_then(|entry| entry.text(findings)).map(str::to_owned)
    };
    let (version, description) = (text("version", findings), text("description", findings));
    Some(Application { name: of_app(name), version, description })
}

/// The triggers, and the components that are written within them.
fn triggers(
    top: &Section<'_, '_>,
    variables: &Variables,
    notes: &mut Vec<String>,
    findings: &mut Findings<'_>,
) -> Option<(Vec<Trigger>, BTreeMap<String, Component>)> {
    let example = "[[trigger.http]] and below it route = \"/...\"";
    let section = top.need("trigger", example, findings)?.section("a table", findings)?;
    for (kind, at, entry) in section.entries() {
        if kind != "http" {
            let told = format!("triggers of kind {kind} are not offered yet; those of http are");
            findings.wrong(at, &entry.key, told);
        }
    }
    let list =
        section.need("http", example, findings)?.list("[[trigger.http]] tables", findings)?;
    let (mut triggers, mut inline) = (Vec::new(), BTreeMap::new());
    for (number, entry) in list.iter().enumerate() {
        let Some(section) = entry.section("a table", findings) else { continue };
        document::refuse_unknown(&section, "trigger", &KEYS, findings);
        component::refuse_not_offered(&section, &["static_response"], findings);
        check_executor(&section, findings);
        let Some(route) = section.need("route", "route = \"/...\"", findings) else { continue };
        if route.is_table() {
            let told = "private routes are not offered yet; give it a path";
            findings.wrong(route.at, &route.key, told);
            continue;
        }
        let (path, example) = (route.text(findings), "component = \"my-component\"");
        let Some(component) = section.need("component", example, findings) else { continue };
        let id = if component.is_table() {
            let id = format!("http-{}", number + 1);
            let read = component
                .section("a component's table", findings)
                .and_then(|section| component::read(&section, variables, notes, findings));
            inline.extend(read.map(|component| (id.clone(), component)));
            Some(id)
        } else {
            known(top, &component, findings)
        };
        if let (Some(component), Some(path)) = (id, path) {
            triggers.push(Trigger { component, path: path.to_owned() });
        }
    }
    Some((triggers, inline))
}

/// The component's name, if there is one of that name.
fn known(
    top: &Section<'_, '_>,
    entry: &Entry<'_, '_>,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let id = entry.text(findings)?;
    // That the components are a table is noted where they are read.
    let mut unnoted = Findings::new("");
    let components = top.section("component", &mut unnoted);
    if components.is_some_and(|components| components.get(id).is_some()) {
        return Some(id.to_owned());
    }
    findings.wrong(entry.at, &entry.key, format!("there is no [component.{id}]"));
    None
}

/// A program that is served the CGI way is known by what it exports, so what is said of it is only
/// checked: how it is started is always by `_start`.
fn check_executor(section: &Section<'_, '_>, findings: &mut Findings<'_>) {
    let executor = section.get("executor").and_then(|entry| entry.section("a table", findings));
    let Some(executor) = executor else { return };
    component::refuse_not_offered(&executor, &["argv"], findings);
    for (key, wanted) in
        [("type", &["spin", "http", "wasip3-unstable", "wagi"][..]), ("entrypoint", &["_start"])]
    {
        let Some(entry) = executor.get(key) else { continue };
        if entry.text(findings).is_some_and(|text| !wanted.contains(&text)) {
            let told = format!("expected {}", wanted.join(" or "));
            findings.wrong(entry.at, &entry.key, told);
        }
    }
}

/// One component as a manifest of ours.
fn written(application: &Application, name: &str, component: &Component, paths: &[&str]) -> String {
    let mut text = String::new();
    line(&mut text, "name", name);
    if let Some(version) = &application.version {
        line(&mut text, "version", version);
    }
    let description = component.description.as_ref().or(application.description.as_ref());
    if let Some(description) = description.filter(|description| !description.is_empty()) {
        line(&mut text, "description", description);
    }
    component.write(&mut text);
    for path in paths {
        text.push_str("\n[[route]]\n");
        line(&mut text, "path", path);
    }
    component.write_tables(&mut text);
    text
}

/// Which apps the components are.
fn spin_table(apps: &BTreeMap<String, String>) -> String {
    let mut text = "\n[spin.components]\n".to_owned();
    for (id, app) in apps {
        line(&mut text, &quoted(id), app);
    }
    text
}

/// A name of Spin's as one of an app: those know no capitals and no `_`.
fn of_app(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn joined(application: &str, component: &str) -> String {
    let component = of_app(component);
    // Templates name the first component as the app, and the others after it.
    let rest = component.strip_prefix(application);
    if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) {
        component
    } else {
        format!("{application}-{component}")
    }
}

#[cfg(test)]
mod tests;
