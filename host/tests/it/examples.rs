//! Each app under `examples/`, built from its source and deployed as its README says, answers what
//! the README promises.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;

use crate::harness::{Host, Reply, run};

/// Every app has a test below; one more directory fails [`every_manifest_is_valid`].
const APPS: [&str; 7] = ["api", "cgi", "hello", "hostile", "markdown", "shop-admin", "shop-front"];

fn manifest(app: &str) -> String {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file: PathBuf =
        [repository, "examples".as_ref(), app.as_ref(), "steerage.toml".as_ref()].iter().collect();
    file.to_str().unwrap().to_owned()
}

/// Builds all of them, once for all tests.
fn built() {
    static BUILT: LazyLock<()> = LazyLock::new(|| {
        for app in APPS {
            let target_dir = steerage_guests::TARGET_DIR;
            let words = ["build", "-f", &manifest(app), "--target-dir", target_dir, "-o", "json"];
            let built = run(&words).done().json();
            assert!(built["size_bytes"].as_u64().unwrap() > 1_000, "{built}");
            assert!(built["component"].as_str().unwrap().ends_with(".wasm"), "{built}");
        }
    });
    LazyLock::force(&BUILT);
}

/// A host that serves these apps, each deployed with its own manifest.
fn serving(apps: &[&str]) -> Host {
    built();
    let host = Host::start();
    for app in apps {
        let deployed = host.run(&["deploy", "-f", &manifest(app), "-o", "json"]).done().json();
        assert_eq!(deployed["app"], *app);
    }
    host
}

async fn shop(host: &Host, path: &str, token: &str) -> Reply {
    let request = Request::get(host.url(path))
        .header("host", "shop.localhost")
        .header("authorization", format!("Bearer {token}"));
    host.send(request.body(Full::default()).unwrap()).await
}

#[test]
fn every_manifest_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let found: BTreeSet<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, BTreeSet::from(APPS.map(str::to_owned)));
    for app in APPS {
        let said = run(&["validate", "-f", &manifest(app), "-o", "json"]).done();
        assert_eq!(said.json(), json!({ "valid": true, "mistakes": [] }), "{app}");
    }
}

#[tokio::test]
async fn hello_says_hello() {
    let host = serving(&["hello"]);
    let reply = host.get("/hello").await;
    assert_eq!((reply.status, reply.text().as_str()), (StatusCode::OK, "Hello, world!\n"));
    let fuel = host.last_call("hello").await["fuel"].as_u64().unwrap();
    assert!(fuel < 10_000, "the README promises a few thousand units of fuel, not {fuel}");
}

