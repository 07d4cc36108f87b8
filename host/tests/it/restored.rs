//! An instance that is put back after a call is a new one to the next: the same answers, the same fuel,
//! the same memory, whatever a call left behind.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::{join, join_all};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use steerage_guests as guests;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Host, OWN_CODE, Reply};
use crate::outbound::{LOOPBACK, target};

/// Names of equal length, so that a guest that is told its path takes as much fuel for either.
pub(crate) const NEW: &str = "anew";
pub(crate) const RESTORED: &str = "back";

pub(crate) fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// Serves the guest with instances that are new, and with such that are put back.
pub(crate) async fn serve_both(host: &Host, wasm: &[u8], more: &str) {
    for (app, fresh) in [(NEW, "new"), (RESTORED, "restored")] {
        host.serve(app, wasm, &format!("{more}\n[instance]\nfresh = \"{fresh}\"")).await;
    }
}

/// Instances that were put back so far, and those that were not.
pub(crate) async fn standing(host: &Host) -> (f64, f64) {
    let restored = host.metric(&format!("instances_restored_total{{app=\"{RESTORED}\"}}")).await;
    let mut lost = 0.0;
    for reason in ["call_failed", "too_many_handles", "system", "mismatch"] {
        lost += lost_for(host, reason).await;
    }
    (restored, lost)
}

/// Those that were not, for this reason.
pub(crate) async fn lost_for(host: &Host, reason: &str) -> f64 {
    let labels = format!("app=\"{RESTORED}\",reason=\"{reason}\"");
    host.metric(&format!("instances_not_restored_total{{{labels}}}")).await
}

/// What the host says of how the app's calls get their instances.
pub(crate) async fn shown(host: &Host, app: &str) -> Value {
    host.admin("GET", &format!("/v1/apps/{app}"), "").await.json()["instances"].clone()
}

/// Calls the guest until its calls are served by instances that were put back.
pub(crate) async fn warm(host: &Host, path: &str) {
    host.until("restored instance", || async {
        let (before, _) = standing(host).await;
        assert_ne!(host.get(&format!("/{RESTORED}{path}")).await.status, 429);
        host.last_call(RESTORED).await;
        let (after, _) = standing(host).await;
        (before > 3.0 && after > before).then_some(())
    })
    .await;
}

/// What must be the same: the answer, and what the host says it took.
pub(crate) async fn asked(
    host: &Host,
    app: &str,
    path: &str,
    body: Option<String>,
) -> (Reply, Value) {
    let path = format!("/{app}{path}");
    let url = host.url(&path);
    let request = match body {
        None => Request::get(url).body(Full::default()),
        Some(body) => Request::post(url).body(Full::from(body)),
    };
    let reply = host.send(request.unwrap()).await;
    let call = host.call_of(app, path.split('?').next().unwrap()).await;
    (reply, call)
}

/// The answer without what names the app or the call.
fn told(reply: &Reply, app: &str) -> String {
    let is_of_call = |line: &&str| {
        let line = line.to_lowercase().replace('_', "-");
        let name = line.trim_start_matches("http-");
        ["x-request-id", "traceparent", "remote-port"].iter().any(|own| name.starts_with(own))
    };
    let text = reply.text();
    let lines: Vec<&str> = text.lines().filter(|line| !is_of_call(line)).collect();
    lines.join("\n").replace(app, "APP")
}

/// Of as many digits each, as it is a part of what guests are told.
pub(crate) static N: AtomicU32 = AtomicU32::new(1000);

/// Asks both for the same again and again, which must be the same to the last instruction. The number
/// at the end keeps the calls apart.
pub(crate) async fn compare(host: &Host, path: &str) {
    compare_up_to(host, path, None, &["cause", "fuel", "memory_bytes", "response_bytes"]).await;
}

/// The same for guests that wait: how often depends on when something comes, and their fuel on that.
pub(crate) async fn compare_answers(host: &Host, path: &str, body: Option<&str>) {
    compare_up_to(host, path, body, &["cause", "response_bytes"]).await;
}

