//! A world made up from a seed: hosts that fail and come back, alone or a zone at once, and apps that
//! come, go, and change what they use. Drives `place`, and counts what it costs.
//! The same setup always gives the same history. Knows no clock: an hour is a number.

pub(crate) mod random;

use std::collections::{BTreeMap, BTreeSet};

use self::random::Random;
use crate::id::{AppName, HostName};
use crate::place::{self, Aims, App, Host, Plan, Room, Spread, Standing, View};
use crate::units::{Bytes, Cpu};

/// What world there is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Hosts at the start, 1 to [`MOST_HOSTS`].
    pub hosts: u32,
    /// Zones they are divided over, at least 1.
    pub zones: u32,
    /// Apps at the start, up to [`MOST_APPS`].
    pub apps: u32,
    /// Hours of the history.
    pub hours: u32,
    /// What makes this history this one.
    pub seed: u64,
    /// Whether hosts are emptied each hour that others can absorb.
    pub consolidate: bool,
}

/// The most hosts a world has.
pub const MOST_HOSTS: u32 = 10_000;
/// The most apps a world has.
pub const MOST_APPS: u32 = 1_000_000;

/// One host in so many fails in an hour: each fails every forty days.
const HOST_FAILS: u64 = 960;
/// One zone in so many fails in an hour: each every eighty days.
const ZONE_FAILS: u64 = 1_920;
/// Hours that a failed host stays away, at most.
const AWAY: u64 = 6;
/// One app in so many goes in an hour, and as many come.
const TURNOVER: u64 = 100;
/// One app in so many has another load each hour.
const CHANGES: u64 = 10;
/// What a host has: 16 cores and 64 GiB.
const HOST: Room = Room { cpu: Cpu::cores(16), memory: Bytes::mebi(64 << 10) };

/// What happened in an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// Which, from 1.
    pub hour: u32,
    /// Hosts that are there.
    pub hosts: u32,
    /// Hosts that have something to do.
    pub used_hosts: u32,
    /// Hosts that failed.
    pub failed_hosts: u32,
    /// Hosts that came back.
    pub returned_hosts: u32,
    /// Apps that are wanted.
    pub apps: u32,
    /// Replicas that were lost with their hosts.
    pub lost: u32,
    /// Replicas that started, stopped or moved.
    pub moves: u32,
    /// Of these, moves of replicas whose host was there and which were wanted as before.
    pub disturbed: u32,
    /// Replicas without room.
    pub unplaced: u32,
    /// Processor time asked for, of that of the hosts in use, in thousandths.
    pub cpu_used: u32,
    /// The same of memory.
    pub memory_used: u32,
}

/// A world at one hour of its history.
#[derive(Debug)]
pub struct World {
    setup: Setup,
    view: View,
    random: Random,
    /// Hosts that are away, and the hour they come back.
    away: BTreeMap<HostName, (u32, Host)>,
    next_app: u32,
    hour: u32,
}

