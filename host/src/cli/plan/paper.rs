//! A plan on paper: the fleet of a spreadsheet as it is and as it could be, side by side.
//! Adds up and words what was assumed; prints nothing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use steerage_core::pack::{
    self, CurrentMachine, MachineKind, MachineRoom, PackItem, Packing, Price, Today, Wishes, fleet,
    today,
};
use steerage_core::sheet::{CellFault, Complaint, Label, Sheet};

use super::file::File;
use crate::cli::args::{Apart, Plan};
use crate::cli::ending::Refused;
use crate::cli::human;

/// Everything there is to show.
#[derive(Debug)]
pub(super) struct Paper {
    pub(super) fleet: String,
    pub(super) sheet: Sheet,
    pub(super) loads: Vec<PackItem>,
    pub(super) kinds: Vec<MachineKind>,
    pub(super) today: Today,
    pub(super) packing: Packing,
    /// What today's machines are and have; `None` where the sheet names none.
    pub(super) before: Option<Tally>,
    /// What the packed machines are and have, those that are kept among them.
    pub(super) after: Tally,
    /// Machines of today, by their index, that stay for what fits no kind of machine.
    pub(super) kept: Vec<usize>,
    pub(super) assumed: Vec<String>,
    /// What the figures should have in them and have not.
    pub(super) missing: Vec<String>,
}

/// A fleet added up.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) n_machines: usize,
    /// How many there are of each kind.
    pub(super) of_kind: BTreeMap<Label, u32>,
    pub(super) has: MachineRoom,
    pub(super) asked: MachineRoom,
    pub(super) used: MachineRoom,
    pub(super) need: MachineRoom,
    /// `None` where the price of some machine is not known.
    pub(super) hourly: Option<Price>,
}

impl Paper {
    /// Plans the fleet of a file.
    pub(super) fn plan(path: &Path, file: &File, args: &Plan) -> anyhow::Result<Self> {
        let fleet = path
            .file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let sheet = Sheet::read(&file.lines, file.separator)
            .map_err(|error| Refused(error.to_string()))
            .with_context(|| format!("cannot use {}", path.display()))?;
        let wishes = Wishes {
            headroom_percent: args.headroom,
            zones_apart: args.apart.contains(&Apart::Zone),
            environments_apart: args.apart.contains(&Apart::Env),
        };
        let loads = fleet::loads(&sheet.rows, wishes);
        anyhow::ensure!(!loads.is_empty(), Refused(no_rows(&sheet, path)));
        let described: Vec<MachineKind> = args.today.iter().chain(&args.host).cloned().collect();
        let today = today::today(&sheet, &loads, wishes, &described);
        let packing = pack::pack(&loads, &args.host);
        let before = (!today.machines.is_empty()).then(|| Tally::before(&today, &loads));
        let kept = kept(&today, &packing);
        let mut after = Tally::after(&packing, &loads, &args.host);
        for machine in kept.iter().filter_map(|index| today.machines.get(*index)) {
            after.add(&machine.kind, machine.room, machine.hourly);
            after.hold(&staying(machine, &packing), &loads);
        }
        let mut paper = Self {
            fleet,
            sheet,
            loads,
            kinds: args.host.clone(),
            today,
            packing,
            before,
            after,
            kept,
            assumed: Vec::new(),
            missing: Vec::new(),
        };
        paper.assumed = paper.assumptions(wishes, &described);
        paper.missing = paper.about_missing();
        if file.is_old {
            let latin = "the file is not in UTF-8 and was read as Latin-1";
            paper.assumed.push(latin.to_owned());
        }
        Ok(paper)
    }

    /// By how much the packed fleet is cheaper, in percent; `None` where a cost is not known.
    pub(super) fn saved_percent(&self) -> Option<i64> {
        let before = self.before.as_ref()?.hourly?.get();
        let after = self.after.hourly?.get();
        let saved = i128::from(before) - i128::from(after);
        i64::try_from((saved * 100).checked_div(i128::from(before))?).ok()
    }

