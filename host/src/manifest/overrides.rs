//! What flags of the command line say in place of a manifest, written into its text: name, path, host, variables.
//! Does not check values: the text is read back by the same code as any other.

use std::collections::BTreeMap;

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike, TomlError};

use super::keys::set;

/// What is said in place of a manifest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides<'t> {
    /// The app's name.
    pub name: Option<&'t str>,
    /// The only path that is served, on the host of the manifest's first route.
    pub path: Option<&'t str>,
    /// The host of every route.
    pub host: Option<&'t str>,
    /// What variables are set to that the manifest declares and that are no secrets; others are left out.
    pub variables: Option<&'t BTreeMap<String, String>>,
}

impl Overrides<'_> {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_as_written() && self.variables.is_none_or(BTreeMap::is_empty)
    }

    /// Whether the app is called and answers as it is written.
    #[must_use]
    pub fn is_as_written(&self) -> bool {
        self.name.is_none() && self.path.is_none() && self.host.is_none()
    }

    /// The text of a manifest with all of this in it. Its comments and its order stay.
    ///
    /// # Errors
    /// When the text is no TOML.
    pub fn apply(&self, manifest: &str) -> Result<String, TomlError> {
        let mut document: DocumentMut = manifest.parse()?;
        if let Some(name) = self.name {
            set(&mut *document, "name", name.into());
        }
        if let Some(Item::Table(declared)) = document.get_mut("variables") {
            for (name, value) in self.variables.into_iter().flatten() {
                let said = declared.get_mut(name).and_then(Item::as_table_like_mut);
                if let Some(said) = said.filter(|said| !is_secret(*said)) {
                    said.insert("default", value.as_str().into());
                }
            }
        }
        if self.path.is_some() || self.host.is_some() {
            let mut routes = routes(&document);
            if self.path.is_some() {
                routes.truncate(1);
            }
            if routes.is_empty() {
                routes.push(Table::new());
            }
            let routes = routes.into_iter().map(|mut route| {
                for (key, text) in [("host", self.host), ("path", self.path)] {
                    if let Some(text) = text {
                        set(&mut route, key, text.into());
                    }
                }
                route
            });
            document.insert("route", Item::ArrayOfTables(routes.collect::<ArrayOfTables>()));
        }
        Ok(document.to_string())
    }
}

/// Whether a variable is secret: its value is in no manifest.
fn is_secret(variable: &dyn TableLike) -> bool {
    variable.get("secret").and_then(Item::as_bool).unwrap_or_default()
}

/// The routes, however they are written: `[[route]]` or `route = [{ .. }]`.
fn routes(document: &DocumentMut) -> Vec<Table> {
    let item = document.get("route").cloned();
    match item.map(Item::into_array_of_tables) {
        Some(Ok(tables)) => tables.into_iter().collect(),
        Some(Err(_)) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const SHOP: &str = "name = \"shop\" # ours\nsource = \"shop.wasm\"\n\n[[route]]\nhost = \"a.test\"\n\
                        path = \"/a\"\n\n[[route]]\npath = \"/b\"\n\n[limits]\nfuel = 5000\n";

    fn check(overrides: Overrides<'_>, text: &str, expect: Expect) {
        expect.assert_eq(&overrides.apply(text).unwrap());
    }

    #[test]
    fn a_name_takes_the_place_of_the_manifests() {
        check(
            Overrides { name: Some("staging"), ..Overrides::default() },
            SHOP,
            expect![[r#"
                name = "staging" # ours
                source = "shop.wasm"

                [[route]]
                host = "a.test"
                path = "/a"

                [[route]]
                path = "/b"

                [limits]
                fuel = 5000
            "#]],
        );
    }

    #[test]
    fn a_path_takes_the_place_of_all_routes_and_keeps_the_first_ones_host() {
        check(
            Overrides { path: Some("/s"), ..Overrides::default() },
            SHOP,
            expect![[r#"
                name = "shop" # ours
                source = "shop.wasm"

                [[route]]
                host = "a.test"
                path = "/s"

                [limits]
                fuel = 5000
            "#]],
        );
    }

    #[test]
    fn a_host_is_every_routes() {
        check(
            Overrides { host: Some("b.test"), ..Overrides::default() },
            "name = \"shop\"\nroute = [{ path = \"/a\" }, { path = \"/b\", host = \"a.test\" }]\n",
            expect![[r#"
                name = "shop"

                [[route]]
                path = "/a"
                host = "b.test"

                [[route]]
                path = "/b"
                host = "b.test"
            "#]],
        );
    }

    #[test]
    fn quotes_in_a_flag_stay_in_its_value() {
        let overrides = Overrides { name: Some("a\"\nsource = \"b"), ..Overrides::default() };
        let text = overrides.apply("name = \"shop\"\n").unwrap();
        let document: DocumentMut = text.parse().unwrap();
        assert_eq!(document["name"].as_str(), Some("a\"\nsource = \"b"));
        assert_eq!(document.len(), 1);
    }
}
