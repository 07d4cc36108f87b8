//! One component of `spin.toml`: where it is, how it is made and what it may reach.
//! Does not know its routes.

use std::collections::BTreeMap;

use steerage_core::id::{DatabaseLabel, StoreLabel};
use steerage_core::outbound::AllowedHost;

use super::keys::KEYS;
use super::variables::Variables;
use crate::document::{self, Entry, Findings, Section};
use crate::manifest::write::{line, quoted};

/// What a component's table says.
#[derive(Debug)]
pub(super) struct Component {
    pub(super) description: Option<String>,
    source: String,
    outbound: Vec<String>,
    environment: BTreeMap<String, String>,
    /// The secrets in it, with what each is where nobody sets it.
    secrets: BTreeMap<String, Option<String>>,
    stores: Vec<String>,
    databases: Vec<String>,
    command: Option<String>,
    watch: Vec<String>,
}

/// Keys that no host offers yet.
const NOT_OFFERED: [&str; 3] = ["files", "ai_models", "dependencies"];

/// Schemes of what it may call that hosts offer.
const OFFERED: [&str; 6] = ["http", "https", "tcp", "redis", "rediss", "*"];

/// Reads a component's table; `None` where something that has no default is wrong or missing.
pub(super) fn read(
    section: &Section<'_, '_>,
    variables: &Variables,
    notes: &mut Vec<String>,
    findings: &mut Findings<'_>,
) -> Option<Component> {
    document::refuse_unknown(section, "component", &KEYS, findings);
    refuse_not_offered(section, &NOT_OFFERED, findings);
    let description = section.get("description").and_then(|entry| entry.text(findings));
    let source = section.need("source", "source = \"app.wasm\"", findings);
    let source = source.and_then(|entry| source_of(&entry, findings));
    let outbound = outbound(section, variables, notes, findings);
    let mut environment = BTreeMap::new();
    if let Some(table) = section.section("environment", findings) {
        for (name, _, entry) in table.entries() {
            let value = entry.text(findings).unwrap_or_default();
            environment.insert(name.to_owned(), value.to_owned());
        }
    }
    let mut secrets = BTreeMap::new();
    // Guests ask for these by name, which hosts answer from the environment.
    if let Some(table) = section.section("variables", findings) {
        for (name, _, entry) in table.entries() {
            let value = entry.text(findings);
            if let Some(value) = value.and_then(|value| variables.fill(&entry, value, findings)) {
                let used = variables.secrets_in(&value).into_iter();
                secrets.extend(
                    used.map(|(name, default)| (name.to_owned(), default.map(str::to_owned))),
                );
                // Guests of Spin's see no variable in their environment: ours have one place for both.
                if environment.insert(name.to_owned(), value).is_some() {
                    findings.wrong(entry.at, &entry.key, "environment has this name as well");
                }
            }
        }
    }
    let stores = section.get("key_value_stores");
    let stores = stores.and_then(|entry| entry.list("an array of labels", findings));
    let stores: Vec<String> = stores
        .iter()
        .flatten()
        .filter_map(|entry| entry.parsed::<StoreLabel>(findings))
        .map(|label| label.to_string())
        .collect();
    let databases = section.get("sqlite_databases");
    let databases = databases.and_then(|entry| entry.list("an array of labels", findings));
    let databases = databases.unwrap_or_default();
    let databases = databases.iter().filter_map(|entry| entry.parsed::<DatabaseLabel>(findings));
    let databases: Vec<String> = databases.map(|label| label.to_string()).collect();
    let (command, watch) = build(section, findings);
    Some(Component {
        description: description.map(str::to_owned),
        source: source?,
        outbound,
        environment,
        secrets,
        stores,
        databases,
        command,
        watch,
    })
}

/// Notes each of these keys that says something.
pub(super) fn refuse_not_offered(
    section: &Section<'_, '_>,
    keys: &[&str],
    findings: &mut Findings<'_>,
) {
    for key in keys {
        let Some(entry) = section.get(key) else { continue };
        // An empty list or table asks for nothing.
        let mut unnoted = Findings::new("");
        let is_empty = match entry.is_table() {
            true => entry
                .section("", &mut unnoted)
                .is_some_and(|table| table.entries().next().is_none()),
            false => entry.list("", &mut unnoted).is_some_and(|list| list.is_empty()),
        };
        if !is_empty {
            findings.wrong(entry.at, &entry.key, "this is not offered yet");
        }
    }
}

