//! How people write amounts, what is refused, and that what is shown reads back unchanged.
//! Does not test bounds: those are `limits`.

use std::time::Duration;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn check(shown: Vec<Result<String, BadUnit>>, expect: &Expect) {
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
        &expect![[r#"
            0 = 0 = 0
            512 = 512 = 512B
            999B = 999 = 999B
            64MiB = 67108864 = 64MiB
            64 MiB = 67108864 = 64MiB
            64mi = 67108864 = 64MiB
            10KB = 10000 = 10KB
            10k = 10000 = 10KB
            1.5GiB = 1610612736 = 1.5GiB
            1_000_000 = 1000000 = 1MB
            1536 = 1536 = 1536B
            131072 = 131072 = 128KiB
            1234567 = 1234567 = 1234567B
            18446744073709551615 = 18446744073709551615 = 18446744073709551615B"#]],
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
        &expect![[r#"
            "" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "MiB" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "-1" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "64XB" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "1.5" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "0.1KiB" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "1..5K" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "1__0" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "_1" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            ".5K" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "64MiB " is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "18446744073709551616" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "17179869184GiB" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            "0x10" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB"#]],
    );
}

#[test]
fn fuel_reads_as_people_write_it() {
    check(
        fuel(&["0", "250_000", "500M", "2B", "2G", "1.5b", "1234567", "", "1.5", "10KB", "2 T"]),
        &expect![[r#"
            0 = 0 = 0
            250_000 = 250000 = 250k
            500M = 500000000 = 500M
            2B = 2000000000 = 2G
            2G = 2000000000 = 2G
            1.5b = 1500000000 = 1.5G
            1234567 = 1234567 = 1234567
            "" is not an amount of fuel: expected a whole number with an optional k, M, G or B, such as 250_000, 500M or 2G
            "1.5" is not an amount of fuel: expected a whole number with an optional k, M, G or B, such as 250_000, 500M or 2G
            "10KB" is not an amount of fuel: expected a whole number with an optional k, M, G or B, such as 250_000, 500M or 2G
            "2 T" is not an amount of fuel: expected a whole number with an optional k, M, G or B, such as 250_000, 500M or 2G"#]],
    );
}

#[test]
fn durations_read_as_people_write_them() {
    check(
        durations(&[
            "500us", "250ms", "2s", "1m30s", "1h", "1.5h", "0s", "1h 30m", "90s", "1500ms", "1ns",
        ]),
        &expect![[r#"
            500us = 500000ns = 500us
            250ms = 250000000ns = 250ms
            2s = 2000000000ns = 2s
            1m30s = 90000000000ns = 1m30s
            1h = 3600000000000ns = 1h
            1.5h = 5400000000000ns = 1h30m
            0s = 0ns = 0s
            1h 30m = 5400000000000ns = 1h30m
            90s = 90000000000ns = 1m30s
            1500ms = 1500000000ns = 1.5s
            1ns = 1ns = 1ns"#]],
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
        &expect![[r#"
            "" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "30" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "s" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "-1s" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "1s1s" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "30s1m" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "1d" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "0.1ns" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "600000000h" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "1m30" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            "1 s s" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h"#]],
    );
}

#[test]
fn a_weight_is_bounded_both_ways() {
    assert_eq!("1000".parse::<Weight>().map(Weight::get), Ok(1_000));
    check(
        ["0", "1001", "x", "+1", ""].map(|t| t.parse::<Weight>().map(|w| w.to_string())).into(),
        &expect![[r#"
            "0" is not a weight: expected a whole number from 1 to 1000
            "1001" is not a weight: expected a whole number from 1 to 1000
            "x" is not a weight: expected a whole number from 1 to 1000
            "+1" is not a weight: expected a whole number from 1 to 1000
            "" is not a weight: expected a whole number from 1 to 1000"#]],
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

#[test]
fn people_are_told_one_decimal() {
    for (amount, bytes, fuel) in [
        (0, "0", "0"),
        (999, "999B", "999"),
        (1_024, "1KiB", "1k"),
        (1_100, "1KiB", "1.1k"),
        (66_126_992, "63MiB", "66.1M"),
        (89_478_485, "85.3MiB", "89.4M"),
        (20_000_000_000, "18.6GiB", "20G"),
        (u64::MAX, "17179869183.9GiB", "18446744073.7G"),
    ] {
        assert_eq!((&*Bytes::new(amount).about(), &*Fuel::new(amount).about()), (bytes, fuel));
    }
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
        let _read = (Bytes::parse(&text), Fuel::parse(&text), parse_duration(&text));
    }
}

#[test]
fn one_is_told_in_the_singular() {
    let told = [many(0, "app"), many(1_u32, "app"), many(2_usize, "app"), many("11", "replica")];
    assert_eq!(told, ["0 apps", "1 app", "2 apps", "11 replicas"]);
}
