//! A plan on paper as text: what it comes to, machine by machine, and what was left out of it.
//! Only arranges; JSON and pictures are made elsewhere.

use std::fmt::Write as _;

use steerage_core::pack::{MachineRoom, PackItem, Price, Today, Unpacked};
use steerage_core::sheet::{Label, Skipped};
use steerage_core::units::Cpu;

use super::paper::{Paper, Tally, staying, sum};
use crate::cli::human;
use crate::cli::table::Table;

const COLUMNS: [&str; 5] = ["MACHINE", "KIND", ">CPU USED", ">MEMORY USED", "HOLDS"];

/// How many apps of a machine are named.
const MOST_NAMED: usize = 6;

/// One resource of a room, and how its amounts are shown.
type Resource = (&'static str, fn(MachineRoom) -> u64, fn(u64) -> String);
/// A line of the summary: a part of what a fleet has.
type Part = (&'static str, fn(&Tally) -> MachineRoom);

const RESOURCES: [Resource; 2] = [
    ("cpu", |room| room.cpu.get_micro(), |amount| cores(Cpu::micro(amount))),
    ("memory", |room| room.memory.get(), human::bytes),
];
const PARTS: [Part; 3] = [
    ("  asked for", |tally| tally.asked),
    ("  used", |tally| tally.used),
    ("  needed", |tally| tally.need),
];

/// The whole plan, with at most so many lines of each list.
pub(super) fn tell(paper: &Paper, lines: usize) -> String {
    let mut text = format!("{}\n{}\n\n{}", headline(paper), rows(paper), summary(paper));
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            // A String takes whatever is written to it.
            write!(text, "\n\n{title}\n{body}").ok();
        }
    };
    section("MACHINES TODAY", machines_today(paper, lines));
    section("MACHINES PACKED", machines_packed(paper, lines));
    section("DOES NOT FIT", unplaced(paper));
    section("ROWS AND CELLS THAT COULD NOT BE USED", complaints(paper, lines));
    section("NOT IN THESE FIGURES", list(&paper.missing));
    section("PASSED OVER", skipped(paper));
    section("ASSUMED", list(&paper.assumed));
    text
}

/// What the plan comes to, in a sentence.
pub(super) fn headline(paper: &Paper) -> String {
    let n_machines = |tally: &Tally| human::many(tally.n_machines, "machine");
    let mut text = match &paper.before {
        Some(before) => format!("{} today, {} packed", n_machines(before), paper.after.n_machines),
        None => format!("{} packed", n_machines(&paper.after)),
    };
    match paper.saved_percent() {
        Some(percent) if percent >= 0 => write!(text, ": {percent} % less a month").ok(),
        Some(percent) => write!(text, ": {} % more a month", -percent).ok(),
        None => None,
    };
    // A figure that stands on a guess says so itself: what is assumed stands far below.
    let Today { n_unnamed, undescribed, .. } = &paper.today;
    let n_guessed = *n_unnamed + undescribed.values().sum::<u32>();
    if paper.before.is_some() && n_guessed > 0 {
        let machines = human::many(n_guessed as usize, "machine");
        write!(text, ", if the kind of {machines} is guessed right (see ASSUMED)").ok();
    }
    text
}

/// What was read of the sheet.
fn rows(paper: &Paper) -> String {
    let n_replicas: usize = paper.loads.iter().map(|load| load.replicas as usize).sum();
    let sheet = &paper.sheet;
    let mut text = format!(
        "{}: {} of {} with {}",
        paper.fleet,
        human::many(sheet.rows.len(), "row"),
        human::many(paper.loads.len(), "app"),
        human::many(n_replicas, "replica")
    );
    if sheet.n_lost > 0 {
        let lost = human::many(sheet.n_lost as usize, "row");
        write!(text, "; {lost} left out, see below").ok();
    }
    text
}

