//! The router as a whole, over a host without apps: doors, limits and leftovers.

use std::collections::BTreeMap;
use std::io;
use std::path::Path as FilePath;
use std::time::Duration;

use axum::body::Body;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use steerage_core::id::Generation;
use steerage_core::key_value::KeyValueQuota;
use steerage_core::outbound::PrivateNetworks;
use steerage_core::place::Policy;
use steerage_core::units::Fuel;
use tower_service::Service;

use super::*;
use crate::admission::{Admission, CallBounds};
use crate::agent::HostState;
use crate::blobs::Blobs;
use crate::budget::{Memory, MemorySettings};
use crate::catalog::crash_log::CrashLog;
use crate::code::{GuestStores, Loader, LoaderParts, MappedSettings};
use crate::cpu::{Cpu, GuestThreads};
use crate::desired::Desired;
use crate::fleet::Fleet;
use crate::key_value::KeyValueStores;
use crate::ledger::Ledger;
use crate::ledger::record::DeploymentRecord;
use crate::otlp::CollectorExporters;
use crate::request::{Hops, PeerApiSlot};
use crate::sandbox::compiler;
use crate::sandbox::engine::{PoolSettings, Slots};
use crate::sandbox::module::Sandbox;
use crate::sandbox::outbound::Egress;
use crate::shutdown::Shutdown;
use crate::sql::Databases;
use crate::store::Store;
use crate::telemetry::Telemetry;
use crate::telemetry::events::{Event, Events};

/// A control API without a network.
struct Door {
    router: Router,
    shutdown: Shutdown,
    events: Arc<Events>,
    loader: Loader,
    ledger: Ledger,
    folder: tempfile::TempDir,
    threads: Option<GuestThreads>,
}

struct Reply {
    status: StatusCode,
    form: String,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn refusal(&self) -> (u16, String) {
        assert_eq!(self.form, "application/problem+json", "{}", self.text);
        (self.status.as_u16(), self.json()["cause"].as_str().unwrap().to_owned())
    }
}

impl Door {
    fn open(token: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let threads = GuestThreads::start(1).unwrap();
        let state = state(folder.path(), &threads, token.map(Token::new));
        let (shutdown, events) = (state.context.shutdown.clone(), state.context.events.clone());
        let (loader, ledger) = (state.context.loader.clone(), state.own.ledger.clone());
        let router = router(Arc::new(state));
        Self { router, shutdown, events, loader, ledger, folder, threads: Some(threads) }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().call(request).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost:8081")
            .header("content-type", "application/json");
        read(self.send(request.body(body.into()).unwrap()).await).await
    }

    fn blobs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("blobs")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // A runtime must not be dropped where others are polled; this ends it without waiting.
        if let Some(threads) = self.threads.take() {
            threads.stop();
        }
    }
}

fn sandbox(folder: &FilePath) -> Sandbox {
    let compiler = compiler::Settings {
        program: "/nonexistent/compiler".into(),
        cache: folder.join("code"),
        is_shared: false,
        is_soon: false,
        timeout: Duration::from_secs(1),
        memory: Bytes::mebi(1),
        largest_memory: Bytes::mebi(16),
        parallel: 1,
    };
    let pool = PoolSettings {
        slots: Slots::AtMost(1),
        keep_resident: Bytes::ZERO,
        largest_memory: Bytes::mebi(16),
        may_swap: false,
    };
    let egress = Egress::new(PrivateNetworks::default(), 1024);
    Sandbox::start(pool, Fuel::new(200_000), compiler, egress).unwrap()
}

fn kept(folder: &FilePath) -> GuestStores {
    GuestStores {
        pairs: KeyValueStores::new(folder, KeyValueQuota::of(Bytes::mebi(1))),
        databases: Databases::new(folder, Bytes::mebi(1)),
    }
}

