//! Laws of slots: they add up, they are read as they were written, and nothing that is read does harm.
//! Holds no code of the host.

use proptest::prelude::*;

use super::block::{self, Block, BlockWriter, Blocks, Piece};
use super::*;
use crate::outcome::Outcome;

fn calls() -> impl Strategy<Value = Vec<SlotCall>> {
    let call = (
        0..Outcome::CAUSES.len(),
        prop_oneof![Just(0), Just(200), Just(503)],
        (0..40_u32, any::<u64>()),
        (0..20_u32, any::<u64>()),
        0..1_000_000_000_u64,
        0..1_u64 << 33,
    );
    let call = call.prop_map(|(cause, status, latency, size, fuel, memory_bytes)| SlotCall {
        cause: Outcome::CAUSES[cause],
        status,
        latency_us: latency.1 >> (63 - latency.0),
        response_bytes: size.1 >> (63 - size.0),
        fuel,
        memory_bytes,
    });
    proptest::collection::vec(call, 0..60)
}

fn slot(calls: &[SlotCall]) -> Slot {
    let mut slot = Slot::default();
    calls.iter().for_each(|call| slot.record(call));
    slot
}

fn read(bytes: &[u8]) -> Vec<(u32, String, Slot)> {
    let mut found = Vec::new();
    for piece in Blocks::of(bytes) {
        let Piece::Block(block, _) = piece else { continue };
        for entry in block.entries().flatten() {
            if let Ok(slot) = entry.slot() {
                found.push((block.slot, entry.app.to_owned(), slot));
            }
        }
    }
    found
}

fn block_of(number: u32, apps: &[(&str, Slot)]) -> Vec<u8> {
    let mut writer = BlockWriter::new(Grain::Minute, number);
    apps.iter().for_each(|(app, slot)| writer.push(app, slot));
    writer.finish(true)
}

proptest! {
    #[test]
    fn what_is_added_is_what_all_calls_together_are(one in calls(), other in calls()) {
        let mut sum = slot(&one);
        sum.add(&slot(&other));
        let all: Vec<_> = one.iter().chain(&other).copied().collect();
        prop_assert_eq!(&sum, &slot(&all));
        let mut reversed = slot(&other);
        reversed.add_beside(&slot(&one));
        prop_assert_eq!(reversed, sum);
    }

    #[test]
    fn what_was_written_is_read(one in calls(), other in calls(), number: u32, used: [u32; 4]) {
        let [cpu_us, held, running, waiting] = used;
        let one = Slot { cpu_us: cpu_us.into(), memory_held: held.into(), running, waiting, ..slot(&one) };
        let apps = [("one", one), ("other", slot(&other))];
        let bytes = block_of(number, &apps);
        prop_assert_eq!(block::slot_of(&bytes), Some(number));
        let expected: Vec<_> =
            apps.iter().map(|(app, slot)| (number, (*app).to_owned(), slot.clone())).collect();
        prop_assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn what_is_damaged_is_never_taken_for_something_else(
        one in calls(),
        at: prop::sample::Index,
        bit in 0..8_u8,
        cut: prop::sample::Index,
    ) {
        let blocks = [1, 2, 3].map(|number| block_of(number, &[("app", slot(&one))]));
        let mut bytes = blocks.concat();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let whole: Vec<u32> = read(&bytes).iter().map(|(number, ..)| *number).collect();
        let hit = u32::try_from(at / blocks[0].len()).unwrap() + 1;
        let others: Vec<u32> = (1..=3).filter(|number| *number != hit).collect();
        prop_assert_eq!(whole, others);
        let left = &blocks.concat()[..cut.index(bytes.len())];
        prop_assert_eq!(read(left).len(), left.len() / blocks[0].len());
        let is_damaged = Blocks::of(left).any(|piece| matches!(piece, Piece::Damaged(_)));
        prop_assert!(!is_damaged, "what a killed process leaves is no damage");
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_empty());
        let mut n_bytes = 0;
        for piece in Blocks::of(&bytes) {
            n_bytes += match piece {
                Piece::Block(_, end) => end - n_bytes,
                Piece::Damaged(n_bytes) | Piece::Cut(n_bytes) => n_bytes,
            };
        }
        prop_assert_eq!(n_bytes, bytes.len());
        if let Ok(slot) = Slot::decode(&bytes, &[0, 1, 2]) {
            prop_assert!(slot.n_bytes() <= 8 << 10);
        }
    }

    #[test]
    fn a_slot_takes_eight_kibibytes_at_most(calls in proptest::collection::vec(calls(), 40)) {
        let mut all = Slot::default();
        calls.iter().flatten().for_each(|call| all.record(call));
        prop_assert!(all.n_bytes() <= 8 << 10, "{} bytes", all.n_bytes());
    }
}

