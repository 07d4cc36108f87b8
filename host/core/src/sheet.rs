//! A fleet as a spreadsheet has it: which app asks for how much, uses how much, and runs where.
//! Takes lines of cells, however a file was cut into them, and yields rows, and for everything that
//! could not be used its place and the reason. Nothing here opens a file or packs anything.

mod cell;
mod columns;
mod header;
mod merge;
mod number;
mod row;
mod unit;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use self::cell::CellFault;
use self::columns::Columns;
pub use self::columns::NoHeader;
use self::row::{Reader, Reading};
use crate::units::{Bytes, Cpu};

/// What apps take of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The app's name.
    App,
    /// What each replica asks for.
    Asked(Resource),
    /// What each replica was measured to use.
    Used(Resource),
    /// How many replicas there are.
    Replicas,
    /// The machine it runs on today.
    Machine,
    /// That machine's kind.
    Kind,
    /// How large that machine is.
    Capacity(Resource),
    /// The zone it runs in.
    Zone,
    /// The environment, which tells apps of one name apart.
    Environment,
    /// Whether it, or its machine, runs at all.
    State,
}

/// A name as the spreadsheet has it. Two that differ in case or blanks only are the same.
#[derive(Clone, Debug)]
pub struct Label {
    shown: Arc<str>,
    /// The name in lower case, with single blanks.
    key: Arc<str>,
}

/// One line of the spreadsheet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The number that spreadsheet programs show beside it, from 1.
    pub number: u64,
    /// Its cells as they were written.
    pub cells: Vec<String>,
}

/// An amount of each resource; `None` where the sheet says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Processor time.
    pub cpu: Option<Cpu>,
    /// Memory.
    pub memory: Option<Bytes>,
}

/// One usable row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line's number.
    pub number: u64,
    /// The app.
    pub app: Label,
    /// The environment the app is of.
    pub environment: Option<Label>,
    /// The zone it runs in.
    pub zone: Option<Label>,
    /// The machines it runs on today; empty where the sheet does not say.
    pub machines: Vec<Label>,
    /// The kind of these machines.
    pub kind: Option<Label>,
    /// How large each of these machines is.
    pub capacity: Amounts,
    /// How many replicas, at least 1.
    pub replicas: u32,
    /// What each asks for. Of each resource this or [`Row::used`] is known.
    pub asked: Amounts,
    /// What each was measured to use.
    pub used: Amounts,
}

/// A cell that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The line's number.
    pub row: u64,
    /// The app's name, where there is one.
    pub app: String,
    /// The column by its heading.
    pub column: String,
    /// What the cell says.
    pub value: String,
    /// What is wrong with it.
    pub why: CellFault,
    /// Whether the whole row is left out; otherwise only the cell is, as if it were blank.
    pub loses_row: bool,
}

/// Lines that are not meant to be apps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Empty lines.
    pub blank: u32,
    /// The lines of comments, titles above the headings, and repeated headings.
    pub comments: Vec<u64>,
    /// The lines of totals and averages.
    pub totals: Vec<u64>,
    /// The lines of apps with no replicas.
    pub idle: Vec<u64>,
}

/// A spreadsheet as it was understood.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// What each column was taken for, in the order of the roles and, within one, of preference.
    pub columns: Vec<(Role, String)>,
    /// The headings of the columns that nothing was read from.
    pub ignored: Vec<String>,
    /// The usable rows in the sheet's order.
    pub rows: Vec<Row>,
    /// What could not be used, in the sheet's order.
    pub complaints: Vec<Complaint>,
    /// What was passed over.
    pub skipped: Skipped,
    /// How many lines are left out for what [`Sheet::complaints`] say.
    pub n_lost: u32,
    /// The machines of today that lines which are left out name.
    pub lost_machines: Vec<Label>,
    /// What the sheet does not say and was assumed, each as a sentence.
    pub assumed: Vec<String>,
}

