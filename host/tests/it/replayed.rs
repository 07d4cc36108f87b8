//! Calls that fail leave a capsule where their app asks for it, and are run again from it: with equal fuel, which
//! proves that they are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use http::Request;
use http_body_util::Full;
use serde_json::Value;
use steerage::capsule::Capsule;
use steerage::replay::{Replayed, Settings, replay};
use steerage_core::capsule::{Difference, Ending};
use steerage_guests as guests;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fleet::Fleet;
use crate::harness::{Host, Reply, manifest};
use crate::otlp::{Collector, WELL};
use crate::outbound::LOOPBACK;
use crate::restored::{RESTORED, standing, warm};

const CAPTURE: &str = "[capture]\nfailures = true\nredact = [\"x-api-key\", \"password\"]\n";

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// The id of the call that was answered so.
fn id(reply: &Reply) -> String {
    reply.header("x-request-id").to_owned()
}

/// What is kept of a call.
async fn capsule(host: &Host, id: &str) -> Value {
    host.until("the capsule", || async {
        let found = host.admin("GET", &format!("/v1/calls/{id}/capsule"), "").await.json();
        found["capsules"].get(0).cloned()
    })
    .await
}

/// A server that answers each request in two pieces, with this header.
async fn serve_two_pieces(header: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).await.is_ok_and(|n_read| n_read > 0) {
                    let head =
                        format!("HTTP/1.1 200 OK\r\n{header}\r\ncontent-length: 8\r\n\r\nfour");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    stream.write_all(b"more").await.unwrap();
                }
            });
        }
    });
    port
}

/// Runs capsules again without the command line, as often as that takes.
struct Again {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

impl Again {
    fn new(env: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { folder: tempfile::tempdir().unwrap(), env: env.collect() }
    }

    /// What differs.
    async fn differs(&self, capsule: &Value, wasm: &str) -> Vec<Difference> {
        let replayed = self.run(capsule, wasm).await;
        let capsule = Capsule::open(capsule.to_string().as_bytes()).unwrap();
        Ending::from(&capsule.ending).differences(&Ending::from(&replayed.ending))
    }

    async fn run(&self, capsule: &Value, wasm: &str) -> Replayed {
        let capsule = Capsule::open(capsule.to_string().as_bytes()).unwrap();
        let settings = Settings {
            program: env!("CARGO_BIN_EXE_steerage").into(),
            folder: self.folder.path().join("code"),
            env: self.env.clone(),
        };
        replay(&capsule, Path::new(wasm), &settings).await.unwrap()
    }
}

#[tokio::test]
pub(crate) async fn calls_that_fail_by_chance_are_run_again_and_do_the_same() {
    let host = Host::start();
    let env = "[env]\nDICE = \"secret of the env\"\n";
    let more = format!("[limits]\nfuel = 20_000_000\nmemory = \"4MiB\"\n{env}{CAPTURE}");
    host.serve("dice", &read(guests::DICE), &more).await;
    let again = Again::new(&[("DICE", "secret of the env")]);
    let mut fuels = BTreeSet::new();
    for how in ["panic", "panic", "panic", "loop", "nothing", "status", "hog"] {
        let reply = host.post(&format!("/dice?how={how}"), "a body of the client").await;
        let capsule = capsule(&host, &id(&reply)).await;
        assert_eq!(again.differs(&capsule, guests::DICE).await, [], "{capsule}");
        let cause = match how {
            "loop" => "out_of_fuel",
            "nothing" => "no_answer",
            "hog" => "out_of_memory",
            "status" => "answered",
            _ => "trapped",
        };
        assert_eq!(capsule["ending"]["cause"], cause, "{capsule}");
        fuels.insert(capsule["ending"]["fuel"].as_u64().unwrap());
        let text = capsule.to_string();
        assert!(text.contains("DICE") && !text.contains("secret of the env"), "{text}");
        assert!(text.len() < 4000, "{} bytes: {text}", text.len());
    }
    assert!(fuels.len() >= 5, "it is chance: {fuels:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_asks_for_its_span_is_told_the_same_again() {
    let collector = Collector::start(Some(WELL)).await;
    let host = Host::with_env(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url)]);
    host.serve("spans", &read(guests::SPANS), CAPTURE).await;
    let reply = host.get("/spans/?what=fails").await;
    let capsule = capsule(&host, &id(&reply)).await;
    let said = capsule["recording"]["span_context"].as_str().unwrap();
    assert!(said.starts_with(&format!("00-{}-", id(&reply))), "{capsule}");
    assert_eq!(Again::new(&[]).differs(&capsule, guests::SPANS).await, [], "{capsule}");
}

