//! Which components and which compiled code go from a disk when they take more than they may, and
//! whether so much of them has to stay that an operator should know.
//! Does not look at the disk and asks no host: sizes, times and what others keep are arguments.

use crate::units::Bytes;

/// Other hosts that must keep a component before this one lets it go.
pub const COPIES: u32 = 2;
/// A component stays for so long after it was used last, in milliseconds: who has just uploaded, brought
/// or asked for one counts on it.
pub const KEEP_MS: u64 = 3_600_000;
/// One part in so many of the bound is made free beyond what is needed, so that not each upload has to
/// look at all files.
const MARGIN: u64 = 20;
/// Most components of which other hosts are asked at once.
pub const MOST_ASKED: usize = 64;

/// What components and compiled code may take, as operators say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskBound {
    /// So much.
    Size(Bytes),
    /// So many percent of the file system that they are on.
    Percent(u64),
}

/// One component of a host, with its compiled code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredComponent {
    /// Bytes of the component; nothing where only its compiled code is here.
    pub component: Bytes,
    /// Bytes of its compiled code; nothing where it is not compiled.
    pub code: Bytes,
    /// When it was used last, in milliseconds since the epoch.
    pub used_at: u64,
    /// Whether its code is mapped: calls may run in it, and removing the file would free nothing.
    pub is_mapped: bool,
    /// Whether a deployment that is kept needs it.
    pub is_named: bool,
    /// Whether somebody counts on it for now: a deployment that is on its way here, a copy that is being
    /// taken, or another host that has let go of its own.
    pub is_pinned: bool,
    /// How many other hosts have promised to keep it; `None` where nobody knows.
    pub copies: Option<u32>,
}

/// The disk of a host, as far as this is about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// What components and compiled code may take.
    pub bound: Bytes,
    /// What they take, `leftover` among it.
    pub used: Bytes,
    /// Compiled code of other versions of this program.
    pub leftover: Bytes,
    /// What is about to come.
    pub wanted: Bytes,
    /// Whether this host has no others beside it.
    pub is_alone: bool,
    /// The time, in milliseconds since the epoch.
    pub now: u64,
}

/// What of one component goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evicted {
    /// Its compiled code, which can be compiled again.
    Code,
    /// The component and its compiled code, which can be had from other hosts, or which nobody needs.
    All,
}

/// What goes to make room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvictionPlan {
    /// Whether the code of other versions goes.
    pub drops_leftover: bool,
    /// What goes, as places in the list, in the order in which it goes.
    pub evicted: Vec<(usize, Evicted)>,
    /// Components of which other hosts should be asked, as places in the list: these go, in this order,
    /// where enough of them keep a copy.
    pub asked: Vec<usize>,
    /// How much room is missing then.
    pub missing: Bytes,
}

/// Decides what goes. The longest unused goes first, and of each component its compiled code before
/// itself. A component goes only where two other hosts have promised to keep it, or where this host is
/// alone and no deployment needs it.
#[must_use]
pub fn plan(all: &[StoredComponent], disk: &DiskUse) -> EvictionPlan {
    let over = disk.used.saturating_add(disk.wanted).saturating_sub(disk.bound);
    let mut plan = EvictionPlan { missing: over, ..EvictionPlan::default() };
    if over == Bytes::ZERO {
        return plan;
    }
    let aim = over.saturating_add(Bytes::new(disk.bound.get() / MARGIN));
    let mut freed = disk.leftover;
    plan.drops_leftover = disk.leftover > Bytes::ZERO;
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|place| (all.get(*place).map_or(0, |stored| stored.used_at), *place));
    for place in order {
        let Some(stored) = all.get(place) else { continue };
        if freed >= aim {
            break;
        }
        let code = if stored.may_lose_code() { stored.code } else { Bytes::ZERO };
        match stored.may_go(disk) {
            // Both are as old, so where its code is not enough it goes as well.
            Some(true) if code < aim.saturating_sub(freed) => {
                freed = freed.saturating_add(stored.component).saturating_add(stored.code);
                plan.evicted.push((place, Evicted::All));
                continue;
            }
            None if plan.asked.len() < MOST_ASKED => plan.asked.push(place),
            _ => {}
        }
        if code > Bytes::ZERO {
            freed = freed.saturating_add(code);
            plan.evicted.push((place, Evicted::Code));
        }
    }
    plan.missing = over.saturating_sub(freed);
    plan
}

/// What has to stay whatever comes, as far as is known.
#[must_use]
pub fn must_stay(all: &[StoredComponent], disk: &DiskUse) -> Bytes {
    let may_go = all.iter().map(|stored| match stored.may_go(disk) {
        Some(false) if stored.may_lose_code() => stored.code,
        Some(false) => Bytes::ZERO,
        Some(true) | None => stored.component.saturating_add(stored.code),
    });
    may_go.fold(disk.used.saturating_sub(disk.leftover), Bytes::saturating_sub)
}

/// Whether an operator should know that so much has to stay: from nine tenths of the bound on, and until
/// it is less than 85 % again.
#[must_use]
pub fn is_near(must_stay: Bytes, bound: Bytes, was_near: bool) -> bool {
    let percent = if was_near { 85 } else { 90 };
    let (stays, near) = (u128::from(must_stay.get()) * 100, u128::from(bound.get()) * percent);
    stays >= near
}

impl DiskBound {
    /// The bound on a file system of this size; `None` where the bound is a part of one that does not tell
    /// how large it is.
    #[must_use]
    pub fn on(self, file_system: Option<Bytes>) -> Option<Bytes> {
        match self {
            Self::Size(bytes) => Some(bytes),
            Self::Percent(percent) => Some(file_system?.percent(percent)),
        }
    }
}

impl StoredComponent {
    /// It can be compiled again as long as the component is here.
    fn may_lose_code(&self) -> bool {
        !self.is_mapped && self.component > Bytes::ZERO
    }

    /// Whether the component may go; `None` where that depends on what other hosts say.
    fn may_go(&self, disk: &DiskUse) -> Option<bool> {
        let is_old = self.used_at.saturating_add(KEEP_MS) <= disk.now;
        if self.component == Bytes::ZERO || self.is_mapped || self.is_pinned || !is_old {
            return Some(false);
        }
        match self.copies {
            _ if disk.is_alone => Some(!self.is_named),
            Some(copies) => Some(copies >= COPIES),
            None => None,
        }
    }
}

#[cfg(test)]
mod laws;
