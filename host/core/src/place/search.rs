//! Looking at all hosts for one replica: the best, or why none will do; and how large things are.
//! Changes nothing.

use super::Policy;
use super::dense::{AppIndex, Dense, Free, HostIndex, Lane};
use super::score::{Score, used, waste};
use super::view::{Room, Standing};
use super::why::Lacks;

impl Dense {
    /// The best host for one more replica; `allowed` may rule some out.
    pub(super) fn best(
        &self,
        app: AppIndex,
        allowed: impl Fn(HostIndex) -> bool,
    ) -> Option<HostIndex> {
        let app = self.apps.get(app)?;
        let zones: Vec<u32> =
            app.on.iter().filter_map(|on| self.lanes.get(on).map(|lane| lane.zone)).collect();
        let is_free = app.is_free();
        let may = |host: HostIndex| (is_free || self.may_be_on(app, host)) && allowed(host);
        self.scan(app.need, &zones, may)
    }

    /// The best host for something that has a need and no wishes.
    pub(super) fn best_for(&self, demand: &Room) -> Option<HostIndex> {
        self.scan(Free::of(demand), &[], |_| true)
    }

    /// Whether any host has room for a need.
    pub(super) fn is_room(&self, need: Free) -> bool {
        let has = |lane: &Lane| lane.free.cpu >= need.cpu && lane.free.memory >= need.memory;
        self.lanes.iter().any(|lane| lane.is_open && has(lane))
    }

    /// The best of all hosts that have room and where it may be; `zones` are those of the replicas
    /// there are.
    fn scan(
        &self,
        need: Free,
        zones: &[u32],
        may: impl Fn(HostIndex) -> bool,
    ) -> Option<HostIndex> {
        let mut best = Score::WORST;
        let packs = self.policy == Policy::Pack;
        for (host, lane) in self.lanes.iter().enumerate() {
            if lane.free.cpu < need.cpu || lane.free.memory < need.memory || !lane.is_open {
                continue;
            }
            let in_zone = zones.iter().map(|zone| u32::from(*zone == lane.zone)).sum();
            // Cheap to see, and true of nearly all hosts at first, since all of them are idle.
            if (in_zone, packs && lane.is_idle) > (best.in_zone, best.is_idle) {
                continue;
            }
            let score = if packs {
                lane.score(host, need, in_zone)
            } else {
                lane.spread_score(host, need, in_zone)
            };
            if score < best && may(host) {
                best = score;
            }
        }
        (best < Score::WORST).then_some(best.host as HostIndex)
    }

    /// Why a replica fits nowhere.
    pub(super) fn lacks(&self, app: AppIndex) -> Lacks {
        let mut lacks = Lacks::default();
        let Some(app) = self.apps.get(app) else { return lacks };
        lacks.needs = app.need.room();
        for (host, at) in self.hosts.iter().enumerate() {
            let Some(standing) = at.standing else { continue };
            lacks.hosts += 1;
            if app.on.contains(host) {
                lacks.taken += 1;
            } else if standing != Standing::Open {
                lacks.closed += 1;
            } else if !self.labels.has(app.labels, host) {
                lacks.unlabelled += 1;
            } else if self.meets(app, host) {
                lacks.apart += 1;
            } else if self.shares_zone(app, host) {
                lacks.zone += 1;
            } else {
                lacks.short(self.free(host).room());
            }
        }
        lacks
    }

    /// How large a need is against all hosts together, in millionths: the larger of both resources.
    pub(super) fn size(&self, need: Free) -> u64 {
        let part = |need: i64, unit: f64| {
            #[expect(clippy::cast_precision_loss, reason = "a size to sort by")]
            let part = need as f64 * unit * 1e6;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "never negative, and saturates"
            )]
            {
                part as u64
            }
        };
        part(need.cpu, self.mean_cpu_unit).max(part(need.memory, self.mean_memory_unit))
    }

    /// How much a host is used, in millionths of it: the more used of both resources.
    pub(super) fn used(&self, host: HostIndex) -> u64 {
        let Some(at) = self.lanes.get(host) else { return 0 };
        let free = at.free.room();
        #[expect(clippy::cast_precision_loss, reason = "a size to sort by")]
        let part = |free: u64, unit: f64| 1.0 - free as f64 * unit;
        let used =
            part(free.cpu.get_micro(), at.cpu_unit).max(part(free.memory.get(), at.memory_unit));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 1, in millionths"
        )]
        {
            (used.clamp(0.0, 1.0) * 1e6) as u64
        }
    }

    /// How much a host lacks for a need, in millionths of all it has.
    pub(super) fn shortage(&self, host: HostIndex, need: Free) -> i64 {
        let Some(at) = self.lanes.get(host) else { return i64::MAX };
        let free = at.free;
        #[expect(clippy::cast_precision_loss, reason = "a size to sort by")]
        let part = |lacks: i64, unit: f64| lacks.max(0) as f64 * unit * 1e6;
        let lacks = part(need.cpu - free.cpu, at.cpu_unit)
            + part(need.memory - free.memory, at.memory_unit);
        #[expect(clippy::cast_possible_truncation, reason = "a size to sort by, and saturates")]
        {
            lacks as i64
        }
    }
}

impl Lane {
    /// The less used the host is then, the better.
    fn spread_score(&self, host: HostIndex, need: Free, in_zone: u32) -> Score {
        let left = |free: i64, need: i64| u64::try_from(free - need).unwrap_or(0);
        let cpu = left(self.free.cpu, need.cpu);
        let memory = left(self.free.memory, need.memory);
        Score {
            in_zone,
            is_idle: false,
            waste: used(cpu, self.cpu_unit, memory, self.memory_unit),
            host: u32::try_from(host).unwrap_or(u32::MAX),
        }
    }

    fn score(&self, host: HostIndex, need: Free, in_zone: u32) -> Score {
        let left = |free: i64, need: i64| u64::try_from(free - need).unwrap_or(0);
        let cpu = left(self.free.cpu, need.cpu);
        let memory = left(self.free.memory, need.memory);
        Score {
            in_zone,
            is_idle: self.is_idle,
            waste: waste(cpu, self.cpu_unit, memory, self.memory_unit),
            host: u32::try_from(host).unwrap_or(u32::MAX),
        }
    }
}
