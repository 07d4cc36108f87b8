//! Laws of telling: whatever receivers and problems do, each receiver comes to know how things are, in an
//! order that makes sense, and what it never gets is counted.
//! The model of a receiver here knows only what a real one would have got.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const RULES: NotifyRules = NotifyRules {
    wait: 10,
    change_every: 60,
    repeat: None,
    at_once: 1,
    most: 4,
    first_pause: 5,
    longest_pause: 300,
    try_for: 3_600,
};

fn here(material: u64) -> Sighting {
    Sighting::Here { material, is_symptom: false }
}

fn symptom(material: u64) -> Sighting {
    Sighting::Here { material, is_symptom: true }
}

fn see(receiver: &mut Receiver<u8>, now: u64, seen: &[(u8, Sighting)]) {
    receiver.note(now, &seen.iter().copied().collect());
}

/// Sends what is due; what was sent.
fn send(receiver: &mut Receiver<u8>, now: u64, delivery: Delivery) -> Vec<(u8, Notice)> {
    let sent = receiver.next(now);
    if !sent.is_empty() {
        assert!(receiver.next(now).is_empty(), "one message at a time");
        receiver.done(now, delivery, 0);
    }
    sent
}

#[test]
fn what_is_over_at_once_is_not_told() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    assert_eq!(receiver.next_at(), Some(10));
    assert!(receiver.next(9).is_empty());
    see(&mut receiver, 9, &[]);
    assert_eq!((receiver.next_at(), receiver.counts()), (None, NotifyCounts::default()));
}

#[test]
fn a_problem_is_opened_changed_and_closed() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    assert_eq!(send(&mut receiver, 10, Delivery::Taken), [(1, Notice::Opened)]);
    assert_eq!(receiver.next_at(), None, "it is not repeated");
    see(&mut receiver, 20, &[(1, here(2))]);
    assert_eq!(receiver.next_at(), Some(70), "not sooner than a minute after the last");
    assert_eq!(send(&mut receiver, 70, Delivery::Taken), [(1, Notice::Changed)]);
    see(&mut receiver, 80, &[]);
    assert_eq!(send(&mut receiver, 80, Delivery::Taken), [(1, Notice::Closed)]);
    assert!(!receiver.knows(&1));
    assert_eq!(receiver.counts(), NotifyCounts { taken: 3, failed: 0, lost: 0 });
}

#[test]
fn what_is_open_is_repeated_where_that_is_wanted() {
    let mut receiver = Receiver::new(NotifyRules { repeat: Some(100), wait: 0, ..RULES });
    see(&mut receiver, 0, &[(1, here(1))]);
    assert_eq!(send(&mut receiver, 0, Delivery::Taken), [(1, Notice::Opened)]);
    assert_eq!(send(&mut receiver, 99, Delivery::Taken), []);
    assert_eq!(send(&mut receiver, 100, Delivery::Taken), [(1, Notice::Repeated)]);
    assert_eq!(send(&mut receiver, 200, Delivery::Taken), [(1, Notice::Repeated)]);
}

#[test]
fn a_symptom_is_told_only_where_it_was_told_before() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1)), (2, symptom(1)), (3, here(1))]);
    assert_eq!(send(&mut receiver, 50, Delivery::Taken), [(1, Notice::Opened)]);
    assert_eq!(send(&mut receiver, 50, Delivery::Taken), [(3, Notice::Opened)]);
    see(&mut receiver, 60, &[(1, here(1)), (2, symptom(1)), (3, symptom(1))]);
    assert_eq!(send(&mut receiver, 1000, Delivery::Taken), []);
    see(&mut receiver, 1010, &[(2, here(1)), (3, symptom(1))]);
    assert_eq!(send(&mut receiver, 1010, Delivery::Taken), [(2, Notice::Opened)]);
    assert_eq!(send(&mut receiver, 1010, Delivery::Taken), [(1, Notice::Closed)]);
}

