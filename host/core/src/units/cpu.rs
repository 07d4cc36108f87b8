//! Shares of processors as a type.
//! Does not know what a processor is worth: cores of one machine are taken as equal.

use std::fmt;
use std::str::FromStr;

use super::{BadUnit, decimal};

/// An amount of processor time per time, in millionths of a core: what one of thousands of idle apps
/// uses is far less than a thousandth, and all of them together are not.
///
/// Reads `250m` as a quarter of a core, and `0.25`, `2` or `2cpu` as cores, as operators know it
/// from Kubernetes. Shows whole cores as such and everything else in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu(u64);

impl Cpu {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// Takes a count of thousandths; the largest amount there is where that is more.
    #[must_use]
    pub const fn milli(thousandths: u64) -> Self {
        Self(thousandths.saturating_mul(1000))
    }

    /// Takes a count of millionths.
    #[must_use]
    pub const fn micro(millionths: u64) -> Self {
        Self(millionths)
    }

    /// Takes a count of whole cores; the largest amount there is where that is more.
    #[must_use]
    pub const fn cores(count: u64) -> Self {
        Self(count.saturating_mul(1_000_000))
    }

    /// The count of millionths.
    #[must_use]
    pub const fn get_micro(self) -> u64 {
        self.0
    }

    /// The count of thousandths, rounded up.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// The sum, or the largest amount there is.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing where `other` is more.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Reads an amount as people write it.
    ///
    /// # Errors
    ///
    /// Fails for a text that is not a number, with nothing, `m`, `cpu`, `core` or `cores` behind it,
    /// or not a whole count of millionths.
    pub fn parse(text: &str) -> Result<Self, BadUnit> {
        let (number, unit) = decimal::split(text);
        let scale = match &*unit.to_ascii_lowercase() {
            "m" => Some(1000),
            "" | "cpu" | "cpus" | "core" | "cores" | "vcpu" | "vcpus" => Some(1_000_000),
            _ => None,
        };
        scale.and_then(|scale| decimal::scaled(number, scale)).map(Self).ok_or_else(|| BadUnit {
            value: text.to_owned(),
            kind: "an amount of cpu",
            expected: "a number of cores such as 2 or 0.25, or of thousandths such as 250m",
        })
    }
}

impl FromStr for Cpu {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, rest) = (self.0 / 1000, self.0 % 1000);
        if rest > 0 {
            let decimals = format!("{rest:03}");
            f.pad(&format!("{millis}.{}m", decimals.trim_end_matches('0')))
        } else if millis.is_multiple_of(1000) {
            f.pad(&(millis / 1000).to_string())
        } else {
            f.pad(&format!("{millis}m"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cores_and_thousandths_and_shows_them_shortly() {
        for (text, millionths, shown) in [
            ("250m", 250_000, "250m"),
            ("0.25", 250_000, "250m"),
            ("2", 2_000_000, "2"),
            ("2cpu", 2_000_000, "2"),
            ("1.5 cores", 1_500_000, "1500m"),
            ("0", 0, "0"),
            ("0.5m", 500, "0.5m"),
            ("1000.001m", 1_000_001, "1000.001m"),
            ("0.000001", 1, "0.001m"),
        ] {
            let amount = Cpu::parse(text).unwrap();
            assert_eq!((amount.get_micro(), &*amount.to_string()), (millionths, shown), "{text}");
        }
        assert_eq!((Cpu::micro(1).as_millis(), Cpu::milli(7).as_millis()), (1, 7));
        for bad in ["", "m", "-1", "1g", "0.0000001"] {
            assert!(Cpu::parse(bad).unwrap_err().to_string().contains("amount of cpu"));
        }
    }
}
