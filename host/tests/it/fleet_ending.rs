//! What a host of a fleet leaves behind when it ends, and what is told of starts and ends.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;
use serde_json::Value;

use crate::fleet::Fleet;
use crate::harness::{Host, collect, manifest, reader, says, wat};

#[tokio::test]
async fn uploads_that_cannot_be_sent_twice_are_taken_while_their_host_ends() {
    let Some(mut fleet) = Fleet::start(3).await else { return };
    for host in ["h1", "h3"] {
        fleet.stand(host, "cordoned").await;
    }
    let text = manifest("reader", "/reader/...", "[replicas]\nmin = 1\nmax = 1");
    fleet.first().deploy(&reader(), &text).await;
    assert_eq!(fleet.ready_on("reader", 1).await, ["h2"]);
    fleet.stand("h3", "open").await;
    let stop = AtomicBool::new(false);
    // Far more than a host keeps to send it again.
    let body = vec![b'x'; 1 << 20];
    let (first, url) = (&fleet.hosts[0], fleet.hosts[0].url("/reader/"));
    let uploads = (0..4).map(|_| async {
        let mut n_uploads = 0;
        while !stop.load(Ordering::Relaxed) {
            let request = Request::post(&url).body(Full::new(body.clone().into())).unwrap();
            let reply = first.send(request).await;
            assert_eq!((reply.status.as_u16(), reply.text()), (200, "ok".to_owned()));
            n_uploads += 1;
        }
        n_uploads
    });
    let ends = async {
        first
            .until("uploads", || async {
                (first.metric("fleet_forwarded").await > 8.0).then_some(())
            })
            .await;
        fleet.hosts[1].signal("TERM");
        first
            .until("move to the last host", || async {
                (fleet.ready_on("reader", 1).await == ["h3"]).then_some(())
            })
            .await;
        let before = first.metric("fleet_forwarded").await;
        first
            .until("uploads elsewhere", || async {
                (first.metric("fleet_forwarded").await > before + 8.0).then_some(())
            })
            .await;
        stop.store(true, Ordering::Relaxed);
    };
    let ((), n_uploads) = tokio::join!(ends, join_all(uploads));
    assert!(n_uploads.iter().sum::<usize>() > 16);
    assert!(fleet.hosts[1].wait().success());
}

#[tokio::test]
async fn a_call_of_another_host_that_is_cut_at_the_end_is_told_so_and_the_exit_code_says_it() {
    let Some(mut fleet) = Fleet::start_with(2, &["--drain-timeout", "1s"]).await else { return };
    fleet.stand("h1", "cordoned").await;
    let wasm = std::fs::read(steerage_guests::SLOW).unwrap();
    let limits = "[limits]\ntimeout = \"10m\"\n[replicas]\nmin = 1\nmax = 1";
    fleet.first().deploy(&wasm, &manifest("slow", "/slow/...", limits)).await;
    assert_eq!(fleet.ready_on("slow", 1).await, ["h2"]);
    // Not to be asked for again: it may have been done.
    let request = Request::post(fleet.first().url("/slow/?ms=500000")).body(Default::default());
    let call = tokio::spawn(fleet.first().stream(request.unwrap()));
    fleet.hosts[1]
        .until("running call", || async {
            let name = "http_server_active_requests{app=\"slow\"}";
            (fleet.hosts[1].metric(name).await >= 1.0).then_some(())
        })
        .await;
    fleet.hosts[1].signal("TERM");
    let reply = collect(call.await.unwrap().unwrap()).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (503, "draining"));
    assert!(!fleet.hosts[1].wait().success(), "a call was cut, and the exit code must say so");
}

