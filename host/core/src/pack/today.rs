//! The machines of today, as far as a spreadsheet tells: which there are, how large, what is on them.
//! Moves nothing.

use std::collections::BTreeMap;

use super::fleet::{Of, PackItem, Wishes, of};
use super::{MachineKind, MachineRoom, Price};
use crate::sheet::{Label, Row, Sheet};

/// One machine of today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentMachine {
    /// Its name.
    pub name: Label,
    /// Its kind as the sheet says, or as was assumed.
    pub kind: Label,
    /// What it has for apps.
    pub room: MachineRoom,
    /// What it costs an hour; `None` where that is not known.
    pub hourly: Option<Price>,
    /// Which loads are on it, by their index, and how many replicas of each.
    pub holds: Vec<(usize, u32)>,
}

/// The fleet of today.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Today {
    /// The machines in the order of their names.
    pub machines: Vec<CurrentMachine>,
    /// How many replicas are on no machine that the sheet names.
    pub n_nowhere: u32,
    /// Machines that only rows which were left out name; they are not among the machines.
    pub left_out: Vec<Label>,
    /// How many machines are of a kind that the sheet does not name.
    pub n_unnamed: u32,
    /// The kinds that the sheet names and nobody described, and how many machines are of each.
    pub undescribed: BTreeMap<Label, u32>,
}

/// What rows say of one machine.
#[derive(Default)]
struct Said<'s> {
    kind: Option<&'s Label>,
    room: (Option<crate::units::Cpu>, Option<crate::units::Bytes>),
    holds: BTreeMap<usize, u32>,
}

/// Finds the machines of today. `kinds` describe them; one that is of no known kind is taken to be
/// of the first.
#[must_use]
pub fn today(sheet: &Sheet, loads: &[PackItem], wishes: Wishes, kinds: &[MachineKind]) -> Today {
    let index = by_key(&sheet.rows, wishes);
    debug_assert_eq!(index.len(), loads.len(), "loads and machines come of the same rows");
    let mut today = Today::default();
    let mut machines: BTreeMap<&Label, Said<'_>> = BTreeMap::new();
    for row in &sheet.rows {
        let Some(&load) = index.get(&of(row, wishes)) else { continue };
        let n_machines = u32::try_from(row.machines.len()).unwrap_or(u32::MAX);
        if n_machines == 0 {
            today.n_nowhere = today.n_nowhere.saturating_add(row.replicas);
        }
        for (at, name) in (0..).zip(&row.machines) {
            let said = machines.entry(name).or_default();
            said.kind = said.kind.or(row.kind.as_ref());
            said.room.0 = said.room.0.or(row.capacity.cpu);
            said.room.1 = said.room.1.or(row.capacity.memory);
            let more = u32::from(at < row.replicas % n_machines);
            *said.holds.entry(load).or_default() += row.replicas / n_machines + more;
        }
    }
    let mut left_out = sheet.lost_machines.clone();
    left_out.retain(|name| !machines.contains_key(name));
    left_out.sort_unstable();
    left_out.dedup();
    today.left_out = left_out;
    for (name, said) in machines {
        let standing = today.standing(name, said, kinds);
        today.machines.extend(standing);
    }
    today
}

/// Which load each row is of.
fn by_key(rows: &[Row], wishes: Wishes) -> BTreeMap<Of, usize> {
    let mut index: BTreeMap<Of, usize> = rows.iter().map(|row| (of(row, wishes), 0)).collect();
    index.values_mut().enumerate().for_each(|(at, value)| *value = at);
    index
}

impl Today {
    fn standing(
        &mut self,
        name: &Label,
        said: Said<'_>,
        kinds: &[MachineKind],
    ) -> Option<CurrentMachine> {
        let described = kinds.iter().find(|kind| Some(&kind.name) == said.kind);
        let kind = described.or_else(|| kinds.first())?;
        let stated = match said.room {
            (Some(cpu), Some(memory)) => Some(MachineRoom { cpu, memory }),
            _ => None,
        };
        match said.kind {
            None if stated.is_none() => self.n_unnamed += 1,
            Some(named) if described.is_none() && stated.is_none() => {
                *self.undescribed.entry(named.clone()).or_default() += 1;
            }
            _ => {}
        }
        Some(CurrentMachine {
            name: name.clone(),
            kind: said.kind.filter(|_| stated.is_some()).unwrap_or(&kind.name).clone(),
            room: stated.unwrap_or(kind.room),
            // What a machine of a stated size costs is only known with its kind.
            hourly: kind.hourly.filter(|_| stated.is_none() || described.is_some()),
            holds: said.holds.into_iter().collect(),
        })
    }
}
