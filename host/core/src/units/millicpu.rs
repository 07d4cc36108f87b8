//! Shares of processors as a type.
//! Does not know what a processor is worth: cores of one machine are taken as equal.

use std::fmt;
use std::str::FromStr;

use super::{BadUnit, decimal};

/// An amount of processor time per time, in thousandths of a core.
///
/// Reads `250m` as a quarter of a core, and `0.25`, `2` or `2cpu` as cores, as operators know it
/// from Kubernetes. Shows whole cores as such and everything else in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millicpu(u64);

impl Millicpu {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// Takes a count of thousandths.
    #[must_use]
    pub const fn new(thousandths: u64) -> Self {
        Self(thousandths)
    }

    /// Takes a count of whole cores; the largest amount there is where that is more.
    #[must_use]
    pub const fn cores(count: u64) -> Self {
        Self(count.saturating_mul(1000))
    }

    /// The count of thousandths.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
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
    /// or not a whole count of thousandths.
    pub fn parse(text: &str) -> Result<Self, BadUnit> {
        let (number, unit) = decimal::split(text);
        let scale = match &*unit.to_ascii_lowercase() {
            "m" => Some(1),
            "" | "cpu" | "cpus" | "core" | "cores" | "vcpu" | "vcpus" => Some(1000),
            _ => None,
        };
        scale.and_then(|scale| decimal::scaled(number, scale)).map(Self).ok_or_else(|| BadUnit {
            value: text.to_owned(),
            kind: "an amount of cpu",
            expected: "a number of cores such as 2 or 0.25, or of thousandths such as 250m",
        })
    }
}

impl FromStr for Millicpu {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Millicpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            f.pad(&(self.0 / 1000).to_string())
        } else {
            f.pad(&format!("{}m", self.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cores_and_thousandths_and_shows_them_shortly() {
        for (text, thousandths, shown) in [
            ("250m", 250, "250m"),
            ("0.25", 250, "250m"),
            ("2", 2000, "2"),
            ("2cpu", 2000, "2"),
            ("1.5 cores", 1500, "1500m"),
            ("0", 0, "0"),
        ] {
            let amount = Millicpu::parse(text).unwrap();
            assert_eq!((amount.get(), &*amount.to_string()), (thousandths, shown), "{text}");
        }
        for bad in ["", "m", "-1", "1g", "0.0001"] {
            assert!(Millicpu::parse(bad).unwrap_err().to_string().contains("amount of cpu"));
        }
    }
}