async fn compare_up_to(host: &Host, path: &str, body: Option<&str>, same: &[&str]) {
    let mut n_restored = 0;
    for _ in 0..10 {
        let n = N.fetch_add(1, Ordering::Relaxed);
        let path = match path.split_once('?') {
            Some((path, query)) => format!("{}/{n}?{query}", path.trim_end_matches('/')),
            None => format!("{}/{n}", path.trim_end_matches('/')),
        };
        let body = || body.map(str::to_owned);
        let (new, of_new) = asked(host, NEW, &path, body()).await;
        let (restored, of_restored) = asked(host, RESTORED, &path, body()).await;
        assert_eq!(new.status, restored.status, "{path}");
        assert_eq!(told(&new, NEW), told(&restored, RESTORED), "{path}");
        for what in same {
            assert_eq!(of_new[what], of_restored[what], "{what} of {path}: {of_restored}");
        }
        assert_ne!(of_new["instantiate_us"], 0, "{of_new}");
        n_restored += usize::from(of_restored["instantiate_us"] == 0);
    }
    assert_eq!(shown(host, RESTORED).await["in_the_way"], Value::Null);
    assert!(n_restored > 0, "no call of {path} had an instance that was put back");
}

pub(crate) async fn both(wasm: &str, path: &str) -> Host {
    let host = Host::start();
    serve_both(&host, &read(wasm), "").await;
    warm(&host, path).await;
    host
}

async fn same(wasm: &str, path: &str) -> Host {
    let host = both(wasm, path).await;
    compare(&host, path).await;
    host
}

#[tokio::test]
async fn hello_is_the_same() {
    let host = same(guests::HELLO, "/").await;
    let (restored, lost) = standing(&host).await;
    assert!(restored > 10.0 && lost <= 2.0, "{restored} restored, {lost} lost");
}

#[tokio::test]
async fn a_counter_counts_one_in_each_call() {
    let host = same(guests::COUNTER, "/count").await;
    assert_eq!(host.get("/back/count").await.text().trim(), "1");
}

