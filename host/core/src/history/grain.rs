//! Minutes and hours, counted from the epoch, and for how long they are kept.
//! Does not know what time it is.

/// How long a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// A minute; kept for a day.
    Minute,
    /// An hour; kept for 30 days.
    Hour,
}

impl Grain {
    /// Seconds of one slot.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// How many slots back are kept: a day of minutes, 30 days of hours.
    #[must_use]
    pub fn kept(self) -> u32 {
        match self {
            Self::Minute => 24 * 60,
            Self::Hour => 30 * 24,
        }
    }

    /// The slot of a moment, which is in seconds since the epoch: slots are counted from there.
    #[must_use]
    pub fn slot_of(self, seconds: u64) -> u32 {
        u32::try_from(seconds / self.seconds()).unwrap_or(u32::MAX)
    }

    /// When a slot begins, in seconds since the epoch.
    #[must_use]
    pub fn begin_of(self, slot: u32) -> u64 {
        u64::from(slot) * self.seconds()
    }

    /// The finest slots that still tell of this moment, both in seconds since the epoch.
    #[must_use]
    pub fn that_tells_of(seconds: u64, now: u64) -> Self {
        let oldest = Self::Minute.slot_of(now).saturating_sub(Self::Minute.kept());
        if Self::Minute.slot_of(seconds) >= oldest { Self::Minute } else { Self::Hour }
    }
}
