//! Laws of what is told to a collector: nothing is sent twice or lost without being counted, whatever the
//! collector does; and a smaller ratio keeps a part of what a larger one keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const QUICK: BatchRules = BatchRules {
    at_once: 4,
    most_bytes: 1_000,
    wait: 50,
    first_pause: 10,
    longest_pause: 40,
    try_for: 200,
    longest_wait: 2_000,
    well_after: 1_000,
};

const TAKEN: BatchAnswer = BatchAnswer::Taken { rejected: 0 };

fn full() -> Batches<u64> {
    let mut batches = Batches::new(QUICK);
    (0..4).for_each(|one| batches.add(0, one, 1));
    batches
}

#[test]
fn a_batch_goes_when_it_is_full_or_old_enough() {
    let mut batches = Batches::new(QUICK);
    assert_eq!((batches.next_at(), batches.room()), (None, 4));
    batches.add(7, 1, 1);
    batches.add(20, 2, 1);
    assert_eq!((batches.next_at(), batches.next(56)), (Some(57), None));
    assert_eq!(batches.next(57), Some(&[1, 2][..]));
    assert_eq!((batches.room(), batches.next_at(), batches.next(60)), (0, None, None));
    batches.done(60, TAKEN, 0);
    assert_eq!((batches.room(), batches.counts().sent), (4, 2));
    let mut batches = full();
    assert_eq!(batches.next(0), Some(&[0, 1, 2, 3][..]));
}

#[test]
fn a_batch_of_many_bytes_is_full_before_it_has_all_that_may_go_at_once() {
    let mut batches = Batches::new(QUICK);
    batches.add(0, 1, 999);
    assert_eq!((batches.room(), batches.next_at()), (3, Some(50)));
    batches.add(0, 2, 5_000);
    assert_eq!((batches.room(), batches.next(0)), (0, Some(&[1, 2][..])));
    batches.done(0, TAKEN, 0);
    assert_eq!((batches.room(), batches.next_at()), (4, None));
}

/// As where what is told of a loss is sent to the collector that loses it.
#[test]
fn news_that_are_lost_themselves_bring_no_further_news() {
    let mut batches = Batches::new(QUICK);
    let mut told = Vec::new();
    batches.add(0, 0, 1);
    for now in 0..100_000 {
        if batches.next(now).is_some() {
            batches.done(now, BatchAnswer::Refused, 0);
        }
        if let Some(news) = batches.news(now) {
            told.push(news);
            batches.add(now, 1, 1);
        }
    }
    assert_eq!((told, batches.counts().dropped.iter().sum()), (vec![BatchNews::Fails], 2_u64));
    // A collector that takes all but what tells of losses hears of them once in a while only.
    let (mut batches, mut works_at) = (Batches::new(QUICK), Vec::new());
    batches.lose(0, DropReason::QueueFull, 1);
    for now in 0..100_000 {
        if now % 500 == 0 {
            batches.add(now, 'a', 1);
        }
        if let Some(batch) = batches.next(now) {
            let rejected = batch.iter().filter(|one| **one == 'n').count() as u64;
            batches.done(now, BatchAnswer::Taken { rejected }, 0);
        }
        if let Some(news) = batches.news(now) {
            batches.add(now, 'n', 1);
            works_at.extend((news == BatchNews::Works).then_some(now));
        }
    }
    assert!(works_at.is_sorted_by(|one, next| next - one >= QUICK.well_after), "{works_at:?}");
    assert!(works_at.len() > 2, "{works_at:?}");
}

#[test]
fn what_counts_as_several_is_counted_so_whatever_becomes_of_it() {
    let mut batches = Batches::new(BatchRules { at_once: 1, wait: 0, ..QUICK });
    for (answer, sent, refused) in
        [(TAKEN, 7, 0), (BatchAnswer::Taken { rejected: 3 }, 11, 3), (BatchAnswer::Refused, 11, 10)]
    {
        batches.add_as(0, 'a', 7);
        assert_eq!((batches.room(), batches.next(0)), (0, Some(&['a'][..])));
        batches.done(0, answer, 0);
        let counts = batches.counts();
        assert_eq!((counts.sent, counts.dropped[DropReason::Refused as usize]), (sent, refused));
        assert_eq!(batches.n_held(), 0);
    }
}