#[tokio::test]
async fn what_does_no_harm_is_asked_for_again_when_its_host_ends() {
    let Some(fleet) = Fleet::start_with(2, &["--drain-timeout", "1s"]).await else { return };
    fleet.stand("h1", "cordoned").await;
    let wasm = std::fs::read(steerage_guests::SLOW).unwrap();
    for (app, limits) in [("slow", "concurrency = 4"), ("single", "concurrency = 1")] {
        let more = format!("[limits]\ntimeout = \"10m\"\n{limits}\n[replicas]\nmin = 1\nmax = 1");
        fleet.first().deploy(&wasm, &manifest(app, &format!("/{app}/..."), &more)).await;
        assert_eq!(fleet.ready_on(app, 1).await, ["h2"]);
    }
    let (first, second) = (fleet.first(), &fleet.hosts[1]);
    let call = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(first.url(path));
        tokio::spawn(first.stream(request.body(Default::default()).unwrap()))
    };
    let until = async |name: &str, count: f64| {
        second.until(name, || async { (second.metric(name).await >= count).then_some(()) }).await;
    };
    // One that runs where nobody knows what it does, and one that waits behind it.
    let begun = call("POST", "/single/?ms=500000");
    until("http_server_active_requests{app=\"single\"}", 1.0).await;
    let waiting = call("POST", "/single/?ms=1");
    until("http_server_waiting_requests{app=\"single\"}", 1.0).await;
    // Longer than the end of the host takes.
    let (get, head) = (call("GET", "/slow/?ms=8000"), call("HEAD", "/slow/?ms=8000"));
    until("http_server_active_requests{app=\"slow\"}", 2.0).await;
    second.signal("TERM");
    let reply = async |call: tokio::task::JoinHandle<_>| {
        let answered: Result<_, _> = call.await.unwrap();
        collect(answered.unwrap()).await.unwrap()
    };
    let told = reply(begun).await;
    assert_eq!((told.status.as_u16(), told.cause().as_str()), (503, "draining"));
    let told = reply(waiting).await;
    assert_eq!((told.status.as_u16(), told.text()), (200, "waited 1 ms\n".to_owned()));
    let told = reply(get).await;
    assert_eq!((told.status.as_u16(), told.text()), (200, "waited 8000 ms\n".to_owned()));
    assert_eq!(reply(head).await.status.as_u16(), 200);
    // All but the first were served here, since nobody else was there.
    assert_eq!(first.metric("fleet_fallback_requests").await, 3.0);
}