#[test]
fn what_another_host_tells_is_not_closed_and_what_is_unclear_waits() {
    let mut receiver = Receiver::new(NotifyRules { repeat: Some(100), ..RULES });
    see(&mut receiver, 0, &[(1, here(1)), (2, here(1))]);
    for _ in 0..2 {
        assert_eq!(send(&mut receiver, 10, Delivery::Taken).len(), 1);
    }
    see(&mut receiver, 20, &[(1, Sighting::Unclear), (2, Sighting::Unclear)]);
    assert_eq!(send(&mut receiver, 500, Delivery::Taken), [], "nor is it said to be there");
    see(&mut receiver, 510, &[(1, Sighting::Elsewhere)]);
    assert_eq!(send(&mut receiver, 510, Delivery::Taken), [(2, Notice::Closed)]);
    assert_eq!(receiver.next_at(), None);
    // Whether the other one has told it is not known, so it is told that it is over once nobody has it.
    see(&mut receiver, 520, &[]);
    assert_eq!(send(&mut receiver, 520, Delivery::Taken), [(1, Notice::Closed)]);
}

#[test]
fn an_end_that_is_not_taken_keeps_nobody_waiting() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    assert_eq!(send(&mut receiver, 10, Delivery::Taken), [(1, Notice::Opened)]);
    see(&mut receiver, 20, &[(2, here(1))]);
    assert_eq!(send(&mut receiver, 20, Delivery::InDoubt), [(1, Notice::Closed)]);
    let mut told = Vec::new();
    for now in [30, 40, 60, 100, 200] {
        told.extend(receiver.next(now));
        receiver.done(now, Delivery::InDoubt, 0);
    }
    assert!(told.contains(&(2, Notice::Opened)), "{told:?}");
}

#[test]
fn what_opens_again_after_an_end_that_may_have_been_told_is_another_one() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    assert_eq!(send(&mut receiver, 10, Delivery::Taken), [(1, Notice::Opened)]);
    see(&mut receiver, 20, &[]);
    assert_eq!(send(&mut receiver, 20, Delivery::InDoubt), [(1, Notice::Closed)]);
    see(&mut receiver, 22, &[(1, here(1))]);
    let facts = receiver.facts(&1).unwrap();
    assert_eq!((facts.opened_at, facts.closed_at), (22, None));
}

#[test]
fn pauses_grow_to_a_bound_and_differ() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    let (mut pauses, mut now) = (Vec::new(), 10);
    for random in [0, u64::MAX, 0, 1, 0, 0, 0, 0, 0, 7] {
        assert_eq!(receiver.next(now).len(), 1);
        receiver.done(now, Delivery::NotReached, random);
        let next = receiver.next_at().unwrap();
        pauses.push(next - now);
        now = next;
    }
    assert_eq!(pauses, [2, 8, 10, 21, 40, 80, 150, 150, 150, 157]);
}

#[test]
fn a_receiver_that_fails_is_told_once_and_once_when_it_works() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    let mut news = Vec::new();
    for n in 1..=5 {
        send(&mut receiver, n * 1000, Delivery::InDoubt);
        news.extend(receiver.news().map(|news| (n, news)));
    }
    assert_eq!(send(&mut receiver, 9000, Delivery::Taken), [(1, Notice::Opened)]);
    news.extend(receiver.news().map(|news| (9, news)));
    assert_eq!(news, [(3, ReceiverNews::Fails), (9, ReceiverNews::Works)]);
}

#[test]
fn what_a_dead_receiver_never_hears_is_counted() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1)), (2, here(1))]);
    send(&mut receiver, 10, Delivery::Taken);
    send(&mut receiver, 10, Delivery::NotReached);
    see(&mut receiver, 20, &[]);
    assert_eq!(receiver.counts().lost, 1, "the second opened and closed unheard");
    for n in 1..100 {
        send(&mut receiver, 20 + n * 300, Delivery::NotReached);
    }
    assert_eq!(receiver.counts().lost, 2, "that the first closed was given up");
    assert!(!receiver.knows(&1));
    assert_eq!(receiver.next_at(), None);
}

