//! What the variables of manifests are set to where a manifest is read: by flags, the environment, and the file `.env`
//! beside it, in this order.
//! Sets no secrets: those that are given here are for `up`, whose host is gone with them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use toml_edit::DocumentMut;

use super::ending::Misused;

/// What variables begin with in the environment, in the order in which they count.
const PREFIXES: [&str; 2] = ["STEERAGE_VARIABLE_", "SPIN_VARIABLE_"];
/// The file that is read beside a manifest.
const FILE: &str = ".env";

/// A variable as a flag says it.
///
/// # Errors
/// It says none.
pub(super) fn parse_flag(said: &str) -> Result<(String, String), String> {
    let (name, value) = said.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// All values that are given, by the names that manifests have for them.
pub(super) fn given(
    flags: Option<&BTreeMap<String, String>>,
    directory: &Path,
) -> anyhow::Result<BTreeMap<String, String>> {
    let path = directory.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment: Vec<_> = environment.collect();
    let file: Vec<_> = text.lines().filter_map(line).collect();
    Ok(by_name(flags, [&file, &environment]))
}

/// Each value by its name; of two the later source counts, and flags before both.
fn by_name(
    flags: Option<&BTreeMap<String, String>>,
    sources: [&[(String, String)]; 2],
) -> BTreeMap<String, String> {
    let mut given = BTreeMap::new();
    for source in sources {
        for prefix in PREFIXES.iter().rev() {
            let named = source.iter().filter_map(|(name, value)| {
                Some((name.strip_prefix(prefix)?.to_ascii_lowercase(), value.clone()))
            });
            given.extend(named);
        }
    }
    given.extend(flags.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    given
}

/// A line of the file, as shells and Spin read it.
fn line(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim().trim_start_matches("export ").split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.starts_with('#') {
        return None;
    }
    let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    Some((name.to_owned(), quoted('"').or_else(|| quoted('\'')).unwrap_or(value).to_owned()))
}

/// Refuses flags about what the manifest does not leave to them.
///
/// # Errors
/// It declares no such variable, or it is a secret.
pub(super) fn check_flags(flags: &BTreeMap<String, String>, manifest: &str) -> Result<(), Misused> {
    // What is wrong with it is told where it is read.
    let Ok(document) = manifest.parse::<DocumentMut>() else { return Ok(()) };
    let declared = document.get("variables").and_then(|it| it.as_table_like());
    for name in flags.keys() {
        let Some(variable) = declared.and_then(|declared| declared.get(name)) else {
            return Err(Misused(format!("--variable {name}: [variables] has no {name}")));
        };
        let variable = variable.as_table_like();
        let is_secret = variable.and_then(|it| it.get("secret")).and_then(toml_edit::Item::as_bool);
        if is_secret == Some(true) {
            let told = format!(
                "--variable {name}: it is secret, and others see what stands on a command line; `steerage secret set \
                 APP {name}` reads it from stdin, and `steerage up` from STEERAGE_VARIABLE_{}",
                name.to_ascii_uppercase()
            );
            return Err(Misused(told));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        text.lines().filter_map(line).collect()
    }

    #[test]
    fn a_flag_goes_before_the_environment_and_that_before_the_file() {
        let file = pairs(
            "# SPIN_VARIABLE_A=0\nSPIN_VARIABLE_A=1\nSTEERAGE_VARIABLE_B='2'\nOTHER=3\nSPIN_VARIABLE_C=4",
        );
        let environment =
            pairs("export SPIN_VARIABLE_B=5\nSTEERAGE_VARIABLE_C=\"6\"\nSPIN_VARIABLE_C=7");
        let flags = BTreeMap::from([("d".to_owned(), "8".to_owned())]);
        let given = by_name(Some(&flags), [&file, &environment]);
        let given: Vec<_> = given.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(given, ["a=1", "b=5", "c=6", "d=8"]);
    }

    #[test]
    fn flags_are_for_what_the_manifest_declares_and_does_not_keep_secret() {
        let manifest = "[variables]\nregion = {}\n[variables.password]\nsecret = true\n";
        let check = |said: &str| {
            let flags = BTreeMap::from([parse_flag(said).unwrap()]);
            check_flags(&flags, manifest).map_err(|error| error.to_string())
        };
        assert_eq!(check("region=eu=west"), Ok(()));
        assert!(check("zone=a").unwrap_err().contains("[variables] has no zone"));
        let error = check("password=hunter2").unwrap_err();
        assert!(error.contains("it is secret") && !error.contains("hunter2"), "{error}");
        assert!(parse_flag("region").is_err());
    }
}
