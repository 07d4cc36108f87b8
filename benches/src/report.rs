//! What a bench has to say: figures beside their targets, for people and as JSON.
//! Measures nothing, and does not fail when a target is missed: benches are not timed tests.

use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value, json};

/// Where a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// The figures of one run of a bench.
#[derive(Debug)]
pub(crate) struct Report {
    bench: &'static str,
    goals: Vec<Goal>,
    details: Map<String, Value>,
}

#[derive(Debug)]
struct Goal {
    measured: String,
    /// The figure, or why there is none.
    figure: Result<f64, String>,
    unit: &'static str,
    target: Target,
}

impl Report {
    pub(crate) fn new(bench: &'static str) -> Self {
        Self { bench, goals: Vec::new(), details: Map::new() }
    }

    /// Adds a figure that has a target.
    pub(crate) fn goal(&mut self, measured: &str, figure: f64, unit: &'static str, target: Target) {
        self.add(measured, Ok(figure), unit, target);
    }

    /// Adds a figure that could not be measured, and says why.
    pub(crate) fn not_measured(&mut self, measured: &str, why: &str, target: Target) {
        self.add(measured, Err(why.to_owned()), "", target);
    }

    /// Adds whatever else is worth having in the JSON.
    pub(crate) fn detail(&mut self, name: &str, value: Value) {
        self.details.insert(name.to_owned(), value);
    }

    /// Prints the figures, and writes them as JSON where asked to.
    pub(crate) fn finish(&self, json: Option<&Path>) -> Result<()> {
        let mut table = table(&["measured", "figure", "target", ""]);
        for goal in &self.goals {
            let figure = match &goal.figure {
                Ok(figure) => shown(*figure, goal.unit),
                Err(why) => format!("not measured: {why}"),
            };
            let verdict = match goal.is_met() {
                Some(true) => "met",
                Some(false) => "missed",
                None => "",
            };
            let cells = [goal.measured.clone(), figure, goal.target(), verdict.to_owned()];
            table.add_row(cells);
        }
        println!("\n{table}");
        if let Some(path) = json {
            let text = serde_json::to_string_pretty(&self.as_json())?;
            std::fs::write(path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        measured: &str,
        figure: Result<f64, String>,
        unit: &'static str,
        target: Target,
    ) {
        self.goals.push(Goal { measured: measured.to_owned(), figure, unit, target });
    }

    fn as_json(&self) -> Value {
        let goals: Vec<Value> = self
            .goals
            .iter()
            .map(|goal| {
                json!({
                    "measured": goal.measured,
                    "figure": goal.figure.as_ref().ok(),
                    "not_measured": goal.figure.as_ref().err(),
                    "unit": goal.unit,
                    "target": goal.target(),
                    "met": goal.is_met(),
                })
            })
            .collect();
        json!({ "bench": self.bench, "goals": goals, "details": self.details })
    }
}

impl Goal {
    fn is_met(&self) -> Option<bool> {
        let figure = *self.figure.as_ref().ok()?;
        Some(match self.target {
            Target::AtMost(most) => figure <= most,
            Target::AtLeast(least) => figure >= least,
        })
    }

    fn target(&self) -> String {
        match self.target {
            Target::AtMost(most) => format!("<= {}", shown(most, self.unit)),
            Target::AtLeast(least) => format!(">= {}", shown(least, self.unit)),
        }
    }
}

/// A table of columns, the first to the left and the others to the right.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Three digits, or all of those before the point.
fn shown(figure: f64, unit: &str) -> String {
    let n_decimals = match figure.abs() {
        size if size >= 100.0 || size.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{figure:.n_decimals$} {unit}").trim_end().to_owned()
}
