//! What machines cost, split among apps: what each used, what it reserved beyond that, and what stood idle.
//!
//! As OpenCost does, an app pays for the larger of what it reserves and what it uses. All parts are whole units
//! of the currency and sum to the price exactly. Where apps take more than there is, all of it is theirs, in
//! proportion, and nothing is idle. What a host costs in hours of which nothing is known is a part of its own.
//! Knows no clock and asks nobody for prices.

pub mod hours;
mod prices;

use std::collections::{BTreeMap, BTreeSet};

pub use self::prices::{BadPrices, PricedKinds, decimals, host_prices};
use crate::pack::Price;

/// How many times as much a core costs as a GiB of memory, in hundredths: 0.031611 to 0.004237 an hour, which
/// OpenCost takes where only the price of a whole machine is known.
pub const CORE_TO_GIB_PERCENT: u128 = 746;
/// Bits by which money is counted finer than in millionths until all hosts are added up.
const FINER: u32 = 20;
/// Bits that the parts of a split may have, so that no product with an amount of money passes 128 bits.
const PART_BITS: u32 = 60;

/// An amount of both resources over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    /// CPU time, in microseconds of one core.
    pub cpu_us: u64,
    /// Memory, in bytes times seconds.
    pub byte_seconds: u128,
}

/// What one app had of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BilledUse {
    /// What it used.
    pub used: Consumed,
    /// What it reserved and did not use.
    pub unused: Consumed,
}

/// One host and who had what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BilledHost<K> {
    /// What it costs in all of the time.
    pub price: Price,
    /// Seconds of that time.
    pub seconds: u64,
    /// Those of them of which it is known what apps used.
    pub known_seconds: u64,
    /// All that it has in the known time.
    pub has: Consumed,
    /// The apps, and what they had of it in the known time.
    pub apps: BTreeMap<K, BilledUse>,
}

/// Who pays for what stands idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleCost {
    /// Nobody: it is shown by itself.
    #[default]
    Apart,
    /// Each app in proportion to what it pays otherwise.
    ByUse,
    /// Each app the same that pays anything otherwise.
    Evenly,
}

/// What an app pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BilledApp {
    /// For what it used.
    pub used: Price,
    /// For what it reserved and did not use.
    pub unused: Price,
    /// Its part of what stood idle, where that is shared.
    pub idle: Price,
}

/// The price of all hosts, split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill<K> {
    /// What apps pay.
    pub apps: BTreeMap<K, BilledApp>,
    /// What stood idle and no app pays.
    pub idle: Price,
    /// What hosts cost in the time of which nothing is known.
    pub unknown: Price,
    /// What each host cost, in the order in which they were given. They sum to the total as well.
    pub hosts: Vec<Price>,
}

impl BilledApp {
    /// All that it pays.
    #[must_use]
    pub fn sum(&self) -> Price {
        self.used.plus(self.unused).plus(self.idle)
    }
}

impl<K> Bill<K> {
    /// All that is paid.
    #[must_use]
    pub fn total(&self) -> Price {
        let apps = self.apps.values().map(BilledApp::sum);
        apps.fold(self.idle.plus(self.unknown), Price::plus)
    }
}

/// Splits what hosts cost, in whole multiples of `unit`. The parts sum to the price of all hosts, rounded to the
/// nearest multiple.
#[must_use]
pub fn bill<K: Ord + Clone>(hosts: &[BilledHost<K>], idle: IdleCost, unit: Price) -> Bill<K> {
    let names: BTreeSet<&K> = hosts.iter().flat_map(|host| host.apps.keys()).collect();
    let mut apps: BTreeMap<&K, [u128; 3]> = names.into_iter().map(|app| (app, [0; 3])).collect();
    let (mut left, mut unknown, mut price) = (0, 0, Price::default());
    for host in hosts {
        price = price.plus(host.price);
        let (of_idle, of_unknown) = charge(host, &mut apps);
        left += of_idle;
        unknown += of_unknown;
    }
    share(idle, &mut left, &mut apps);
    let unit = unit.get().max(1);
    let units = price.get().saturating_add(unit / 2) / unit;
    let whole = |parts: &[u128]| {
        let units = split(units.into(), parts).into_iter();
        let price = |units| u64::try_from(units).unwrap_or(u64::MAX).saturating_mul(unit);
        units.map(move |units| Price::new(price(units)))
    };
    let of_hosts: Vec<u128> = hosts.iter().map(|host| host.price.get().into()).collect();
    let parts: Vec<u128> = apps.values().flatten().copied().chain([left, unknown]).collect();
    let mut prices = whole(&parts);
    let mut next = || prices.next().unwrap_or_default();
    let apps = apps
        .into_keys()
        .map(|app| (app.clone(), BilledApp { used: next(), unused: next(), idle: next() }))
        .collect();
    Bill { apps, idle: next(), unknown: next(), hosts: whole(&of_hosts).collect() }
}

