//! Tables without borders: aligned columns, numbers to the right, nothing to cut away.
//! Does not know what it shows; JSON output never comes through here.

use comfy_table::{CellAlignment, presets};

/// A table under construction.
#[derive(Debug)]
pub struct Table {
    inner: comfy_table::Table,
}

impl Table {
    /// A table with these columns; a name that starts with `>` aligns its column to the right.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_preset(presets::NOTHING);
        inner.set_header(columns.iter().map(|name| name.trim_start_matches('>')));
        for (index, name) in columns.iter().enumerate() {
            if let Some(column) = inner.column_mut(index) {
                column.set_padding((0, 2));
                if name.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self { inner }
    }

    /// Adds a row; cells that are missing stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.inner.add_row(cells.into_iter().collect::<Vec<_>>());
    }

    /// The table as lines, without trailing blanks or a last line break.
    #[must_use]
    pub fn render(&self) -> String {
        self.inner.trim_fmt()
    }
}

/// Names and values under each other, for one thing with many sides.
#[derive(Debug, Default)]
pub struct Facts {
    facts: Vec<(String, String)>,
}

impl Facts {
    /// Adds one fact; one with an empty value is left out.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.facts.push((name.to_owned(), value));
        }
    }

    /// The facts as lines, values aligned; further lines of a value are indented below it.
    #[must_use]
    pub fn render(&self) -> String {
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines = self.facts.iter().map(|(name, value)| {
            let below = format!("\n{:width$}  ", "");
            format!("{name:width$}  {}", value.replace('\n', &below))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn columns_align_and_numbers_go_right() {
        let mut table = Table::new(&["APP", ">MEMORY", "STATE"]);
        table.row(["hello".to_owned(), "64.0 MiB".to_owned(), "ready".to_owned()]);
        table.row(["a-longer-name".to_owned(), "1.5 GiB".to_owned(), String::new()]);
        expect![[r#"
            APP              MEMORY  STATE
            hello          64.0 MiB  ready
            a-longer-name   1.5 GiB"#]]
        .assert_eq(&table.render());
    }

    #[test]
    fn facts_align_and_empty_ones_are_left_out() {
        let mut facts = Facts::default();
        facts.add("app", "hello");
        facts.add("last failure", "");
        facts.add("routes", "/hello\n/hello/:name");
        expect![[r#"
            app     hello
            routes  /hello
                    /hello/:name"#]]
        .assert_eq(&facts.render());
    }
}
