//! A slot as few bytes: numbers of one byte where they are small, buckets by how far they are from the one
//! before. What is read is checked, since a disk may give back anything.
//! Does not know where the bytes go, nor what makes them safe against a damaged disk: `block` does.

use super::histogram::Histogram;
use super::slot::{Slot, UNKNOWN};

/// Bytes that are no slots, or those of a version that this one cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no history, or that of a later version")]
pub struct Unreadable;

/// Seven bits a byte: by how much those of the last byte of the longest number are shifted.
const LAST_SHIFT: u32 = 63;

/// Adds a number: seven bits a byte, the lowest first.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        let [lowest, ..] = number.to_le_bytes();
        out.push(lowest | 0x80);
        number >>= 7;
    }
    let [lowest, ..] = number.to_le_bytes();
    out.push(lowest);
}

/// Takes a number from the beginning of what is left.
pub(super) fn take(from: &mut &[u8]) -> Result<u64, Unreadable> {
    let mut number = 0;
    for shift in (0..=LAST_SHIFT).step_by(7) {
        let (byte, rest) = from.split_first().ok_or(Unreadable)?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        let shifted = bits << shift;
        if shifted >> shift != bits {
            return Err(Unreadable);
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Unreadable)
}

/// Takes so many bytes as the number says that comes first.
pub(super) fn take_bytes<'b>(from: &mut &'b [u8]) -> Result<&'b [u8], Unreadable> {
    let length = usize::try_from(take(from)?).map_err(|_| Unreadable)?;
    let (taken, rest) = from.split_at_checked(length).ok_or(Unreadable)?;
    *from = rest;
    Ok(taken)
}

/// Takes a number that has to fit.
pub(super) fn take_as<N: TryFrom<u64>>(from: &mut &[u8]) -> Result<N, Unreadable> {
    N::try_from(take(from)?).map_err(|_| Unreadable)
}

impl Slot {
    /// Adds its bytes. Causes are written by their numbers in this version: who writes it says which these
    /// are.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.causes.counts.len() as u64);
        for (cause, count) in &self.causes.counts {
            put(out, u64::from(*cause));
            put(out, u64::from(*count));
        }
        for number in self.numbers() {
            put(out, number);
        }
        encode_histogram(&self.latency, out);
        encode_histogram(&self.sizes, out);
        // Last, since earlier versions did not write it.
        put(out, self.fuel_peak);
    }

    /// Reads one that takes all of the bytes; `causes` are the numbers here of those of who wrote it.
    pub(super) fn decode(mut bytes: &[u8], causes: &[u8]) -> Result<Self, Unreadable> {
        let from = &mut bytes;
        let mut slot = Self::default();
        for _ in 0..take_as::<u8>(from)? {
            let (number, count) = (take_as::<usize>(from)?, take_as::<u32>(from)?);
            slot.causes.count(causes.get(number).copied().unwrap_or(UNKNOWN), count);
        }
        slot.errors = take(from)?;
        slot.cpu_us = take(from)?;
        slot.fuel = take(from)?;
        slot.response_bytes = take(from)?;
        slot.memory_peak = take(from)?;
        slot.memory_held = take(from)?;
        slot.running = take_as(from)?;
        slot.waiting = take_as(from)?;
        slot.latency = decode_histogram(from)?;
        slot.sizes = decode_histogram(from)?;
        slot.fuel_peak = if from.is_empty() { slot.fuel } else { take(from)? };
        if from.is_empty() { Ok(slot) } else { Err(Unreadable) }
    }

    /// The numbers of which there is one each, in the order in which they are written.
    fn numbers(&self) -> [u64; 8] {
        [
            self.errors,
            self.cpu_us,
            self.fuel,
            self.response_bytes,
            self.memory_peak,
            self.memory_held,
            self.running.into(),
            self.waiting.into(),
        ]
    }
}

fn encode_histogram(histogram: &Histogram, out: &mut Vec<u8>) {
    put(out, histogram.counts().len() as u64);
    let mut before = 0;
    for (bucket, count) in histogram.counts() {
        put(out, u64::from(bucket - before));
        put(out, u64::from(*count));
        before = *bucket;
    }
}

fn decode_histogram(from: &mut &[u8]) -> Result<Histogram, Unreadable> {
    let n_buckets = take_as::<usize>(from)?;
    // Each takes two bytes at least: a length that cannot be true makes no room.
    if n_buckets > from.len() / 2 {
        return Err(Unreadable);
    }
    let (mut counts, mut before) = (Vec::with_capacity(n_buckets), 0_u16);
    for _ in 0..n_buckets {
        let bucket = before.checked_add(take_as(from)?).ok_or(Unreadable)?;
        counts.push((bucket, take_as(from)?));
        before = bucket;
    }
    Histogram::of_counts(counts).ok_or(Unreadable)
}
