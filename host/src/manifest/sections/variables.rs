//! `[variables]`, and what they are filled into: the values of `[env]` and `allowed_outbound_hosts`.
//! Does not know what secrets are set to: values that have them stay templates.
//!
//! In a manifest that declares no variables `{{` means itself, as it did before there were any.

use std::collections::BTreeMap;

use steerage_core::manifest::{self, Template, Variable, VariableName};

use super::placement::flag;
use super::refuse_unknown;
use crate::document::{Entry, Findings, Section};

/// What a manifest declares.
pub(super) struct Variables {
    pub(super) declared: BTreeMap<VariableName, Variable>,
    are_declared: bool,
}

impl Variables {
    pub(super) fn read(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Self {
        let (mut declared, are_declared) = (BTreeMap::new(), top.get("variables").is_some());
        let section = top.section("variables", findings);
        for (name, key_at, entry) in section.iter().flat_map(Section::entries) {
            let name = match VariableName::parse(name) {
                Ok(name) => name,
                Err(bad) => {
                    findings.wrong(key_at, &entry.key, bad);
                    continue;
                }
            };
            if let Some(variable) = variable(&name, &entry, findings) {
                declared.insert(name, variable);
            }
        }
        if let (Some(broken), Some(entry)) =
            (manifest::check_secret_count(&declared), top.get("variables"))
        {
            entry.noted::<()>(Err(broken), findings);
        }
        Self { declared, are_declared }
    }

    /// `[env]`: what is known of it, and what has secrets in it.
    pub(super) fn env(
        &self,
        top: &Section<'_, '_>,
        findings: &mut Findings<'_>,
    ) -> (BTreeMap<String, String>, BTreeMap<String, Template>) {
        let (mut env, mut secret_env) = (BTreeMap::new(), BTreeMap::new());
        let Some(section) = top.section("env", findings) else { return (env, secret_env) };
        for (name, key_at, entry) in section.entries() {
            let Some(value) = entry.text(findings) else { continue };
            if let Some(broken) = manifest::check_env(name, value) {
                findings.wrong(key_at, &entry.key, broken);
                continue;
            }
            let Some(template) = self.partly_filled(&entry, value, findings) else { continue };
            match template.fill(|_| None) {
                Ok(value) => drop(env.insert(name.to_owned(), value)),
                Err(_) => drop(secret_env.insert(name.to_owned(), template)),
            }
        }
        if let (Some(broken), Some(entry)) = (manifest::check_env_size(&env), top.get("env")) {
            entry.noted::<()>(Err(broken), findings);
        }
        (env, secret_env)
    }

    /// A text that everybody is shown, with its variables filled in.
    pub(super) fn shown(
        &self,
        entry: &Entry<'_, '_>,
        findings: &mut Findings<'_>,
    ) -> Option<String> {
        let template = self.partly_filled(entry, entry.text(findings)?, findings)?;
        template
            .fill(|_| None)
            .map_err(|name| {
                let told = format!("{name} is secret, and this is shown to operators");
                findings.wrong(entry.at, &entry.key, told);
            })
            .ok()
    }

    /// The text with all in its place that is no secret.
    fn partly_filled(
        &self,
        entry: &Entry<'_, '_>,
        text: &str,
        findings: &mut Findings<'_>,
    ) -> Option<Template> {
        if !self.are_declared {
            return Some(Template::literal(text));
        }
        let template = entry.noted(Template::parse(text), findings)?;
        let mut are_known = true;
        for name in template.variables() {
            if !self.declared.contains_key(name) {
                let told = format!("there is no variable {name} in [variables]");
                findings.wrong(entry.at, &entry.key, told);
                are_known = false;
            }
        }
        let known = |name: &VariableName| {
            let variable = self.declared.get(name).filter(|variable| !variable.is_secret)?;
            // What has no value was noted where it is declared.
            Some(variable.default.as_deref().unwrap_or_default())
        };
        are_known.then(|| template.partly(known))
    }
}

fn variable(
    name: &VariableName,
    entry: &Entry<'_, '_>,
    findings: &mut Findings<'_>,
) -> Option<Variable> {
    let table = entry.section("a table with default, required or secret", findings)?;
    refuse_unknown(&table, "variables", findings);
    let default = table.get("default").and_then(|entry| entry.text(findings)).map(str::to_owned);
    let is_secret = table.get("secret").and_then(|entry| flag(&entry, findings));
    let is_secret = is_secret.unwrap_or_default();
    // What has no default is needed, said or not.
    table.get("required").and_then(|entry| flag(&entry, findings));
    if default.is_none() && !is_secret {
        let told = format!(
            "it has no value: say --variable {name}=VALUE, set STEERAGE_VARIABLE_{}, or write a default",
            name.as_str().to_ascii_uppercase()
        );
        findings.wrong(entry.at, &entry.key, told);
    }
    Some(Variable { default, is_secret })
}