/// Takes 320 MiB, and traps where it gets none.
fn taker() -> Vec<u8> {
    wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\03\00\00\00")
        (data (i32.const 16) "\nok")
        (func (export "_start")
            (if (i32.eq (memory.grow (i32.const 5120)) (i32.const -1)) (then unreachable))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#)
}

#[tokio::test]
async fn a_call_that_another_host_ends_for_want_of_memory_is_repeated_only_where_that_does_no_harm()
{
    let Some(etcd) = crate::etcd::Etcd::start(1) else { return };
    drop(etcd.store().await);
    let url = etcd.url();
    let small = ["--memory-budget", "256MiB", "--memory-overcommit", "1"];
    let hosts = vec![
        Host::with(&Fleet::flags(&url, "h1", &[])),
        Host::with(&Fleet::flags(&url, "h2", &small)),
    ];
    let fleet = Fleet { hosts, etcd };
    fleet.answers(fleet.first(), 2).await;
    fleet.stand("h1", "cordoned").await;
    let more = "[limits]\nmemory = \"400MiB\"\n[replicas]\nmin = 1\nmax = 1";
    fleet.first().deploy(&taker(), &manifest("taker", "/taker/...", more)).await;
    assert_eq!(fleet.ready_on("taker", 1).await, ["h2"]);
    let (first, url) = (fleet.first(), fleet.first().url("/taker/"));
    // Its guest had begun, and nobody knows what it has done.
    let posted = first.send(Request::post(&url).body(Full::default()).unwrap()).await;
    assert_eq!((posted.status.as_u16(), posted.cause()), (503, "host_memory".to_owned()));
    assert_eq!(first.metric("fleet_fallback_requests").await, 0.0);
    let got = first.send(Request::get(&url).body(Full::default()).unwrap()).await;
    assert_eq!((got.status.as_u16(), got.text()), (200, "ok".to_owned()));
    assert_eq!(first.metric("fleet_fallback_requests").await, 1.0);
}

async fn events(host: &Host) -> Vec<Value> {
    let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
    events["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn events_say_through_whom_and_why_an_app_comes_to_run() {
    let Some(fleet) = Fleet::start(2).await else { return };
    fleet.stand("h1", "cordoned").await;
    let text = manifest("app", "/app/...", "[replicas]\nmin = 1\nmax = 1");
    fleet.first().deploy(&says("one"), &text).await;
    assert_eq!(fleet.ready_on("app", 1).await, ["h2"]);
    let told = fleet.event(fleet.first(), "deployed").await;
    let message = told["message"].as_str().unwrap();
    assert_eq!(message, "generation 1 of app was deployed through this host");
    let told = fleet.event(&fleet.hosts[1], "placed").await;
    assert!(told["message"].as_str().unwrap().contains("now runs generation 1"), "{told}");
    for host in &fleet.hosts {
        let events = events(host).await;
        assert!(events.iter().all(|event| event["kind"] != "store_back"), "{events:?}");
    }
    assert!(events(&fleet.hosts[1]).await.iter().all(|event| event["kind"] != "deployed"));
}

#[tokio::test]
async fn a_host_says_for_how_long_it_has_heard_nothing_of_the_store() {
    let Some(mut fleet) = Fleet::start(1).await else { return };
    let hosts = fleet.first().admin("GET", "/v1/hosts", "").await.json();
    assert!(hosts["store_silent_seconds"].is_null(), "{hosts}");
    fleet.etcd.kill(0);
    let host = &fleet.hosts[0];
    host.until("silence of the store", || async {
        let hosts = host.admin("GET", "/v1/hosts", "").await.json();
        (hosts["store_silent_seconds"].as_u64()? >= 2).then_some(())
    })
    .await;
    assert!(host.metric("fleet_store_silent_seconds ").await >= 2.0);
    let said = host.run(&["hosts"]).done();
    assert!(said.stderr.contains("does not hear of the store, for "), "{said:?}");
    fleet.etcd.run(0);
    fleet.event(&fleet.hosts[0], "store_back").await;
    fleet.hosts[0]
        .until("end of the silence", || async {
            let hosts = fleet.hosts[0].admin("GET", "/v1/hosts", "").await.json();
            hosts["store_silent_seconds"].is_null().then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_host_that_is_given_time_to_come_back_finds_what_it_had() {
    let Some(mut fleet) = Fleet::start(0).await else { return };
    let url = fleet.etcd.url();
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let names = ["h1", "h2", "h3"];
    let start = |number: usize| {
        let flags = Fleet::flags(&url, names[number], &["--grace", "50s"]);
        Host::on(folders[number].path(), &flags)
    };
    fleet.hosts = (0..3).map(start).collect();
    for host in &fleet.hosts {
        fleet.answers(host, 3).await;
    }
    let store = fleet.etcd.store().await;
    let placed = |app: &str| {
        let (store, key) = (store.clone(), format!("assigned/{app}"));
        async move { store.get(&key).await.unwrap().unwrap().revision }
    };
    // One app on each; the first host is the one that plans.
    for name in names {
        for other in names {
            fleet.stand(other, if other == name { "open" } else { "cordoned" }).await;
        }
        let (app, path) = (format!("app-{name}"), format!("/app-{name}/..."));
        let text = manifest(&app, &path, "[replicas]\nmin = 1\nmax = 1");
        fleet.first().deploy(&says(&app), &text).await;
        assert_eq!(fleet.ready_on(&app, 1).await, [name]);
        fleet.all_answer(&format!("/{app}/"), &app).await;
    }
    for name in names {
        fleet.stand(name, "open").await;
    }
    // Ends that were wished for, and one that was not.
    for (number, signal) in [(1, "TERM"), (0, "TERM"), (1, "KILL"), (0, "KILL")] {
        let app = format!("app-{}", names[number]);
        let before = placed(&app).await;
        fleet.hosts[number].signal(signal);
        fleet.hosts[number].wait();
        // Others answer meanwhile.
        assert_eq!(fleet.hosts[2].get(&format!("/{app}/")).await.text(), app);
        fleet.hosts[number] = start(number);
        for host in &fleet.hosts {
            fleet.answers(host, 3).await;
        }
        assert_eq!(fleet.ready_on(&app, 1).await, [names[number]]);
        assert_eq!(placed(&app).await, before, "{app} was moved at SIG{signal}");
    }
}