fn source_of(entry: &Entry<'_, '_>, findings: &mut Findings<'_>) -> Option<String> {
    if entry.is_table() {
        let told = "only files are read; download it first and write its path";
        findings.wrong(entry.at, &entry.key, told);
        return None;
    }
    entry.text(findings).map(str::to_owned)
}

/// What it may call. What is of a scheme that hosts do not offer makes no difference.
fn outbound(
    section: &Section<'_, '_>,
    variables: &Variables,
    notes: &mut Vec<String>,
    findings: &mut Findings<'_>,
) -> Vec<String> {
    let list = section.get("allowed_outbound_hosts");
    let list = list.and_then(|entry| entry.list("an array of strings", findings));
    let mut hosts = Vec::new();
    for entry in list.unwrap_or_default() {
        let Some(text) = entry.text(findings) else { continue };
        let Some(text) = variables.fill_shown(&entry, text, findings) else { continue };
        let Some((scheme, rest)) = text.split_once("://") else {
            entry.noted(AllowedHost::parse(&text), findings);
            continue;
        };
        if !OFFERED.contains(&scheme) {
            notes.push(format!("{text} is left out: only {} are offered", OFFERED.join(", ")));
            continue;
        }
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        if host == "self" || host.ends_with(".spin.internal") {
            let told = "calls between components of an app are not offered yet";
            findings.wrong(entry.at, &entry.key, told);
            continue;
        }
        let text = with_whole_ports(&text);
        if entry.noted(AllowedHost::parse(&text), findings).is_some() {
            hosts.push(text);
        }
    }
    hosts
}

/// Spin's ranges of ports leave their end out, and ours do not.
fn with_whole_ports(text: &str) -> String {
    let range = text.rsplit_once(':').and_then(|(before, ports)| {
        let (first, end) = ports.split_once("..")?;
        let last = end.parse::<u16>().ok()?.checked_sub(1)?;
        Some(format!("{before}:{first}..{last}"))
    });
    range.unwrap_or_else(|| text.to_owned())
}

fn build(section: &Section<'_, '_>, findings: &mut Findings<'_>) -> (Option<String>, Vec<String>) {
    let Some(build) = section.section("build", findings) else { return (None, Vec::new()) };
    let workdir = build.get("workdir").and_then(|entry| entry.text(findings));
    let Some(command) = build.get("command") else { return (None, Vec::new()) };
    let commands = if command.is_text() {
        command.text(findings).map(|command| vec![command])
    } else {
        let list = command.list("a command, or an array of them", findings);
        list.map(|list| list.iter().filter_map(|command| command.text(findings)).collect())
    };
    let folder = workdir.map(|folder| format!("cd '{}'", folder.replace('\'', "'\\''")));
    let steps = folder.as_deref().into_iter().chain(commands.into_iter().flatten());
    let steps: Vec<&str> = steps.collect();
    let watch = build.get("watch").and_then(|entry| entry.list("an array of paths", findings));
    let watch = watch.unwrap_or_default();
    let paths = watch.iter().filter_map(|entry| entry.text(findings));
    let paths =
        paths.map(|path| workdir.map_or_else(|| path.to_owned(), |at| format!("{at}/{path}")));
    (Some(steps.join(" && ")), paths.collect())
}

impl Component {
    /// Writes what stands at the top of a manifest.
    pub(super) fn write(&self, text: &mut String) {
        line(text, "source", &self.source);
        list(text, "allowed_outbound_hosts", &self.outbound);
        list(text, "key_value_stores", &self.stores);
        list(text, "sqlite_databases", &self.databases);
    }

    /// Writes the tables that come after that.
    pub(super) fn write_tables(&self, text: &mut String) {
        for (name, default) in &self.secrets {
            text.push_str(&format!("\n[variables.{name}]\nsecret = true\n"));
            if let Some(default) = default {
                line(text, "default", default);
            }
        }
        if !self.environment.is_empty() {
            text.push_str("\n[env]\n");
            for (name, value) in &self.environment {
                line(text, &quoted(name), value);
            }
        }
        // One that says nothing has been built already; ours would be built by cargo.
        text.push_str("\n[build]\n");
        line(text, "command", self.command.as_deref().unwrap_or("true"));
        list(text, "watch", &self.watch);
    }
}

fn list(text: &mut String, key: &str, items: &[String]) {
    if !items.is_empty() {
        let items = items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ");
        text.push_str(&format!("{key} = [{items}]\n"));
    }
}