#[test]
fn a_slot_of_everything_takes_eight_kibibytes_and_one_of_little_little() {
    let mut all = Slot::default();
    for cause in Outcome::CAUSES {
        all.causes.add(cause, 1);
    }
    all.causes.add("of a later version", 1);
    for shift in 0..34 {
        for part in 32..64_u64 {
            all.latency.record((part << shift) / 32);
            all.sizes.record((part << shift) / 32);
        }
    }
    all.latency.record(0);
    all.sizes.record(0);
    assert!((7_200..=8 << 10).contains(&all.n_bytes()), "{} bytes", all.n_bytes());
    let ten = slot(&[call(200, 1_000); 10]);
    assert!(ten.n_bytes() <= 300, "{} bytes", ten.n_bytes());
    let mut bytes = Vec::new();
    ten.encode(&mut bytes);
    assert!(bytes.len() <= 32, "{} bytes", bytes.len());
}

#[test]
fn a_slot_of_a_version_that_noted_no_peak_of_fuel_tells_the_sum_as_its_bound() {
    let ten = slot(&[call(200, 1_000); 10]);
    assert_eq!((ten.fuel, ten.fuel_peak), (700_000, 70_000));
    let (mut bytes, mut peak) = (Vec::new(), Vec::new());
    ten.encode(&mut bytes);
    code::put(&mut peak, ten.fuel_peak);
    bytes.truncate(bytes.len() - peak.len());
    let causes: Vec<u8> = (0..24).collect();
    let old = Slot::decode(&bytes, &causes).unwrap();
    assert_eq!(old, Slot { fuel_peak: 700_000, ..ten });
}

fn call(status: u16, latency_us: u64) -> SlotCall {
    let (fuel, memory_bytes, response_bytes) = (70_000, 1 << 20, 11);
    SlotCall { cause: "answered", status, latency_us, response_bytes, fuel, memory_bytes }
}

#[test]
fn a_slot_says_what_failed_and_what_was_refused() {
    let ended = |cause| SlotCall { cause, status: 500, ..call(200, 10) };
    let slot = slot(&[call(200, 10), call(503, 20), ended("trapped"), ended("app_busy")]);
    assert_eq!((slot.calls(), slot.failed(), slot.errors), (4, 1, 1));
    let causes: Vec<_> = slot.causes.each().collect();
    assert_eq!(causes, [("answered", 2), ("trapped", 1), ("app_busy", 1)]);
    assert!(!slot.is_idle() && Slot::default().is_idle());
}

#[test]
fn causes_of_another_version_keep_their_meaning() {
    let mut written = Slot::default();
    written.causes.add("trapped", 3);
    written.causes.add("of a later version", 2);
    let bytes = block_of(1, &[("app", written)]);
    // Of a version in which another cause stood where this one has that of traps.
    let body = bytes.get(20..).unwrap();
    let place = body.windows(7).position(|window| window == b"trapped").unwrap() + 20;
    let mut other = bytes;
    other[place..place + 7].copy_from_slice(b"exploded".get(..7).unwrap());
    let sum = block::checksum_of(&other);
    other[12..20].copy_from_slice(&sum.to_le_bytes());
    let (_, _, slot) = read(&other).remove(0);
    assert_eq!(slot.causes.each().collect::<Vec<_>>(), [("unknown", 5)]);
}

#[test]
fn refused_calls_are_counted_and_make_no_app_look_quick() {
    let of = |cause, latency_us| SlotCall {
        cause,
        status: 503,
        latency_us,
        response_bytes: 10,
        fuel: 0,
        memory_bytes: 0,
    };
    let mut calls = vec![of("app_busy", 100); 95];
    calls.extend([of("answered", 5_000_000); 5]);
    let slot = slot(&calls);
    assert_eq!((slot.calls(), slot.latency.n_counted(), slot.sizes.n_counted()), (100, 5, 5));
    assert!(slot.latency.percentile(500).unwrap() > 4_000_000);
}

#[test]
fn moments_belong_to_slots_and_the_finest_that_is_kept_tells() {
    assert_eq!(Grain::Minute.slot_of(119), 1);
    assert_eq!(Grain::Hour.begin_of(2), 7200);
    let now = 10_000_000;
    assert_eq!(Grain::that_tells_of(now - 60, now), Grain::Minute);
    assert_eq!(Grain::that_tells_of(now - 23 * 3600, now), Grain::Minute);
    assert_eq!(Grain::that_tells_of(now - 25 * 3600, now), Grain::Hour);
}

#[test]
fn blocks_say_what_they_are_of() {
    let mut writer = BlockWriter::new(Grain::Hour, 7);
    assert!(writer.is_empty());
    writer.push("app", &slot(&[call(200, 1)]));
    let (n_bytes, is_empty) = (writer.n_bytes(), writer.is_empty());
    let bytes = writer.finish(false);
    assert_eq!((n_bytes, is_empty), (bytes.len(), false));
    let Some(Piece::Block(Block { grain, slot, is_last, .. }, end)) = Blocks::of(&bytes).next()
    else {
        panic!("no block");
    };
    assert_eq!((grain, slot, is_last, end), (Grain::Hour, 7, false, bytes.len()));
}
