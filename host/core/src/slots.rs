//! Whether an app may take one more of the host's instance slots.
//! Knows no other app or tenant, only whether there is one: what is left free stands for all of them.
//!
//! The rule is that of dynamic thresholds, by which switches share a packet buffer (Choudhury and
//! Hahne, 1998): who asks may hold as many slots as a multiple of what is left free. It holds on two
//! levels.
//!
//! - A tenant may hold `TIMES` what is left free on the host, times its weight. One that nobody else
//!   asks beside may hold `TIMES_ALONE`: nearly all, and some are left to whoever comes.
//! - An app may hold `TIMES` what is left free to its tenant, times its weight. That is what its tenant
//!   may still take; or all that is free on the host, where no other tenant asks.
//!
//! So one app alone gets nearly all. Several tenants that want more than there is come to hold equal parts,
//! by weight and however many apps they have, as their calls end, and so do the apps of each; some is left
//! free still. No slot is taken back from a call that runs.

use crate::units::Weight;

/// How many times what is left free somebody of weight 1 may hold. With 8, one app alone gets eight of
/// nine slots.
const TIMES: u64 = 8;
/// The same for a tenant while no other holds slots or waits for some: 64 of 65, and never the last one.
const TIMES_ALONE: u64 = 64;

/// An app that asks for slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRequest {
    /// Slots that the calls of the app hold.
    pub held: u32,
    /// Slots that one more call needs; at least 1.
    pub needs: u32,
    /// Slots that nobody holds.
    pub free: u32,
    /// How large the app's share is beside others of its tenant.
    pub weight: Weight,
    /// The app's tenant.
    pub tenant: TenantSlots,
}

/// A tenant of whose apps one asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantSlots {
    /// Slots that the calls of all its apps hold.
    pub held: u32,
    /// How large its share is beside other tenants'.
    pub weight: Weight,
    /// Whether another tenant holds slots, or waits for some.
    pub has_others: bool,
}

/// Whether the app may take what it asks for.
///
/// A tenant that holds nothing is let in as long as there is a slot at all, an app that holds nothing as
/// long as its tenant may have more.
#[must_use]
pub fn may_take(ask: &SlotRequest) -> bool {
    let SlotRequest { held, needs, free, weight, tenant } = *ask;
    let Some(left) = free.checked_sub(needs).map(u64::from) else { return false };
    if tenant.held == 0 {
        return true;
    }
    let times = if tenant.has_others { TIMES } else { TIMES_ALONE };
    let most = left * times * u64::from(tenant.weight.get());
    let Some(room) = most.checked_sub(u64::from(tenant.held) + u64::from(needs)) else {
        return false;
    };
    let room = if tenant.has_others { room } else { left };
    let most = room.saturating_mul(TIMES * u64::from(weight.get()));
    held == 0 || u64::from(held) + u64::from(needs) <= most
}

/// Where an app stands among those that ask for slots: the least is to be served first, and when that one
/// may not take another slot, nobody may.
///
/// It is how much must be left free for the app to take another one, in parts of a slot fine enough to tell
/// any two weights apart.
#[must_use]
pub fn rank(held: u32, weight: Weight, tenant: &TenantSlots) -> u64 {
    const ONE: u64 = 1 << 24;
    let after = |held: u32| if held == 0 { 0 } else { (u64::from(held) + 1) * ONE };
    let of_app = after(held) / (TIMES * u64::from(weight.get()));
    (after(tenant.held) + of_app) / (TIMES * u64::from(tenant.weight.get()))
}

#[cfg(test)]
mod tests;
