//! Where guests run: here or on the guest threads. Who is next is `core::fair`'s, proved there.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use steerage_core::id::TenantName;
use steerage_core::outcome::Outcome;
use tokio::sync::oneshot;

use super::*;
use crate::call::Call;

fn cores(threads: &GuestThreads) -> Cpu {
    Cpu::new(threads, BTreeMap::new())
}

fn flow(cpu: &Cpu) -> Arc<Flow> {
    cpu.flow(&TenantName::default(), Weight::DEFAULT)
}

/// Whether a short guest of the app runs on the thread that calls this.
async fn runs_here(cpu: &Cpu, flow: &Arc<Flow>) -> bool {
    let (tell, told) = oneshot::channel();
    let guest = async move {
        tell.send(thread::current().id()).unwrap();
    };
    cpu.run(flow, &call(), Box::pin(guest)).await;
    told.await.unwrap() == thread::current().id()
}

fn call() -> Arc<Call> {
    Call::unrecorded(1)
}

fn compute(for_at_least: Duration) {
    let began_at = Instant::now();
    while began_at.elapsed() < for_at_least {
        black_box(0);
    }
}

/// As `compute`, however much others keep this thread from the core.
fn compute_on_cpu(for_at_least: Duration) {
    let used = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).unwrap()
    };
    let from = used();
    while used() - from < for_at_least {
        black_box(0);
    }
}

#[tokio::test]
async fn an_app_of_long_slices_earns_the_right_to_run_here_back() {
    let threads = GuestThreads::start(4).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    assert!(runs_here(&cpu, &flow).await);
    cpu.run(&flow, &call(), Box::pin(async { compute(Duration::from_millis(20)) })).await;
    assert!(!runs_here(&cpu, &flow).await, "its slices are long");
    let mut n_short = 0;
    while !runs_here(&cpu, &flow).await {
        n_short += 1;
        assert!(n_short < 200, "one long slice is held against it for good");
    }
    threads.stop();
}

#[tokio::test]
async fn a_guest_that_does_not_end_here_goes_on_elsewhere() {
    let threads = GuestThreads::start(4).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let (tell, told) = oneshot::channel();
    let guest = async move {
        let began_on = thread::current().id();
        tokio::task::yield_now().await;
        tell.send((began_on, thread::current().id())).unwrap();
    };
    cpu.run(&flow, &call(), Box::pin(guest)).await;
    let (began_on, ended_on) = told.await.unwrap();
    assert_eq!(began_on, thread::current().id());
    assert_ne!(ended_on, began_on);
    threads.stop();
}

/// A guest that wants to know when it must stop, as all do, and needs a second slice.
async fn two_watchful_slices(call: Arc<Call>) {
    let mut is_first = true;
    poll_fn(|context| {
        assert!(call.poll_stop(context).is_pending());
        if !std::mem::replace(&mut is_first, false) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn a_guest_that_ended_in_line_leaves_nothing_of_its_call() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let call = call();
    let left = Arc::downgrade(&call);
    let (tell, told) = oneshot::channel();
    let guest = {
        let call = call.clone();
        async move {
            two_watchful_slices(call).await;
            tell.send(()).unwrap();
        }
    };
    cpu.run(&flow, &call, Box::pin(guest)).await;
    drop(call);
    told.await.unwrap();
    // The thread that ran it may hold the call for another moment.
    tokio::task::spawn_blocking(|| threads.join()).await.unwrap();
    assert_eq!(left.strong_count(), 0, "somebody holds the call for good");
}

#[tokio::test]
async fn a_guest_that_is_abandoned_in_line_leaves_nothing_of_its_call() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let call = call();
    let left = Arc::downgrade(&call);
    let endless = {
        let call = call.clone();
        poll_fn(move |context| call.poll_stop(context))
    };
    cpu.run(&flow, &call, Box::pin(endless)).await;
    drop(call);
    tokio::task::spawn_blocking(|| threads.join()).await.unwrap();
    assert_eq!(left.strong_count(), 0, "somebody holds the call for good");
}

/// Where a guest's two slices run, the first of which takes so long.
async fn two_slices(
    cpu: &Cpu,
    flow: &Arc<Flow>,
    first: Duration,
) -> oneshot::Receiver<[thread::ThreadId; 2]> {
    let (tell, told) = oneshot::channel();
    let guest = async move {
        let began_on = thread::current().id();
        compute(first);
        tokio::task::yield_now().await;
        tell.send([began_on, thread::current().id()]).unwrap();
    };
    cpu.run(flow, &call(), Box::pin(guest)).await;
    told
}

#[tokio::test]
async fn short_slices_go_on_where_requests_are_read_and_long_ones_do_not() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let worker = tokio::spawn(cpu.work_inline());
    tokio::task::yield_now().await;
    let here = thread::current().id();
    let told = two_slices(&cpu, &flow, Duration::ZERO).await;
    assert_eq!(told.await.unwrap(), [here; 2]);
    let told = two_slices(&cpu, &flow, Duration::from_millis(20)).await;
    let [began_on, ended_on] = told.await.unwrap();
    assert_eq!(began_on, here);
    assert_ne!(ended_on, here);
    worker.abort();
    threads.stop();
}

