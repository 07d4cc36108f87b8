//! The rules of key-value stores: what a key and a value may be, how much an app may keep, what a counter is,
//! which version a value has and when it is over.
//! Does not know where pairs are kept, nor whose they are. Time and versions are arguments.

use crate::quote::Quoted;
use crate::units::{Bytes, many};

/// The most bytes of a key, which has at least one.
pub const LONGEST_KEY: usize = 256;
/// The most bytes of a value.
pub const LARGEST_VALUE: usize = 1 << 20;
/// The most stores of one app.
pub const MOST_STORES: usize = 16;
/// The most keys that one question or one change may name.
pub const MOST_KEYS_AT_ONCE: usize = 1_000;
/// The most bytes of values that one answer may hold: what takes a host some milliseconds to hand over.
pub const MOST_BYTES_AT_ONCE: usize = 4 << 20;
/// What all pairs of an app may take where nobody says how much.
pub const DEFAULT_QUOTA: Bytes = Bytes::mebi(64);
/// An app may have one pair for so many bytes of its quota, since a pair takes some room beside its bytes.
pub const BYTES_A_PAIR: u64 = 64;

/// Why a key-value store does not do what it is asked for, where that is for the app to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueRefusal {
    /// There is no key.
    #[error("the key is empty: expected 1 to {LONGEST_KEY} bytes")]
    EmptyKey,
    /// The key is too long.
    #[error("the key {} has {bytes} bytes: at most {LONGEST_KEY} are allowed", Quoted(.key))]
    LongKey {
        /// The key.
        key: String,
        /// How long it is.
        bytes: usize,
    },
    /// The value is too large.
    #[error("the value of {} has {bytes} bytes: at most {LARGEST_VALUE} are allowed", Quoted(.key))]
    LargeValue {
        /// Whose value it is.
        key: String,
        /// How large it is.
        bytes: usize,
    },
    /// All pairs of the app would take too much.
    #[error(
        "the app's pairs would have {needed} bytes: its quota is {quota}; delete some, or have the operator \
         raise --kv-quota"
    )]
    QuotaBytes {
        /// What all of them would take, keys and values together.
        needed: u64,
        /// What they may.
        quota: u64,
    },
    /// The app would have too many pairs.
    #[error(
        "the app would have {needed} pairs: its quota is {quota}, one for {BYTES_A_PAIR} bytes; delete some, or \
         have the operator raise --kv-quota"
    )]
    QuotaPairs {
        /// How many there would be.
        needed: u64,
        /// How many there may be.
        quota: u64,
    },
    /// What is to be incremented is no counter.
    #[error("the value of {} is not a number from -2^63 to 2^63-1 in decimal digits", Quoted(.key))]
    NotANumber {
        /// Whose value it is.
        key: String,
    },
    /// A counter would leave its range.
    #[error("{} is {value}: {delta} more is out of range", Quoted(.key))]
    Overflow {
        /// Whose value it is.
        key: String,
        /// What it is.
        value: i64,
        /// What was to be added.
        delta: i64,
    },
    /// Too many keys are named at once.
    #[error("{} at once: at most {MOST_KEYS_AT_ONCE} are allowed", many(.0, "key"))]
    ManyKeys(usize),
    /// The values of all keys that are named are too much for one answer.
    #[error("the values have more than {MOST_BYTES_AT_ONCE} bytes together: ask for fewer at once")]
    LargeAnswer,
    /// Too many writes of the app wait.
    #[error("too many requests")]
    TooManyRequests,
}

/// The version of a value: a number that no other value of the host has ever had, so that a value that came back
/// is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueVersion(pub u64);

/// When a value is over, in milliseconds since 1970; `None` for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueExpiry(pub Option<u64>);

impl ValueExpiry {
    /// That of a value that is set now and shall last so long, each in milliseconds.
    #[must_use]
    pub fn after(now_ms: u64, ttl_ms: Option<u64>) -> Self {
        Self(ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms)))
    }

    /// Whether the value is over at this time.
    #[must_use]
    pub fn is_over(self, now_ms: u64) -> bool {
        self.0.is_some_and(|at_ms| at_ms <= now_ms)
    }
}