#[tokio::test]
async fn the_command_line_says_what_happened_then_and_now() {
    let host = Host::start();
    let more = format!("[env]\nDICE = \"six\"\n{CAPTURE}");
    host.serve("dice", &read(guests::DICE), &more).await;
    let reply = host.get("/dice?how=nothing&password=hunter2-hunter2").await;
    let id = id(&reply);
    capsule(&host, &id).await;
    let shown = host.run(&["call", &id]).done().stdout;
    let command = format!("steerage replay {}", &id[..8]);
    assert!(shown.contains(&command), "{shown}");
    // The value of its environment is not known, and a secret was replaced: it says so, and that it differs.
    let said = host.run(&["replay", &id]);
    assert_eq!(said.code, 1, "{said:?}");
    for part in ["not exact: fuel differs", "in the place of secrets", "DICE is not known: give"] {
        assert!(said.stdout.contains(part), "{part}: {said:?}");
    }
    let reply = host.get("/dice?how=nothing").await;
    let id = self::id(&reply);
    capsule(&host, &id).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, saved) = (at("steerage.toml"), at("failed.json"));
    std::fs::write(&file, manifest("dice", "/dice", &more)).unwrap();
    let said = host.run(&["replay", &id, "--file", &file, "--save", &saved]).done();
    for part in ["THEN", "no_answer", "exact: equal cause, equal frames, equal fuel"] {
        assert!(said.stdout.contains(part), "{part}: {said:?}");
    }
    let mode = std::fs::metadata(&saved).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "what a client sent is in it");
    // Another component does something else with it, and no host is asked for that.
    let words = ["replay", "--capsule", &saved, "--component", guests::HELLO, "-o", "json"];
    let said = crate::harness::run(&words);
    let told = said.json();
    assert_eq!((said.code, &told["now"]["cause"]), (1, &Value::from("answered")), "{told}");
    assert_eq!(told["differs"][0], "cause", "{told}");
    assert_eq!(told["other_component"], true, "{told}");
    let words = ["replay", "--capsule", &saved, "--component", guests::DICE, "-o", "json"];
    assert_eq!(crate::harness::run(&words).json()["other_component"], false);
    let none = host.run(&["replay", "00000000"]);
    assert!(none.code == 1 && none.stderr.contains("failures = true in [capture]"), "{none:?}");
}

#[tokio::test]
async fn what_others_answered_is_told_again_and_nobody_is_asked() {
    let plain = serve_two_pieces("x-plain: said by them").await;
    let secret = serve_two_pieces("set-cookie: id=cookie-of-theirs").await;
    // As servers do that say which key was not valid.
    let echo = serve_two_pieces("x-wrong: the key of-the-env-1234 is not valid").await;
    let host = Host::with(&LOOPBACK);
    let allowed = [plain, secret, echo].map(|port| format!("\"http://127.0.0.1:{port}\""));
    let env = "[env]\nAPI_KEY = \"of-the-env-1234\"\n";
    let may = format!("allowed_outbound_hosts = [{}]\n{env}{CAPTURE}", allowed.join(", "));
    host.serve("dice", &read(guests::DICE), &may).await;
    let again = Again::new(&[("API_KEY", "of-the-env-1234")]);
    // Where somebody answers, where the answer holds a secret or one of the environment, and where the manifest
    // allows no request.
    for (port, expected, is_exact) in [
        (plain, "said by them", true),
        (secret, "set-cookie", false),
        (echo, "the key xxxxxxxxxxxxxxx is not valid", false),
        (1, "http-request-denied", true),
    ] {
        let reply = host.post(&format!("/dice?how=panic&port={port}"), "pieces").await;
        let capsule = capsule(&host, &id(&reply)).await;
        let outbound = capsule["recording"]["outbound"].to_string();
        assert!(outbound.contains(expected), "{outbound}");
        for gone in ["cookie-of-theirs", "of-the-env-1234"] {
            assert!(!capsule.to_string().contains(gone), "{capsule}");
        }
        // The guest reads what was replaced, so its way is another one; and that is said.
        let differs = again.differs(&capsule, guests::DICE).await;
        let n_redacted = capsule["redacted"].as_u64().unwrap();
        assert_eq!((differs.is_empty(), n_redacted == 0), (is_exact, is_exact), "{capsule}");
    }
}