/// Adds to each app what it pays for one host; returns what is idle there, and what is not known.
fn charge<K: Ord>(host: &BilledHost<K>, apps: &mut BTreeMap<&K, [u128; 3]>) -> (u128, u128) {
    let known_seconds = host.known_seconds.min(host.seconds);
    let seconds = [known_seconds.into(), (host.seconds - known_seconds).into()];
    let [known, unknown] = two(split(u128::from(host.price.get()) << FINER, &seconds));
    let cores = (u128::from(host.has.cpu_us) * CORE_TO_GIB_PERCENT).saturating_mul(1 << 30);
    let memory = host.has.byte_seconds.saturating_mul(100 * 1_000_000);
    let [for_cpu, for_memory] = two(split(known, &[cores, memory]));
    let cpu = |of: &Consumed| u128::from(of.cpu_us);
    let bytes = |of: &Consumed| of.byte_seconds;
    let mut idle = 0;
    for (price, of) in [(for_cpu, &cpu as &dyn Fn(&Consumed) -> u128), (for_memory, &bytes)] {
        let parts = host.apps.values().flat_map(|app| [of(&app.used), of(&app.unused)]);
        let mut parts: Vec<u128> = parts.collect();
        let taken = parts.iter().fold(0_u128, |sum, part| sum.saturating_add(*part));
        parts.push(of(&host.has).saturating_sub(taken));
        let mut paid = split(price, &parts).into_iter();
        let mut next = || paid.next().unwrap_or(0);
        for app in host.apps.keys() {
            let [used, unused] = [next(), next()];
            if let Some([for_used, for_unused, _]) = apps.get_mut(app) {
                *for_used += used;
                *for_unused += unused;
            }
        }
        idle += next();
    }
    (idle, unknown)
}

/// Gives the apps their parts of what is idle. Where none can have one, it stays apart.
fn share<K: Ord>(idle: IdleCost, left: &mut u128, apps: &mut BTreeMap<&K, [u128; 3]>) {
    let parts: Vec<u128> = match idle {
        IdleCost::Apart => return,
        IdleCost::ByUse => apps.values().map(|[used, unused, _]| used + unused).collect(),
        IdleCost::Evenly => {
            apps.values().map(|[used, unused, _]| u128::from(used + unused > 0)).collect()
        }
    };
    if parts.iter().all(|part| *part == 0) {
        return;
    }
    for (app, part) in apps.values_mut().zip(split(*left, &parts)) {
        let [.., of_idle] = app;
        *of_idle = part;
    }
    *left = 0;
}

/// Parts of an amount in these proportions, which sum to it. Where all proportions are nothing, the last part
/// is all of it. The sum up to each part is rounded to the nearest, so each is off by less than one.
fn split(amount: u128, parts: &[u128]) -> Vec<u128> {
    let all = parts.iter().fold(0_u128, |sum, part| sum.saturating_add(*part));
    let bits = u128::BITS - all.leading_zeros();
    let shift = bits.saturating_sub(PART_BITS);
    let all: u128 = parts.iter().map(|part| part >> shift).sum();
    if all == 0 {
        let last = parts.len().saturating_sub(1);
        return (0..parts.len()).map(|place| if place == last { amount } else { 0 }).collect();
    }
    let (mut sum, mut given) = (0_u128, 0_u128);
    let next = |part: &u128| {
        sum += part >> shift;
        let up_to = amount / all * sum + (amount % all * sum + all / 2) / all;
        let part = up_to - given;
        given = up_to;
        part
    };
    parts.iter().map(next).collect()
}

fn two(parts: Vec<u128>) -> [u128; 2] {
    parts.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests;
