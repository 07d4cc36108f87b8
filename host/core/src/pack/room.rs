//! What a machine has and an app takes: processor time and memory together.
//! Does not know what either is for.

use crate::units::{Bytes, Cpu};

/// An amount of both resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineRoom {
    /// Processor time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Bytes,
}

impl MachineRoom {
    /// Whether this is enough for the other, of both resources.
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        other.cpu <= self.cpu && other.memory <= self.memory
    }

    /// The sum, or the largest amounts there are.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    /// What is left when the other is taken, or nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
        }
    }

    /// So many times as much, or the largest amounts there are.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self {
            cpu: Cpu::micro(self.cpu.get_micro().saturating_mul(count.into())),
            memory: Bytes::new(self.memory.get().saturating_mul(count.into())),
        }
    }

    /// How much of the other this is, in millionths, of each resource.
    pub(super) fn shares(self, whole: Self) -> [u128; 2] {
        let share = |part: u64, whole: u64| u128::from(part) * 1_000_000 / u128::from(whole.max(1));
        [
            share(self.cpu.get_micro(), whole.cpu.get_micro()),
            share(self.memory.get(), whole.memory.get()),
        ]
    }
}
