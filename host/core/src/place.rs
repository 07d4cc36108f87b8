//! stub
#![allow(missing_docs, clippy::todo)]
use crate::id::*;
use crate::units::*;
use std::collections::*;
use std::fmt;
use std::sync::Arc;
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub cpu: Millicpu,
    pub memory: Bytes,
}
#[derive(Clone, Copy, Debug)]
pub enum Standing {
    Open,
    Cordoned,
    Draining,
}
#[derive(Clone, Copy, Debug)]
pub enum Spread {
    Zones,
    BestEffort,
}
#[derive(Clone, Debug)]
pub struct Host {
    pub zone: Arc<str>,
    pub labels: BTreeMap<String, String>,
    pub capacity: Room,
    pub standing: Standing,
}
#[derive(Clone, Debug)]
pub struct App {
    pub replicas: u32,
    pub demand: Room,
    pub priority: i32,
    pub needs: BTreeMap<String, String>,
    pub apart_from: BTreeSet<AppName>,
    pub on: BTreeSet<HostName>,
    pub spread: Spread,
}
#[derive(Clone, Debug)]
pub struct View {
    pub hosts: BTreeMap<HostName, Host>,
    pub apps: BTreeMap<AppName, App>,
}
#[derive(Clone, Debug, Default)]
pub struct Aims {
    pub consolidate: bool,
}
#[derive(Clone, Debug)]
pub struct Plan {
    pub moves: Vec<Move>,
    pub unplaced: Vec<Unplaced>,
    pub spare: Vec<HostName>,
}
#[derive(Clone, Debug)]
pub struct Move {
    pub app: AppName,
    pub from: Option<HostName>,
    pub to: Option<HostName>,
    pub why: String,
}
#[derive(Clone, Debug)]
pub struct Unplaced {
    pub app: AppName,
    pub replicas: u32,
    pub lacks: String,
}
impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.app)
    }
}
pub fn plan(view: &View, _: &Aims) -> Plan {
    let mut plan = Plan { moves: vec![], unplaced: vec![], spare: vec![] };
    let open: Vec<_> = view
        .hosts
        .iter()
        .filter(|(_, h)| matches!(h.standing, Standing::Open))
        .map(|(n, _)| n)
        .collect();
    let mut load: BTreeMap<&HostName, usize> = BTreeMap::new();
    for app in view.apps.values() {
        for h in &app.on {
            *load.entry(h).or_default() += 1;
        }
    }
    for (name, app) in &view.apps {
        let mut on: BTreeSet<&HostName> = app
            .on
            .iter()
            .filter(|h| {
                view.hosts.get(*h).is_some_and(|h| !matches!(h.standing, Standing::Draining))
            })
            .collect();
        let mut gone: Vec<_> = app.on.iter().filter(|h| !on.contains(h)).cloned().collect();
        while on.len() < app.replicas as usize {
            let Some(best) = open
                .iter()
                .filter(|h| !on.contains(**h))
                .min_by_key(|h| (load.get(**h).copied().unwrap_or(0), **h))
            else {
                break;
            };
            *load.entry(best).or_default() += 1;
            on.insert(best);
            plan.moves.push(Move {
                app: name.clone(),
                from: gone.pop(),
                to: Some((*best).clone()),
                why: "stub".into(),
            });
        }
        while on.len() > app.replicas as usize {
            let last = on.pop_last();
            plan.moves.push(Move {
                app: name.clone(),
                from: last.cloned(),
                to: None,
                why: "stub".into(),
            });
        }
        if on.len() >= app.replicas as usize {
            for g in gone {
                plan.moves.push(Move {
                    app: name.clone(),
                    from: Some(g),
                    to: None,
                    why: "stub".into(),
                });
            }
        }
    }
    plan
}
pub fn demand(a: Option<Room>, _: Option<Room>, _: u32) -> Room {
    a.unwrap_or(Room { cpu: Millicpu::ZERO, memory: Bytes::ZERO })
}