fn summary(paper: &Paper) -> String {
    let mut table = Table::new(&["", ">TODAY", ">", ">PACKED", ">", ">AT LEAST"]);
    let (before, after) = (paper.before.as_ref(), &paper.after);
    let (least_machines, least_hourly) = paper.least();
    let row = |name: &str, today: Option<String>, packed: String, least: String| {
        [name.to_owned(), today.unwrap_or_default(), String::new(), packed, String::new(), least]
    };
    table.row(row(
        "machines",
        before.map(|tally| tally.n_machines.to_string()),
        after.n_machines.to_string(),
        least_machines.to_string(),
    ));
    if after.hourly.is_some_and(|hourly| hourly > Price::default()) {
        table.row(row(
            "cost a month",
            before.map(|tally| cost(tally.hourly)),
            cost(after.hourly),
            cost(least_hourly),
        ));
    }
    for (name, of, show) in RESOURCES {
        table.row(row(
            name,
            before.map(|tally| show(of(tally.has))),
            show(of(after.has)),
            String::new(),
        ));
        for (name, part) in PARTS {
            let cells = |tally: &Tally| {
                let amount = of(part(tally));
                [show(amount), percent(amount, of(tally.has))]
            };
            let [today, today_percent] = before.map(cells).unwrap_or_default();
            let [packed, packed_percent] = cells(after);
            table.row([
                name.to_owned(),
                today,
                today_percent,
                packed,
                packed_percent,
                String::new(),
            ]);
        }
    }
    table.render()
}

fn machines_today(paper: &Paper, lines: usize) -> String {
    let mut table = Table::new(&COLUMNS);
    let machines = &paper.today.machines;
    for machine in machines.iter().take(lines) {
        // What it really uses: how full somebody believes it to be is in the sheet already.
        let used = sum(&machine.holds, &paper.loads, |load| load.used);
        let [cpu, memory] = percents(used, machine.room);
        let names = names(&machine.holds, &paper.loads);
        table.row([machine.name.to_string(), machine.kind.to_string(), cpu, memory, names]);
    }
    cut(&table, machines.len(), lines)
}

fn machines_packed(paper: &Paper, lines: usize) -> String {
    let machines = &paper.packing.machines;
    let has_groups = machines.iter().any(|machine| group(machine).is_some());
    let mut table = Table::new(&COLUMNS);
    for (number, machine) in (1..).zip(machines.iter().take(lines)) {
        let Some(kind) = paper.kinds.get(machine.kind) else { continue };
        let used = sum(&machine.holds, &paper.loads, |load| load.used);
        let [cpu, memory] = percents(used, kind.room);
        let name = match group(machine).filter(|_| has_groups) {
            Some(group) => format!("{number} in {group}"),
            None => number.to_string(),
        };
        let names = names(&machine.holds, &paper.loads);
        table.row([name, kind.name.to_string(), cpu, memory, names]);
    }
    let kept = paper.kept.iter().filter_map(|index| paper.today.machines.get(*index));
    for machine in kept.take(lines.saturating_sub(machines.len())) {
        let holds = staying(machine, &paper.packing);
        let used = sum(&holds, &paper.loads, |load| load.used);
        let [cpu, memory] = percents(used, machine.room);
        let name = format!("{} (kept)", machine.name);
        table.row([name, machine.kind.to_string(), cpu, memory, names(&holds, &paper.loads)]);
    }
    cut(&table, paper.after.n_machines, lines)
}