/// Whether the text can be a key.
///
/// # Errors
/// It is empty or too long.
pub fn check_key(key: &str) -> Result<(), KeyValueRefusal> {
    match key.len() {
        0 => Err(KeyValueRefusal::EmptyKey),
        1..=LONGEST_KEY => Ok(()),
        bytes => Err(KeyValueRefusal::LongKey { key: cut(key), bytes }),
    }
}

/// Whether a value of so many bytes can stand under this key.
///
/// # Errors
/// It is too large.
pub fn check_value(key: &str, bytes: usize) -> Result<(), KeyValueRefusal> {
    if bytes <= LARGEST_VALUE {
        return Ok(());
    }
    Err(KeyValueRefusal::LargeValue { key: cut(key), bytes })
}

/// Whether so many keys may be named at once.
///
/// # Errors
/// They are too many.
pub fn check_count(n_keys: usize) -> Result<(), KeyValueRefusal> {
    if n_keys <= MOST_KEYS_AT_ONCE { Ok(()) } else { Err(KeyValueRefusal::ManyKeys(n_keys)) }
}

/// What is repeated of a key: it may be a megabyte that somebody took for one.
fn cut(key: &str) -> String {
    key.chars().take(LONGEST_KEY).collect()
}

/// What a counter is after so much was added. A key without a value counts as 0. Counters are decimal digits, with
/// `-` before those of negative ones, so that whoever reads the value sees the number.
///
/// # Errors
/// The value is no number, or the sum is below `least` or out of range.
pub fn incremented(
    key: &str,
    value: Option<&[u8]>,
    delta: i64,
    least: i64,
) -> Result<i64, KeyValueRefusal> {
    let number = match value {
        None => 0,
        Some(digits) => {
            counter(digits).ok_or_else(|| KeyValueRefusal::NotANumber { key: key.to_owned() })?
        }
    };
    let sum = number.checked_add(delta).filter(|sum| *sum >= least);
    sum.ok_or_else(|| KeyValueRefusal::Overflow { key: key.to_owned(), value: number, delta })
}

fn counter(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// How much an app keeps: of all its stores together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyValueUsage {
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Pairs.
    pub pairs: u64,
}

/// What one change does to what an app keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageChange {
    added: KeyValueUsage,
    removed: KeyValueUsage,
}

impl UsageChange {
    /// A pair comes to be there.
    pub fn add(&mut self, key: usize, value: usize) {
        self.added.count(key, value);
    }

    /// A pair is there no more.
    pub fn remove(&mut self, key: usize, value: usize) {
        self.removed.count(key, value);
    }
}

impl KeyValueUsage {
    fn count(&mut self, key: usize, value: usize) {
        self.bytes = self.bytes.saturating_add(key.saturating_add(value) as u64);
        self.pairs = self.pairs.saturating_add(1);
    }

    /// What is kept after a change, whether or not it may be.
    #[must_use]
    pub fn after(self, change: &UsageChange) -> Self {
        let after =
            |now: u64, added, removed: u64| now.saturating_add(added).saturating_sub(removed);
        Self {
            bytes: after(self.bytes, change.added.bytes, change.removed.bytes),
            pairs: after(self.pairs, change.added.pairs, change.removed.pairs),
        }
    }
}

/// How much an app may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyValueQuota {
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Pairs.
    pub pairs: u64,
}

impl KeyValueQuota {
    /// That of an app whose keys and values may have so many bytes.
    #[must_use]
    pub fn of(bytes: Bytes) -> Self {
        Self { bytes: bytes.get(), pairs: bytes.get() / BYTES_A_PAIR }
    }

    /// What is kept after a change. One that leaves no more of either than there was is never refused: who has too
    /// much since the quota was lowered can still make it less.
    ///
    /// # Errors
    /// It would be too much.
    pub fn admit(
        self,
        usage: KeyValueUsage,
        change: &UsageChange,
    ) -> Result<KeyValueUsage, KeyValueRefusal> {
        let after = usage.after(change);
        if after.bytes > self.bytes && after.bytes > usage.bytes {
            return Err(KeyValueRefusal::QuotaBytes { needed: after.bytes, quota: self.bytes });
        }
        if after.pairs > self.pairs && after.pairs > usage.pairs {
            return Err(KeyValueRefusal::QuotaPairs { needed: after.pairs, quota: self.pairs });
        }
        Ok(after)
    }
}

#[cfg(test)]
mod tests;