    /// How many machines any packing has at least, those that are kept among them, and what they
    /// cost an hour; `None` where that is not known.
    pub(super) fn least(&self) -> (u64, Option<Price>) {
        let Packing { least_machines, least_hourly, .. } = self.packing;
        let kept = self.kept.iter().filter_map(|index| self.today.machines.get(*index));
        kept.fold((least_machines, Some(least_hourly)), |(count, price), machine| {
            (count.saturating_add(1), price.zip(machine.hourly).map(|(all, one)| all.plus(one)))
        })
    }

    /// What holds of the plan without the sheet saying so.
    fn assumptions(&self, wishes: Wishes, described: &[MachineKind]) -> Vec<String> {
        let mut assumed = self.sheet.assumed.clone();
        let n_measured = self.loads.iter().filter(|load| load.is_measured).count();
        assumed.push(format!(
            "an app needs what was measured and {} % above it where that is known ({n_measured} of {} \
             apps), and what it asks for elsewhere",
            wishes.headroom_percent,
            self.loads.len()
        ));
        assumed.push(
            "no machine holds two replicas of an app, since one serves any number of calls at once"
                .to_owned(),
        );
        assumed.push(
            "machines have all of their cpu and memory for apps; give less where the system takes some"
                .to_owned(),
        );
        let rows = &self.sheet.rows;
        if rows.iter().any(|row| row.zone.is_some()) && wishes.zones_apart {
            let zones = "what is in one zone stays in it (--apart none mixes zones)";
            assumed.push(zones.to_owned());
        }
        if rows.iter().any(|row| row.environment.is_some()) && !wishes.environments_apart {
            let environments = "environments share machines (--apart zone,env keeps them apart)";
            assumed.push(environments.to_owned());
        }
        assumed.extend(self.about_today(described));
        assumed
    }

    /// What the plan should have room for and has not.
    fn about_missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let is_missing = |complaint: &&Complaint| {
            complaint.loses_row && !matches!(complaint.why, CellFault::Duplicate(_))
        };
        let mut rows: Vec<u64> = self
            .sheet
            .complaints
            .iter()
            .filter(is_missing)
            .map(|complaint| complaint.row)
            .collect();
        rows.dedup();
        if !rows.is_empty() {
            missing.push(format!(
                "{} could not be used, and the packed machines have no room for what was meant there",
                human::many(rows.len(), "row")
            ));
        }
        let Today { machines, n_nowhere, left_out, .. } = &self.today;
        if *n_nowhere > 0 && !machines.is_empty() {
            missing.push(format!(
                "{n_nowhere} replicas name no machine: they are packed, and on no machine of today"
            ));
        }
        if !left_out.is_empty() {
            let names: Vec<&str> = left_out.iter().map(Label::as_str).collect();
            missing.push(format!(
                "machines that only rows which were left out name do not count: {}",
                few(&names)
            ));
        }
        if !self.kept.is_empty() {
            missing.push(
                "machines of today that hold what fits no kind are kept for it, and nothing else is \
                 put on them"
                    .to_owned(),
            );
        }
        let is_nowhere = |load: usize| {
            !self
                .today
                .machines
                .iter()
                .any(|machine| machine.holds.iter().any(|(held, _)| *held == load))
        };
        let nowhere: Vec<&str> = self
            .packing
            .unplaced
            .iter()
            .filter(|unplaced| is_nowhere(unplaced.load))
            .filter_map(|unplaced| Some(&*self.loads.get(unplaced.load)?.name))
            .collect();
        if !nowhere.is_empty() {
            missing.push(format!(
                "what a machine for these would cost is missing, since they fit none: {}",
                few(&nowhere)
            ));
        }
        missing
    }

    fn about_today(&self, described: &[MachineKind]) -> Vec<String> {
        let Today { machines, n_unnamed, undescribed, .. } = &self.today;
        let mut assumed = Vec::new();
        let first = described.first().map_or("", |kind| kind.name.as_str());
        if machines.is_empty() {
            let nothing = "no column names today's machines, so there is nothing to compare with";
            return vec![nothing.to_owned()];
        }
        if *n_unnamed > 0 {
            assumed.push(format!(
                "{n_unnamed} machines of today are of no stated kind and taken for {first} (--today \
                 says otherwise)"
            ));
        }
        for (kind, count) in undescribed {
            assumed.push(format!(
                "{count} machines of today are {kind}, which nobody described, and taken for {first}; \
                 --today '{kind}=CPU,MEMORY,PRICE' describes them"
            ));
        }
        let over = machines.iter().filter(|machine| {
            let asked = sum(&machine.holds, &self.loads, |load| load.used);
            !machine.room.holds(asked)
        });
        let over: Vec<&str> = over.map(|machine| machine.name.as_str()).collect();
        if !over.is_empty() {
            assumed.push(format!(
                "these machines of today would hold more than they have, so they are larger than was \
                 assumed or the sheet is wrong: {}",
                few(&over)
            ));
        }
        assumed
    }
}

