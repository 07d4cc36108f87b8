//! From the rows of a spreadsheet to what is to be placed: one load an app, of so many replicas.
//! Knows nothing of machines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::MachineRoom;
use crate::sheet::{Amounts, Label, Row};
use crate::units::{Bytes, Cpu};

/// One app, or the part of it that runs apart from the rest of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackItem {
    /// The app, and its environment where there are apps of one name in several.
    pub name: Arc<str>,
    /// What it shares machines with: loads of the same group.
    pub group: Group,
    /// How many replicas, at least 1.
    pub replicas: u32,
    /// What each asks for; what it uses, where the sheet does not say.
    pub asked: MachineRoom,
    /// What each uses as measured; what it asks for, where the sheet does not say.
    pub used: MachineRoom,
    /// What a machine must have free for each: what was measured and the headroom above it, or
    /// what is asked for where nothing was measured.
    pub need: MachineRoom,
    /// Whether any of what it needs is known from measuring.
    pub is_measured: bool,
}

/// Loads of two groups are never on one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The zone, where zones are kept apart.
    pub zone: Option<Label>,
    /// The environment, where environments are kept apart.
    pub environment: Option<Label>,
}

/// How the rows of a sheet become loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Hundredths of what was measured that are kept free above it.
    pub headroom_percent: u32,
    /// Whether what runs in one zone stays in it.
    pub zones_apart: bool,
    /// Whether environments share no machine.
    pub environments_apart: bool,
}

/// What tells loads apart.
pub(super) type Of = (Group, Label, Option<Label>);

pub(super) fn of(row: &Row, wishes: Wishes) -> Of {
    let group = Group {
        zone: row.zone.clone().filter(|_| wishes.zones_apart),
        environment: row.environment.clone().filter(|_| wishes.environments_apart),
    };
    (group, row.app.clone(), row.environment.clone())
}

/// The loads of these rows, in the order of their groups and names.
#[must_use]
pub fn loads(rows: &[Row], wishes: Wishes) -> Vec<PackItem> {
    let mut environments: BTreeMap<&Label, BTreeSet<Option<&Label>>> = BTreeMap::new();
    let mut apps: BTreeMap<Of, (u32, Amounts, Amounts)> = BTreeMap::new();
    for row in rows {
        environments.entry(&row.app).or_default().insert(row.environment.as_ref());
        let (replicas, asked, used) = apps.entry(of(row, wishes)).or_default();
        *replicas = replicas.saturating_add(row.replicas);
        *asked = larger(*asked, row.asked);
        *used = larger(*used, row.used);
    }
    let load = |(group, app, environment): Of, (replicas, asked, used): (u32, Amounts, Amounts)| {
        let is_alone = environments.get(&app).is_none_or(|of_app| of_app.len() < 2);
        let name = match environment {
            Some(environment) if !is_alone => format!("{app} ({environment})"),
            _ => app.to_string(),
        };
        let is_measured = used.cpu.is_some() || used.memory.is_some();
        let need = need(asked, used, wishes.headroom_percent);
        let name = Arc::from(name);
        let (asked, used) = (first(asked, used), first(used, asked));
        PackItem { name, group, replicas, asked, used, need, is_measured }
    };
    apps.into_iter().map(|(of, amounts)| load(of, amounts)).collect()
}

/// The replicas of an app are alike, so each must have room for what the busiest takes.
fn larger(one: Amounts, other: Amounts) -> Amounts {
    Amounts { cpu: one.cpu.max(other.cpu), memory: one.memory.max(other.memory) }
}

fn first(one: Amounts, other: Amounts) -> MachineRoom {
    MachineRoom {
        cpu: one.cpu.or(other.cpu).unwrap_or_default(),
        memory: one.memory.or(other.memory).unwrap_or_default(),
    }
}

fn need(asked: Amounts, used: Amounts, headroom_percent: u32) -> MachineRoom {
    let above = |amount: u64| {
        let headroom = u128::from(amount) * u128::from(headroom_percent);
        amount.saturating_add(u64::try_from(headroom.div_ceil(100)).unwrap_or(u64::MAX))
    };
    let measured = Amounts {
        cpu: used.cpu.map(|cpu| Cpu::micro(above(cpu.get_micro()))),
        memory: used.memory.map(|memory| Bytes::new(above(memory.get()))),
    };
    first(measured, asked)
}
