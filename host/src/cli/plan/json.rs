//! A plan on paper for programs: stable names, plain numbers with their unit in the name.
//! Says all that the tables say, and lists everything.

use serde::Serialize;
use steerage_core::pack::{CurrentMachine, MachineRoom, PackItem, Price};

use super::paper::{Paper, Tally, staying, sum};
use super::tell;

/// What `-o json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    fleet: String,
    rows: Rows,
    columns: Vec<Column>,
    columns_ignored: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    today: Option<Fleet>,
    packed: Fleet,
    at_least: Least,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_percent: Option<i64>,
    unplaced: Vec<Unplaced>,
    complaints: Vec<Complaint>,
    assumed: Vec<String>,
    missing: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Rows {
    used: usize,
    left_out: u32,
    passed_over: usize,
}

#[derive(Debug, Serialize)]
struct Column {
    heading: String,
    holds: String,
}

#[derive(Debug, Serialize)]
struct Fleet {
    n_machines: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    monthly_cost: Option<f64>,
    has: Amount,
    asked: Amount,
    used: Amount,
    needed: Amount,
    machines: Vec<Machine>,
}

#[derive(Debug, Serialize)]
struct Least {
    n_machines: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    monthly_cost: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Amount {
    cpu_millis: u64,
    memory_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Machine {
    name: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// It is one of today's that holds what fits no kind of machine.
    kept: bool,
    has: Amount,
    used: Amount,
    needed: Amount,
    apps: Vec<App>,
}

#[derive(Debug, Serialize)]
struct App {
    app: String,
    replicas: u32,
}

#[derive(Debug, Serialize)]
struct Unplaced {
    app: String,
    replicas: u32,
    needed: Amount,
    why: String,
}

#[derive(Debug, Serialize)]
struct Complaint {
    row: u64,
    app: String,
    column: String,
    value: String,
    why: String,
    loses_row: bool,
}

/// The report of a plan.
pub(super) fn report(paper: &Paper) -> Report {
    let sheet = &paper.sheet;
    let (least_machines, least_hourly) = paper.least();
    let n_lost = usize::try_from(sheet.n_lost).unwrap_or(usize::MAX);
    let columns = sheet
        .columns
        .iter()
        .map(|(role, heading)| Column { heading: heading.clone(), holds: role.to_string() });
    let unplaced = paper.packing.unplaced.iter().filter_map(|unplaced| {
        let load = paper.loads.get(unplaced.load)?;
        Some(Unplaced {
            app: load.name.to_string(),
            replicas: load.replicas,
            needed: amount(load.need),
            why: unplaced.lacks.to_string(),
        })
    });
    let complaints = sheet.complaints.iter().map(|complaint| Complaint {
        row: complaint.row,
        app: complaint.app.clone(),
        column: complaint.column.clone(),
        value: complaint.value.clone(),
        why: complaint.why.to_string(),
        loses_row: complaint.loses_row,
    });
    Report {
        fleet: paper.fleet.clone(),
        rows: Rows {
            used: sheet.rows.len(),
            left_out: sheet.n_lost,
            passed_over: sheet.n_lines().saturating_sub(sheet.rows.len()).saturating_sub(n_lost),
        },
        columns: columns.collect(),
        columns_ignored: sheet.ignored.clone(),
        today: paper.before.as_ref().map(|tally| fleet(tally, machines_today(paper))),
        packed: fleet(&paper.after, machines_packed(paper)),
        at_least: Least { n_machines: least_machines, monthly_cost: least_hourly.map(monthly) },
        saved_percent: paper.saved_percent(),
        unplaced: unplaced.collect(),
        complaints: complaints.collect(),
        assumed: paper.assumed.clone(),
        missing: paper.missing.clone(),
    }
}

fn fleet(tally: &Tally, machines: Vec<Machine>) -> Fleet {
    Fleet {
        n_machines: tally.n_machines,
        monthly_cost: tally.hourly.map(monthly),
        has: amount(tally.has),
        asked: amount(tally.asked),
        used: amount(tally.used),
        needed: amount(tally.need),
        machines,
    }
}

fn machines_today(paper: &Paper) -> Vec<Machine> {
    let machines = paper.today.machines.iter();
    machines.map(|machine| standing(paper, machine, &machine.holds)).collect()
}

fn standing(paper: &Paper, machine: &CurrentMachine, holds: &[(usize, u32)]) -> Machine {
    Machine {
        name: machine.name.to_string(),
        kind: machine.kind.to_string(),
        group: None,
        kept: false,
        has: amount(machine.room),
        used: amount(sum(holds, &paper.loads, |load| load.used)),
        needed: amount(sum(holds, &paper.loads, |load| load.need)),
        apps: apps(holds, &paper.loads),
    }
}

fn machines_packed(paper: &Paper) -> Vec<Machine> {
    let machines = (1..).zip(&paper.packing.machines).filter_map(|(number, machine)| {
        let kind = paper.kinds.get(machine.kind)?;
        Some(Machine {
            name: format!("{}-{number}", kind.name),
            kind: kind.name.to_string(),
            group: tell::group(machine),
            kept: false,
            has: amount(kind.room),
            used: amount(sum(&machine.holds, &paper.loads, |load| load.used)),
            needed: amount(machine.used),
            apps: apps(&machine.holds, &paper.loads),
        })
    });
    let kept = paper.kept.iter().filter_map(|index| {
        let machine = paper.today.machines.get(*index)?;
        let holds = staying(machine, &paper.packing);
        Some(Machine { kept: true, ..standing(paper, machine, &holds) })
    });
    machines.chain(kept).collect()
}

fn apps(holds: &[(usize, u32)], loads: &[PackItem]) -> Vec<App> {
    let app = |(load, replicas): &(usize, u32)| {
        Some(App { app: loads.get(*load)?.name.to_string(), replicas: *replicas })
    };
    holds.iter().filter_map(app).collect()
}

fn amount(room: MachineRoom) -> Amount {
    Amount { cpu_millis: room.cpu.as_millis(), memory_bytes: room.memory.get() }
}

fn monthly(hourly: Price) -> f64 {
    hourly.monthly().get() as f64 / 1e6
}