#[test]
fn what_may_be_taken_later_is_tried_with_growing_pauses_and_given_up_in_the_end() {
    let mut batches = full();
    let (mut now, mut pauses) = (0, Vec::new());
    while batches.next(now).is_some() {
        batches.done(now, BatchAnswer::NotReached, u64::MAX);
        let Some(next_at) = batches.next_at() else { break };
        pauses.push(next_at - now);
        now = next_at;
    }
    // Each is between half of it and all of it.
    assert!(
        pauses.iter().zip([10, 20, 40, 40]).all(|(pause, all)| (all / 2..=all).contains(pause))
    );
    assert!(now <= QUICK.try_for && pauses.len() >= 5, "{pauses:?}");
    assert_eq!(batches.counts().dropped[DropReason::GivenUp as usize], 4);
    assert_eq!(batches.room(), 4);
}

#[test]
fn a_collector_that_says_when_is_not_asked_sooner_and_never_waited_for_too_long() {
    let mut batches = full();
    batches.next(0);
    batches.done(5, BatchAnswer::Later { after: Some(150) }, 0);
    assert_eq!((batches.next_at(), batches.next(154)), (Some(155), None));
    assert!(batches.next(155).is_some());
    batches.done(155, BatchAnswer::Later { after: Some(100) }, 0);
    assert_eq!(batches.counts().dropped[DropReason::GivenUp as usize], 4);
}

/// A batch that is given up before the time that the collector named gives no other one the right to be sent.
#[test]
fn the_batches_after_one_that_is_given_up_wait_as_long_as_the_collector_said() {
    for (said, waited) in [(1_000, 1_000), (u64::MAX, QUICK.longest_wait)] {
        let mut batches = full();
        batches.next(0);
        batches.done(5, BatchAnswer::Later { after: Some(said) }, 0);
        assert_eq!(batches.counts().dropped[DropReason::GivenUp as usize], 4);
        // Neither one that is old enough goes sooner, nor one that is full.
        batches.add(10, 4, 1);
        let until = 5 + waited;
        assert_eq!((batches.next_at(), batches.next(until - 1)), (Some(until), None));
        (5..8).for_each(|one| batches.add(20, one, 1));
        assert_eq!((batches.next_at(), batches.next(until - 1)), (Some(until), None));
        assert_eq!(batches.next(until), Some(&[4, 5, 6, 7][..]));
        batches.done(until, TAKEN, 0);
        // Once that time has come nothing waits for it any more.
        batches.add(until + 1, 8, 1);
        assert_eq!(batches.next_at(), Some(until + 1 + QUICK.wait));
    }
    let mut batches = full();
    batches.next(0);
    batches.done(5, BatchAnswer::Later { after: Some(1_000) }, 0);
    batches.add(10, 4, 1);
    batches.end();
    assert_eq!(batches.next_at(), Some(0), "a host that ends has no other time");
}

#[test]
fn a_batch_whose_time_is_over_is_given_up_unless_it_is_on_its_way() {
    let mut batches = full();
    batches.next(0);
    batches.give_up(1);
    assert_eq!(batches.n_held(), 4);
    batches.done(1, BatchAnswer::NotReached, 0);
    batches.give_up(2);
    assert_eq!((batches.n_held(), batches.room(), batches.next_at()), (0, 4, None));
    assert_eq!(batches.counts().dropped[DropReason::GivenUp as usize], 4);
}

#[test]
fn what_was_refused_or_may_be_there_is_not_sent_again() {
    for (answer, reason) in [
        (BatchAnswer::Refused, DropReason::Refused),
        (BatchAnswer::InDoubt, DropReason::Unanswered),
    ] {
        let mut batches = full();
        batches.next(0);
        batches.done(1, answer, 0);
        assert_eq!((batches.next_at(), batches.room()), (None, 4));
        assert_eq!(batches.counts().dropped[reason as usize], 4);
    }
    let mut batches = full();
    batches.next(0);
    batches.done(1, BatchAnswer::Taken { rejected: 3 }, 0);
    let counts = batches.counts();
    assert_eq!((counts.sent, counts.dropped[DropReason::Refused as usize]), (1, 3));
}

