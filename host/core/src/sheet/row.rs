//! One line of the sheet read by its columns.
//! Knows no other line but for what the whole sheet is written in: its decimal mark and units.

use std::collections::BTreeMap;

use super::cell::{self, Cell, CellFault};
use super::columns::{Column, Columns};
use super::number::{self, Mark, Number};
use super::unit::{self, Unit};
use super::{Amounts, Complaint, Label, Line, Resource, Role, Row};
use crate::units::{Bytes, Cpu};

/// The most replicas of one row: beyond, a column of something else was taken for them.
const MOST_REPLICAS: u64 = 100_000;
/// The most a replica or machine has: 10,000 cores, 1 PiB.
const MOST: [(Resource, u64); 2] = [(Resource::Cpu, 10_000_000), (Resource::Memory, 1 << 50)];
/// What lists of machines call those that do not run. Some are one of several words in a cell, as in
/// `VM deallocated` or `PowerState/stopped`.
const STOPPED: &str = "stopped stopping terminated terminating deallocated deallocating shutdown shutoff \
                       shutting off poweredoff suspended hibernated halted inactive decommissioned \
                       retired deleted gestoppt aus beendet arrêté éteint";
/// What lines that sum up the others start with.
const TOTALS: &str = "total totals sum subtotal sub-total summe gesamt average avg mean overall";

/// What a line is.
#[derive(Debug)]
pub(super) enum Reading {
    Empty,
    Comment,
    Total,
    /// An app with no replicas.
    Idle,
    Row(Box<Row>, Vec<Complaint>),
    Lost(Vec<Complaint>, Vec<Label>),
}

/// Reads lines by the columns of their sheet.
#[derive(Debug)]
pub(super) struct Reader<'s> {
    columns: &'s Columns,
    mark: Mark,
    /// What bare numbers are in, by column.
    units: BTreeMap<usize, Unit>,
}

/// A line in the middle of being read.
struct Reads<'s> {
    reader: &'s Reader<'s>,
    line: &'s Line,
    app: String,
    replicas: u32,
    complaints: Vec<Complaint>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(columns: &'s Columns, body: &[Line], separator: char) -> Self {
        let mut reader = Self { columns, mark: Mark::Point, units: BTreeMap::new() };
        reader.mark = reader.mark_of(body, separator);
        for (resource, column) in reader.amounts() {
            let unit = reader.unit_of(resource, column, body);
            reader.units.extend(unit.map(|unit| (column.at, unit)));
        }
        reader
    }

    /// Every column of amounts.
    fn amounts(&self) -> Vec<(Resource, &'s Column)> {
        let of = |resource| {
            let roles = [Role::Asked(resource), Role::Used(resource), Role::Capacity(resource)];
            let columns = self.columns;
            roles
                .into_iter()
                .flat_map(move |role| columns.of_role(role))
                .map(move |column| (resource, column))
        };
        of(Resource::Cpu).chain(of(Resource::Memory)).collect()
    }

    /// The decimal mark that most amounts show; where none does, the one that goes with the
    /// separator.
    fn mark_of(&self, body: &[Line], separator: char) -> Mark {
        let columns = self.amounts();
        let cells = body
            .iter()
            .flat_map(|line| columns.iter().filter_map(|(_, column)| line.cells.get(column.at)));
        let votes: Vec<Mark> =
            cells.filter_map(|text| number::mark_of(cell::trimmed(text))).collect();
        let n_commas = votes.iter().filter(|mark| **mark == Mark::Comma).count();
        match (n_commas * 2).cmp(&votes.len()) {
            std::cmp::Ordering::Greater => Mark::Comma,
            std::cmp::Ordering::Equal if votes.is_empty() && separator == ';' => Mark::Comma,
            _ => Mark::Point,
        }
    }

    /// What bare numbers of a column are in; `None` where it has none.
    fn unit_of(&self, resource: Resource, column: &Column, body: &[Line]) -> Option<Unit> {
        let bare = body.iter().filter_map(|line| {
            match Cell::read(line.cells.get(column.at)?, self.mark) {
                // Nothing is nothing in every unit.
                Cell::Amount { number, unit: "" } if number > Number::whole(0) => Some(number),
                _ => None,
            }
        });
        let mut numbers: Vec<Number> = bare.collect();
        if numbers.is_empty() {
            return None;
        }
        Some(match column.heading.unit {
            // A share that a program shows as 45 % may be saved as 0.45.
            Some(Unit::Percent) if numbers.iter().all(|number| *number <= Number::whole(1)) => {
                Unit::Fraction
            }
            Some(unit) => unit,
            None => unit::guessed(resource, &mut numbers),
        })
    }

    /// What the sheet leaves open and was assumed.
    pub(super) fn assumed(&self) -> Vec<String> {
        let mut assumed = Vec::new();
        for (resource, column) in self.amounts() {
            let title = &column.title;
            match self.units.get(&column.at) {
                Some(Unit::Fraction) => assumed.push(format!(
                    "numbers under \"{title}\" are fractions: 0.45 is 45 %, since none is above 1"
                )),
                Some(unit) if column.heading.unit.is_none() => {
                    let unit = unit::shown(resource, *unit);
                    assumed.push(format!("bare numbers under \"{title}\" are {unit}"));
                }
                _ => {}
            }
            if matches!(column.heading.unit, Some(Unit::Percent)) {
                assumed.push(format!("shares under \"{title}\" are of what the app asks for"));
            }
            if column.heading.is_total {
                assumed.push(format!("\"{title}\" is of all replicas together"));
            }
            let is_first = self
                .columns
                .of_role(column.heading.role)
                .first()
                .is_some_and(|first| first.at == column.at);
            if column.heading.is_average && is_first {
                assumed.push(format!(
                    "\"{title}\" is an average and hides peaks; a 95th percentile plans better"
                ));
            }
        }
        if !self.columns.has(Role::Replicas) {
            assumed.push("each row is one replica, no column says how many".to_owned());
        }
        if self.mark == Mark::Comma {
            assumed.push("numbers have decimal commas: 1,5 is one and a half".to_owned());
        }
        assumed
    }

    pub(super) fn is_empty(&self, line: &Line) -> bool {
        line.cells.iter().all(|text| cell::trimmed(text).is_empty())
    }

    pub(super) fn read(&self, line: &Line) -> Reading {
        if self.is_empty(line) {
            return Reading::Empty;
        }
        let first =
            line.cells.iter().map(|text| cell::trimmed(text)).find(|text| !cell::is_blank(text));
        let is_comment = |text: &str| {
            let marked = text.strip_prefix('#').and_then(|text| text.chars().next());
            let is_words = marked.is_some_and(|c| !c.is_ascii_digit());
            text.starts_with("//") || is_words && !Cell::read(text, self.mark).is_sheet_error()
        };
        if first.is_some_and(is_comment) || self.columns.is_repeated_by(line) {
            return Reading::Comment;
        }
        let name = self.text(line, Role::App).unwrap_or("");
        if is_total(name) || name.is_empty() && first.is_some_and(is_total) {
            return Reading::Total;
        }
        let app = name.to_owned();
        Reads { reader: self, line, app, replicas: 1, complaints: Vec::new() }.read()
    }

    /// The cell under the column of a name; `None` where it says nothing.
    fn text<'l>(&self, line: &'l Line, role: Role) -> Option<&'l str> {
        let column = self.columns.of_role(role).first()?;
        let text = cell::trimmed(line.cells.get(column.at)?);
        (!cell::is_blank(text)).then_some(text)
    }

    fn label(&self, line: &Line, role: Role) -> Option<Label> {
        self.text(line, role)
            .filter(|text| !Cell::read(text, self.mark).is_sheet_error())
            .and_then(Label::new)
    }

    /// The machines under the column of them; a cell may list several.
    fn machines(&self, line: &Line) -> Vec<Label> {
        let mut machines: Vec<Label> = Vec::new();
        let text = self
            .text(line, Role::Machine)
            .filter(|text| !Cell::read(text, self.mark).is_sheet_error());
        for name in text.unwrap_or("").split([',', ';', '+', '\n']).filter_map(Label::new) {
            if !machines.contains(&name) {
                machines.push(name);
            }
        }
        machines
    }
}

