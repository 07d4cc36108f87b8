//! Tables without borders: aligned columns, numbers to the right, no cell cut; where a terminal is narrow, and
//! whoever makes the table says which matter least, whole columns are left out.
//! Does not know what it shows; JSON output never comes through here.

use comfy_table::{CellAlignment, presets};

/// A table under construction.
#[derive(Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Blanks between two columns.
const GAP: usize = 2;

impl Table {
    /// A table with these columns; a name that starts with `>` aligns its column to the right.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells that are missing stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Leaves out columns until the table is no wider than so many characters: the first of these, then the
    /// next. Where there is no width, or nothing of these is left, the table is as wide as it is.
    pub fn fit(&mut self, width: Option<usize>, least_first: &[&str]) {
        let Some(width) = width else { return };
        for least in least_first {
            if self.width() <= width {
                return;
            }
            let is_least = |name: &String| name.trim_start_matches('>') == *least;
            if let Some(place) = self.columns.iter().position(is_least) {
                self.columns.remove(place);
                for row in self.rows.iter_mut().filter(|row| place < row.len()) {
                    row.remove(place);
                }
            }
        }
    }

    fn width(&self) -> usize {
        let widths = self.columns.iter().enumerate().map(|(place, name)| {
            let cells = self.rows.iter().filter_map(|row| row.get(place));
            let cells = cells.map(|cell| console::measure_text_width(cell));
            cells.chain([name.trim_start_matches('>').len()]).max().unwrap_or(0)
        });
        widths.sum::<usize>() + GAP * self.columns.len().saturating_sub(1)
    }

    /// The table as lines, without trailing blanks or a last line break.
    #[must_use]
    pub fn render(&self) -> String {
        let mut inner = comfy_table::Table::new();
        inner.load_preset(presets::NOTHING);
        inner.set_header(self.columns.iter().map(|name| name.trim_start_matches('>')));
        for (index, name) in self.columns.iter().enumerate() {
            if let Some(column) = inner.column_mut(index) {
                column.set_padding((0, 2));
                if name.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        inner.add_rows(&self.rows);
        inner.trim_fmt()
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
    fn where_it_is_narrow_whole_columns_go_those_that_matter_least_first() {
        let within = |width| {
            let mut table = Table::new(&["APP", ">AGE", ">PEAK", "ROUTES"]);
            table.row(["hello", "3m", "64.0 MiB", "/hello"].map(str::to_owned));
            table.fit(width, &["PEAK", "AGE"]);
            table.render().lines().next().unwrap().to_owned()
        };
        assert_eq!(within(None), within(Some(28)));
        assert_eq!(within(Some(28)), "APP    AGE      PEAK  ROUTES");
        assert_eq!(within(Some(27)), "APP    AGE  ROUTES");
        assert_eq!(within(Some(17)), "APP    ROUTES");
        // What is left is shown whole.
        assert_eq!(within(Some(3)), "APP    ROUTES");
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