impl World {
    /// A world in its first hour, with nothing placed yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let setup = Setup {
            hosts: setup.hosts.clamp(1, MOST_HOSTS),
            zones: setup.zones.max(1),
            apps: setup.apps.min(MOST_APPS),
            ..setup
        };
        let mut world = Self {
            setup,
            view: View::default(),
            random: Random::new(setup.seed),
            away: BTreeMap::new(),
            next_app: 0,
            hour: 0,
        };
        for number in 0..setup.hosts {
            let zone = format!("zone-{}", number % setup.zones);
            let host = Host {
                zone: zone.into(),
                labels: BTreeMap::new(),
                capacity: HOST,
                standing: Standing::Open,
            };
            if let Ok(name) = HostName::parse(&format!("host-{number:05}")) {
                world.view.hosts.insert(name, host);
            }
        }
        for _ in 0..setup.apps {
            world.arrive();
        }
        world
    }

    /// Lives through one hour: what happens in it, the plan that follows, and what came of it.
    pub fn next_hour(&mut self) -> Hour {
        let told = self.happen();
        self.plan(told).0
    }

    /// What happens in the next hour. Nobody has planned for it yet.
    fn happen(&mut self) -> Hour {
        self.hour += 1;
        let mut told = Hour { hour: self.hour, ..Hour::default() };
        self.come_back(&mut told);
        self.fail(&mut told);
        if self.hour > 1 {
            self.turn_over();
            self.change_loads();
        }
        let gone = |host: &HostName| !self.view.hosts.contains_key(host);
        let on = self.view.apps.values().flat_map(|app| &app.on);
        told.lost = count(on.filter(|host| gone(host)).count());
        told
    }

    /// Plans for what has happened, and carries it out.
    fn plan(&mut self, mut told: Hour) -> (Hour, Plan) {
        let plan = place::plan(
            &self.view,
            &Aims { consolidate: self.setup.consolidate, ..Aims::default() },
        );
        self.account(&plan, &mut told);
        self.view.apply(&plan);
        self.measure(&mut told);
        (told, plan)
    }

    fn come_back(&mut self, told: &mut Hour) {
        let back = self.away.iter().filter(|(_, (hour, _))| *hour <= self.hour);
        let back: Vec<HostName> = back.map(|(name, _)| name.clone()).collect();
        for name in back {
            if let Some((_, host)) = self.away.remove(&name) {
                self.view.hosts.insert(name, host);
                told.returned_hosts += 1;
            }
        }
    }

    fn fail(&mut self, told: &mut Hour) {
        let zone = (0..self.setup.zones).find(|_| self.random.below(ZONE_FAILS) == 0);
        let zone = zone.map(|zone| format!("zone-{zone}"));
        let mut failing = Vec::new();
        for (name, host) in &self.view.hosts {
            let is_hit = zone.as_deref() == Some(&*host.zone);
            if is_hit || self.random.below(HOST_FAILS) == 0 {
                failing.push(name.clone());
            }
        }
        // A world without hosts has nothing to tell.
        if failing.len() == self.view.hosts.len() {
            failing.pop();
        }
        for name in failing {
            let hours = u32::try_from(1 + self.random.below(AWAY)).unwrap_or(1);
            if let Some(host) = self.view.hosts.remove(&name) {
                self.away.insert(name, (self.hour + hours, host));
                told.failed_hosts += 1;
            }
        }
    }

    fn turn_over(&mut self) {
        let names: Vec<AppName> = self.view.apps.keys().cloned().collect();
        for name in names {
            if self.random.below(TURNOVER) == 0 {
                self.view.apps.remove(&name);
                self.arrive();
            }
        }
    }

    fn change_loads(&mut self) {
        for app in self.view.apps.values_mut() {
            if self.random.below(CHANGES) == 0 {
                let percent = 50 + self.random.below(101);
                let cpu = (app.demand.cpu.as_millis() * percent / 100).clamp(5, 8_000);
                app.demand.cpu = Cpu::milli(cpu);
            }
        }
    }

    /// One more app: most are small, few are large.
    fn arrive(&mut self) {
        let cpu = 10u64 << self.random.below(8);
        let memory = (16u64 << self.random.below(6)) + self.random.below(16);
        let replicas = 1 + u32::try_from(self.random.below(3)).unwrap_or(0);
        let app = App {
            replicas,
            demand: Room { cpu: Cpu::milli(cpu), memory: Bytes::mebi(memory) },
            priority: i32::from(self.random.below(10) == 0),
            needs: BTreeMap::new(),
            apart_from: BTreeSet::new(),
            on: BTreeSet::new(),
            spread: Spread::BestEffort,
        };
        if let Ok(name) = AppName::parse(&format!("app-{:07}", self.next_app)) {
            self.view.apps.insert(name, app);
        }
        self.next_app += 1;
    }

    fn account(&self, plan: &Plan, told: &mut Hour) {
        told.moves = count(plan.moves.len());
        let is_disturbed = |step: &&place::Move| {
            let from = step.from.as_ref().filter(|_| step.to.is_some());
            from.is_some_and(|from| self.view.hosts.contains_key(from))
        };
        told.disturbed = count(plan.moves.iter().filter(is_disturbed).count());
        told.unplaced = plan.unplaced.iter().map(|unplaced| unplaced.replicas).sum();
    }

    fn measure(&self, told: &mut Hour) {
        let mut used: BTreeSet<&HostName> = BTreeSet::new();
        let mut asked = Room::default();
        for app in self.view.apps.values() {
            for on in &app.on {
                used.insert(on);
                asked = asked.plus(&app.demand);
            }
        }
        told.hosts = count(self.view.hosts.len());
        told.used_hosts = count(used.len());
        told.apps = count(self.view.apps.len());
        let part = |asked: u64, each: u64| {
            let all = each.saturating_mul(used.len() as u64).max(1);
            u32::try_from(asked.saturating_mul(1000) / all).unwrap_or(u32::MAX)
        };
        told.cpu_used = part(asked.cpu.get_micro(), HOST.cpu.get_micro());
        told.memory_used = part(asked.memory.get() >> 20, HOST.memory.get() >> 20);
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn setup(seed: u64) -> Setup {
        Setup { hosts: 12, zones: 3, apps: 150, hours: 40, seed, consolidate: false }
    }

    #[test]
    fn a_seed_is_a_history() {
        let live = |seed| {
            let mut world = World::new(setup(seed));
            (0..30).map(|_| world.next_hour()).collect::<Vec<_>>()
        };
        assert_eq!(live(3), live(3));
        assert_ne!(live(3), live(4));
    }

    #[test]
    fn nothing_is_lost_for_good_where_there_is_room() {
        let mut world = World::new(Setup { apps: 40, ..setup(1) });
        let (mut n_lost, mut n_failed) = (0, 0);
        for _ in 0..500 {
            let hour = world.next_hour();
            assert_eq!(hour.unplaced, 0, "{hour:?}");
            n_lost += hour.lost;
            n_failed += hour.failed_hosts;
        }
        assert!(n_failed > 3 && n_lost > 0, "{n_failed} hosts failed with {n_lost} replicas");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn every_plan_of_every_hour_keeps_the_rules(seed in any::<u64>(), consolidate in any::<bool>()) {
            let mut world = World::new(Setup { consolidate, ..setup(seed) });
            for hour in 1..=40 {
                let told = world.happen();
                let before = world.view.clone();
                let (_, plan) = world.plan(told);
                let broken = place::check(&before, &plan);
                prop_assert_eq!(broken, Vec::<String>::new(), "hour {} of seed {}", hour, seed);
            }
        }
    }
}