fn state(folder: &FilePath, threads: &GuestThreads, token: Option<Token>) -> ApiState {
    let sandbox = sandbox(folder);
    let own = HostState {
        ledger: Ledger::open(folder).unwrap(),
        blobs: Blobs::open(&folder.join("blobs")).unwrap(),
        catalog: Arc::default(),
        events: Arc::default(),
        limits: Arc::default(),
        crash_log: CrashLog::open(folder).unwrap(),
    };
    let memory =
        Memory::new(MemorySettings { budget: Bytes::mebi(64), overcommit: 1.0 }, BTreeMap::new());
    let telemetry = Arc::new(Telemetry::new(Bytes::mebi(8), own.events.clone(), false));
    let admission = Admission::new(CallBounds { slots: 4, queue: 4 }, BTreeMap::new());
    let cpu = Cpu::new(threads, BTreeMap::new());
    let fleet = Fleet::alone(Store::embedded(folder).unwrap(), folder);
    let parts = LoaderParts {
        sandbox,
        admission: admission.clone(),
        cpu: cpu.clone(),
        memory: memory.clone(),
        ledger: own.ledger.clone(),
        blobs: own.blobs.clone(),
        catalog: own.catalog.clone(),
        telemetry: telemetry.clone(),
        events: own.events.clone(),
        limits: own.limits.clone(),
        peers: None,
        max_component: Bytes::mebi(1),
        disk: None,
        kept: kept(folder),
        fleet: fleet.clone(),
        secrets_key: None,
    };
    let loader = Loader::new(parts, MappedSettings { most: 4, idle: Duration::from_secs(60) });
    let context = CallContext {
        catalog: own.catalog.clone(),
        loader: loader.clone(),
        crash_log: own.crash_log.clone(),
        blobs: own.blobs.clone(),
        admission,
        cpu,
        events: own.events.clone(),
        access_log: None,
        collector: CollectorExporters::default(),
        shutdown: Shutdown::default(),
        unrouted: AtomicU64::new(3),
        without_route: std::sync::Mutex::default(),
        fleet: None,
        hops: Hops::default(),
        peer_api: PeerApiSlot::default(),
        signer: None,
        is_for_one_app: false,
        trusted_proxies: Vec::new(),
    };
    let agent = Agent::new(loader.clone(), own.clone(), fleet.clone());
    ApiState {
        desired: Desired::new(agent.clone(), loader, own.clone(), fleet),
        agent,
        own,
        memory,
        telemetry,
        context: Arc::new(context),
        connections: Arc::default(),
        mistaken: Arc::default(),
        token: Arc::new(ArcSwap::from_pointee(token)),
        sessions: OpenSessions::default(),
        max_component: Bytes::new(1000),
        listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
        is_tls: false,
        admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
        most_mapped: 16,
        headroom: 0,
        certificates: CertificateSources::default(),
        policy: Policy::default(),
        started_at: Instant::now(),
        backups: Arc::default(),
        history: None,
        notifier: Arc::default(),
    }
}