fn is_stopped(state: &str) -> bool {
    let state = state.to_lowercase();
    let mut words = state.split(|letter: char| !letter.is_alphanumeric());
    words.any(|word| !word.is_empty() && STOPPED.split_whitespace().any(|one| one == word))
        || state == "not running"
}

fn is_total(name: &str) -> bool {
    let name = name.to_lowercase().replace("grand ", "");
    let first = name.split([' ', ':', '(']).next().unwrap_or("");
    TOTALS.split(' ').any(|total| total == first) && !name.is_empty()
}

impl Reads<'_> {
    fn read(mut self) -> Reading {
        let (reader, line) = (self.reader, self.line);
        let machines = reader.machines(line);
        if reader.text(line, Role::State).is_some_and(is_stopped) {
            // The machine is none of today's either, unless something else runs on it.
            self.complain(reader.columns.of_role(Role::State).first(), CellFault::NotRunning, true);
            return Reading::Lost(self.complaints, Vec::new());
        }
        let app = reader.label(line, Role::App);
        if app.is_none() {
            self.complain(reader.columns.of_role(Role::App).first(), CellFault::NoName, true);
        }
        match self.replicas(machines.len()) {
            Some(0) => return Reading::Idle,
            Some(replicas) => self.replicas = replicas,
            None => {}
        }
        let (cpu_asked, cpu_used) = self.amount(Resource::Cpu);
        let (memory_asked, memory_used) = self.amount(Resource::Memory);
        let cpus = |amount: Option<u64>| amount.map(Cpu::milli);
        let bytes = |amount: Option<u64>| amount.map(Bytes::new);
        let capacity = Amounts {
            cpu: cpus(self.cells(Role::Capacity(Resource::Cpu), Resource::Cpu, None)),
            memory: bytes(self.cells(Role::Capacity(Resource::Memory), Resource::Memory, None)),
        };
        match app {
            Some(app) if !self.complaints.iter().any(|complaint| complaint.loses_row) => {
                let row = Row {
                    number: line.number,
                    app,
                    environment: reader.label(line, Role::Environment),
                    zone: reader.label(line, Role::Zone),
                    machines,
                    kind: reader.label(line, Role::Kind),
                    capacity,
                    replicas: self.replicas,
                    asked: Amounts { cpu: cpus(cpu_asked), memory: bytes(memory_asked) },
                    used: Amounts { cpu: cpus(cpu_used), memory: bytes(memory_used) },
                };
                Reading::Row(Box::new(row), self.complaints)
            }
            _ => Reading::Lost(self.complaints, machines),
        }
    }

    fn complain(&mut self, column: Option<&Column>, why: CellFault, loses_row: bool) {
        let value = column.and_then(|column| self.line.cells.get(column.at));
        self.complaints.push(Complaint {
            row: self.line.number,
            app: self.app.clone(),
            column: column.map_or_else(String::new, |column| column.title.clone()),
            value: value.map_or_else(String::new, |text| cell::trimmed(text).to_owned()),
            why,
            loses_row,
        });
    }

    /// How many replicas there are, at least one on each of the machines named.
    fn replicas(&mut self, n_machines: usize) -> Option<u32> {
        let named = u32::try_from(n_machines.max(1)).ok()?;
        for column in self.reader.columns.of_role(Role::Replicas) {
            let text = self.line.cells.get(column.at).map_or("", String::as_str);
            let text = cell::trimmed(text).trim_start_matches(['x', 'X', '×']);
            let why = match Cell::read(text, self.reader.mark) {
                Cell::Blank => continue,
                Cell::Odd(why) => why,
                Cell::Amount { number, unit } => {
                    let count = number.as_whole().filter(|count| *count <= MOST_REPLICAS);
                    let is_count =
                        unit.is_empty() || unit.chars().all(char::is_alphabetic) || unit == "×";
                    match count.and_then(|count| u32::try_from(count).ok()) {
                        Some(0) => return Some(0),
                        Some(count) if is_count => return Some(count.max(named)),
                        _ => CellFault::NotACount,
                    }
                }
            };
            self.complain(Some(column), why, true);
            return None;
        }
        Some(named)
    }

    /// What a replica asks for and what it uses; complains where neither is known.
    fn amount(&mut self, resource: Resource) -> (Option<u64>, Option<u64>) {
        let before = self.complaints.len();
        let asked = self.cells(Role::Asked(resource), resource, None);
        let used = self.cells(Role::Used(resource), resource, asked);
        if asked.is_some() || used.is_some() {
            return (asked, used);
        }
        let mut said = self.complaints.iter_mut().skip(before).peekable();
        if said.peek().is_some() {
            said.for_each(|complaint| complaint.loses_row = true);
        } else {
            let columns = self.reader.columns;
            let asked = columns.of_role(Role::Asked(resource)).first();
            let column = asked.or_else(|| columns.of_role(Role::Used(resource)).first());
            self.complain(column, CellFault::Unknown, true);
        }
        (None, None)
    }

    /// The amount in the first column of the role that has one.
    fn cells(&mut self, role: Role, resource: Resource, whole: Option<u64>) -> Option<u64> {
        for column in self.reader.columns.of_role(role) {
            let text = self.line.cells.get(column.at).map_or("", String::as_str);
            match self.reader.amount(column, text, resource, whole) {
                Ok(None) => {}
                Ok(Some(amount)) if column.heading.is_total => {
                    return Some(amount.div_ceil(self.replicas.into()));
                }
                Ok(amount) => return amount,
                Err(why) => self.complain(Some(column), why, false),
            }
        }
        None
    }
}

