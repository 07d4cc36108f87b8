//! The judgement as tables, and what must hold of it whatever was counted.

use proptest::prelude::*;

use super::*;

fn side(calls: u64, failed: u64, durations: &[(u64, u64)]) -> Side {
    let mut side = Side { calls, failed, ..Side::default() };
    for (millis, count) in durations {
        side.durations.add(Durations::class(millis * 1000), *count);
    }
    side
}

fn verdict(old: &Side, canary: &Side) -> String {
    match judge(old, canary, &Margin::STATED) {
        CanaryVerdict::TooEarly => "too early".to_owned(),
        CanaryVerdict::Fine => "fine".to_owned(),
        CanaryVerdict::Worse(worse) => worse.to_string(),
    }
}

#[test]
fn few_calls_say_nothing_unless_they_fail() {
    let old = side(2000, 0, &[(5, 2000)]);
    assert_eq!(verdict(&old, &side(0, 0, &[])), "too early");
    assert_eq!(verdict(&old, &side(99, 9, &[(5, 99)])), "too early");
    assert_eq!(
        verdict(&old, &side(10, 10, &[(5, 10)])),
        "100.00 % of its calls failed, of the old deployment's 0.00 %; up to 1.04 % is allowed"
    );
    // An app that is seldom called has no hundred calls of the old one to compare with.
    let quiet = side(20, 0, &[(5, 20)]);
    assert!(verdict(&quiet, &side(10, 10, &[(5, 10)])).starts_with("100.00 % of its calls failed"));
    assert!(verdict(&side(99, 0, &[(5, 99)]), &side(900, 900, &[])).starts_with("100.00 %"));
    assert_eq!(verdict(&side(19, 0, &[(5, 19)]), &side(900, 900, &[])), "too early");
    assert_eq!(verdict(&quiet, &side(900, 9, &[(5, 900)])), "too early");
    assert_eq!(verdict(&quiet, &side(900, 0, &[(900, 900)])), "too early", "slow is for later");
    assert_eq!(verdict(&side(20, 20, &[]), &side(900, 900, &[])), "too early");
}

fn given_up(mut side: Side, durations: &[(u64, u64)]) -> Side {
    for (millis, count) in durations {
        side.abandoned.add(Durations::class(millis * 1000), *count);
    }
    side
}

#[test]
fn what_callers_give_up_counts_as_failed_once_it_takes_too_long() {
    let old = side(2000, 0, &[(5, 2000)]);
    // It hangs, and everybody goes away after five seconds.
    let hangs = given_up(Side::default(), &[(5_000, 10)]);
    assert_eq!(
        verdict(&old, &hangs),
        "100.00 % of its calls failed, 100.00 % given up by callers after too long, of the old \
         deployment's 0.00 %; up to 1.04 % is allowed"
    );
    let sometimes = given_up(side(100, 0, &[(5, 100)]), &[(5_000, 12)]);
    assert!(verdict(&old, &sometimes).starts_with("10.71 % of its calls failed, 10.71 % given"));
    // People who go away at once say nothing, and streams that are left say nothing where the old one's
    // are left as well.
    assert_eq!(verdict(&old, &given_up(side(100, 0, &[(5, 100)]), &[(5, 500)])), "fine");
    let streams = given_up(old, &[(60_000, 400)]);
    assert_eq!(verdict(&streams, &given_up(side(100, 0, &[(5, 100)]), &[(60_000, 20)])), "fine");
    // The old one hangs as well.
    let hung = given_up(Side::default(), &[(5_000, 200)]);
    assert_eq!(verdict(&hung, &hung), "fine");
}

#[test]
fn failures_count_beyond_the_margin_and_beyond_chance() {
    let old = side(10_000, 0, &[(5, 10_000)]);
    assert_eq!(verdict(&old, &side(100, 4, &[(5, 100)])), "fine");
    assert!(verdict(&old, &side(100, 5, &[(5, 100)])).starts_with("5.00 % of its calls failed"));
    assert_eq!(verdict(&old, &side(10_000, 100, &[(5, 10_000)])), "fine");
    assert!(verdict(&old, &side(10_000, 140, &[(5, 10_000)])).starts_with("1.40 %"));
    // Where the old one fails as well, twice as much is no news.
    let old = side(10_000, 1000, &[(5, 10_000)]);
    assert_eq!(verdict(&old, &side(1000, 200, &[(5, 1000)])), "fine");
    assert!(verdict(&old, &side(1000, 260, &[(5, 1000)])).starts_with("26.00 %"));
}