#[tokio::test]
async fn a_guest_whose_slices_become_short_comes_back_to_where_requests_are_read() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let worker = tokio::spawn(cpu.work_inline());
    tokio::task::yield_now().await;
    let (tell, told) = oneshot::channel();
    let (mut n_slices, mut tell) = (0, Some(tell));
    let guest = poll_fn(move |context| {
        n_slices += 1;
        if n_slices > 200 {
            tell.take().unwrap().send(thread::current().id()).unwrap();
            return Poll::Ready(());
        }
        compute(Duration::from_millis(if n_slices == 1 { 20 } else { 0 }));
        context.waker().wake_by_ref();
        Poll::Pending
    });
    cpu.run(&flow, &call(), Box::pin(guest)).await;
    let patience = Duration::from_secs(20);
    let ended_on = tokio::time::timeout(patience, told).await.expect("the queue stands still");
    assert_eq!(ended_on.unwrap(), thread::current().id());
    worker.abort();
    threads.stop();
}

#[tokio::test]
async fn a_lone_guest_disturbs_nobody_who_has_nothing_to_do() {
    let threads = GuestThreads::start(2).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let worker = tokio::spawn(cpu.work_inline());
    tokio::task::yield_now().await;
    let (idle, end) = another_reader(&cpu);
    let (tell, told) = oneshot::channel();
    let guest = async move {
        let (mut n_elsewhere, here) = (0, thread::current().id());
        for _ in 0..2000 {
            compute(Duration::from_micros(30));
            tokio::task::yield_now().await;
            n_elsewhere += u32::from(thread::current().id() != here);
        }
        tell.send(n_elsewhere).unwrap();
    };
    cpu.run(&flow, &call(), Box::pin(guest)).await;
    // A slice in which the kernel took this thread off the core may look like a long one.
    let n_elsewhere = told.await.unwrap();
    assert!(n_elsewhere <= 20, "{n_elsewhere} slices for which another thread was woken");
    drop(end);
    idle.join().unwrap();
    worker.abort();
    threads.stop();
}

#[tokio::test]
async fn what_is_left_by_a_thread_that_read_requests_is_not_forgotten() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let worker = tokio::spawn(cpu.work_inline());
    tokio::task::yield_now().await;
    let told = two_slices(&cpu, &flow, Duration::ZERO).await;
    // It was rung for the second slice by now.
    worker.abort();
    let [began_on, ended_on] = told.await.unwrap();
    assert_ne!(began_on, ended_on);
    threads.stop();
}

#[tokio::test]
async fn work_on_connections_is_owed_while_others_ask() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let (one, other) = (flow(&cpu), flow(&cpu));
    let cpu = &cpu;
    let work = |flow: Arc<Flow>| async move {
        io_charge::is_for(&flow);
        assert!(runs_here(cpu, &flow).await);
        compute_on_cpu(Duration::from_millis(2));
    };
    io_charge::charged(work(one.clone())).await;
    assert_eq!(one.take_io_debt(), None, "it is alone");
    io_charge::charged(work(other.clone())).await;
    let owed = other.take_io_debt().expect("the first was here a moment ago");
    assert!(owed >= Duration::from_micros(1900), "{owed:?}");
    assert_eq!(one.take_io_debt(), None);
    threads.stop();
}

/// How many of twenty connections of an app that is ahead are worked on before one of another app that
/// asks after them.
async fn worked_on_first() -> usize {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let (ahead, behind) = (flow(&cpu), flow(&cpu));
    let worker = tokio::spawn(cpu.work_inline());
    tokio::task::yield_now().await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let connection = |flow: &Arc<Flow>, slice: Duration, n_pauses: usize| {
        let (cpu, flow, order) = (cpu.clone(), flow.clone(), order.clone());
        let work = async move {
            io_charge::is_for(&flow);
            cpu.run(&flow, &call(), Box::pin(async move { compute(slice) })).await;
            for _ in 0..n_pauses {
                tokio::task::yield_now().await;
            }
            order.lock().unwrap().push(flow.key());
        };
        tokio::spawn(io_charge::charged(work))
    };
    connection(&behind, Duration::ZERO, 0).await.unwrap();
    connection(&ahead, Duration::from_micros(200), 0).await.unwrap();
    order.lock().unwrap().clear();
    let held: Vec<_> = (0..20).map(|_| connection(&ahead, Duration::ZERO, 1)).collect();
    connection(&behind, Duration::ZERO, 2).await.unwrap();
    let n_before = order.lock().unwrap().len() - 1;
    for connection in held {
        connection.await.unwrap();
    }
    assert_eq!(order.lock().unwrap().len(), 21, "one is held for good");
    worker.abort();
    threads.stop();
    n_before
}