#[test]
fn a_loss_is_told_once_until_all_was_well_for_a_while() {
    let mut batches = full();
    assert_eq!(batches.news(0), None);
    batches.next(0);
    batches.done(1, BatchAnswer::Refused, 0);
    assert_eq!((batches.news(1), batches.news(2)), (Some(BatchNews::Fails), None));
    batches.lose(500, DropReason::QueueFull, 9);
    batches.add(600, 1, 1);
    batches.next(700);
    batches.done(700, TAKEN, 0);
    // A collector that takes some while others are lost is not well.
    assert_eq!((batches.news(1_499), batches.news(1_500)), (None, Some(BatchNews::Works)));
    for at in [2_000, 2_100, 2_200] {
        assert_eq!(batches.news(at), None);
        batches.add(at, 1, 1);
        batches.next(at + 50);
        batches.done(at + 50, BatchAnswer::NotReached, 0);
        batches.next(at + 60);
    }
    batches.done(2_260, BatchAnswer::NotReached, 0);
    assert_eq!(batches.news(2_260), Some(BatchNews::Fails));
}

/// Batches come so seldom that nothing was lost lately when the next one does.
#[test]
fn a_collector_that_rejects_of_each_batch_never_works_until_one_is_taken_whole() {
    let mut batches = Batches::new(QUICK);
    let mut send = |at: u64, rejected: u64| {
        batches.add(at, at, 1);
        batches.add(at, at + 1, 1);
        assert!(batches.next(at + QUICK.wait).is_some());
        batches.done(at + QUICK.wait, BatchAnswer::Taken { rejected }, 0);
        [at + QUICK.wait, at + 4_000].map(|now| batches.news(now))
    };
    assert_eq!(send(0, 2), [Some(BatchNews::Fails), None]);
    for at in [5_000, 10_000, 15_000] {
        assert_eq!(send(at, 1 + at % 2), [None, None], "{at}");
    }
    assert_eq!(send(20_000, 0), [Some(BatchNews::Works), None]);
}