#[tokio::test]
async fn a_mended_component_may_ask_and_wait_in_another_order() {
    let ports =
        [serve_two_pieces("x-from: the first").await, serve_two_pieces("x-from: the second").await];
    let host = Host::with(&LOOPBACK);
    let allowed = ports.map(|port| format!("\"http://127.0.0.1:{port}\""));
    let limits = "[limits]\ntimeout = \"60s\"\n[env]\nMENDED = \"no\"\n";
    let may = format!("allowed_outbound_hosts = [{}]\n{limits}{CAPTURE}", allowed.join(", "));
    host.serve("dice", &read(guests::DICE), &may).await;
    let [first, second] = ports;
    let path = format!("/dice?how=panic&port={first}&other={second}");
    let capsule = capsule(&host, &id(&host.post(&path, "pieces").await)).await;
    let same = Again::new(&[("MENDED", "no")]);
    assert_eq!(same.differs(&capsule, guests::DICE).await, [], "{capsule}");
    // It waits for the same in another order as well: what was ready then is a timer of five minutes now.
    let mended = Again::new(&[("MENDED", "yes")]).run(&capsule, guests::DICE).await;
    assert_eq!(mended.ending.cause, "trapped", "{mended:?}");
    let from = |line: &&String| line.contains("x-from");
    let asked: Vec<_> = mended.printed.iter().filter(from).cloned().collect();
    let expected = [(second, "second"), (first, "first")];
    assert_eq!(asked, expected.map(|(port, from)| format!("{port}: x-from: the {from}")));
}

#[tokio::test]
async fn a_call_whose_time_was_over_before_an_answer_came_is_run_again() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let host = Host::with(&LOOPBACK);
    let allowed = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n");
    let more = format!("{allowed}[limits]\ntimeout = \"1s\"\n{CAPTURE}");
    host.serve("dice", &read(guests::DICE), &more).await;
    let reply = host.post(&format!("/dice?how=panic&port={port}"), "pieces").await;
    let capsule = capsule(&host, &id(&reply)).await;
    assert_eq!(capsule["ending"]["cause"], "timed_out", "{capsule}");
    assert_eq!(capsule["recording"]["outbound"][0]["answer"], Value::Null, "{capsule}");
    assert_eq!(Again::new(&[]).differs(&capsule, guests::DICE).await, [], "{capsule}");
}

#[tokio::test]
async fn a_call_in_an_instance_that_was_put_back_is_run_again_in_a_new_one() {
    let host = Host::start();
    let more = format!("[instance]\nfresh = \"restored\"\n{CAPTURE}");
    host.serve(RESTORED, &read(guests::DICE), &more).await;
    let again = Again::new(&[]);
    let mut n_put_back = 0;
    for how in ["status", "panic", "nothing"] {
        // An instance whose call fails is not put back.
        warm(&host, "?how=ok").await;
        let reply = host.post(&format!("/{RESTORED}?how={how}"), "pieces").await;
        let id = id(&reply);
        let (capsule, call) = (capsule(&host, &id).await, call(&host, &id).await);
        n_put_back += u32::from(call["instantiate_us"] == 0);
        assert_eq!(again.differs(&capsule, guests::DICE).await, [], "{capsule}");
    }
    assert!(n_put_back > 0 && standing(&host).await.0 > 3.0, "{n_put_back}");
}

#[tokio::test]
async fn programs_and_components_of_0_3_are_run_again_as_well() {
    let host = Host::start();
    let again = Again::new(&[]);
    for (name, wasm) in [
        ("core", guests::CGI_ECHO),
        ("component", guests::CGI_ECHO_COMPONENT),
        ("later", guests::P3_ECHO),
    ] {
        host.serve(name, &read(wasm), CAPTURE).await;
        let mut fuels = BTreeSet::new();
        for _ in 0..3 {
            let reply = host.post(&format!("/{name}/dice"), "standard input").await;
            let capsule = capsule(&host, &id(&reply)).await;
            assert_eq!(again.differs(&capsule, wasm).await, [], "{capsule}");
            assert_eq!(capsule["ending"]["cause"], "trapped", "{capsule}");
            fuels.insert(capsule["ending"]["fuel"].as_u64().unwrap());
        }
        assert!(fuels.len() >= 2, "it is chance: {fuels:?}");
    }
}

/// What the host says of a call.
async fn call(host: &Host, id: &str) -> Value {
    host.until("the call", || async {
        let found = host.admin("GET", &format!("/v1/calls/{id}"), "").await.json();
        found["calls"].get(0).cloned()
    })
    .await
}

/// What became of the capsule of a call.
async fn fate(host: &Host, id: String) -> String {
    call(host, &id).await["capsule"].as_str().unwrap_or("none").to_owned()
}

#[tokio::test]
async fn panics_in_two_places_are_two_kinds() {
    let host = Host::start();
    host.serve("dice", &read(guests::DICE), CAPTURE).await;
    // All panics of Rust end in the same innermost frame. That one side comes less than four times of fifty is
    // less likely than one in ten thousand million.
    let (mut places, mut n_kept) = (BTreeSet::new(), 0);
    for _ in 0..50 {
        let id = id(&host.get("/dice?how=panic").await);
        if fate(&host, id.clone()).await == "kept" {
            let capsule = capsule(&host, &id).await;
            places.insert(capsule["ending"]["frames"].to_string());
            n_kept += 1;
        }
    }
    assert_eq!((places.len(), n_kept), (2, 8), "{places:?}");
}