#[tokio::test]
async fn work_on_connections_of_an_app_that_is_ahead_comes_later() {
    // Where the kernel takes the thread off the core in between, the other app is ahead.
    let mut tried = Vec::new();
    for _ in 0..10 {
        let n_before = worked_on_first().await;
        if n_before <= 6 {
            return;
        }
        tried.push(n_before);
    }
    panic!("connections of an app that is ahead went first: {tried:?}");
}

#[tokio::test]
async fn an_app_that_is_removed_while_its_guest_runs_takes_nobody_along() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let (gone, stays) = (flow(&cpu), flow(&cpu));
    let (tell, told) = oneshot::channel::<()>();
    let guest = async move {
        told.await.unwrap();
    };
    cpu.run(&gone, &call(), Box::pin(guest)).await;
    drop(gone);
    // The guest's end is now the end of what is known of the app.
    tell.send(()).unwrap();
    let (tell, told) = oneshot::channel();
    let guest = async move {
        tokio::task::yield_now().await;
        tell.send(()).unwrap();
    };
    cpu.run(&stays, &call(), Box::pin(guest)).await;
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, told).await.expect("the queue stands still").unwrap();
    threads.stop();
}

#[tokio::test]
async fn a_call_that_must_stop_does_not_wait_for_its_turn() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let n_slices = Arc::new(AtomicU32::new(0));
    for _ in 0..50 {
        let n_slices = n_slices.clone();
        let guest = poll_fn(move |context| {
            n_slices.fetch_add(1, Ordering::SeqCst);
            compute(Duration::from_millis(1));
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        cpu.run(&flow, &call(), Box::pin(guest)).await;
    }
    let (stopped, (tell, told)) = (call(), oneshot::channel());
    let guest = {
        let (stopped, n_slices, mut tell) = (stopped.clone(), n_slices.clone(), Some(tell));
        poll_fn(move |context| {
            if stopped.poll_stop(context).is_ready() {
                tell.take().unwrap().send(n_slices.load(Ordering::SeqCst)).unwrap();
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    };
    cpu.run(&flow, &stopped, Box::pin(guest)).await;
    let before = n_slices.load(Ordering::SeqCst);
    stopped.cut(Outcome::ClientGone);
    let after = told.await.unwrap();
    assert!(after - before <= 3, "{} slices of others went first", after - before);
    threads.stop();
}

#[tokio::test]
async fn a_call_that_must_stop_ends_while_all_guest_threads_are_in_long_slices() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    // One that is there, and waits for something when it is told to stop.
    let (waiting, (tell, told)) = (call(), oneshot::channel());
    let guest = {
        let (waiting, mut tell) = (waiting.clone(), Some(tell));
        poll_fn(move |context| {
            let stops = waiting.poll_stop(context);
            if stops.is_ready() {
                tell.take().unwrap().send(()).unwrap();
            }
            stops
        })
    };
    cpu.run(&flow, &waiting, Box::pin(guest)).await;
    // One whose second slice takes until the other one has ended.
    let (begin, begun) = oneshot::channel();
    let (end, ending) = std::sync::mpsc::sync_channel::<()>(1);
    let guest = async move {
        tokio::task::yield_now().await;
        begin.send(()).unwrap();
        ending.recv().unwrap();
    };
    cpu.run(&flow, &call(), Box::pin(guest)).await;
    begun.await.unwrap();
    waiting.cut(Outcome::ClientGone);
    let patience = Duration::from_secs(20);
    let has_ended = tokio::time::timeout(patience, told).await;
    end.send(()).unwrap();
    has_ended.expect("it waits for the slice of another").unwrap();
    threads.stop();
}

#[tokio::test]
async fn who_comes_second_to_a_guest_does_not_wait_for_the_first() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let (began, has_begun) = std::sync::mpsc::sync_channel(1);
    let (go, may_go) = std::sync::mpsc::sync_channel::<()>(1);
    let guest = async move {
        began.send(()).unwrap();
        may_go.recv().unwrap();
    };
    let task = task::Task::new(flow(&cpu), call(), 0, cpu.cores.clone(), Box::pin(guest));
    let first = task.clone();
    let polls = thread::spawn(move || first.run().0);
    has_begun.recv().unwrap();
    assert_eq!(task.run(), (task::Slice::NotOurs, Duration::ZERO));
    go.send(()).unwrap();
    assert_eq!(polls.join().unwrap(), task::Slice::Over);
    threads.stop();
}

/// Wakes a guest again and again while the threads end, which takes a while since one of them is in
/// the middle of a slice.
async fn wakes_beside_the_end() {
    let threads = GuestThreads::start(1).unwrap();
    let cpu = cores(&threads);
    let worker = tokio::spawn(cpu.work_inline());
    let long = flow(&cpu);
    cpu.run(&long, &call(), Box::pin(async { compute(Duration::from_millis(20)) })).await;
    let (begin, has_begun) = oneshot::channel();
    let (free, held) = std::sync::mpsc::sync_channel::<()>(1);
    let guest = async move {
        begin.send(()).unwrap();
        held.recv().unwrap_err();
    };
    cpu.run(&long, &call(), Box::pin(guest)).await;
    has_begun.await.unwrap();
    let waker = Arc::new(std::sync::Mutex::new(None));
    let guest = {
        let waker = waker.clone();
        poll_fn(move |context| {
            *waker.lock().unwrap() = Some(context.waker().clone());
            Poll::<()>::Pending
        })
    };
    cpu.run(&flow(&cpu), &call(), Box::pin(guest)).await;
    let ending = tokio::task::spawn_blocking(move || threads.join());
    while !ending.is_finished() {
        let waker = waker.lock().unwrap().clone();
        waker.iter().for_each(std::task::Waker::wake_by_ref);
        tokio::task::yield_now().await;
    }
    drop(free);
    worker.abort();
}

#[test]
fn a_guest_that_is_woken_at_the_end_keeps_no_helper_busy() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(wakes_beside_the_end());
        tell.send(()).unwrap();
    });
    told.recv_timeout(Duration::from_secs(30)).expect("the worker never lets go of its thread");
}

