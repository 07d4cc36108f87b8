//! Which of the hosts that would do is the best: one struct whose order is the policy.

/// How good a host is for a replica; the least is the best. The fields stand in the order of their
/// weight; the last is the host's place in the order of names, so that there are no ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    /// Replicas of the app in the host's zone.
    pub(super) in_zone: u32,
    /// Whether the host has nothing to do yet: few hosts.
    pub(super) is_idle: bool,
    /// How badly what is left of it can be used; or how much of it is used, where replicas are spread.
    pub(super) waste: u64,
    /// Its place.
    pub(super) host: u32,
}

impl Score {
    /// That of no host.
    pub(super) const WORST: Self =
        Self { in_zone: u32::MAX, is_idle: true, waste: u64::MAX, host: u32::MAX };
}

/// How badly what is left of a host can be used once a replica is on it: by how unequal the parts are
/// that are left of its processor and its memory, since what is left of one without the other is
/// stranded; and a little by how much is left, so that of equally balanced hosts the fuller comes first.
///
/// On the `OpenB` trace this packs to some 1 % over the capacity bound, best fit by the parts' squares
/// alone to 1.6 % (`benches -- place`, 11 seeds). Both at equal weight are no better than best fit.
pub(super) fn waste(cpu_left: u64, cpu: f64, memory_left: u64, memory: f64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "a score, not an amount")]
    let (cpu, memory) = (cpu_left as f64 * cpu, memory_left as f64 * memory);
    let apart = cpu - memory;
    let waste = apart * apart + FREE * (cpu * cpu + memory * memory);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2, so within bounds"
    )]
    {
        (waste * SCALE) as u64
    }
}

/// How much of a host is used when so much is left of it: the more used of both resources.
pub(super) fn used(cpu_left: u64, cpu: f64, memory_left: u64, memory: f64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "a score, not an amount")]
    let left = (cpu_left as f64 * cpu).min(memory_left as f64 * memory);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1, so within bounds"
    )]
    {
        ((1.0 - left).clamp(0.0, 1.0) * SCALE) as u64
    }
}

/// How much being free counts against being stranded.
const FREE: f64 = 0.02;
const SCALE: f64 = (1u64 << 40) as f64;