async fn read(response: Response<Body>) -> Reply {
    let (head, body) = response.into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    let form = head.headers.get("content-type").map_or("", |form| form.to_str().unwrap());
    Reply {
        status: head.status,
        form: form.to_owned(),
        text: String::from_utf8(text.to_vec()).unwrap(),
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn filled(path: &str) -> String {
    let digest = digest_of(b"").to_string();
    path.replace("{app}", "shop").replace("{digest}", &digest)
}

#[tokio::test]
async fn every_endpoint_of_the_table_is_served() {
    let door = Door::open(None);
    for endpoint in &ENDPOINTS {
        let method = endpoint.method.to_uppercase();
        let reply = door.ask(&method, &filled(endpoint.path), "{}").await;
        assert!(!reply.text.contains("/v1/openapi.json lists"), "{method} {}", endpoint.path);
        assert_ne!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {}", endpoint.path);
        let other = door.ask("PATCH", &filled(endpoint.path), "{}").await;
        assert_eq!(other.refusal(), (405, "method_not_allowed".to_owned()), "{}", endpoint.path);
    }
    let unknown = door.ask("GET", "/v1/nothing", "").await;
    assert_eq!(unknown.refusal(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn only_health_and_signing_in_are_open_to_those_without_the_token() {
    let door = Door::open(Some("s3cret"));
    for endpoint in &ENDPOINTS {
        let method = Method::from_bytes(endpoint.method.to_uppercase().as_bytes()).unwrap();
        let request = Request::builder().method(&method).uri(filled(endpoint.path));
        let response = door.send(request.body(Body::empty()).unwrap()).await;
        let is_refused = response.status() == StatusCode::UNAUTHORIZED;
        assert_eq!(is_refused, endpoint.is_guarded, "{method} {}", endpoint.path);
        assert_eq!(response.headers().contains_key("www-authenticate"), is_refused);
    }
    let request = Request::get("/v1/host").header("authorization", "Bearer s3cret");
    let reply = read(door.send(request.body(Body::empty()).unwrap()).await).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
}

#[tokio::test]
async fn names_that_resolve_here_by_a_trick_are_refused() {
    let door = Door::open(None);
    let request = Request::get("/v1/apps").header("host", "rebound.example:8081");
    let reply = read(door.send(request.body(Body::empty()).unwrap()).await).await;
    assert_eq!(reply.refusal(), (403, "foreign_host".to_owned()));
}

#[tokio::test]
async fn two_host_names_in_one_request_are_refused() {
    for door in [Door::open(None), Door::open(Some("s3cret"))] {
        let request = Request::get("/v1/apps").header("authorization", "Bearer s3cret");
        let request = request.header("host", "127.0.0.1").header("host", "rebound.example");
        let reply = read(door.send(request.body(Body::empty()).unwrap()).await).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()));
    }
}

#[tokio::test]
async fn who_asks_what_is_kept_hears_of_it_as_soon_as_it_is() {
    let door = Door::open(None);
    let record = DeploymentRecord {
        app: "shop".parse().unwrap(),
        generation: Generation::FIRST,
        digest: digest_of(b"hello"),
        manifest: String::new(),
        kind: String::new(),
        size: 5,
        deployed_at: 1,
    };
    // Nobody waits for so long.
    let within = Duration::from_secs(24 * 3600);
    let kept = door.loader.kept_within(record.app.clone(), record.generation, within);
    let comes = async {
        door.ledger.keep(&record).unwrap();
        tokio::task::yield_now().await;
        let path = format!("/v1/blobs/{}", record.digest);
        assert_eq!(door.ask("PUT", &path, "hello").await.status, StatusCode::CREATED);
    };
    let (kept, ()) = tokio::join!(kept, comes);
    assert_eq!(kept, Some(record.fingerprint()));
}

#[tokio::test]
async fn an_upload_is_kept_whole_and_verified_or_not_at_all() {
    let door = Door::open(None);
    let path = format!("/v1/blobs/{}", digest_of(b"hello"));
    assert_eq!(door.ask("HEAD", &path, "").await.status, StatusCode::NOT_FOUND);
    let other = door.ask("PUT", &path, "other").await;
    assert_eq!(other.refusal(), (400, "digest_mismatch".to_owned()));
    let large = door.ask("PUT", &path, vec![0; 1001]).await;
    assert_eq!(large.refusal(), (413, "too_large".to_owned()));
    let chunks = [Ok(vec![0; 600]), Ok(vec![0; 600]), Err(io::Error::other("gone"))];
    let flood = door.ask("PUT", &path, Body::from_stream(stream::iter(chunks))).await;
    assert_eq!(flood.refusal(), (413, "too_large".to_owned()));
    let gone = Body::from_stream(stream::iter([Ok("hel"), Err(io::Error::other("gone"))]));
    assert_eq!(door.ask("PUT", &path, gone).await.refusal(), (400, "bad_request".to_owned()));
    assert_eq!(door.blobs(), [""; 0]);
    let first = door.ask("PUT", &path, "hello").await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.json()["size_bytes"], 5);
    assert_eq!(door.ask("PUT", &path, "hello").await.status, StatusCode::OK);
    assert_eq!(door.ask("HEAD", &path, "").await.status, StatusCode::OK);
    let no_digest = door.ask("PUT", "/v1/blobs/..%2Fx", "").await;
    assert_eq!(no_digest.refusal(), (400, "bad_request".to_owned()));
}

#[tokio::test]
async fn a_refused_deploy_leaves_nothing_behind() {
    let door = Door::open(None);
    let component = digest_of(b"hello").to_string();
    let upload = format!("/v1/blobs/{component}");
    let manifest = "name = \"shop\"\nversion = \"1\"\nsource = \"a.wasm\"\n[[route]]\npath = \"/\"";
    for (manifest, app, refusal) in [
        ("nmae = 1", "shop", (400, "bad_manifest")),
        (manifest, "other", (400, "bad_manifest")),
        // The compiler of these tests does not exist.
        (manifest, "shop", (500, "internal")),
    ] {
        assert_eq!(door.ask("PUT", &upload, "hello").await.status, StatusCode::CREATED);
        let body = json!({ "manifest": manifest, "component": component }).to_string();
        let reply = door.ask("POST", &format!("/v1/apps/{app}/deployments"), body).await;
        assert_eq!(reply.refusal(), (refusal.0, refusal.1.to_owned()), "{}", reply.text);
        assert_eq!(door.blobs(), [""; 0]);
    }
    let body = json!({ "manifest": manifest, "component": component }).to_string();
    let unsent = door.ask("POST", "/v1/apps/shop/deployments", body).await;
    assert_eq!(unsent.refusal(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_and_says_why() {
    let door = Door::open(None);
    let check = async |method: &str, path: &str, body: &str, said: &str| {
        let reply = door.ask(method, path, body.to_owned()).await;
        assert_eq!(reply.refusal(), (400, "bad_request".to_owned()), "{path}");
        assert!(reply.text.contains(said), "{}", reply.text);
    };
    check("POST", "/v1/validate", "{", "JSON").await;
    check("POST", "/v1/validate", r#"{"manifest": "", "x": 1}"#, "`x`").await;
    let wrong = r#"{"manifest": "", "component": "sha256:1"}"#;
    check("POST", "/v1/apps/shop/deployments", wrong, "is not a digest").await;
    check("POST", "/v1/apps/shop/rollback", r#"{"to": 0}"#, "count from 1").await;
    check("GET", "/v1/apps/..%2Fshop", "", "../shop").await;
    check("GET", "/v1/apps/shop/calls?limit=x", "", "limit").await;
    check("GET", "/v1/events?lines=1", "", "lines").await;
    check("GET", "/v1/events?app=A%20B", "", "app: ").await;
}

#[tokio::test]
async fn manifests_are_checked_without_deploying() {
    let door = Door::open(None);
    let manifest =
        "name = \"shop\"\nversion = \"1\"\nsource = \"a.wasm\"\n[[route]]\npath = \"/a\"";
    let body = json!({ "manifest": manifest }).to_string();
    let valid = door.ask("POST", "/v1/validate", body).await;
    assert_eq!(valid.status, StatusCode::OK, "{}", valid.text);
    assert_eq!(valid.json()["routes"], json!(["/a"]));
    let body = json!({ "manifest": "name = 1\ncolour = 2" }).to_string();
    let invalid = door.ask("POST", "/v1/validate", body).await;
    assert_eq!(invalid.refusal(), (400, "bad_manifest".to_owned()));
    let mistakes = &invalid.json()["mistakes"];
    for (key, line) in [("name", 1), ("colour", 2)] {
        let is_told = |mistake: &Value| mistake["key"] == key && mistake["line"] == line;
        assert!(mistakes.as_array().unwrap().iter().any(is_told), "{mistakes}");
    }
}

#[tokio::test]
async fn an_app_that_is_not_there_is_not_found() {
    let door = Door::open(None);
    for (method, path) in [
        ("GET", "/v1/apps/shop"),
        ("GET", "/v1/apps/shop/calls"),
        ("GET", "/v1/apps/shop/logs?follow=true"),
        ("DELETE", "/v1/apps/shop"),
        ("POST", "/v1/apps/shop/rollback"),
    ] {
        let reply = door.ask(method, path, "{}").await;
        assert_eq!(reply.refusal(), (404, "not_found".to_owned()), "{method} {path}");
        assert!(reply.text.contains("shop"), "{}", reply.text);
    }
    assert_eq!(door.ask("GET", "/v1/apps", "").await.json(), json!({ "apps": [] }));
}

#[tokio::test]
async fn the_host_tells_of_itself() {
    let door = Door::open(None);
    let host = door.ask("GET", "/v1/host", "").await.json();
    assert_eq!((&host["unrouted"], &host["slots_total"]), (&json!(3), &json!(4)));
    assert_eq!(host["url"], "http://127.0.0.1:8080");
    let metrics = door.ask("GET", "/metrics", "").await;
    assert_eq!(metrics.form, "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.text.contains("http_server_unrouted_requests_total 3"), "{}", metrics.text);
    door.events.push(Event::now("started", "up".to_owned()));
    let events = door.ask("GET", "/v1/events", "").await.json();
    assert_eq!(events["events"][0]["kind"], "started");
}

#[tokio::test]
async fn a_host_that_ends_is_alive_but_takes_no_changes() {
    let door = Door::open(None);
    assert_eq!(door.ask("GET", "/readyz", "").await.status, StatusCode::OK);
    let following = door.ask("GET", "/v1/events?follow=true", "");
    let (followed, ()) = tokio::join!(following, async { door.shutdown.begin() });
    assert_eq!(followed.text, "\n");
    assert_eq!(door.ask("GET", "/healthz", "").await.status, StatusCode::OK);
    for (method, path) in [("GET", "/readyz"), ("DELETE", "/v1/apps/shop")] {
        let reply = door.ask(method, path, "").await;
        assert_eq!(reply.refusal(), (503, "draining".to_owned()));
    }
    assert_eq!(door.ask("GET", "/v1/host", "").await.json()["draining"], json!(true));
}