#[test]
fn what_may_have_been_heard_is_closed() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    send(&mut receiver, 10, Delivery::InDoubt);
    see(&mut receiver, 11, &[]);
    assert_eq!(send(&mut receiver, 50, Delivery::Taken), [(1, Notice::Closed)]);
    assert_eq!(receiver.counts().lost, 0);
}

/// Found by the law below: that it closed may have been heard, then it opened again, and nobody said so.
#[test]
fn what_may_have_been_heard_to_close_is_opened_again() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    send(&mut receiver, 10, Delivery::Taken);
    see(&mut receiver, 20, &[]);
    assert_eq!(send(&mut receiver, 20, Delivery::InDoubt), [(1, Notice::Closed)]);
    see(&mut receiver, 22, &[(1, here(1))]);
    assert_eq!(send(&mut receiver, 100, Delivery::Taken), [(1, Notice::Opened)]);
    assert_eq!(receiver.next_at(), None);
}

#[test]
fn there_are_no_more_problems_than_fit_and_the_rest_has_its_turn() {
    let mut receiver = Receiver::new(RULES);
    let all: Vec<(u8, Sighting)> = (0..10).map(|key| (key, here(1))).collect();
    see(&mut receiver, 0, &all);
    assert_eq!(receiver.counts().lost, 6);
    see(&mut receiver, 5, &all);
    assert_eq!(receiver.counts().lost, 6, "they are counted once");
    see(&mut receiver, 9, &all[4..]);
    assert!(receiver.knows(&7) && !receiver.knows(&8));
}

#[test]
fn what_is_refused_is_not_sent_again_until_it_says_something_else() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    assert_eq!(send(&mut receiver, 10, Delivery::Refused), [(1, Notice::Opened)]);
    assert_eq!(receiver.next_at(), None);
    see(&mut receiver, 20, &[(1, here(2))]);
    assert_eq!(send(&mut receiver, 69, Delivery::Taken), [], "a minute after the last");
    assert_eq!(send(&mut receiver, 70, Delivery::Taken), [(1, Notice::Opened)]);
    see(&mut receiver, 80, &[(1, here(3))]);
    assert_eq!(send(&mut receiver, 130, Delivery::Refused), [(1, Notice::Changed)]);
    see(&mut receiver, 140, &[(1, here(2))]);
    assert_eq!(receiver.next_at(), None, "it knows that");
    assert_eq!(receiver.counts().lost, 2);
}

#[test]
fn what_is_refused_is_repeated_where_all_that_is_open_is() {
    let mut receiver = Receiver::new(NotifyRules { repeat: Some(100), wait: 0, ..RULES });
    see(&mut receiver, 0, &[(1, here(1))]);
    assert_eq!(send(&mut receiver, 0, Delivery::Refused), [(1, Notice::Opened)]);
    assert_eq!(send(&mut receiver, 99, Delivery::Taken), []);
    assert_eq!(send(&mut receiver, 100, Delivery::Taken), [(1, Notice::Opened)]);
    assert_eq!(send(&mut receiver, 200, Delivery::Taken), [(1, Notice::Repeated)]);
}

#[test]
fn of_what_it_refused_to_hear_a_receiver_is_not_told_the_end() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    assert_eq!(send(&mut receiver, 10, Delivery::Refused), [(1, Notice::Opened)]);
    see(&mut receiver, 20, &[]);
    assert!(!receiver.knows(&1));
    assert_eq!((receiver.next_at(), receiver.counts().lost), (None, 1), "it is counted once");
}

