//! Keeps the values of an app's environment from being shown: they are often passwords.
//! Does not keep them from the app, the ledger or whoever reads the host's disk.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

const BLANK: &str = "\"…\"";

/// The manifest with each value in `[env]` blanked out; nothing at all where it cannot be told
/// which those are.
pub(super) fn blank_env(manifest: &str) -> String {
    let Ok(root) = DeTable::parse(manifest) else { return String::new() };
    let mut spans = Vec::new();
    root.get_ref().get("env").iter().for_each(|env| values(env, &mut spans));
    // What these are is in values of `[env]`.
    if let Some(DeValue::Table(variables)) = root.get_ref().get("variables").map(Spanned::get_ref) {
        for variable in variables.values() {
            let DeValue::Table(said) = variable.get_ref() else { continue };
            said.get("default").iter().for_each(|default| values(default, &mut spans));
        }
    }
    spans.sort_by_key(|span| span.start);
    let (mut blanked, mut from) = (String::new(), 0);
    for span in spans {
        blanked.push_str(manifest.get(from..span.start).unwrap_or_default());
        blanked.push_str(BLANK);
        from = span.end;
    }
    blanked.push_str(manifest.get(from..).unwrap_or_default());
    blanked
}

/// Where the values in a table and in those within it are written.
fn values(item: &Spanned<DeValue<'_>>, spans: &mut Vec<Range<usize>>) {
    match item.get_ref() {
        DeValue::Table(table) => table.values().for_each(|value| values(value, spans)),
        _ => spans.push(item.span()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manifest: &str, expected: &str) {
        assert_eq!(blank_env(manifest), expected);
    }

    #[test]
    fn values_of_the_environment_are_blanked_however_they_are_written() {
        check(
            "name = \"a\"\n[env]\nB = \"secret\" # b\nA = '''x\ny'''\n",
            "name = \"a\"\n[env]\nB = \"…\" # b\nA = \"…\"\n",
        );
        check("env = { A = \"secret\", B = 'x' }\n", "env = { A = \"…\", B = \"…\" }\n");
        check("env.A = \"é\"\nversion = \"é\"\n", "env.A = \"…\"\nversion = \"é\"\n");
        check("[env]\nA.B = \"secret\"\n[x]\n", "[env]\nA.B = \"…\"\n[x]\n");
    }

    #[test]
    fn so_are_those_that_they_are_made_of() {
        check(
            "[variables]\na = { default = \"secret\", secret = true }\nb.secret = true\n[env]\nA = \"{{ a }}\"\n",
            "[variables]\na = { default = \"…\", secret = true }\nb.secret = true\n[env]\nA = \"…\"\n",
        );
    }

    #[test]
    fn what_has_no_environment_stays_and_what_cannot_be_read_goes() {
        check("name = \"a\" # note\n", "name = \"a\" # note\n");
        check("env = [secret", "");
    }
}
