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
pub fn plan(_: &View, _: &Aims) -> Plan {
    todo!()
}
pub fn demand(_: Option<Room>, _: Option<Room>, _: u32) -> Room {
    todo!()
}
