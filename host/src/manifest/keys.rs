//! Single keys of a manifest set in its text, as advice and flags have them: everything else stays as it was
//! written.
//! Does not check values: the text is read back by the same code as any other.

use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError, Value};

/// Sets keys, each named by its section, its name and its value. Comments and the order stay; what is new
/// comes last. A key whose section is no table is left.
///
/// # Errors
/// When the text is no TOML.
pub fn set_keys(manifest: &str, keys: &[(&str, &str, &str)]) -> Result<String, TomlError> {
    if keys.is_empty() {
        return Ok(manifest.to_owned());
    }
    let mut document: DocumentMut = manifest.parse()?;
    for (section, key, value) in keys {
        let section = document.entry(section).or_insert_with(|| Item::Table(Table::new()));
        let Some(table) = section.as_table_like_mut() else { continue };
        set(table, key, written(value));
    }
    let mut text = document.to_string();
    // Lines end as they did, and the last one as it did.
    if manifest.contains("\r\n") {
        text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    if !manifest.ends_with('\n') {
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    Ok(text)
}

/// Changes a value where it stands, so that the comments around it stay; a new one comes last.
pub(super) fn set(table: &mut dyn TableLike, key: &str, mut new: Value) {
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            // What stands around a value is a part of it, as the comment behind it.
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        Some(other) => *other = Item::Value(new),
        None => drop(table.insert(key, Item::Value(new))),
    }
}

/// Whether the text says something of a key.
#[must_use]
pub fn has_key(manifest: &str, section: &str, key: &str) -> bool {
    let document: Result<DocumentMut, TomlError> = manifest.parse();
    let section = document.ok().and_then(|document| document.get(section).cloned());
    section.is_some_and(|section| section.as_table_like().is_some_and(|t| t.contains_key(key)))
}

/// Whole numbers as such, all else as a text.
fn written(value: &str) -> Value {
    value.parse::<i64>().map_or_else(|_| Value::from(value), Value::from)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn lines_end_as_they_did() {
        let set = |text: &str| set_keys(text, &[("limits", "fuel", "9")]).unwrap();
        assert_eq!(set("[limits]\r\nfuel = 5\r\n"), "[limits]\r\nfuel = 9\r\n");
        assert_eq!(set("[limits]\nfuel = 5"), "[limits]\nfuel = 9");
        assert_eq!(set_keys("a = 1\r\nb = 2", &[]).unwrap(), "a = 1\r\nb = 2");
    }

    #[test]
    fn keys_are_set_where_they_stand_and_comments_stay() {
        let text = "# ours\nname = \"shop\"\nsource = \"a.wasm\"\nresources = { cpu = \"1\" } # one\n\n\
                    [limits] # low\nfuel = 5_000 # enough\n# and\nmemory = \"64MiB\"\n\n[[route]]\npath = \"/\"\n";
        let keys = [
            ("limits", "memory", "12MiB"),
            ("limits", "timeout", "1s"),
            ("resources", "cpu", "250m"),
            ("replicas", "max", "4"),
        ];
        expect![[r#"
            # ours
            name = "shop"
            source = "a.wasm"
            resources = { cpu = "250m" } # one

            [limits] # low
            fuel = 5_000 # enough
            # and
            memory = "12MiB"
            timeout = "1s"

            [[route]]
            path = "/"

            [replicas]
            max = 4
        "#]]
        .assert_eq(&set_keys(text, &keys).unwrap());
        assert!(has_key(text, "resources", "cpu") && has_key(text, "limits", "fuel"));
        assert!(!has_key(text, "replicas", "max") && !has_key(text, "name", "max"));
    }
}
