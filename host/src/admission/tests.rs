//! Who is let in, who waits and who is refused, while others hold what there is.

use std::time::Duration;

use steerage_core::outcome::Refusal;

use super::*;

/// Four seconds for each call of an app that runs one at a time.
fn narrow() -> Limits {
    Limits {
        concurrency: std::num::NonZeroU32::MIN,
        queue: 10,
        timeout: Duration::from_secs(4),
        ..Limits::default()
    }
}

async fn admit(gate: &Arc<Gate>) -> Result<Permit, Refusal> {
    let now = tokio::time::Instant::now();
    gate.admit(&narrow(), 1, now.into_std(), now + narrow().timeout).await
}

/// A call that waits, unless it was refused.
async fn joins(gate: &Arc<Gate>) -> Result<tokio::task::JoinHandle<Permit>, Refusal> {
    let (gate, before) = (gate.clone(), gate.load().1);
    let known = gate.clone();
    let mut waits = tokio::spawn(async move { admit(&gate).await });
    loop {
        tokio::task::yield_now().await;
        if waits.is_finished() {
            return Err((&mut waits).await.unwrap().unwrap_err());
        }
        if known.load().1 > before {
            return Ok(tokio::spawn(async move { waits.await.unwrap().unwrap() }));
        }
    }
}

/// A gate whose calls were found to take a second and a half, one of which runs.
async fn slow_crowd(admission: &Admission) -> (Arc<Gate>, Permit) {
    let gate = admission.gate(&narrow(), &TenantName::default(), Weight::DEFAULT);
    let first = admit(&gate).await.unwrap();
    let second = joins(&gate).await.unwrap();
    tokio::time::advance(Duration::from_millis(1500)).await;
    drop(first);
    let second = second.await.unwrap();
    assert!(matches!(joins(&gate).await, Err(Refusal::TooLate { .. })));
    (gate, second)
}

#[tokio::test(start_paused = true)]
async fn a_slow_crowd_that_has_gone_is_not_held_against_the_next() {
    let admission = Admission::new(CallBounds { slots: 4, queue: 4 }, BTreeMap::new());
    let (gate, last) = slow_crowd(&admission).await;
    drop(last);
    let first = admit(&gate).await.unwrap();
    let waiting = joins(&gate).await.unwrap();
    drop(first);
    drop(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_new_deployment_is_not_held_to_how_long_calls_took_before() {
    let admission = Admission::new(CallBounds { slots: 4, queue: 4 }, BTreeMap::new());
    let (gate, last) = slow_crowd(&admission).await;
    admission.reshape(&gate, &narrow(), &TenantName::default(), Weight::DEFAULT);
    let waiting = joins(&gate).await.unwrap();
    drop(last);
    drop(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn slots_that_come_free_go_to_the_app_that_has_the_least() {
    let room = CallBounds { slots: 18, queue: 100 };
    let admission = Admission::new(room, BTreeMap::new());
    let limits = Limits::default();
    let open = || admission.gate(&limits, &TenantName::default(), Weight::DEFAULT);
    let (greedy, late) = (open(), open());
    let take = |gate: &Arc<Gate>| {
        let (gate, limits, now) = (gate.clone(), limits.clone(), tokio::time::Instant::now());
        tokio::spawn(async move {
            gate.admit(&limits, 1, now.into_std(), now + limits.timeout).await.unwrap()
        })
    };
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(take(&greedy).await.unwrap());
    }
    assert_eq!(admission.slots(), (16, 18));
    let more: Vec<_> = (0..8).map(|_| take(&greedy)).collect();
    let others: Vec<_> = (0..8).map(|_| take(&late)).collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((greedy.load(), late.load()), ((16, 8), (1, 7)));
    // As the greedy app's calls end, the other comes to hold as much.
    held.truncate(8);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((greedy.load(), late.load()), ((8, 8), (8, 0)));
    drop(held);
    for call in more.into_iter().chain(others) {
        drop(call.await.unwrap());
    }
    assert_eq!((admission.slots().0, admission.n_waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_went_away_waits_no_more_and_holds_up_nobody() {
    let admission = Admission::new(CallBounds { slots: 18, queue: 100 }, BTreeMap::new());
    let limits = Limits::default();
    let gate = admission.gate(&limits, &TenantName::default(), Weight::DEFAULT);
    let take = |needs: u32| {
        let (gate, limits, now) = (gate.clone(), limits.clone(), tokio::time::Instant::now());
        tokio::spawn(async move {
            gate.admit(&limits, needs, now.into_std(), now + limits.timeout).await.unwrap()
        })
    };
    let held = take(15).await.unwrap();
    let (large, small, between) = (take(8), take(1), take(8));
    let settle = || async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    assert_eq!(gate.load(), (1, 3), "all wait behind the first, which needs more than is free");
    between.abort();
    settle().await;
    assert_eq!((gate.load(), admission.n_waiting()), ((1, 2), 2));
    large.abort();
    settle().await;
    assert_eq!((gate.load(), admission.n_waiting()), ((2, 0), 0));
    drop((held, small.await.unwrap()));
    assert_eq!((gate.load(), admission.slots().0), ((0, 0), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_app_that_is_busy_is_not_told_that_the_host_is_full() {
    // Far more slots than the app may use.
    let admission = Admission::new(CallBounds { slots: 64, queue: 1000 }, BTreeMap::new());
    let limits = Limits { queue: 2, ..narrow() };
    let gate = admission.gate(&limits, &TenantName::default(), Weight::DEFAULT);
    let callers = (0..8).map(|_| {
        let (gate, limits) = (gate.clone(), limits.clone());
        tokio::spawn(async move {
            let (mut n_refused, mut n_full) = (0, 0);
            for n in 0..20_000 {
                let now = tokio::time::Instant::now();
                match gate.admit(&limits, 1, now.into_std(), now + limits.timeout).await {
                    Ok(permit) => {
                        // The others find it busy, also where one thread at a time has a core.
                        if n % 1000 == 0 {
                            tokio::task::yield_now().await;
                        }
                        drop(permit);
                    }
                    Err(Refusal::HostFull) => n_full += 1,
                    Err(_) => n_refused += 1,
                }
            }
            (n_refused, n_full)
        })
    });
    let callers: Vec<_> = callers.collect();
    let (mut n_refused, mut n_full) = (0, 0);
    for caller in callers {
        let (refused, full) = caller.await.unwrap();
        (n_refused, n_full) = (n_refused + refused, n_full + full);
    }
    assert!(n_refused > 0, "the app was never busy");
    assert_eq!(n_full, 0, "of {n_refused} refusals");
}