/// The machines of today that hold what fits no kind of machine: they are not given back.
fn kept(today: &Today, packing: &Packing) -> Vec<usize> {
    let machines = today.machines.iter().enumerate();
    let kept = machines.filter(|(_, machine)| !staying(machine, packing).is_empty());
    kept.map(|(index, _)| index).collect()
}

/// What stays on a machine of today.
pub(super) fn staying(machine: &CurrentMachine, packing: &Packing) -> Vec<(usize, u32)> {
    let stays = |load: usize| packing.unplaced.iter().any(|unplaced| unplaced.load == load);
    machine.holds.iter().filter(|(load, _)| stays(*load)).copied().collect()
}

/// The first of many names.
fn few(names: &[&str]) -> String {
    match names.split_at_checked(8) {
        Some((first, rest)) if rest.len() > 1 => {
            format!("{} and {} more", first.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}

fn no_rows(sheet: &Sheet, path: &Path) -> String {
    let reasons = sheet.reasons().into_iter().map(|(why, count)| format!("\n{count} x {why}"));
    format!(
        "no row of {} can be used, of {}{}",
        path.display(),
        sheet.n_lines(),
        reasons.collect::<String>()
    )
}

/// What these replicas take together.
pub(super) fn sum(
    holds: &[(usize, u32)],
    loads: &[PackItem],
    of: fn(&PackItem) -> MachineRoom,
) -> MachineRoom {
    let rooms = holds.iter().filter_map(|(load, n)| Some(of(loads.get(*load)?).times(*n)));
    rooms.fold(MachineRoom::default(), MachineRoom::plus)
}

impl Tally {
    fn before(today: &Today, loads: &[PackItem]) -> Self {
        let mut tally = Self { hourly: Some(Price::default()), ..Self::default() };
        for machine in &today.machines {
            tally.add(&machine.kind, machine.room, machine.hourly);
            tally.hold(&machine.holds, loads);
        }
        tally
    }

    fn after(packing: &Packing, loads: &[PackItem], kinds: &[MachineKind]) -> Self {
        let mut tally = Self { hourly: Some(Price::default()), ..Self::default() };
        for machine in &packing.machines {
            if let Some(kind) = kinds.get(machine.kind) {
                tally.add(&kind.name, kind.room, kind.hourly);
            }
            tally.hold(&machine.holds, loads);
        }
        tally
    }

    fn add(&mut self, kind: &Label, room: MachineRoom, hourly: Option<Price>) {
        self.n_machines += 1;
        *self.of_kind.entry(kind.clone()).or_default() += 1;
        self.has = self.has.plus(room);
        self.hourly = self.hourly.zip(hourly).map(|(all, one)| all.plus(one));
    }

    fn hold(&mut self, holds: &[(usize, u32)], loads: &[PackItem]) {
        self.asked = self.asked.plus(sum(holds, loads, |load| load.asked));
        self.used = self.used.plus(sum(holds, loads, |load| load.used));
        self.need = self.need.plus(sum(holds, loads, |load| load.need));
    }
}