/// The zone and environment that a machine is for.
pub(super) fn group(machine: &steerage_core::pack::PackedMachine) -> Option<String> {
    let group = &machine.group;
    let parts: Vec<&str> =
        [&group.zone, &group.environment].into_iter().flatten().map(Label::as_str).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn unplaced(paper: &Paper) -> String {
    let line = |Unpacked { load, lacks }: &Unpacked| {
        let load = paper.loads.get(*load)?;
        Some(format!("{}: {lacks}{}", load.name, times(load.replicas)))
    };
    list(&paper.packing.unplaced.iter().filter_map(line).collect::<Vec<_>>())
}

fn complaints(paper: &Paper, lines: usize) -> String {
    let complaints = &paper.sheet.complaints;
    let mut table = Table::new(&[">ROW", "APP", "COLUMN", "VALUE", "", "WHY"]);
    for complaint in complaints.iter().take(lines) {
        table.row([
            complaint.row.to_string(),
            short(&complaint.app),
            short(&complaint.column),
            short(&complaint.value),
            if complaint.loses_row { "row left out" } else { "cell left out" }.to_owned(),
            complaint.why.to_string(),
        ]);
    }
    if complaints.is_empty() {
        return String::new();
    }
    let mut text = table.render();
    if complaints.len() > lines {
        write!(text, "\nand {} more; of all of them:", complaints.len() - lines).ok();
        for (why, count) in paper.sheet.reasons() {
            write!(text, "\n{count:5} x {why}").ok();
        }
    }
    text
}

fn skipped(paper: &Paper) -> String {
    let Skipped { blank, comments, totals, idle } = &paper.sheet.skipped;
    let rows = |what: &str, rows: &[u64]| {
        let few: Vec<String> = rows.iter().take(MOST_NAMED).map(u64::to_string).collect();
        let more = if rows.len() > few.len() { ", …" } else { "" };
        (!rows.is_empty()).then(|| format!("{what}: {} (row {}{more})", rows.len(), few.join(", ")))
    };
    let blank = (*blank > 0).then(|| format!("empty rows: {blank}"));
    let ignored = &paper.sheet.ignored;
    let columns = (!ignored.is_empty()).then(|| format!("columns: {}", ignored.join(", ")));
    let parts = [
        rows("comments and headings", comments),
        rows("totals", totals),
        rows("apps with no replicas", idle),
        blank,
        columns,
    ];
    list(&parts.into_iter().flatten().collect::<Vec<_>>())
}

fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("- {line}")).collect::<Vec<_>>().join("\n")
}

fn cut(table: &Table, n_rows: usize, lines: usize) -> String {
    match n_rows {
        0 => String::new(),
        _ if n_rows > lines => {
            format!("{}\nand {} more; -n shows more, -o json all", table.render(), n_rows - lines)
        }
        _ => table.render(),
    }
}

fn names(holds: &[(usize, u32)], loads: &[PackItem]) -> String {
    let name = |(load, n): &(usize, u32)| Some(format!("{}{}", loads.get(*load)?.name, times(*n)));
    let named: Vec<String> = holds.iter().filter_map(name).take(MOST_NAMED).collect();
    match holds.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn times(count: u32) -> String {
    if count == 1 { String::new() } else { format!(" x{count}") }
}

fn percents(part: MachineRoom, whole: MachineRoom) -> [String; 2] {
    [
        percent(part.cpu.get_micro(), whole.cpu.get_micro()),
        percent(part.memory.get(), whole.memory.get()),
    ]
}

fn percent(part: u64, whole: u64) -> String {
    let percent = (u128::from(part) * 100).checked_div(whole.into());
    percent.map_or_else(String::new, |percent| format!("{percent} %"))
}

/// A cost a month of what costs so much an hour.
pub(super) fn cost(hourly: Option<Price>) -> String {
    hourly.map_or_else(|| "?".to_owned(), |hourly| hourly.monthly().to_string())
}

/// Processors as people count them.
pub(super) fn cores(cpu: Cpu) -> String {
    match cpu.as_millis() {
        milli @ ..1_000 => format!("{}.{:02}", milli / 1000, milli % 1000 / 10),
        milli @ ..100_000 => format!("{}.{}", milli / 1000, milli % 1000 / 100),
        milli => (milli / 1000).to_string(),
    }
}

/// A cell that somebody wrote, on one line and short.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 24 {
        return line;
    }
    line.chars().take(23).chain(['…']).collect()
}
