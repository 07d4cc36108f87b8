//! Which of the hosts that would do is the best: one struct whose order is the policy.

/// How good a host is for a replica; the least is the best. The fields stand in the order of their
/// weight; the last is the host's place in the order of names, so that there are no ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    /// Replicas of the app in the host's zone.
    pub(super) in_zone: u32,
    /// Whether the host has nothing to do yet: few hosts.
    pub(super) is_idle: bool,
    /// How badly what is left of it can be used.
    pub(super) waste: u64,
    /// Its place.
    pub(super) host: u32,
}

/// How badly what is left of a host can be used once a replica is on it, in parts of two to the 40: the
/// squares of what is left of each resource, and of how unequal the two are. Fuller hosts come first
/// (best fit), and of equally full ones those whose processor and memory run out together: what is
/// left of one without the other is stranded.
pub(super) fn waste(cpu_left: u64, cpu: f64, memory_left: u64, memory: f64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "a score, not an amount")]
    let (cpu, memory) = (cpu_left as f64 * cpu, memory_left as f64 * memory);
    let apart = cpu - memory;
    let waste = cpu * cpu + memory * memory + STRANDED * apart * apart;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 3, so within bounds"
    )]
    {
        (waste * SCALE) as u64
    }
}

/// How much being stranded counts against being free.
const STRANDED: f64 = 0.5;
const SCALE: f64 = (1u64 << 40) as f64;
