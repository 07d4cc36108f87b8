//! What placement decides on: hosts with their room, apps with what they need, at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Plan;
use crate::id::{AppName, HostName};
use crate::units::{Bytes, Cpu};

/// An amount of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Processor time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Bytes,
}

/// What may happen to a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It takes replicas.
    #[default]
    Open,
    /// It keeps what it has and gets nothing new.
    Cordoned,
    /// Everything on it goes elsewhere, as far as there is room.
    Draining,
}

/// How replicas of an app lie to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// Over as many zones as have room; zones are shared where there are fewer than replicas.
    #[default]
    BestEffort,
    /// No two in one zone.
    Zones,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// What fails together with it.
    pub zone: Arc<str>,
    /// What apps may ask for.
    pub labels: BTreeMap<String, String>,
    /// What it has for apps.
    pub capacity: Room,
    /// What may happen to it.
    pub standing: Standing,
}

/// An app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Replicas that are wanted.
    pub replicas: u32,
    /// What each of them needs.
    pub demand: Room,
    /// Who goes first where there is no room for all: the higher.
    pub priority: i32,
    /// Labels that a host must have.
    pub needs: BTreeMap<String, String>,
    /// Apps that must not be on the same host; it is enough that one of the two says so.
    pub apart_from: BTreeSet<AppName>,
    /// Where it is; may name hosts that are gone.
    pub on: BTreeSet<HostName>,
    /// How its replicas lie to each other.
    pub spread: Spread,
}

/// A fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The hosts that are there.
    pub hosts: BTreeMap<HostName, Host>,
    /// The apps that are wanted.
    pub apps: BTreeMap<AppName, App>,
}

impl Room {
    /// Whether this is enough for `needed`.
    #[must_use]
    pub fn holds(&self, needed: &Self) -> bool {
        self.cpu >= needed.cpu && self.memory >= needed.memory
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    /// What is left without `other`; nothing where that is more.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }
}

impl View {
    /// Makes the view what it is once the plan is carried out.
    pub fn apply(&mut self, plan: &Plan) {
        for step in &plan.moves {
            let Some(app) = self.apps.get_mut(&step.app) else { continue };
            if let Some(from) = &step.from {
                app.on.remove(from);
            }
            if let Some(to) = &step.to {
                app.on.insert(to.clone());
            }
        }
    }
}
