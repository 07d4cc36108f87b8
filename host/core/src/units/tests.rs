//! How people write amounts, what is refused, and that what is shown reads back unchanged.
//! Does not test bounds: those are `limits`.

use std::time::Duration;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn check(shown: Vec<Result<String, BadUnit>>, expect: Expect) {
    let lines: Vec<_> =
        shown.into_iter().map(|shown| shown.unwrap_or_else(|error| error.to_string())).collect();
    expect.assert_eq(&lines.join("\n"));
}

fn bytes(texts: &[&str]) -> Vec<Result<String, BadUnit>> {
    texts
        .iter()
        .map(|text| Bytes::parse(text).map(|b| format!("{text} = {} = {b}", b.get())))
        .collect()
}

fn fuel(texts: &[&str]) -> Vec<Result<String, BadUnit>> {
    texts
        .iter()
        .map(|text| Fuel::parse(text).map(|n| format!("{text} = {} = {n}", n.get())))
        .collect()
}

fn durations(texts: &[&str]) -> Vec<Result<String, BadUnit>> {
    let show = |text: &&str| {
        parse_duration(text).map(|d| format!("{text} = {}ns = {}", d.as_nanos(), show_duration(d)))
    };
    texts.iter().map(show).collect()
}

#[test]
fn sizes_read_as_people_write_them() {
    check(
        bytes(&[
            "0",
            "512",
            "999B",
            "64MiB",
            "64 MiB",
            "64mi",
            "10KB",
            "10k",
            "1.5GiB",
            "1_000_000",
            "1536",
            "131072",
            "1234567",
            "18446744073709551615",
        ]),
        expect![],
    );
}

#[test]
fn what_is_no_size_is_refused() {
    check(
        bytes(&[
            "",
            "MiB",
            "-1",
            "64XB",
            "1.5",
            "0.1KiB",
            "1..5K",
            "1__0",
            "_1",
            ".5K",
            "64MiB ",
            "18446744073709551616",
            "17179869184GiB",
            "0x10",
        ]),
        expect![],
    );
}

#[test]
fn fuel_reads_as_people_write_it() {
    check(
        fuel(&["0", "250_000", "500M", "2B", "2G", "1.5b", "1234567", "", "1.5", "10KB", "2 T"]),
        expect![],
    );
}

#[test]
fn durations_read_as_people_write_them() {
    check(
        durations(&[
            "500us", "250ms", "2s", "1m30s", "1h", "1.5h", "0s", "1h 30m", "90s", "1500ms", "1ns",
        ]),
        expect![],
    );
}

#[test]
fn what_is_no_duration_is_refused() {
    check(
        durations(&[
            "",
            "30",
            "s",
            "-1s",
            "1s1s",
            "30s1m",
            "1d",
            "0.1ns",
            "600000000h",
            "1m30",
            "1 s s",
        ]),
        expect![],
    );
}

#[test]
fn a_weight_is_bounded_both_ways() {
    assert_eq!("1000".parse::<Weight>().map(Weight::get), Ok(1_000));
    check(
        ["0", "1001", "x", "+1", ""].map(|t| t.parse::<Weight>().map(|w| w.to_string())).into(),
        expect![],
    );
}

#[test]
fn sums_saturate_or_say_that_they_do_not_fit() {
    let most = Bytes::new(u64::MAX);
    assert_eq!(most.saturating_add(Bytes::new(1)), most);
    assert_eq!(most.checked_add(Bytes::new(1)), None);
    assert_eq!(Bytes::ZERO.saturating_sub(most), Bytes::ZERO);
    let most = Fuel::new(u64::MAX);
    assert_eq!(most.saturating_add(Fuel::new(1)), most);
    assert_eq!(most.checked_add(Fuel::new(1)), None);
    assert_eq!(Fuel::ZERO.saturating_sub(most), Fuel::ZERO);
}

/// Amounts of every magnitude, round ones among them.
fn amounts() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32, prop::sample::select(vec![1, 1_000, 1_024, 1_000_000, 1 << 30]))
        .prop_map(|(bits, shift, scale)| (bits >> shift).saturating_mul(scale))
}

proptest! {
    #[test]
    fn every_amount_reads_back_what_it_shows(amount in amounts()) {
        prop_assert_eq!(Bytes::new(amount).to_string().parse(), Ok(Bytes::new(amount)));
        prop_assert_eq!(Fuel::new(amount).to_string().parse(), Ok(Fuel::new(amount)));
        let duration = Duration::from_nanos(amount);
        prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,12}|[0-9._]{0,8}[a-zA-Z ]{0,4}") {
        let _ = (Bytes::parse(&text), Fuel::parse(&text), parse_duration(&text));
    }
}