#[test]
fn at_the_end_what_is_there_goes_at_once_and_once() {
    let mut batches = Batches::new(QUICK);
    batches.add(0, 1, 1);
    batches.end();
    assert!(batches.next(0).is_some());
    batches.done(1, BatchAnswer::NotReached, 0);
    assert_eq!((batches.next_at(), batches.n_held()), (None, 0));
    assert_eq!(batches.counts().dropped[DropReason::HostEnded as usize], 1);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Add,
    Answer(BatchAnswer),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let answer = prop_oneof![
        (0_u64..6).prop_map(|rejected| BatchAnswer::Taken { rejected }),
        Just(BatchAnswer::Refused),
        prop::option::of(0_u64..300).prop_map(|after| BatchAnswer::Later { after }),
        Just(BatchAnswer::NotReached),
        Just(BatchAnswer::InDoubt),
    ];
    let step = prop_oneof![
        2 => (0_u64..60).prop_map(Step::Pass),
        4 => Just(Step::Add),
        2 => answer.prop_map(Step::Answer),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn whatever_a_collector_does_each_is_sent_or_counted_and_none_is_taken_twice(
        steps in steps(),
        random: u64,
    ) {
        let mut batches = Batches::new(QUICK);
        let (mut now, mut n_added, mut on_its_way) = (0, 0_u64, Vec::new());
        let (mut over, mut first_tries) = (BTreeSet::new(), BTreeMap::new());
        // The collector wants to be left alone until then.
        let mut alone_until = 0;
        for step in steps {
            match step {
                Step::Pass(time) => now += time,
                Step::Add => {
                    match batches.room() {
                        0 => batches.lose(now, DropReason::QueueFull, 1),
                        _ => batches.add(now, n_added, 1),
                    }
                    n_added += 1;
                }
                Step::Answer(_) if on_its_way.is_empty() => continue,
                Step::Answer(answer) => {
                    let sent: Vec<u64> = std::mem::take(&mut on_its_way);
                    batches.done(now, answer, random);
                    if let BatchAnswer::Later { after: Some(after) } = answer {
                        alone_until = now + after;
                    }
                    if !matches!(answer, BatchAnswer::Later { .. } | BatchAnswer::NotReached) {
                        over.extend(sent);
                    }
                }
            }
            prop_assert!(batches.n_held() <= QUICK.at_once);
            if let Some(batch) = batches.next(now) {
                prop_assert!(on_its_way.is_empty() && !batch.is_empty());
                prop_assert!(now >= alone_until, "sent sooner than the collector said");
                prop_assert!(batch.iter().all(|one| !over.contains(one)), "sent again");
                let first_at = *first_tries.entry(batch[0]).or_insert(now);
                // A step may pass more time than there is left.
                prop_assert!(now <= first_at + QUICK.try_for + 60, "tried for too long");
                on_its_way = batch.to_vec();
            }
            let counts = batches.counts();
            let lost: u64 = counts.dropped.iter().sum();
            prop_assert_eq!(counts.sent + lost + batches.n_held() as u64, n_added);
        }
        // A collector that is well at last takes what is left.
        if !on_its_way.is_empty() {
            batches.done(now, TAKEN, random);
        }
        while let Some(at) = batches.next_at() {
            now = now.max(at);
            prop_assert!(batches.next(now).is_some());
            batches.done(now, TAKEN, random);
        }
        prop_assert_eq!((batches.n_held(), batches.room()), (0, QUICK.at_once));
    }

    #[test]
    fn a_smaller_ratio_keeps_a_part_of_what_a_larger_one_keeps(
        trace: u128,
        less in 0.0_f64..=1.0,
        more in 0.0_f64..=1.0,
    ) {
        let keeps = |ratio: f64| {
            let ratio = TraceRatio::parse(&ratio.to_string()).unwrap();
            Sampler::parse("traceidratio", ratio).unwrap().samples(trace, None)
        };
        let (less, more) = if less <= more { (less, more) } else { (more, less) };
        prop_assert!(!keeps(less) || keeps(more));
        prop_assert!(keeps(1.0) && !keeps(0.0));
    }
}

#[test]
fn a_ratio_keeps_as_many_as_it_says() {
    let sampler = Sampler::parse("traceidratio", TraceRatio::parse("0.1").unwrap()).unwrap();
    // Some odd number, so that the lower halves are spread.
    let kept =
        (0..100_000_u128).filter(|n| sampler.samples(n * 0x9e37_79b9_7f4a_7c15, None)).count();
    assert!((9_900..=10_100).contains(&kept), "{kept}");
}

#[test]
fn samplers_do_as_their_names_say() {
    let samples = |name: &str, ratio: &str, trace, parent| {
        let ratio = TraceRatio::parse(ratio).unwrap();
        Sampler::parse(name, ratio).unwrap().samples(trace, parent)
    };
    for (name, ratio, root, below_sampled, below_unsampled) in [
        ("always_on", "0", true, true, true),
        ("always_off", "1", false, false, false),
        ("traceidratio", "1", true, true, true),
        ("traceidratio", "0", false, false, false),
        ("parentbased_always_on", "0", true, true, false),
        ("parentbased_always_off", "1", false, true, false),
        ("parentbased_traceidratio", "0", false, true, false),
        ("parentbased_traceidratio", "1", true, true, false),
    ] {
        let got = [None, Some(true), Some(false)].map(|parent| samples(name, ratio, 7, parent));
        assert_eq!(got, [root, below_sampled, below_unsampled], "{name} {ratio}");
    }
    for name in SAMPLERS {
        let sampler = Sampler::parse(name, TraceRatio::ALL).unwrap();
        assert_eq!(sampler.is_off(), name == "always_off");
    }
    let default = Sampler::parse("parentbased_always_on", TraceRatio::ALL).unwrap();
    assert_eq!(Sampler::default(), default);
    let wrong = Sampler::parse("jaeger_remote", TraceRatio::ALL).unwrap_err().to_string();
    assert!(wrong.contains("jaeger_remote") && wrong.contains("traceidratio"), "{wrong}");
    for wrong in ["", "1.1", "-0.1", "NaN", "10%", "inf"] {
        assert!(TraceRatio::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn slow_is_what_takes_longer_than_is_declared_without_its_client() {
    const MS: Duration = Duration::from_millis(1);
    assert!(
        is_slow(1_001 * MS, Duration::ZERO, None) && !is_slow(1_000 * MS, Duration::ZERO, None)
    );
    assert!(is_slow(300 * MS, 50 * MS, Some(200 * MS)));
    assert!(!is_slow(300 * MS, 100 * MS, Some(200 * MS)));
    assert!(!is_slow(5_000 * MS, 4_500 * MS, None));
}