#[test]
fn what_may_have_been_heard_before_it_was_refused_is_closed() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    assert_eq!(send(&mut receiver, 10, Delivery::InDoubt), [(1, Notice::Opened)]);
    assert_eq!(send(&mut receiver, 20, Delivery::Refused), [(1, Notice::Opened)]);
    see(&mut receiver, 30, &[]);
    assert_eq!(send(&mut receiver, 40, Delivery::Taken), [(1, Notice::Closed)]);
}

/// That the change was refused says nothing of the opening: the receiver may take the problem for closed.
#[test]
fn what_opens_again_is_told_although_the_change_before_was_refused() {
    let mut receiver = Receiver::new(RULES);
    see(&mut receiver, 0, &[(1, here(1))]);
    send(&mut receiver, 10, Delivery::Taken);
    see(&mut receiver, 20, &[(1, here(2))]);
    assert_eq!(send(&mut receiver, 70, Delivery::Refused), [(1, Notice::Changed)]);
    see(&mut receiver, 80, &[]);
    assert_eq!(send(&mut receiver, 80, Delivery::InDoubt), [(1, Notice::Closed)]);
    see(&mut receiver, 90, &[(1, here(2))]);
    assert_eq!(send(&mut receiver, 200, Delivery::Taken), [(1, Notice::Opened)]);
}

/// The state of a problem may go back and forth, so how it is now does not tell notices apart.
#[test]
fn each_notice_has_facts_of_its_own_and_all_tries_of_it_the_same() {
    let mut receiver = Receiver::new(RULES);
    let (mut tries, mut now) = (Vec::new(), 0);
    for material in [1, 2, 1, 2] {
        see(&mut receiver, now, &[(1, here(material))]);
        now += 1000;
        for delivery in [Delivery::NotReached, Delivery::InDoubt, Delivery::Taken] {
            let sent = receiver.next(now);
            assert_eq!(sent.len(), 1);
            tries.push((sent[0].1, receiver.facts(&1).unwrap()));
            receiver.done(now, delivery, 0);
            now += 1000;
        }
    }
    // What opened, perhaps was told, and could not be asked about for a while is one opening.
    let mut doubtful = Receiver::new(RULES);
    see(&mut doubtful, 0, &[(1, here(1))]);
    let mut openings = Vec::new();
    for now in [1000, 3000] {
        assert_eq!(send(&mut doubtful, now, Delivery::InDoubt).len(), 1);
        see(&mut doubtful, now + 100, &[(1, Sighting::Unclear)]);
        see(&mut doubtful, now + 200, &[(1, here(1))]);
        openings.push(doubtful.facts(&1).unwrap().opened_at);
    }
    assert_eq!(openings, [0, 0]);
    for tries in tries.chunks(3) {
        assert!(tries.iter().all(|one| *one == tries[0]), "{tries:?}");
    }
    tries.dedup();
    let settled: Vec<u64> = tries.iter().map(|(_, facts)| facts.n_settled).collect();
    assert_eq!(settled, [0, 1, 2, 3]);
}

/// What a receiver got.
#[derive(Default)]
struct Model {
    got: BTreeMap<u8, Vec<Notice>>,
    /// It refused the last message about these.
    refused: BTreeSet<u8>,
}

impl Model {
    fn get(&mut self, key: u8, notice: Notice) {
        self.refused.remove(&key);
        self.got.entry(key).or_default().push(notice);
    }