#[test]
fn slow_is_what_is_slower_by_half_and_by_20_ms() {
    let old = side(2000, 0, &[(5, 2000)]);
    assert_eq!(verdict(&old, &side(100, 0, &[(20, 100)])), "fine");
    assert_eq!(
        verdict(&old, &side(100, 0, &[(40, 100)])),
        "its slowest twentieth of calls takes 40.9 ms and more, the old deployment's 5.1 ms; up to \
         25.1 ms is allowed"
    );
    let old = side(2000, 0, &[(400, 2000)]);
    assert_eq!(verdict(&old, &side(100, 0, &[(500, 100)])), "fine");
    assert!(verdict(&old, &side(100, 0, &[(900, 100)])).starts_with("its slowest twentieth"));
    // A few outliers are chance.
    let old = side(2000, 0, &[(5, 2000)]);
    assert_eq!(verdict(&old, &side(100, 0, &[(5, 90), (900, 10)])), "fine");
    assert!(verdict(&old, &side(100, 0, &[(5, 85), (900, 15)])).starts_with("its slowest"));
}

#[test]
fn shares_read_as_they_are_written() {
    for text in ["5%", "0.5%", "0.01%", "99.99%", "12.3%"] {
        assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
    }
    assert_eq!("5 %".parse::<Share>().unwrap().get(), 500);
    let error = |text: &str| text.parse::<Share>().unwrap_err().to_string();
    assert!(error("0%").contains("at least 0.01% and at most 99.99% of the calls, not 0%"));
    assert!(error("100%").contains("not 100%: to give a deployment all of them"));
    assert!(error("9999999999999%").contains("not 9999999999999%"));
    for text in ["5", "", "%", "five%", "-5%", "0.001%", "5%%"] {
        assert!(error(text).contains("is no share of calls"), "{text}: {}", error(text));
    }
}

fn counts() -> impl Strategy<Value = Vec<(u64, u64)>> {
    proptest::collection::vec((0u64..60_000, 0u64..2000), 0..6)
}

fn sides() -> impl Strategy<Value = Side> {
    (counts(), counts(), 0u64..=10_000).prop_map(|(durations, left, failed)| {
        let calls = durations.iter().map(|(_, count)| count).sum::<u64>();
        given_up(side(calls, calls * failed / 10_000, &durations), &left)
    })
}

proptest! {
    #[test]
    fn classes_hold_their_durations_and_stand_in_order(micros in 0u64..20_000_000_000) {
        let class = Durations::class(micros);
        prop_assert!(class < Durations::CLASSES);
        prop_assert!(Durations::shortest(class) <= micros && micros <= Durations::longest(class));
        let width = Durations::longest(class).saturating_sub(Durations::shortest(class));
        prop_assert!(class + 1 == Durations::CLASSES || width <= micros / 4);
    }

    #[test]
    fn no_deployment_is_worse_than_itself(side in sides()) {
        let verdict = judge(&side, &side, &Margin::STATED);
        prop_assert!(!matches!(verdict, CanaryVerdict::Worse(_)), "{verdict:?}");
    }

    #[test]
    fn more_failures_never_help(old in sides(), canary in sides(), more in 0u64..1000) {
        let failed = (canary.failed + more).min(canary.calls);
        let worse = Side { failed, ..canary.clone() };
        let is_worse = |side| matches!(judge(&old, side, &Margin::STATED), CanaryVerdict::Worse(_));
        prop_assert!(!is_worse(&canary) || is_worse(&worse));
    }

    #[test]
    fn what_exceeds_is_no_more_than_asked(side in sides(), slow in 0u64..10_000) {
        let durations = &side.durations;
        let bound = durations.exceeded_by(slow);
        let n_longer = durations.longer_than(bound);
        prop_assert!(n_longer * 10_000 <= durations.count() * slow);
    }

    #[test]
    fn a_share_takes_as_many_of_all_numbers(of_ten_thousand in 1..Share::WHOLE) {
        let share = Share::new(of_ten_thousand).unwrap();
        let n_taken = (0..Share::WHOLE).filter(|drawn| share.takes(*drawn)).count();
        prop_assert_eq!(n_taken, of_ten_thousand as usize);
    }
}
