//! Kinds of machines that can be had, and what they cost.
//! Knows no provider: the operator says what there is.

use std::fmt;
use std::str::FromStr;

use super::MachineRoom;
use crate::quote::Quoted;
use crate::sheet::Label;
use crate::units::{Bytes, Cpu};

/// Hours of a month as bills count them: 365 days in 12 parts.
const MONTH: u64 = 730;

/// What something costs, in millionths of whatever currency the operator counts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(u64);

/// A kind of machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineKind {
    /// Its name.
    pub name: Label,
    /// What a machine of it has for apps.
    pub room: MachineRoom,
    /// What a machine of it costs an hour; `None` where the operator did not say.
    pub hourly: Option<Price>,
}

/// A text that is not a kind of machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a kind of machine: {wrong}; expected NAME=CPU,MEMORY,PRICE such as \
     m6i.large=2cpu,8GiB,0.096/h, the price may be left out",
    Quoted(.value)
)]
pub struct BadKind {
    value: String,
    wrong: &'static str,
}

impl Price {
    /// Takes millionths of the currency.
    #[must_use]
    pub const fn new(millionths: u64) -> Self {
        Self(millionths)
    }

    /// The price in millionths.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, or the largest price there is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What costs this an hour costs so much a month of 730 hours.
    #[must_use]
    pub const fn monthly(self) -> Self {
        Self(self.0.saturating_mul(MONTH))
    }

    /// What so many seconds cost at this price an hour, to the nearest millionth.
    #[must_use]
    pub fn for_seconds(self, seconds: u64) -> Self {
        let price = (u128::from(self.0) * u128::from(seconds) + 1800) / 3600;
        Self(u64::try_from(price).unwrap_or(u64::MAX))
    }

    /// Reads `0.096/h`, `$0.096/hour` or `70.08/month`, as a price an hour.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (amount, per) = text.split_once('/')?;
        let hours = match &*per.trim().to_ascii_lowercase() {
            "h" | "hr" | "hour" => 1,
            "mo" | "month" => MONTH,
            "y" | "yr" | "year" => 12 * MONTH,
            _ => return None,
        };
        let is_currency = |letter: char| letter.is_alphabetic() || "$€£¥ ".contains(letter);
        let amount = amount.trim_matches(is_currency);
        let (whole, decimals) = amount.split_once('.').unwrap_or((amount, ""));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || whole.is_empty() || decimals.len() > 6 {
            return None;
        }
        let millionths: u64 = format!("{whole}{decimals:0<6}").parse().ok()?;
        Some(Self(millionths / hours))
    }
}

impl fmt::Display for Price {
    /// Whole cents, the nearest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = self.0.saturating_add(5_000) / 10_000;
        f.pad(&format!("{}.{:02}", cents / 100, cents % 100))
    }
}

impl FromStr for MachineKind {
    type Err = BadKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |wrong| BadKind { value: text.to_owned(), wrong };
        let (name, rest) = text.split_once('=').ok_or_else(|| bad("it has no ="))?;
        let name = Label::new(name).ok_or_else(|| bad("it has no name"))?;
        let (mut cpu, mut memory, mut hourly) = (None, None, None);
        for part in rest.split(',').map(str::trim) {
            if part.contains('/') {
                let price =
                    Price::parse(part).ok_or_else(|| bad("its price is not like 0.096/h"))?;
                hourly = Some(price);
            } else if let (None, Ok(cpus)) = (cpu, Cpu::parse(part)) {
                cpu = Some(cpus);
            } else if let (None, Ok(bytes)) = (memory, Bytes::parse(part)) {
                memory = Some(bytes);
            } else {
                return Err(bad("a part of it is neither cpu nor memory nor a price"));
            }
        }
        let room = MachineRoom {
            cpu: cpu.filter(|cpu| *cpu > Cpu::ZERO).ok_or_else(|| bad("it has no cpu"))?,
            memory: memory
                .filter(|size| *size > Bytes::ZERO)
                .ok_or_else(|| bad("it has no memory"))?,
        };
        Ok(Self { name, room, hourly })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_operators_write_them() {
        for text in [
            "m6i.large=2cpu,8GiB,0.096/h",
            "m6i.large=8GiB,2cpu,$0.096/hour",
            "m6i.large = 2, 8GiB, 70.08/month",
            "m6i.large=2000m,8GiB,0.096 EUR/h",
        ] {
            let kind: MachineKind = text.parse().unwrap();
            assert_eq!(kind.name.as_str(), "m6i.large");
            assert_eq!(kind.room, MachineRoom { cpu: Cpu::cores(2), memory: Bytes::mebi(8192) });
            assert_eq!(kind.hourly, Some(Price(96_000)), "{text}");
            assert_eq!(kind.hourly.unwrap().monthly().to_string(), "70.08");
        }
        assert_eq!("own=64,256GiB".parse::<MachineKind>().unwrap().hourly, None);
        for (bad, wrong) in [
            ("large", "no ="),
            ("=2,8GiB", "no name"),
            ("a=2cpu", "no memory"),
            ("a=8GiB", "no cpu"),
            ("a=0,8GiB", "no cpu"),
            ("a=2,8GiB,cheap", "a part"),
            ("a=2,8GiB,0,096/h", "a part"),
            ("a=2,8GiB,x/h", "price"),
            ("a=2,8GiB,1/fortnight", "price"),
        ] {
            let error = bad.parse::<MachineKind>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
