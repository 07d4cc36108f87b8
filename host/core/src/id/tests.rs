//! What counts as a name, and that every id reads back what it shows.
//! Does not test uniqueness: nobody here makes ids.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn check_name(text: &str, expect: &Expect) {
    let shown = match AppName::parse(text) {
        Ok(name) => name.to_string(),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn an_app_name_is_a_dns_label_that_starts_with_a_letter() {
    check_name("hello", &expect!["hello"]);
    check_name("a", &expect!["a"]);
    check_name("a-1--b", &expect!["a-1--b"]);
    check_name("", &expect![[r#""" is not an app name: it is empty"#]]);
    check_name(
        "Hello",
        &expect![[r#""Hello" is not an app name: only a-z, 0-9 and - are allowed"#]],
    );
    check_name("../x", &expect![[r#""../x" is not an app name: only a-z, 0-9 and - are allowed"#]]);
    check_name("1st", &expect![[r#""1st" is not an app name: it must start with a letter"#]]);
    check_name("a-", &expect![[r#""a-" is not an app name: it must not end with -"#]]);
    assert!(AppName::parse(&"a".repeat(63)).is_ok());
    assert!(AppName::parse(&"a".repeat(64)).is_err());
}

#[test]
fn a_digest_reads_with_and_without_its_prefix() {
    let digits = "00ff".repeat(16);
    let digest = Digest::parse(&digits).unwrap();
    assert_eq!(digest.to_string(), format!("sha256:{digits}"));
    assert_eq!(digest.hex(), digits);
    assert_eq!(digest.short(), "00ff00ff00ff");
    assert_eq!(Digest::parse(&digits.to_uppercase()), Ok(digest));
    for bad in ["", "sha256:", "sha512:00", &digits[1..], &format!("{digits}0"), &"é".repeat(32)] {
        assert!(Digest::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn generations_count_from_one() {
    assert_eq!(Generation::new(0), None);
    assert_eq!(Generation::FIRST.next().get(), 2);
    assert!("0".parse::<Generation>().is_err());
    assert!("+1".parse::<Generation>().is_err());
}

proptest! {
    #[test]
    fn every_id_reads_back_what_it_shows(bytes: [u8; 32], bits: u128, number in 1..u64::MAX) {
        let digest = Digest::from_bytes(bytes);
        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        let call = CallId::from_u128(bits);
        prop_assert_eq!(call.to_string().parse(), Ok(call));
        let generation = Generation::new(number).unwrap();
        prop_assert_eq!(generation.to_string().parse(), Ok(generation));
    }
}

#[test]
fn a_call_is_found_by_how_its_id_begins() {
    let id: CallId = "00f7651916cd43dd8448eb211c80319c".parse().unwrap();
    for begins in ["00f7", "00f76519", "00F7651916CD43DD8448EB211C80319C", &id.to_string()] {
        let prefix: CallIdPrefix = begins.parse().unwrap();
        assert!(prefix.begins(id), "{begins}");
        assert_eq!(prefix.to_string(), begins.to_lowercase());
    }
    for other in ["00f8", "0f76", "00f7651a", "00f7651916cd43dd8448eb211c80319d"] {
        assert!(!other.parse::<CallIdPrefix>().unwrap().begins(id), "{other}");
    }
    let longer = format!("{id}0");
    for wrong in ["", "00f", "00g7", "+0f7", " 00f7", &longer] {
        let error = wrong.parse::<CallIdPrefix>().unwrap_err().to_string();
        assert!(error.ends_with("expected 4 to 32 hexadecimal digits"), "{error}");
    }
}