#[tokio::test]
pub(crate) async fn no_trace_of_a_call_is_left() {
    let host = both(guests::TRACES, "/").await;
    let found = host.get(&format!("/{NEW}")).await.text();
    // The body that is kept has a stream, which is made later and may have the lower number.
    for traces in [
        "bytes=0",
        "bytes=5000000",
        "handles=20",
        "handles=200",
        "bytes=100000&handles=7",
        "body=kept",
    ] {
        warm(&host, &format!("/?{traces}")).await;
        compare(&host, &format!("/?{traces}")).await;
        assert_eq!(host.get(&format!("/{RESTORED}/?{traces}")).await.text(), found);
    }
    // Whatever types the handles have that are kept.
    assert_eq!(lost_for(&host, "mismatch").await, 0.0);
    assert_eq!(standing(&host).await.1, 0.0);
    // What cannot be put back costs the instance, and is no trace either: more handles at once than are
    // looked at.
    for n in 0..40 {
        assert_eq!(host.get(&format!("/{RESTORED}/{n}?handles=600")).await.text(), found);
    }
    host.until("the loss", || async {
        (lost_for(&host, "too_many_handles").await > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bodies_are_the_same() {
    let host = both(guests::ECHO, "/body").await;
    compare_answers(&host, "/body", Some(&"x".repeat(300_000))).await;
    compare_answers(&host, "/headed", Some("short")).await;
    compare(&host, "/headed?status=404").await;
}

#[tokio::test]
async fn streams_and_trailers_are_the_same() {
    let host = both(guests::SDK_PARTS, "/stream?n=1000").await;
    compare_answers(&host, "/stream?n=1000", None).await;
    compare_answers(&host, "/upper", Some(&"some text, ".repeat(20_000))).await;
    compare_answers(&host, "/json", Some(r#"{"number": 21}"#)).await;
}

#[tokio::test]
async fn what_guests_keep_of_the_host_is_the_same() {
    // It keeps what it was given in a list, and streams of the host besides.
    let host = same(guests::HOARD, "/?n=30").await;
    compare(&host, "/?n=20&what=bodies&size=1000").await;
    compare(&host, "/?n=10&what=words&size=1000").await;
}

#[tokio::test]
async fn memory_that_grew_is_small_again() {
    let host = same(guests::COUNTER, "/?leak=3000000").await;
    compare(&host, "/?leak=9000000").await;
    compare(&host, "/?leak=0").await;
}

#[tokio::test]
async fn what_is_printed_is_the_same_and_of_its_call() {
    let host = same(guests::LOGGER, "/?n=3").await;
    // Lines are dropped while there are many a second, as there were until now.
    host.until("all lines of one call", || async {
        let n = N.fetch_add(1, Ordering::Relaxed);
        let (_, call) = asked(&host, RESTORED, &format!("/{n}?n=3"), None).await;
        assert_eq!(call["instantiate_us"], 0, "{call}");
        let logs = host.admin("GET", "/v1/apps/back/logs?lines=6", "").await.json();
        let lines = logs["lines"].as_array().unwrap();
        let of_call = lines.iter().filter(|line| line["call"] == call["id"]);
        (of_call.count() == 6).then_some(())
    })
    .await;
}

#[tokio::test]
async fn outbound_calls_are_the_same() {
    let port = target().await;
    let host = Host::with(&LOOPBACK);
    let allowed = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    serve_both(&host, &read(guests::OUT), &allowed).await;
    let path = format!("/?url=http://127.0.0.1:{port}/");
    warm(&host, &path).await;
    // What a guest asks of its event loop depends on when the answer comes, so its fuel may differ.
    for n in 0..5 {
        let path = format!("/{n}{}", path.strip_prefix('/').unwrap());
        let (reply, call) = asked(&host, RESTORED, &path, None).await;
        assert_eq!(reply.text(), "status 200\nreached", "{call}");
        assert_eq!(call["instantiate_us"], 0, "{call}");
    }
}

#[tokio::test]
async fn calls_that_many_threads_work_on_are_the_same() {
    let host = Host::start();
    serve_both(&host, &read(guests::WORK), "").await;
    warm(&host, "/?n=1000").await;
    // Longer than a slice, and more of them than there are threads.
    let texts = |app| {
        let host = &host;
        join_all((0..24).map(move |n| async move {
            let reply = host.get(&format!("/{app}/{n}?n=2000000")).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            reply.text()
        }))
    };
    let (new, restored) = join(texts(NEW), texts(RESTORED)).await;
    assert_eq!(new, restored);
    compare(&host, "/?n=300000").await;
}

#[tokio::test]
async fn a_response_that_waits_for_its_reader_is_whole() {
    let host = both(guests::SLOW, "/?ms=1").await;
    compare_answers(&host, "/?ms=1", None).await;
    compare_answers(&host, "/drip?n=3&ms=5", None).await;
}

#[tokio::test]
async fn an_instance_whose_call_did_not_end_well_is_not_put_back() {
    let host = Host::start();
    serve_both(&host, &read(guests::TRAP), "").await;
    for _ in 0..40 {
        assert_eq!(host.get("/back/unreachable").await.cause(), "trapped");
    }
    serve_both(&host, &read(guests::SLOW), "[limits]\ntimeout = \"200ms\"").await;
    warm(&host, "/?ms=1").await;
    let (_, lost) = standing(&host).await;
    // One call is over its time, another is given up by its client.
    assert_eq!(host.get("/back/late?ms=60000").await.cause(), "timed_out");
    let left =
        host.stream(Request::get(host.url("/back/left?ms=60000")).body(Full::default()).unwrap());
    let left = tokio::time::timeout(std::time::Duration::from_millis(50), left).await;
    assert!(left.is_err());
    assert_ne!(host.call_of(RESTORED, "/back/left").await["cause"], "answered");
    host.until("their loss", || async { (standing(&host).await.1 > lost).then_some(()) }).await;
    warm(&host, "/?ms=1").await;
    compare_answers(&host, "/?ms=1", None).await;
}

#[tokio::test]
async fn instances_of_calls_that_were_broken_off_are_lost_and_leave_nothing() {
    let port = target().await;
    let host = Host::with(&LOOPBACK);
    serve_both(&host, &read(guests::ECHO), "").await;
    warm(&host, "/").await;
    // A client that goes away in the middle of its own body.
    let head =
        format!("POST /{RESTORED}/cut HTTP/1.1\r\nhost: a\r\ncontent-length: 99999\r\n\r\nxyz");
    let mut client = TcpStream::connect(&host.listen).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    client.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    drop(client);
    // The guest is told so, and ends as it likes.
    host.call_of(RESTORED, &format!("/{RESTORED}/cut")).await;
    warm(&host, "/").await;
    compare_answers(&host, "/body", Some("whole")).await;

    // One that goes away in the middle of the answer.
    serve_both(&host, &read(guests::SLOW), "").await;
    warm(&host, "/?ms=1").await;
    let (_, lost) = standing(&host).await;
    let head = format!("GET /{RESTORED}/drip?n=100000&ms=1 HTTP/1.1\r\nhost: a\r\n\r\n");
    // Once more, a while later, where a new instance took the call, since the one of before was not back.
    let n_looks = AtomicU32::new(0);
    host.until("its loss", || async {
        if n_looks.fetch_add(1, Ordering::Relaxed).is_multiple_of(500) {
            let mut client = TcpStream::connect(&host.listen).await.unwrap();
            client.write_all(head.as_bytes()).await.unwrap();
            client.read_exact(&mut [0; 12]).await.unwrap();
        }
        (standing(&host).await.1 > lost).then_some(())
    })
    .await;
    warm(&host, "/?ms=1").await;
    compare_answers(&host, "/drip?n=3&ms=5", None).await;

    // A call whose time is over while it waits for another server, which does not answer.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let more = format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:{port}\", \"http://127.0.0.1:{silent_port}\"]\n\
         [limits]\ntimeout = \"300ms\""
    );
    serve_both(&host, &read(guests::OUT), &more).await;
    let path = format!("/?url=http://127.0.0.1:{port}/");
    warm(&host, &path).await;
    let (_, lost) = standing(&host).await;
    let late = host.get(&format!("/{RESTORED}/?url=http://127.0.0.1:{silent_port}/")).await;
    assert_eq!(late.cause(), "timed_out");
    host.until("its loss", || async { (standing(&host).await.1 > lost).then_some(()) }).await;
    warm(&host, &path).await;
    let reply = host.get(&format!("/{RESTORED}{path}")).await;
    assert_eq!(reply.text(), "status 200\nreached");
    let (restored, lost) = standing(&host).await;
    assert_eq!(lost_for(&host, "call_failed").await, lost, "{restored} were restored");
}

#[tokio::test]
async fn an_app_that_loses_its_instances_is_served_by_new_ones_for_a_while() {
    let host = Host::start();
    serve_both(&host, &read(guests::TRAP), "").await;
    let why = host
        .until("the end of it", || async {
            let calls = (0..50).map(|_| host.get("/back/unreachable"));
            assert!(join_all(calls).await.iter().all(|reply| reply.cause() == "trapped"));
            shown(&host, RESTORED).await["in_the_way"].as_str().map(str::to_owned)
        })
        .await;
    let told = "of its last instances 65 could not be put back, and those that could served 0 calls; \
                it is tried again later; the last one: its call did not end well";
    assert_eq!(why, told);
    assert_eq!(shown(&host, RESTORED).await["made"], "new");
    let (_, lost) = standing(&host).await;
    for _ in 0..40 {
        assert_eq!(host.get("/back/unreachable").await.cause(), "trapped");
    }
    let (_, after) = standing(&host).await;
    // What ran when it was given up may be lost still.
    assert!(after - lost < 10.0, "{lost} lost, then {after}");
}

#[tokio::test]
async fn what_cannot_be_restored_is_served_by_new_instances_and_says_why() {
    let host = Host::start();
    let shown = async |app: &str| shown(&host, app).await;
    serve_both(&host, &read(guests::P3_ECHO), "").await;
    compare_new(&host).await;
    let why = "it is of kind http-0.3, whose instances are not restored";
    assert_eq!(shown(RESTORED).await, json!({ "made": "new", "in_the_way": why }));
    assert_eq!(shown(NEW).await, json!({ "made": "new", "in_the_way": null }));
    serve_both(&host, &read(guests::HELLO), "").await;
    assert_eq!(shown(RESTORED).await, json!({ "made": "restored", "in_the_way": null }));
    host.serve(RESTORED, &read(guests::HELLO), "[instance]\nfresh = \"restored\"\nreuse = 2").await;
    assert_eq!(shown(RESTORED).await, json!({ "made": "reused", "in_the_way": null }));
}

async fn compare_new(host: &Host) {
    for n in 0..30 {
        let (reply, call) = asked(host, RESTORED, &format!("/body/{n}"), Some("text".into())).await;
        assert_eq!((reply.status.as_u16(), call["cause"].as_str().unwrap()), (200, "answered"));
        assert_ne!(call["instantiate_us"], 0, "{call}");
    }
    assert_eq!(standing(host).await, (0.0, 0.0));
}

#[tokio::test]
async fn instances_that_wait_give_way_to_calls() {
    let host = Host::with(&["--slots", "32"]);
    serve_both(&host, &read(guests::SLOW), "[limits]\ntimeout = \"60s\"").await;
    warm(&host, "/?ms=1").await;
    // As many calls of the other app as there are slots: none is refused for one that only waits.
    let burst = join_all((0..16).map(|_| host.get("/anew?ms=300"))).await;
    assert!(burst.iter().all(|reply| reply.status == 200), "{burst:?}");
    let burst = join_all((0..16).map(|_| host.get("/back?ms=100"))).await;
    assert!(burst.iter().all(|reply| reply.status == 200), "{burst:?}");
    warm(&host, "/?ms=1").await;
}

/// Calls the app until one of its instances was put back.
async fn until_restored(host: &Host, app: &str) {
    host.until("restored instance", || async {
        assert_eq!(host.get(&format!("/{app}")).await.status, 200);
        let restored = host.metric(&format!("instances_restored_total{{app=\"{app}\"}}")).await;
        (restored > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn instances_that_nobody_calls_give_way_to_those_of_other_apps() {
    // One slot in sixteen may be a restored instance's.
    let host = Host::with(&["--slots", "32"]);
    for app in ["one", "two", "three", "four"] {
        host.serve(app, &read(guests::HELLO), "").await;
        until_restored(&host, app).await;
    }
}

/// Lines of the host's mappings of code by which instances are restored.
fn n_mapped(host: &Host) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", host.pid())).unwrap();
    maps.lines().filter(|line| line.contains(".restoring.cwasm")).count()
}

#[tokio::test]
async fn apps_are_restored_unless_they_want_not_and_only_while_they_are_called() {
    let host = Host::with(&[OWN_CODE, "--mapped-idle", "8s"]);
    let code = || {
        let folder = std::fs::read_dir(host.data.join("code")).unwrap().next().unwrap().unwrap();
        let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.to_string_lossy().contains(".restoring.")).count()
    };
    let apps = ["one", "two", RESTORED];
    for app in apps {
        host.serve(app, &read(guests::HELLO), "").await;
    }
    host.serve(NEW, &read(guests::HELLO), "[instance]\nfresh = \"new\"").await;
    assert_eq!(shown(&host, RESTORED).await["made"], "restored");
    assert_eq!(shown(&host, NEW).await["made"], "new");
    // Called now and then, or made anew by its own wish, nobody has anything that waits.
    for n in 0..50 {
        assert_eq!(host.get(&format!("/{NEW}/{n}")).await.status, 200);
    }
    for n in 0..12 {
        assert_eq!(host.get(&format!("/{RESTORED}/{n}")).await.status, 200);
    }
    assert_eq!((code(), n_mapped(&host), standing(&host).await), (0, 0, (0.0, 0.0)));
    // All that are called often share the code.
    warm(&host, "/").await;
    let of_one = n_mapped(&host);
    assert!(of_one > 0 && code() == 1, "{of_one} mappings, {} files", code());
    for app in apps {
        until_restored(&host, app).await;
    }
    assert!(n_mapped(&host) <= of_one, "{} mappings, {of_one} of one app", n_mapped(&host));
    // Nobody calls any more.
    host.until("the end of the mappings", || async { (n_mapped(&host) == 0).then_some(()) }).await;
    warm(&host, "/").await;
}

#[tokio::test]
async fn code_by_which_instances_are_restored_is_made_again_where_it_is_damaged() {
    let host = Host::with(&[OWN_CODE]);
    serve_both(&host, &read(guests::HELLO), "").await;
    warm(&host, "/").await;
    let folder = std::fs::read_dir(host.data.join("code")).unwrap().next().unwrap().unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let of_restoring = |path: &std::path::PathBuf| path.to_string_lossy().contains(".restoring.");
    let code = files.filter(of_restoring).collect::<Vec<_>>();
    assert_eq!(code.len(), 1, "{code:?}");
    // Another file in its place: what is mapped of this one must stay, or whoever runs it dies.
    let damaged = host.data.join("damaged");
    std::fs::write(&damaged, "damaged").unwrap();
    std::fs::rename(&damaged, &code[0]).unwrap();
    // A deployment of the same component maps its own.
    host.serve(RESTORED, &read(guests::HELLO), "[instance]\nfresh = \"restored\"").await;
    for _ in 0..20 {
        assert_eq!(host.get("/back/").await.status, 200);
    }
    host.until("the damaged code to go", || async {
        (std::fs::read(&code[0]).ok() != Some(b"damaged".to_vec())).then_some(())
    })
    .await;
}

#[tokio::test]
async fn code_is_not_made_of_a_component_that_is_damaged() {
    let host = Host::with(&[OWN_CODE]);
    serve_both(&host, &read(guests::HELLO), "").await;
    let blob = std::fs::read_dir(host.data.join("blobs")).unwrap().map(|file| file.unwrap().path());
    let blob = blob.filter(|path| path.is_file()).collect::<Vec<_>>();
    assert_eq!(blob.len(), 1, "{blob:?}");
    // Another program, which would answer as well.
    std::fs::write(&blob[0], read(guests::COUNTER)).unwrap();
    let why = host
        .until("the reason", || async {
            assert_eq!(host.get("/back/").await.text(), host.get("/anew/").await.text());
            shown(&host, RESTORED).await["in_the_way"].as_str().map(str::to_owned)
        })
        .await;
    assert_eq!(why, "its component cannot be read as it was deployed; it is tried again later");
}
