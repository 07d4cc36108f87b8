//! The keys of a manifest that advice is about, and how their values are written.
//! Does not know what is advised.

use std::time::Duration;

use crate::limits::Limits;
use crate::manifest::Placement;
use crate::units::{Bytes, Cpu, Fuel, show_duration};

/// What advice is about. Values are bytes, fuel, milliseconds, thousandths of a core, or counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdviceKey {
    /// The memory of one instance.
    Memory,
    /// The fuel of one call.
    Fuel,
    /// The time of one call.
    Timeout,
    /// Calls at once on one host.
    Concurrency,
    /// The most replicas.
    MostReplicas,
    /// The CPU that one replica reserves.
    ReservedCpu,
    /// The memory that one replica reserves.
    ReservedMemory,
}

impl AdviceKey {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Memory,
        Self::Fuel,
        Self::Timeout,
        Self::Concurrency,
        Self::MostReplicas,
        Self::ReservedCpu,
        Self::ReservedMemory,
    ];

    /// The section of the manifest, and the key in it.
    #[must_use]
    pub const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Memory => ("limits", "memory"),
            Self::Fuel => ("limits", "fuel"),
            Self::Timeout => ("limits", "timeout"),
            Self::Concurrency => ("limits", "concurrency"),
            Self::MostReplicas => ("replicas", "max"),
            Self::ReservedCpu => ("resources", "cpu"),
            Self::ReservedMemory => ("resources", "memory"),
        }
    }

    /// Its value in a manifest; nothing where nothing is reserved.
    #[must_use]
    pub fn value(self, limits: &Limits, placement: &Placement) -> Option<u64> {
        let value = match self {
            Self::Memory => limits.memory.get(),
            Self::Fuel => limits.fuel.get(),
            Self::Timeout => u64::try_from(limits.timeout.as_millis()).unwrap_or(u64::MAX),
            Self::Concurrency => limits.concurrency.get().into(),
            Self::MostReplicas => placement.max.into(),
            Self::ReservedCpu => placement.cpu?.as_millis(),
            Self::ReservedMemory => placement.memory?.get(),
        };
        Some(value)
    }

    /// A value as a manifest has it, without the quotes of a text.
    #[must_use]
    pub fn show(self, value: u64) -> String {
        match self {
            Self::Memory | Self::ReservedMemory => Bytes::new(value).to_string(),
            Self::Fuel => Fuel::new(value).to_string(),
            Self::Timeout => show_duration(Duration::from_millis(value)),
            Self::Concurrency | Self::MostReplicas => value.to_string(),
            Self::ReservedCpu => Cpu::milli(value).to_string(),
        }
    }

    /// The next value that people would write, at least this one. So a limit has few digits, and does not
    /// change with each look.
    pub(super) fn round_up(self, value: u64) -> u64 {
        let step = match self {
            Self::Memory | Self::ReservedMemory => 1 << 20,
            Self::Timeout => 100,
            Self::Fuel => 10_u64.pow(value.checked_ilog10().unwrap_or(0).saturating_sub(1)),
            Self::Concurrency | Self::MostReplicas | Self::ReservedCpu => 1,
        };
        value.checked_next_multiple_of(step).unwrap_or(value)
    }
}
