//! Who gets memory, who is refused, and whose calls end.

use super::*;
use crate::call::Call;

fn memory(budget: u64) -> Arc<Memory> {
    Memory::new(MemorySettings { budget: Bytes::new(budget), overcommit: 1.0 }, BTreeMap::new())
}

fn account(memory: &Arc<Memory>) -> Arc<Account> {
    memory.account(&TenantName::default(), Weight::DEFAULT)
}

fn using(used: u64) -> MemorySample {
    MemorySample { used: Bytes::new(used), kept: Bytes::ZERO }
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let memory = memory(800);
    let account = account(&memory);
    account.reserve(Bytes::new(800)).unwrap();
    let refusal = account.reserve(Bytes::new(1)).unwrap_err();
    assert_eq!(refusal.cause(), "host_memory");
    account.release(Bytes::new(800));
    account.reserve(Bytes::new(800)).unwrap();
    assert_eq!(memory.standing().1, Bytes::new(800));
}

#[test]
fn an_app_within_its_share_gets_memory_from_the_one_beyond() {
    let memory = memory(800);
    let (greedy, modest) = (account(&memory), account(&memory));
    let calls: Vec<_> = (0..3).map(Call::unrecorded).collect();
    for call in &calls {
        greedy.reserve(Bytes::new(233)).unwrap();
        greedy.make_evictable(call);
    }
    modest.reserve(Bytes::new(120)).unwrap();
    let ended: Vec<bool> = calls.iter().map(|call| call.failed()).collect();
    assert_eq!(ended, [false, false, true], "the latest call of the greedy app was ended");
    assert!(greedy.reserve(Bytes::new(50)).is_err());
}

#[test]
fn a_process_beyond_its_budget_costs_the_heaviest_app_a_call() {
    let memory = memory(800);
    let (heavy, light) = (account(&memory), account(&memory));
    heavy.reserve(Bytes::new(200)).unwrap();
    light.reserve(Bytes::new(100)).unwrap();
    let call = Call::unrecorded(1);
    heavy.make_evictable(&call);
    assert_eq!(memory.observe(|| using(100)), Observed::Fine, "used from the start");
    assert_eq!(memory.observe(|| using(700)), Observed::Fine);
    assert!(memory.is_tight());
    assert_eq!(memory.observe(|| using(701)), Observed::Ended);
    assert!(call.failed());
    assert_eq!(memory.observe(|| using(701)), Observed::Fine, "it has no other call");
    assert_eq!(memory.observe(|| using(600)), Observed::Fine);
    assert!(!memory.is_tight());
}

#[test]
fn a_process_full_of_what_no_app_holds_ends_no_call_and_takes_no_new_one() {
    let memory = memory(800);
    let account = account(&memory);
    assert_eq!(memory.observe(|| using(50)), Observed::Fine);
    account.reserve(Bytes::new(200)).unwrap();
    let call = Call::unrecorded(1);
    account.make_evictable(&call);
    assert_eq!(memory.observe(|| using(790)), Observed::Exhausted);
    assert!(!call.failed());
    assert_eq!(account.admit().unwrap_err().cause(), "host_exhausted");
    assert_eq!(memory.observe(|| using(600)), Observed::Fine);
    account.admit().unwrap();
}

#[test]
fn what_is_given_back_during_a_sample_is_nobodys_fault() {
    let memory = memory(800);
    let (gone, light) = (account(&memory), account(&memory));
    assert_eq!(memory.observe(|| using(50)), Observed::Fine);
    gone.reserve(Bytes::new(600)).unwrap();
    light.reserve(Bytes::new(10)).unwrap();
    let call = Call::unrecorded(1);
    light.make_evictable(&call);
    let observed = memory.observe(|| {
        gone.release(Bytes::new(600));
        using(790)
    });
    assert_eq!(observed, Observed::Fine, "the next sample finds it gone");
    assert!(!call.failed(), "the one that holds something yet was ended");
    light.admit().unwrap();
}

#[test]
fn what_the_pool_keeps_is_not_taken_for_what_nobody_knows() {
    for (kept, observed) in [(0, Observed::Exhausted), (250, Observed::Ended)] {
        let memory = memory(800);
        let account = account(&memory);
        assert_eq!(memory.observe(|| using(50)), Observed::Fine);
        account.reserve(Bytes::new(200)).unwrap();
        let call = Call::unrecorded(1);
        account.make_evictable(&call);
        let sample = MemorySample { kept: Bytes::new(kept), ..using(790) };
        assert_eq!(memory.observe(|| sample), observed);
    }
}

#[test]
fn who_asks_is_judged_with_all_others_however_old_the_list_is() {
    let memory = memory(800);
    let accounts: Vec<_> = (0..3).map(|_| account(&memory)).collect();
    // The list is made by an ask at which nobody held anything.
    accounts[0].reserve(Bytes::new(701)).unwrap();
    let call = Call::unrecorded(1);
    accounts[0].make_evictable(&call);
    accounts[1].reserve(Bytes::new(50)).unwrap();
    accounts[2].reserve(Bytes::new(60)).unwrap();
    assert!(call.failed(), "the first gives: it holds more than its share");
}

#[test]
fn an_app_that_changes_hands_counts_for_its_new_tenant() {
    let memory = memory(800);
    let tenant = |name| TenantName::parse(name).unwrap();
    let many: Vec<_> = (0..5).map(|_| memory.account(&tenant("many"), Weight::DEFAULT)).collect();
    many.iter().for_each(|account| account.reserve(Bytes::new(90)).unwrap());
    let calls: Vec<_> = (0..5).map(Call::unrecorded).collect();
    many.iter().zip(&calls).for_each(|(account, call)| account.make_evictable(call));
    let one = memory.account(&tenant("one"), Weight::DEFAULT);
    one.reserve(Bytes::new(300)).unwrap();
    // More than each of the others has, and less than all of them.
    one.reserve(Bytes::new(60)).unwrap();
    assert_eq!(calls.iter().filter(|call| call.failed()).count(), 1);
    one.release(Bytes::new(60));
    many.iter().for_each(|account| memory.reshape(account, &tenant("one"), Weight::DEFAULT));
    assert!(one.reserve(Bytes::new(60)).is_err(), "it is the largest of its own now");
}

#[test]
fn a_tenant_of_many_small_apps_gives_back_as_fast_as_one_of_one() {
    let memory = memory(8 << 30);
    let tenant = |name| TenantName::parse(name).unwrap();
    assert_eq!(memory.observe(|| using(100)), Observed::Fine);
    let calls: Vec<_> = (0..100).map(Call::unrecorded).collect();
    let many: Vec<_> = calls
        .iter()
        .map(|call| {
            let account = memory.account(&tenant("many"), Weight::DEFAULT);
            account.reserve(Bytes::mebi(60)).unwrap();
            account.make_evictable(call);
            account
        })
        .collect();
    let one = memory.account(&tenant("one"), Weight::DEFAULT);
    one.reserve(Bytes::mebi(500)).unwrap();
    let own = Call::unrecorded(1);
    one.make_evictable(&own);
    // A sixteenth is kept free, so this is 300 MiB too much.
    let used = Bytes::mebi(8192 - 512 + 300).get();
    assert_eq!(memory.observe(|| using(used)), Observed::Ended);
    assert_eq!(calls.iter().filter(|call| call.failed()).count(), 5, "which hold so much");
    assert!(!own.failed(), "it is within its tenant's share");
    drop(many);
}