#[tokio::test]
async fn api_plays_a_game_from_address_to_address() {
    let host = serving(&["api"]);
    let mut address = host.get("/api").await.json()["new_game"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        let game = host.get(&address).await.json();
        let first = &game["moves"][0];
        let made = host.post(&address, json!({ "square": first["square"] }).to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(made.header("location"), first["href"]);
        made.header("location").clone_into(&mut address);
    }
    assert_eq!(address, "/api/game/xox------");
    let taken = host.post(&address, r#"{"square": 0}"#).await;
    assert_eq!((taken.status.as_u16(), taken.text().as_str()), (409, "square 0 is taken"));
    let typo = host.post(&address, r#"{"squire": 0}"#).await;
    assert_eq!(typo.status, 400, "{}", typo.text());
    assert_eq!(host.get("/api/game/nonsense").await.status, 400);
    assert_eq!(host.get("/api/nowhere").await.status, 404);
    assert_eq!(host.post("/api", "").await.status, 405);
    let long = host.post(&address, "x".repeat(5_000)).await;
    assert_eq!(long.status, 413, "its manifest allows 4 KiB: {}", long.text());
}

#[tokio::test]
async fn markdown_renders_its_own_readme() {
    let host = serving(&["markdown"]);
    let text = include_str!("../../../examples/markdown/README.md");
    let page = host.post("/markdown", text).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let html = page.text();
    for part in ["<h1>markdown</h1>", "<em>real</em>", "<table>", "<code class=\"language-sh\">"] {
        assert!(html.contains(part), "no {part} in {html}");
    }
    assert_eq!(host.get("/markdown/readme").await.text(), html);
    assert!(host.get("/markdown").await.text().contains("<textarea"));
    let raw = host.post("/markdown", "<script>alert()</script>").await.text();
    assert!(raw.contains("&lt;script&gt;") && !raw.contains("<script>"), "{raw}");
}

#[tokio::test]
async fn markdown_renders_the_longest_text_it_allows() {
    let host = serving(&["markdown"]);
    let line = "| *a* | `b` | [c](d) |\n";
    let text = "some *words* and `code`\n\n".repeat((1 << 20) / 25);
    let page = host.post("/markdown", text.clone()).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.body.len() > text.len());
    let table = format!("{line}|---|---|---|\n{}", line.repeat(1_000));
    assert_eq!(host.post("/markdown", table).await.text().matches("<tr>").count(), 1_001);
}

#[tokio::test]
async fn cgi_counts_words() {
    let host = serving(&["cgi"]);
    let reply = host.post("/cgi", "the cat and the dog\nand THE end\n").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    let text = reply.text();
    assert!(text.starts_with("2 lines, 8 words, 32 bytes\n      3 the\n      2 and\n"), "{text}");
    assert!(host.get("/cgi").await.text().starts_with("POST a text here"));
    assert_eq!(host.post("/cgi", vec![0xff, 0xfe]).await.status, 400);
}

#[tokio::test]
async fn two_apps_share_one_host_name() {
    let host = serving(&["shop-front", "shop-admin"]);
    let front = shop(&host, "/", "nobody").await;
    assert_eq!(front.status, 200, "{}", front.text());
    assert!(front.text().contains("<h1>The Steerage Shop</h1>"), "{}", front.text());
    let lamp = shop(&host, "/products/lamp", "nobody").await.text();
    assert!(lamp.contains("Lamp") && lamp.contains("59.00"), "{lamp}");
    assert_eq!(shop(&host, "/products/boat", "nobody").await.status, 404);
    for path in ["/admin", "/admin/stock"] {
        assert_eq!(shop(&host, path, "nobody").await.status, 401);
        assert_eq!(shop(&host, path, "staff-only").await.status, 200);
    }
    assert!(shop(&host, "/admin/stock", "staff-only").await.text().contains("no stools"));
    assert_eq!(host.get("/admin").await.status, 404, "only at its host name");
    // One is taken away, and what it covered is the other's again.
    host.run(&["remove", "shop-admin", "--yes"]).done();
    let uncovered = shop(&host, "/admin", "staff-only").await;
    assert_eq!(uncovered.status, 404);
    assert_eq!(shop(&host, "/", "nobody").await.status, 200);
    assert_eq!(host.call_of("shop-front", "/admin").await["status"], 404);
}

#[tokio::test]
async fn hostile_is_stopped_whatever_it_does() {
    let host = serving(&["hostile"]);
    for (path, cause) in [
        ("/hostile/loop", "out_of_fuel"),
        ("/hostile/memory", "out_of_memory"),
        ("/hostile/recursion", "trapped"),
        ("/hostile/panic", "trapped"),
    ] {
        let reply = host.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (500, cause), "{path}");
    }
    for (path, cause, most) in [
        ("/hostile/late-loop", "out_of_fuel", 15),
        ("/hostile/flood", "response_too_large", 1 << 20),
    ] {
        let request = Request::get(host.url(path)).body(Full::default()).unwrap();
        let mut response = host.stream(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut n_bytes = 0;
        let cut = loop {
            match response.body_mut().frame().await {
                Some(Ok(frame)) => n_bytes += frame.data_ref().map_or(0, bytes::Bytes::len),
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert!(cut.is_some(), "{path} ended as if it were whole");
        assert!(0 < n_bytes && n_bytes <= most, "{path}: {n_bytes} bytes");
        let call = host.call_of("hostile", path).await;
        assert_eq!(call["cause"], cause, "{call}");
    }
}

#[tokio::test]
async fn hello_keeps_answering_beside_hostile() {
    let host = serving(&["hello", "hostile"]);
    let crimes = ["loop", "memory", "recursion", "panic"];
    let committed = futures_util::future::join_all(crimes.map(|crime| {
        let (host, path) = (&host, format!("/hostile/{crime}"));
        async move {
            for _ in 0..3 {
                assert_eq!(host.get(&path).await.status, 500, "{path}");
            }
        }
    }));
    let answered = async {
        for _ in 0..50 {
            assert_eq!(host.get("/hello").await.text(), "Hello, world!\n");
        }
    };
    futures_util::future::join(committed, answered).await;
    let n_answered = host.metric("guest_calls_total{app=\"hello\",cause=\"answered\"}");
    assert!(n_answered.await >= 50.0);
}
