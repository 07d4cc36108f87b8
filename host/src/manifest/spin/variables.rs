//! The variables of `spin.toml` and what they are filled into. Does not know where values come from. Secrets are
//! filled in by no manifest: they stay variables in the ones that are written.

use std::collections::BTreeMap;

use steerage_core::manifest::Template;

use super::keys::KEYS;
use crate::document::{self, Entry, Findings, Section};

/// The variables that are declared, with what they are set to.
#[derive(Debug, Default)]
pub(super) struct Variables {
    values: BTreeMap<String, String>,
    /// Those that are secret, with what each is where nobody sets it.
    secrets: BTreeMap<String, Option<String>>,
    /// Those that are declared and have no value; that was noted where it matters.
    unset: Vec<String>,
}

impl Variables {
    /// Reads what is declared; `given` goes before defaults.
    pub(super) fn read(
        top: &Section<'_, '_>,
        given: &BTreeMap<String, String>,
        findings: &mut Findings<'_>,
    ) -> Self {
        let mut variables = Self::default();
        let Some(section) = top.section("variables", findings) else { return variables };
        for (name, at, entry) in section.entries() {
            let Some(table) = entry.section("a table with default or required", findings) else {
                continue;
            };
            document::refuse_unknown(&table, "variables", &KEYS, findings);
            let default = table.get("default").and_then(|entry| entry.text(findings));
            let secret = table.get("secret").and_then(|entry| entry.scalar(findings));
            if secret.is_some_and(|secret| secret == "true") {
                variables.secrets.insert(name.to_owned(), default.map(str::to_owned));
                continue;
            }
            match given.get(name).map(String::as_str).or(default) {
                Some(value) => {
                    variables.values.insert(name.to_owned(), value.to_owned());
                }
                None => {
                    let told = format!(
                        "it has no value: set SPIN_VARIABLE_{} or write a default",
                        name.to_ascii_uppercase()
                    );
                    findings.wrong(at, &entry.key, told);
                    variables.unset.push(name.to_owned());
                }
            }
        }
        variables
    }

    /// The secrets that a text has, as filled in here, with what each is where nobody sets it.
    pub(super) fn secrets_in(&self, text: &str) -> Vec<(&str, Option<&str>)> {
        let Ok(template) = Template::parse(text) else { return Vec::new() };
        let found =
            template.variables().filter_map(|name| self.secrets.get_key_value(name.as_str()));
        found.map(|(name, default)| (name.as_str(), default.as_deref())).collect()
    }

    /// The same as [`Variables::fill`], of a text that everybody is shown.
    pub(super) fn fill_shown(
        &self,
        entry: &Entry<'_, '_>,
        text: &str,
        findings: &mut Findings<'_>,
    ) -> Option<String> {
        let filled = self.fill(entry, text, findings)?;
        if let Some((name, _)) = self.secrets_in(&filled).first() {
            let told = format!("{name} is secret, and this is shown to operators");
            findings.wrong(entry.at, &entry.key, told);
            return None;
        }
        Some(filled)
    }

    /// The text with each `{{ name }}` replaced that is no secret; `None` where a name is not known, which is
    /// noted.
    pub(super) fn fill(
        &self,
        entry: &Entry<'_, '_>,
        text: &str,
        findings: &mut Findings<'_>,
    ) -> Option<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                findings.wrong(entry.at, &entry.key, "{{ is not closed by }}");
                return None;
            };
            let name = name.trim();
            if self.secrets.contains_key(name) {
                filled.push_str(&format!("{before}{{{{ {name} }}}}"));
                rest = after;
                continue;
            }
            let Some(value) = self.values.get(name) else {
                if !self.unset.iter().any(|unset| unset == name) {
                    let told = format!("there is no variable {name} in [variables]");
                    findings.wrong(entry.at, &entry.key, told);
                }
                return None;
            };
            filled.push_str(before);
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Some(filled)
    }
}