#[tokio::test]
async fn a_host_without_the_component_has_it_from_one_that_served_the_call() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let text = manifest("dice", "/dice", CAPTURE);
    fleet.first().deploy(&read(guests::DICE), &text).await;
    let holders = fleet.ready_on("dice", 1).await;
    let hosts = ["h1", "h2"].into_iter().zip(&fleet.hosts);
    let (there, other): (Vec<_>, Vec<_>) =
        hosts.partition(|(name, _)| holders.iter().any(|holder| holder == name));
    let (there, other) = (there[0].1, other[0].1);
    let id = id(&there.get("/dice?how=nothing").await);
    capsule(there, &id).await;
    let digest = crate::harness::digest(&read(guests::DICE));
    let copy = other.data.join("blobs").join(digest.trim_start_matches("sha256:"));
    drop(std::fs::remove_file(copy));
    let told = other.run(&["replay", &id, "-o", "json"]).done().json();
    assert_eq!((&told["exact"], &told["other_component"]), (&true.into(), &false.into()), "{told}");
}

#[tokio::test]
async fn a_component_that_the_disk_changed_is_not_run() {
    let host = Host::start();
    host.serve("dice", &read(guests::DICE), CAPTURE).await;
    let id = id(&host.get("/dice?how=nothing").await);
    capsule(&host, &id).await;
    let wasm = read(guests::DICE);
    let digest = crate::harness::digest(&wasm);
    let copy = host.data.join("blobs").join(digest.trim_start_matches("sha256:"));
    // A component all the same, and another one.
    std::fs::write(copy, read(guests::HELLO)).unwrap();
    let said = host.run(&["replay", &id]);
    assert!(said.code != 0 && said.stderr.contains("damaged"), "{said:?}");
    host.run(&["replay", &id, "--component", guests::DICE]).done();
}

#[tokio::test]
async fn secrets_of_clients_are_in_no_capsule() {
    let host = Host::start();
    host.serve("dice", &read(guests::DICE), CAPTURE).await;
    let secret = |number: u8| format!("SECRET-{number}-of-a-client");
    let body = format!(
        "{{\"n\": 1, \"password\": \"{}\", \"said\": \"{} and {}\"}}",
        secret(1),
        secret(2),
        secret(3)
    );
    let request = Request::post(host.url(&format!("/dice?how=panic&x_api_key={}", secret(4))))
        .header("authorization", format!("Bearer {}", secret(2)))
        .header("cookie", format!("session={}; theme=dark", secret(3)))
        .header("X-Api-Key", secret(5))
        .header("x-trace", format!("called with {}", secret(1)));
    let reply = host.send(request.body(Full::new(body.into())).unwrap()).await;
    let capsule = capsule(&host, &id(&reply)).await;
    let text = capsule.to_string();
    assert!(!text.contains("SECRET") && text.contains("called with xxxx"), "{text}");
    assert!(capsule["redacted"].as_u64().unwrap() >= 7, "{text}");
}

#[tokio::test]
async fn four_of_a_kind_are_kept_and_what_is_too_large_or_not_wanted_leaves_none() {
    let host = Host::start();
    host.serve("trap", &read(guests::TRAP), CAPTURE).await;
    let fate = |id: String| fate(&host, id);
    let mut fates = Vec::new();
    for _ in 0..6 {
        // One after the other: a call may leave its capsule after the next call has left one.
        fates.push(fate(id(&host.get("/trap/unreachable").await)).await);
    }
    assert_eq!(fates, ["kept", "kept", "kept", "kept", "quota_reached", "quota_reached"]);
    // Another place has room of its own.
    assert_eq!(fate(id(&host.get("/trap").await)).await, "kept");

    host.serve("dice", &read(guests::DICE), CAPTURE).await;
    let large = host.post("/dice?how=nothing", vec![b'a'; 100_000]).await;
    assert_eq!(fate(id(&large)).await, "too_large");
    assert!(host.metric("capsules_too_large_total{app=\"dice\"}").await >= 1.0);
    // A body in which no secret would be found.
    let request = Request::post(host.url("/dice?how=status")).header("content-encoding", "gzip");
    let encoded = host.send(request.body(Full::new("packed".into())).unwrap()).await;
    assert_eq!(fate(id(&encoded)).await, "encoded");
    // Calls that do well, apps that do not ask for it, and instances that serve more than one call.
    host.serve("hello", &read(guests::HELLO), CAPTURE).await;
    assert_eq!(fate(id(&host.get("/hello").await)).await, "none");
    host.serve("off", &read(guests::TRAP), "").await;
    assert_eq!(fate(id(&host.get("/off").await)).await, "none");
    host.serve("reused", &read(guests::TRAP), &format!("[instance]\nreuse = 5\n{CAPTURE}")).await;
    assert_eq!(fate(id(&host.get("/reused").await)).await, "reused");
}