impl Reader<'_> {
    /// The amount a cell says; `whole` is what a share is of.
    fn amount(
        &self,
        column: &Column,
        text: &str,
        resource: Resource,
        whole: Option<u64>,
    ) -> Result<Option<u64>, CellFault> {
        let (number, named) = match Cell::read(text, self.mark) {
            Cell::Blank => return Ok(None),
            Cell::Odd(why) => return Err(why),
            Cell::Amount { number, unit } => (number, unit),
        };
        let unit = match named {
            "" if number == Number::whole(0) => Some(Unit::Times(1, 1)),
            "" => self.units.get(&column.at).copied(),
            named => unit::named(resource, named),
        };
        let amount = match unit.ok_or(CellFault::BadUnit)? {
            Unit::Percent => number.times(whole.ok_or(CellFault::ShareOfNothing)?, 100),
            Unit::Fraction => number.times(whole.ok_or(CellFault::ShareOfNothing)?, 1),
            Unit::Times(multiplier, divisor) => number.times(multiplier, divisor),
        };
        let most = MOST.iter().find_map(|(of, most)| (*of == resource).then_some(*most));
        let amount = amount.filter(|amount| most.is_none_or(|most| *amount <= most));
        match amount.ok_or(CellFault::TooMuch)? {
            0 if resource == Resource::Memory => Err(CellFault::NoMemory),
            amount => Ok(Some(amount)),
        }
    }
}
