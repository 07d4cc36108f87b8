//! Why something moves, and what is lacking where it cannot: as data, and as sentences for people.

use std::fmt;

use super::view::Room;
use crate::id::{AppName, HostName};
use crate::units::{Bytes, Cpu};

use super::{Move, Unplaced};

/// Why a replica starts, stops or moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The app is nowhere yet: it is new, or had no room.
    New,
    /// The app wants more replicas than it has.
    Wanted,
    /// The app has more than it wants.
    Surplus,
    /// Its host is not there any more.
    HostGone,
    /// Its host is drained.
    Draining,
    /// Its host does not have the labels it needs.
    Labels,
    /// Its host has less room than what is on it needs by now.
    Full,
    /// It must not be on one host with this app.
    Apart(AppName),
    /// It must not be in one zone with another replica.
    Zone,
    /// An app of higher priority needs the room.
    Evicted(AppName),
    /// It makes room for an app that fits nowhere else.
    MakesRoom(AppName),
    /// Its host is emptied, since others can take all that is on it.
    Consolidated,
}

/// What replicas lack that have no room: how many hosts were looked at, and why each will not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    /// What one replica needs.
    pub needs: Room,
    /// All hosts.
    pub hosts: u32,
    /// Hosts that take nothing new.
    pub closed: u32,
    /// Hosts without the labels.
    pub unlabelled: u32,
    /// Hosts that have a replica of the app already.
    pub taken: u32,
    /// Hosts with an app that it must not meet.
    pub apart: u32,
    /// Hosts in a zone that has a replica already.
    pub zone: u32,
    /// Hosts that would do but for the processor.
    pub short_of_cpu: u32,
    /// Hosts that would do but for the memory.
    pub short_of_memory: u32,
    /// The most processor time free on a host that is short of something.
    pub most_cpu: Cpu,
    /// The most memory free on one.
    pub most_memory: Bytes,
}

/// What the code of a reason means, said of a replica that is where it is for it. The place is the code,
/// so none is ever taken out or moved: they are kept in the store.
const CODES: [&str; 13] = [
    "for a reason that this version does not know",
    "more replicas were wanted",
    "fewer replicas were wanted elsewhere",
    "its host before was gone",
    "its host before was drained",
    "its host before did not have the labels it needs",
    "its host before had too little room",
    "it must not be on one host with another app",
    "another replica was in the same zone",
    "an app of higher priority needed the room",
    "it made room for another app, which fitted nowhere else",
    "its host before was emptied",
    "it ran nowhere yet",
];

/// Why a replica is where it is, by the code of the reason.
#[must_use]
pub fn reason(code: u8) -> &'static str {
    CODES.get(usize::from(code)).copied().unwrap_or(CODES[0])
}

impl Why {
    /// The number that stands for the reason in the store, without the app that it may name.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Wanted => 1,
            Self::Surplus => 2,
            Self::HostGone => 3,
            Self::Draining => 4,
            Self::Labels => 5,
            Self::Full => 6,
            Self::Apart(_) => 7,
            Self::Zone => 8,
            Self::Evicted(_) => 9,
            Self::MakesRoom(_) => 10,
            Self::Consolidated => 11,
            Self::New => 12,
        }
    }

    /// Whether nobody asked for it, and it can wait: neither an operator nor what is missing somewhere.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        matches!(self, Self::Full | Self::Consolidated)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("it runs nowhere yet"),
            Self::Wanted => f.write_str("more replicas are wanted"),
            Self::Surplus => f.write_str("fewer replicas are wanted"),
            Self::HostGone => f.write_str("the host is gone"),
            Self::Draining => f.write_str("the host is drained"),
            Self::Labels => f.write_str("the host does not have the labels it needs"),
            Self::Full => f.write_str("the host has too little room by now"),
            Self::Apart(app) => write!(f, "it must not be on one host with {app}"),
            Self::Zone => f.write_str("another replica is in the same zone"),
            Self::Evicted(app) => write!(f, "{app} has a higher priority and needs the room"),
            Self::MakesRoom(app) => write!(f, "it makes room for {app}, which fits nowhere else"),
            Self::Consolidated => f.write_str("the host can be emptied"),
        }
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, from, to, why } = self;
        match (from, to) {
            (Some(from), Some(to)) => write!(f, "{app}: {from} -> {to}, since {why}"),
            (None, Some(to)) => write!(f, "{app}: starts on {to}, since {why}"),
            (Some(from), None) => write!(f, "{app}: stops on {from}, since {why}"),
            (None, None) => write!(f, "{app}: stays"),
        }
    }
}