/// Has another thread read requests on a core of its own until the sender is dropped.
fn another_reader(cpu: &Cpu) -> (thread::JoinHandle<()>, oneshot::Sender<()>) {
    let (end, ended) = oneshot::channel::<()>();
    let (ready, cpu) = (Arc::new(std::sync::Barrier::new(2)), cpu.clone());
    let reader = thread::spawn({
        let ready = ready.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let worker = tokio::spawn(cpu.work_inline());
                tokio::task::yield_now().await;
                ready.wait();
                drop(ended.await);
                worker.abort();
            });
        }
    });
    ready.wait();
    (reader, end)
}

#[tokio::test]
async fn what_waits_behind_a_slice_is_served_by_a_core_that_is_idle() {
    let threads = GuestThreads::start(2).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let worker = tokio::spawn(cpu.work_inline());
    tokio::task::yield_now().await;
    let (reader, end) = another_reader(&cpu);
    // One that sleeps, and says where it goes on.
    let waker = Arc::new(std::sync::Mutex::new(None::<std::task::Waker>));
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let guest = {
        let (waker, mut n_polls) = (waker.clone(), 0);
        poll_fn(move |context| {
            n_polls += 1;
            // The first is no task yet, the second has fallen asleep as one.
            if n_polls == 3 {
                tell.send(thread::current().id()).unwrap();
                return Poll::Ready(());
            }
            *waker.lock().unwrap() = (n_polls == 2).then(|| context.waker().clone());
            Poll::Pending
        })
    };
    cpu.run(&flow, &call(), Box::pin(guest)).await;
    while waker.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    // One whose second slice keeps this thread until the first one has gone on elsewhere.
    let (went_on, where_it_did) = oneshot::channel();
    let guest = async move {
        tokio::task::yield_now().await;
        thread::spawn(move || waker.lock().unwrap().take().unwrap().wake());
        went_on.send(told.recv_timeout(Duration::from_secs(20))).unwrap();
    };
    cpu.run(&flow, &call(), Box::pin(guest)).await;
    let went_on = where_it_did.await.unwrap().expect("it waits for the slice of another");
    assert_eq!(went_on, reader.thread().id());
    drop(end);
    reader.join().unwrap();
    worker.abort();
    threads.stop();
}

/// A guest that takes its slices on whatever thread, and makes sure that it is on one at a time.
struct Wanderer {
    n_left: u32,
    is_polled: AtomicBool,
    call: Arc<Call>,
    over: Arc<AtomicU32>,
}