impl Sheet {
    /// Understands the lines of a spreadsheet that has `separator` between its cells, which hints
    /// at whether its numbers have decimal commas.
    ///
    /// # Errors
    ///
    /// Fails where none of the first lines names a column of apps, one of processor time and one
    /// of memory.
    pub fn read(lines: &[Line], separator: char) -> Result<Self, NoHeader> {
        let (columns, header_at) = Columns::find(lines)?;
        let body = lines.get(header_at + 1..).unwrap_or_default();
        let reader = Reader::new(&columns, body, separator);
        let mut sheet = Self {
            columns: columns.shown(),
            ignored: columns.ignored.clone(),
            rows: Vec::new(),
            complaints: Vec::new(),
            skipped: Skipped::default(),
            n_lost: 0,
            lost_machines: Vec::new(),
            assumed: reader.assumed(),
        };
        for title in lines.iter().take(header_at) {
            match reader.is_empty(title) {
                true => sheet.skipped.blank += 1,
                false => sheet.skipped.comments.push(title.number),
            }
        }
        for line in body {
            sheet.take(line.number, reader.read(line));
        }
        merge::merge(&mut sheet);
        sheet.complaints.sort_by_key(|complaint| complaint.row);
        Ok(sheet)
    }

    fn take(&mut self, number: u64, reading: Reading) {
        match reading {
            Reading::Empty => self.skipped.blank += 1,
            Reading::Comment => self.skipped.comments.push(number),
            Reading::Total => self.skipped.totals.push(number),
            Reading::Idle => self.skipped.idle.push(number),
            Reading::Row(row, complaints) => {
                self.rows.push(*row);
                self.complaints.extend(complaints);
            }
            Reading::Lost(complaints, machines) => {
                self.n_lost += 1;
                self.complaints.extend(complaints);
                self.lost_machines.extend(machines);
            }
        }
    }

    /// How many lines were looked at, the one with the headings not among them: each is a row, or
    /// left out, or passed over.
    #[must_use]
    pub fn n_lines(&self) -> usize {
        let Skipped { blank, comments, totals, idle } = &self.skipped;
        let n_skipped = comments.len() + totals.len() + idle.len();
        let counted = u64::from(*blank) + u64::from(self.n_lost);
        self.rows.len() + n_skipped + usize::try_from(counted).unwrap_or(usize::MAX)
    }

    /// The complaints by their reasons, each with how often it came up.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<String, u32> {
        let mut reasons = BTreeMap::new();
        for complaint in &self.complaints {
            let why = match complaint.why {
                CellFault::Duplicate(_) => {
                    "the same app is on the same machine in another row".to_owned()
                }
                why => why.to_string(),
            };
            *reasons.entry(why).or_insert(0) += 1;
        }
        reasons
    }
}

/// How many of these texts name a column that a plan needs: for telling a file's separator.
#[must_use]
pub fn n_headings(cells: &[String]) -> usize {
    cells.iter().filter(|cell| header::Heading::read(cell).is_some()).count()
}

impl Label {
    /// Takes a name as it was written; `None` for one that says nothing.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let shown = cell::trimmed(text).split_whitespace().collect::<Vec<_>>().join(" ");
        let key = Arc::from(shown.to_lowercase());
        (!shown.is_empty()).then(|| Self { shown: Arc::from(shown), key })
    }

    /// The name as it was first written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.shown
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Label {}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Label {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.shown)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::App => "app",
            Self::Asked(Resource::Cpu) => "cpu asked for",
            Self::Asked(Resource::Memory) => "memory asked for",
            Self::Used(Resource::Cpu) => "cpu used",
            Self::Used(Resource::Memory) => "memory used",
            Self::Replicas => "replicas",
            Self::Machine => "machine",
            Self::Kind => "kind of machine",
            Self::Capacity(Resource::Cpu) => "cpu of the machine",
            Self::Capacity(Resource::Memory) => "memory of the machine",
            Self::Zone => "zone",
            Self::Environment => "environment",
            Self::State => "state",
        })
    }
}

#[cfg(test)]
mod tests;