    /// Whether it takes a problem for open.
    fn is_open(&self, key: u8) -> bool {
        self.got.get(&key).and_then(|got| got.last()).is_some_and(|last| *last != Notice::Closed)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    See(u8, Option<Sighting>),
    Later(u64),
    Send(Delivery, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sighting = prop_oneof![
        3 => (0_u64..3, any::<bool>()).prop_map(|(material, is_symptom)| Some(Sighting::Here {
            material,
            is_symptom,
        })),
        2 => Just(None),
        1 => Just(Some(Sighting::Unclear)),
        1 => Just(Some(Sighting::Elsewhere)),
    ];
    let delivery = prop_oneof![
        3 => Just(Delivery::Taken),
        1 => Just(Delivery::NotReached),
        1 => Just(Delivery::InDoubt),
        1 => Just(Delivery::Refused),
    ];
    prop::collection::vec(
        prop_oneof![
            (0_u8..3, sighting).prop_map(|(key, sighting)| Step::See(key, sighting)),
            (0_u64..200).prop_map(Step::Later),
            (delivery, any::<bool>()).prop_map(|(how, was_got)| Step::Send(how, was_got)),
        ],
        0..200,
    )
}

proptest! {
    /// Whatever happens: nothing is changed, repeated or closed that was not opened; each message has one
    /// meaning; and a receiver that is well at the end knows what is so, but for what it refuses, unless
    /// something is counted as lost.
    #[test]
    fn a_receiver_comes_to_know_what_is_so(steps in steps(), repeats in any::<bool>()) {
        let rules = NotifyRules { repeat: repeats.then_some(50), ..RULES };
        let (mut receiver, mut model, mut now) = (Receiver::new(rules), Model::default(), 0);
        let mut seen: BTreeMap<u8, Sighting> = BTreeMap::new();
        for step in steps {
            match step {
                Step::See(key, sighting) => {
                    match sighting {
                        Some(sighting) => drop(seen.insert(key, sighting)),
                        None => drop(seen.remove(&key)),
                    }
                    receiver.note(now, &seen);
                }
                Step::Later(time) => now += time,
                Step::Send(delivery, was_got) => {
                    let sent = receiver.next(now);
                    for (key, notice) in &sent {
                        let may_be = model.is_open(*key)
                            || model.got.get(key).and_then(|got| got.last()) == Some(notice)
                            || *notice == Notice::Opened
                            || receiver.known[key].told.is_some_and(|told| told.in_doubt.is_some());
                        prop_assert!(may_be, "{key} {notice:?} after {:?}", model.got.get(key));
                        let is_got = delivery == Delivery::Taken
                            || delivery == Delivery::InDoubt && was_got;
                        if is_got {
                            model.get(*key, *notice);
                        }
                        if delivery == Delivery::Refused {
                            model.refused.insert(*key);
                        }
                    }
                    if !sent.is_empty() {
                        receiver.done(now, delivery, 3);
                    }
                }
            }
            prop_assert!(receiver.known.len() <= rules.most);
        }
        seen.retain(|_, sighting| matches!(sighting, Sighting::Here { .. }));
        for _ in 0..50 {
            now += 1000;
            receiver.note(now, &seen);
            for (key, notice) in receiver.next(now) {
                model.get(key, notice);
                receiver.done(now, Delivery::Taken, 0);
            }
        }
        for key in (0..3).filter(|key| !model.refused.contains(key)) {
            match seen.get(&key) {
                None => prop_assert!(!model.is_open(key), "{:?}", model.got.get(&key)),
                Some(Sighting::Here { is_symptom: false, material }) => {
                    prop_assert!(model.is_open(key));
                    prop_assert_eq!(receiver.known[&key].told.unwrap().material, *material);
                }
                Some(_) => {}
            }
        }
    }

    /// A dead receiver is asked no more often than the pauses let it.
    #[test]
    fn a_dead_receiver_is_left_in_peace(randoms in prop::collection::vec(any::<u64>(), 50)) {
        let mut receiver = Receiver::new(RULES);
        let (mut now, mut n_tries) = (0, 0_u64);
        let mut randoms = randoms.into_iter().cycle();
        while now < 10_000 {
            receiver.note(now, &BTreeMap::from([(1_u8, here(now))]));
            if !receiver.next(now).is_empty() {
                n_tries += 1;
                receiver.done(now, Delivery::InDoubt, randoms.next().unwrap());
            }
            now += 1;
        }
        // Seven doublings to the longest pause, of which half is the shortest.
        prop_assert!((20..=8 + 10_000 / 150).contains(&n_tries), "{n_tries}");
    }
}