impl Wanderer {
    fn poll(&mut self, context: &mut std::task::Context<'_>) -> Poll<()> {
        assert!(!self.is_polled.swap(true, Ordering::SeqCst), "two threads at once");
        let ends = self.call.poll_stop(context).is_ready() || self.n_left == 0;
        self.n_left = self.n_left.saturating_sub(1);
        // Now and then a long one, so that both kinds of worker serve it.
        compute(Duration::from_micros(if self.n_left % 16 == 7 { 600 } else { 5 }));
        let waker = context.waker().clone();
        if self.n_left.is_multiple_of(3) {
            // By another thread, which has no queue of its own.
            tokio::task::spawn_blocking(move || waker.wake());
        } else {
            waker.wake();
        }
        assert!(self.is_polled.swap(false, Ordering::SeqCst));
        if !ends {
            return Poll::Pending;
        }
        self.over.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(())
    }
}

const WANDERERS: u32 = 100;

/// Has a hundred guests begin on this thread, and works until those of all threads are over.
async fn send_wanderers(reader: usize, cpu: Cpu, flows: &[Arc<Flow>], over: &Arc<AtomicU32>) {
    let worker = tokio::spawn(cpu.work_inline());
    tokio::task::yield_now().await;
    for number in 0..WANDERERS {
        let (call, over) = (call(), over.clone());
        let is_polled = AtomicBool::new(false);
        let mut guest = Wanderer { n_left: number % 40, is_polled, call: call.clone(), over };
        let guest = poll_fn(move |context| guest.poll(context));
        // All of one app on one thread, most of the others on any.
        let flow = &flows[(number as usize * reader) % flows.len()];
        cpu.run(flow, &call, Box::pin(guest)).await;
        if number % 10 == 9 {
            call.cut(Outcome::ClientGone);
        }
    }
    let until = Instant::now() + Duration::from_secs(60);
    while over.load(Ordering::SeqCst) < 3 * WANDERERS {
        let n_over = over.load(Ordering::SeqCst);
        assert!(Instant::now() < until, "{n_over} of {} have ended", 3 * WANDERERS);
        tokio::task::yield_now().await;
    }
    worker.abort();
}

#[test]
fn on_many_cores_no_guest_is_lost_or_runs_twice_at_once() {
    let threads = GuestThreads::start(4).unwrap();
    let cpu = cores(&threads);
    let over = Arc::new(AtomicU32::new(0));
    let flows: Vec<_> = (0..5).map(|_| flow(&cpu)).collect();
    // One core has no thread that reads requests.
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let (cpu, over, flows) = (cpu.clone(), over.clone(), flows.clone());
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(send_wanderers(reader, cpu, &flows, &over));
            })
        })
        .collect();
    for reader in readers {
        reader.join().unwrap();
    }
    assert_eq!(over.load(Ordering::SeqCst), 3 * WANDERERS);
    threads.join();
}

/// Ends when it was polled so often. Another thread wakes it, each time a moment after it has given the
/// thread its waker.
async fn polled_by_another_thread(
    n_polls: u32,
    wakers: std::sync::mpsc::SyncSender<std::task::Waker>,
) {
    let mut n_polled = 0;
    poll_fn(|context| {
        n_polled += 1;
        if n_polled == n_polls {
            return Poll::Ready(());
        }
        wakers.send(context.waker().clone()).unwrap();
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn a_wake_while_a_worker_lets_go_of_a_guest_is_not_lost() {
    const N_POLLS: u32 = 20_000;
    let threads = GuestThreads::start(4).unwrap();
    let cpu = cores(&threads);
    let flow = flow(&cpu);
    let (ended, mut ends) = tokio::sync::mpsc::channel(8);
    let n_guests = 8;
    for seed in 0..n_guests {
        let (wakers, woken) = std::sync::mpsc::sync_channel::<std::task::Waker>(8);
        // Ends when the guest has, which drops the sender.
        thread::spawn(move || {
            let mut random = seed;
            for waker in woken {
                random = (random * 25 + 7) % 97;
                for n in 0..random * 8 {
                    black_box(n);
                }
                waker.wake();
            }
        });
        let ended = ended.clone();
        let guest = async move {
            polled_by_another_thread(N_POLLS, wakers).await;
            ended.send(()).await.unwrap();
        };
        cpu.run(&flow, &call(), Box::pin(guest)).await;
    }
    for n_ended in 0..n_guests {
        let ended = tokio::time::timeout(Duration::from_secs(60), ends.recv()).await;
        assert!(ended.is_ok(), "only {n_ended} of {n_guests} guests have ended: a wake was lost");
    }
    threads.stop();
}