impl fmt::Display for Lacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Room { cpu, memory } = self.needs;
        write!(f, "needs {cpu} cpu and {memory}; ")?;
        if self.hosts == 0 {
            return f.write_str("there is no host");
        }
        let free_cpu = self.most_cpu;
        let free_memory = Bytes::new(self.most_memory.get() >> 20 << 20);
        // How many hosts, what is said of many, and what of an only one.
        let reasons = [
            (self.closed, "cordoned or drained".to_owned(), "is cordoned or drained".to_owned()),
            (self.unlabelled, "without its labels".to_owned(), "lacks its labels".to_owned()),
            (self.taken, "with a replica already".to_owned(), "has a replica already".to_owned()),
            (
                self.apart,
                "with an app it must not meet".to_owned(),
                "has an app it must not meet".to_owned(),
            ),
            (
                self.zone,
                "in a zone with a replica".to_owned(),
                "is in a zone with a replica".to_owned(),
            ),
            (
                self.short_of_cpu,
                format!("short of cpu (at most {free_cpu} free)"),
                format!("is short of cpu ({free_cpu} free)"),
            ),
            (
                self.short_of_memory,
                format!("short of memory (at most {free_memory} free)"),
                format!("is short of memory ({free_memory} free)"),
            ),
        ];
        let told = reasons.iter().filter(|(count, ..)| *count > 0);
        if self.hosts == 1 {
            let told: Vec<&str> = told.map(|(_, _, only)| only.as_str()).collect();
            return write!(f, "the only host {}", told.join(", "));
        }
        let told: Vec<String> = told.map(|(count, many, _)| format!("{count} {many}")).collect();
        write!(f, "of {} hosts: {}", self.hosts, told.join(", "))
    }
}

impl fmt::Display for Unplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app, replicas, lacks, stays_on } = self;
        write!(f, "{app}: no room for {replicas} of its replicas")?;
        if !stays_on.is_empty() {
            let hosts: Vec<&str> = stays_on.iter().map(HostName::as_str).collect();
            write!(f, ", stays on {} meanwhile", hosts.join(", "))?;
        }
        write!(f, ": {lacks}")
    }
}

impl Lacks {
    /// Notes a host that is short of room.
    pub(super) fn short(&mut self, free: Room) {
        if free.cpu < self.needs.cpu {
            self.short_of_cpu += 1;
        } else {
            self.short_of_memory += 1;
        }
        self.most_cpu = self.most_cpu.max(free.cpu);
        self.most_memory = self.most_memory.max(free.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the stores of fleets means the same in every version.
    #[test]
    fn each_reason_has_its_number_for_good() {
        let app = || "a".parse::<AppName>().unwrap();
        for (why, code, text) in [
            (Why::Wanted, 1, "more replicas were wanted"),
            (Why::Surplus, 2, "fewer replicas were wanted elsewhere"),
            (Why::HostGone, 3, "its host before was gone"),
            (Why::Draining, 4, "its host before was drained"),
            (Why::Labels, 5, "its host before did not have the labels it needs"),
            (Why::Full, 6, "its host before had too little room"),
            (Why::Apart(app()), 7, "it must not be on one host with another app"),
            (Why::Zone, 8, "another replica was in the same zone"),
            (Why::Evicted(app()), 9, "an app of higher priority needed the room"),
            (Why::MakesRoom(app()), 10, "it made room for another app, which fitted nowhere else"),
            (Why::Consolidated, 11, "its host before was emptied"),
            (Why::New, 12, "it ran nowhere yet"),
        ] {
            assert_eq!((why.code(), reason(code)), (code, text));
        }
        for unknown in [0, 13, 255] {
            assert_eq!(reason(unknown), "for a reason that this version does not know");
        }
    }
}
