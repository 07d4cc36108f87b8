//! The laws of quotas and counters, and the bounds of keys and values.

use proptest::prelude::*;

use super::*;

#[test]
fn a_key_has_one_to_256_bytes_and_a_value_a_mebibyte() {
    assert_eq!(check_key("k"), Ok(()));
    assert_eq!(check_key(&"k".repeat(256)), Ok(()));
    assert_eq!(check_key(""), Err(KeyValueRefusal::EmptyKey));
    let long = check_key(&"k".repeat(300)).unwrap_err().to_string();
    assert!(long.ends_with("has 300 bytes: at most 256 are allowed"), "{long}");
    assert_eq!(check_value("k", 1 << 20), Ok(()));
    assert_eq!(
        check_value("k", 2_000_000).unwrap_err().to_string(),
        "the value of \"k\" has 2000000 bytes: at most 1048576 are allowed"
    );
    assert_eq!(check_count(1_000), Ok(()));
    assert_eq!(
        check_count(1_001).unwrap_err().to_string(),
        "1001 keys at once: at most 1000 are allowed"
    );
}

#[test]
fn a_message_does_not_repeat_what_is_no_key() {
    let said = check_key(&"k".repeat(1 << 20)).unwrap_err().to_string();
    assert!(said.len() < 200, "{said}");
}

#[test]
fn the_last_byte_and_the_last_pair_of_a_quota_can_be_used() {
    let quota = KeyValueQuota { bytes: 10, pairs: 2 };
    let mut change = UsageChange::default();
    change.add(4, 6);
    let full = quota.admit(KeyValueUsage::default(), &change).unwrap();
    assert_eq!(full, KeyValueUsage { bytes: 10, pairs: 1 });
    let mut more = UsageChange::default();
    more.add(1, 0);
    let refusal = quota.admit(full, &more).unwrap_err().to_string();
    assert!(
        refusal.starts_with("the app's pairs would have 11 bytes: its quota is 10"),
        "{refusal}"
    );
    let many = KeyValueUsage { bytes: 2, pairs: 2 };
    let refusal = quota.admit(many, &more).unwrap_err().to_string();
    assert!(refusal.starts_with("the app would have 3 pairs: its quota is 2"), "{refusal}");
    assert_eq!(KeyValueQuota::of(Bytes::mebi(64)).pairs, 1 << 20);
}

#[test]
fn who_has_too_much_can_make_it_less_and_change_it() {
    let quota = KeyValueQuota { bytes: 10, pairs: 1 };
    let usage = KeyValueUsage { bytes: 40, pairs: 3 };
    let mut change = UsageChange::default();
    change.remove(5, 5);
    change.add(5, 4);
    assert_eq!(quota.admit(usage, &change), Ok(KeyValueUsage { bytes: 39, pairs: 3 }));
}

#[test]
fn counters_are_decimal_digits() {
    assert_eq!(incremented("n", None, 5, i64::MIN), Ok(5));
    assert_eq!(incremented("n", Some(b"-7"), 5, i64::MIN), Ok(-2));
    assert_eq!(
        incremented("n", Some(b"7 apples"), 1, i64::MIN).unwrap_err().to_string(),
        "the value of \"n\" is not a number from -2^63 to 2^63-1 in decimal digits"
    );
    let most = i64::MAX.to_string();
    assert_eq!(
        incremented("n", Some(most.as_bytes()), 1, i64::MIN).unwrap_err().to_string(),
        "\"n\" is 9223372036854775807: 1 more is out of range"
    );
    assert!(incremented("n", Some(b"-7"), 5, 0).is_err(), "below the least");
}

#[test]
fn a_value_is_over_when_its_time_has_come() {
    let expiry = ValueExpiry::after(1_000, Some(500));
    assert!(!expiry.is_over(1_499) && expiry.is_over(1_500));
    assert!(!ValueExpiry::after(1_000, None).is_over(u64::MAX));
    assert!(!ValueExpiry::after(1_000, Some(u64::MAX)).is_over(u64::MAX - 1), "no overflow");
}

proptest! {
    #[test]
    fn what_is_admitted_is_within_the_quota_or_less_than_before(
        quota in (0_u64..100, 0_u64..5), usage in (0_u64..200, 0_u64..10),
        added in prop::collection::vec((1_usize..9, 0_usize..40), 0..4),
        removed in prop::collection::vec((1_usize..9, 0_usize..40), 0..4),
    ) {
        let quota = KeyValueQuota { bytes: quota.0, pairs: quota.1 };
        let usage = KeyValueUsage { bytes: usage.0, pairs: usage.1 };
        let mut change = UsageChange::default();
        added.iter().for_each(|(key, value)| change.add(*key, *value));
        removed.iter().for_each(|(key, value)| change.remove(*key, *value));
        let after = usage.after(&change);
        let fits = |after: u64, quota: u64, before: u64| after <= quota || after <= before;
        let may_be = fits(after.bytes, quota.bytes, usage.bytes)
            && fits(after.pairs, quota.pairs, usage.pairs);
        prop_assert_eq!(quota.admit(usage, &change).ok(), may_be.then_some(after));
    }

    #[test]
    fn increments_add_up_in_whatever_order(deltas in prop::collection::vec(-1000_i64..1000, 0..20)) {
        let add_up = |deltas: &[i64]| {
            deltas.iter().fold(String::from("0"), |value, delta| {
                incremented("n", Some(value.as_bytes()), *delta, i64::MIN).unwrap().to_string()
            })
        };
        let reversed: Vec<i64> = deltas.iter().rev().copied().collect();
        prop_assert_eq!(add_up(&deltas), add_up(&reversed));
    }
}
