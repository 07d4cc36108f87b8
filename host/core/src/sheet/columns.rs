//! Where the headings are, and which column holds what.
//! Reads no amounts: of the cells it only asks whether they are numbers, where a heading is unclear.

use std::collections::BTreeMap;

use super::cell::{self, Cell};
use super::header::Heading;
use super::number::Mark;
use super::{Line, Resource, Role};
use crate::quote::Quoted;

/// How many lines may stand above the headings: titles, dates, who wrote it.
const MOST_TITLES: usize = 30;

/// Why a spreadsheet cannot be understood at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHeader {
    /// Nothing is in it.
    #[error("the spreadsheet is empty")]
    Empty,
    /// No line has what is needed.
    #[error(
        "no line names the columns that are needed: line {line} comes closest and lacks {lacks}; \
         it says {}", Quoted(.says)
    )]
    Lacks {
        /// The number of the line that comes closest.
        line: u64,
        /// What it does not name, with examples of how it could.
        lacks: String,
        /// What it says instead.
        says: String,
    },
}

/// One column that is read.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) at: usize,
    pub(super) title: String,
    pub(super) heading: Heading,
}

/// The columns by what they hold, the preferred one first.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    by_role: BTreeMap<Role, Vec<Column>>,
    pub(super) ignored: Vec<String>,
    /// The headings, by which a repetition of them is known.
    header: Vec<String>,
}

impl Columns {
    /// The columns, and at which of the lines their headings are.
    pub(super) fn find(lines: &[Line]) -> Result<(Self, usize), NoHeader> {
        let mut nearest: Option<(usize, &Line, String)> = None;
        for (at, line) in lines.iter().take(MOST_TITLES).enumerate() {
            let mut columns = Self::of(line);
            let lacks = columns.lacks();
            if lacks.is_empty() {
                columns.settle(lines.get(at + 1..).unwrap_or_default());
                return Ok((columns, at));
            }
            let n_known = columns.by_role.len();
            let is_blank = line.cells.iter().all(|text| cell::is_blank(text));
            if !is_blank && nearest.as_ref().is_none_or(|(most, ..)| n_known > *most) {
                nearest = Some((n_known, line, lacks.join(", and ")));
            }
        }
        Err(nearest.map_or(NoHeader::Empty, |(_, line, lacks)| NoHeader::Lacks {
            line: line.number,
            lacks,
            says: line.cells.join(", "),
        }))
    }

    fn of(line: &Line) -> Self {
        let mut columns = Self {
            by_role: BTreeMap::new(),
            ignored: Vec::new(),
            header: line.cells.iter().map(|text| plain(text)).collect(),
        };
        for (at, text) in line.cells.iter().enumerate() {
            let title = text.split_whitespace().collect::<Vec<_>>().join(" ");
            match Heading::read(text) {
                Some(heading) => {
                    let column = Column { at, title, heading };
                    columns.by_role.entry(heading.role).or_default().push(column);
                }
                None if title.is_empty() => {}
                None => columns.ignored.push(title),
            }
        }
        columns
    }

    fn lacks(&self) -> Vec<String> {
        let has = |role| self.by_role.contains_key(&role);
        let has_amount = |resource| has(Role::Asked(resource)) || has(Role::Used(resource));
        let lacks = [
            (has(Role::App), "a column of apps (app, service, name)"),
            (has_amount(Resource::Cpu), "one of cpu (cpu, cpu request, vcpu, millicores)"),
            (has_amount(Resource::Memory), "one of memory (memory, mem_gb, ram)"),
        ];
        lacks.iter().filter(|(has, _)| !has).map(|(_, what)| (*what).to_owned()).collect()
    }

    /// Settles what a heading leaves open by the cells below it, and which column is preferred.
    fn settle(&mut self, body: &[Line]) {
        let machines = self.by_role.remove(&Role::Machine).unwrap_or_default();
        for mut column in machines {
            if column.heading.is_instance && holds_counts(column.at, body) {
                column.heading.role = Role::Replicas;
            }
            self.by_role.entry(column.heading.role).or_default().push(column);
        }
        for columns in self.by_role.values_mut() {
            columns.sort_by_key(|column| (column.heading.rank, column.at));
        }
        // A name is one cell's; what the others hold is not read.
        let names = [Role::App, Role::Machine, Role::Kind, Role::Zone, Role::Environment];
        for role in names.into_iter().chain([Role::State]) {
            if let Some(columns) = self.by_role.get_mut(&role) {
                let others = columns.split_off(1.min(columns.len()));
                self.ignored.extend(others.into_iter().map(|column| column.title));
            }
        }
    }

    /// The columns that hold this, the preferred one first.
    pub(super) fn of_role(&self, role: Role) -> &[Column] {
        self.by_role.get(&role).map_or(&[], Vec::as_slice)
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.by_role.contains_key(&role)
    }

    /// Whether a line repeats the headings, as sheets printed in pages do.
    pub(super) fn is_repeated_by(&self, line: &Line) -> bool {
        line.cells.iter().map(|text| plain(text)).eq(self.header.iter().cloned())
    }

    pub(super) fn shown(&self) -> Vec<(Role, String)> {
        let columns = self
            .by_role
            .iter()
            .flat_map(|(role, columns)| columns.iter().map(|column| (*role, column.title.clone())));
        columns.collect()
    }
}

fn plain(text: &str) -> String {
    text.trim().to_lowercase()
}

fn holds_counts(at: usize, body: &[Line]) -> bool {
    let mut cells =
        body.iter().filter_map(|line| line.cells.get(at)).filter(|text| !cell::is_blank(text));
    cells.all(|text| {
        matches!(Cell::read(text, Mark::Point), Cell::Amount { number, unit: "" }
            if number.as_whole().is_some())
    })
}
