//! The page of the admin address: what it is served with, who may see behind it, and each of its screens in a real
//! browser. What the screens must show stands in `host/tests/page/page.test.mjs`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use steerage_guests as guests;

use crate::harness::{Host, Reply, manifest, prints, says, wat};
use crate::outbound::{LOOPBACK, target_after};
use crate::profiled;
use crate::watchdog::watch;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// What all files of the page may take on their way, packed.
const MOST_BYTES: usize = 70_000;
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// A host that asks for [`TOKEN`].
fn closed() -> (Host, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, TOKEN).unwrap();
    (Host::with(&["--token-file", path.to_str().unwrap()]), folder)
}

async fn send(
    host: &Host,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut request = Request::builder().method(method).uri(format!("http://{}{path}", host.admin));
    for (name, value) in headers.iter().chain([&("content-type", "application/json")]) {
        request = request.header(*name, *value);
    }
    host.send(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await
}

/// The files that the page names, and those that these name.
async fn files(host: &Host) -> Vec<(String, Reply)> {
    let (mut found, mut wanted) = (Vec::new(), vec!["/".to_owned()]);
    let mut known = BTreeSet::new();
    while let Some(path) = wanted.pop() {
        if !known.insert(path.clone()) {
            continue;
        }
        let reply = send(host, "GET", &path, &[], "").await;
        assert_eq!(reply.status, 200, "{path}");
        for quoted in reply.text().split(['"', '\'']) {
            if quoted.starts_with("/page/") {
                wanted.push(quoted.to_owned());
            } else if let Some(name) = quoted.strip_prefix("./").filter(|it| it.ends_with(".js")) {
                wanted.push(format!("/page/{name}"));
            }
        }
        found.push((path, reply));
    }
    found
}

fn packed(bytes: &[u8]) -> usize {
    let mut gzip = Command::new("gzip")
        .arg("-9")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let output = gzip.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    output.stdout.len()
}

#[tokio::test]
async fn the_page_is_small_and_its_own_and_may_do_nothing_else() {
    let (host, _folder) = closed();
    let files = files(&host).await;
    // The 22 files in the program are all found so, the first of them at `/`.
    assert_eq!(files.len(), 22, "{:?}", files.iter().map(|file| &file.0).collect::<Vec<_>>());
    let mut bytes = 0;
    for (path, reply) in &files {
        for (name, value) in [
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-cache"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), value, "{path} {name}");
        }
        let tag = reply.header("etag");
        assert!(tag.starts_with('"') && tag.len() == 66, "{path} {tag}");
        let again = send(&host, "GET", path, &[("if-none-match", tag)], "").await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        assert_eq!(again.header("etag"), tag);
        let other = send(&host, "GET", path, &[("if-none-match", "\"another\"")], "").await;
        assert_eq!((other.status, &other.body), (StatusCode::OK, &reply.body), "{path}");
        // No file names anybody else, but for the comment in which uPlot says where it is from.
        let text = reply.text().replace("/*! https://github.com/leeoniya/uPlot (v1.6.32) */", "");
        for foreign in ["http://", "https://", "@import", "url(", "ws://"] {
            assert!(!text.contains(foreign), "{path} has {foreign}");
        }
        // Nor is anything of the page read as HTML or as a program.
        for reader in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            let is_ours = !path.contains("uPlot");
            assert!(!is_ours || !text.contains(reader), "{path} has {reader}");
        }
        bytes += packed(&reply.body);
    }
    eprintln!("the page: {} files, {bytes} bytes packed one by one", files.len());
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");

    let head = send(&host, "HEAD", "/", &[], "").await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (StatusCode::OK, "text/html; charset=utf-8")
    );
    for (method, path, status) in
        [("GET", "/page/none.js", 404), ("GET", "/page/../Cargo.toml", 404), ("POST", "/", 405)]
    {
        assert_eq!(send(&host, method, path, &[], "").await.status, status, "{method} {path}");
    }
}

/// The two halves of a session.
async fn signed_in(host: &Host) -> (String, String) {
    let body = json!({ "token": TOKEN }).to_string();
    let reply = send(host, "POST", "/v1/session", &[], &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let set = reply.header("set-cookie");
    assert!(set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();
    let key = reply.json()["key"].as_str().unwrap().to_owned();
    assert!(!cookie.contains(TOKEN) && !cookie.contains(&key), "{set}");
    (cookie, key)
}

#[tokio::test]
async fn who_has_both_halves_of_a_session_is_let_in_until_it_ends() {
    let (host, folder) = closed();
    let apps = async |headers: &[(&str, &str)]| {
        send(&host, "GET", "/v1/apps", headers, "").await.status.as_u16()
    };
    for wrong in ["", "x", &TOKEN[1..]] {
        let body = json!({ "token": wrong }).to_string();
        let reply = send(&host, "POST", "/v1/session", &[], &body).await;
        assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (401, "unauthorized"));
        assert_eq!(reply.header("set-cookie"), "");
    }
    let body = json!({ "token": TOKEN }).to_string();
    let foreign = [("origin", "http://evil.example")];
    let reply = send(&host, "POST", "/v1/session", &foreign, &body).await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (403, "cross_site"));

    let (cookie, key) = signed_in(&host).await;
    let (other_cookie, other_key) = signed_in(&host).await;
    let both = [("cookie", &*cookie), ("steerage-session-key", &*key)];
    assert_eq!(apps(&both).await, 200);
    let crowded = format!("a=b; steerage-session=set-by-an-app; {cookie}");
    assert_eq!(apps(&[("cookie", &crowded), both[1]]).await, 200);
    // An app on another port of this machine is sent the cookie. With that alone it is nobody.
    assert_eq!(apps(&both[..1]).await, 401);
    assert_eq!(apps(&both[1..]).await, 401);
    assert_eq!(apps(&[("cookie", &other_cookie), both[1]]).await, 401);
    assert_eq!(apps(&[("cookie", &*cookie), ("authorization", "Bearer no")]).await, 401);

    // A browser sends cookies unasked, so with one a change must come from the page.
    let own = format!("http://{}", host.admin);
    let remove = async |more: &[(&str, &str)]| {
        let headers = [&both[..], more].concat();
        let reply = send(&host, "DELETE", "/v1/apps/nobody", &headers, "").await;
        (reply.status.as_u16(), reply.cause())
    };
    assert_eq!(remove(&[]).await, (403, "cross_site".to_owned()));
    for origin in ["http://evil.example", "http://127.0.0.1:1", "null"] {
        assert_eq!(remove(&[("origin", origin)]).await, (403, "cross_site".to_owned()), "{origin}");
    }
    assert_eq!(remove(&[("origin", &own)]).await, (404, "not_found".to_owned()));
    assert_eq!(remove(&[("sec-fetch-site", "same-origin")]).await, (404, "not_found".to_owned()));

    let headers = [&both[..], &[("origin", &*own)]].concat();
    let out = send(&host, "DELETE", "/v1/session", &headers, "").await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").starts_with("steerage-session=; Path=/; Max-Age=0;"));
    assert_eq!(apps(&both).await, 401);
    let others = [("cookie", &*other_cookie), ("steerage-session-key", &*other_key)];
    assert_eq!(apps(&others).await, 200);
    // With another token no session of the one before is open.
    std::fs::write(folder.path().join("token"), "another-token-of-this-host").unwrap();
    host.signal("HUP");
    host.until("the end of the session", || async { (apps(&others).await == 401).then_some(()) })
        .await;
}

#[tokio::test]
async fn behind_a_proxy_with_tls_the_cookie_is_for_tls_only() {
    let (host, _folder) = closed();
    let origin = [("origin", format!("https://{}", host.admin))];
    let origin = origin.each_ref().map(|(name, value)| (*name, &**value));
    let body = json!({ "token": TOKEN }).to_string();
    let reply = send(&host, "POST", "/v1/session", &origin, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.header("set-cookie").ends_with("; Secure"), "{}", reply.header("set-cookie"));
}

#[tokio::test]
async fn a_host_without_a_token_asks_for_none_but_only_under_its_own_name() {
    let host = Host::start();
    assert_eq!(send(&host, "GET", "/v1/problems", &[], "").await.status, 200);
    let reply = send(&host, "POST", "/v1/session", &[], "{\"token\":\"x\"}").await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (400, "bad_request"));
    assert!(reply.text().contains("without a token"), "{}", reply.text());
    let rebound = [("host", "rebound.example")];
    let reply = send(&host, "POST", "/v1/session", &rebound, "{\"token\":\"x\"}").await;
    assert_eq!((reply.status.as_u16(), reply.cause().as_str()), (403, "foreign_host"));
}

/// The versions of the packages that drive a browser.
const LOCK: &[u8] = include_bytes!("../page/package-lock.json");

/// The browser and the folder of the packages that drive it, as `make page-setup` has left them; why they cannot
/// be used, otherwise.
fn browser() -> Result<(PathBuf, PathBuf), String> {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools").join("page");
    let browser = tools.join("browser");
    let browser = std::fs::read_to_string(&browser)
        .map_err(|error| format!("{} cannot be read: {error}", browser.display()))?;
    let browser = PathBuf::from(browser.trim_end());
    if !browser.exists() {
        return Err(format!("there is no {} any more", browser.display()));
    }
    if std::fs::read(tools.join("installed.json")).ok().as_deref() != Some(LOCK) {
        return Err(format!("{} has not the packages of package-lock.json", tools.display()));
    }
    let node = Command::new("node").arg("--version").output();
    if !node.is_ok_and(|output| output.status.success()) {
        return Err("`node --version` does not run".to_owned());
    }
    Ok((browser, tools))
}

/// Prints a line that would be a program, were it ever read as HTML, and says that it did.
fn loud() -> Vec<u8> {
    let line = "printed <img src=x onerror='window.wasRun=1'>";
    let answer = "Content-Type: text/plain\\n\\nit did";
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 100) "{line}\n")
            (data (i32.const 400) "{answer}")
            (func $say (param $to i32) (param $at i32) (param $length i32)
                (i32.store (i32.const 8) (local.get $at))
                (i32.store (i32.const 12) (local.get $length))
                (drop (call $w (local.get $to) (i32.const 8) (i32.const 1) (i32.const 0))))
            (func (export "_start")
                (call $say (i32.const 2) (i32.const 100) (i32.const {}))
                (call $say (i32.const 1) (i32.const 400) (i32.const {}))))"#,
        line.len() + 1,
        answer.replace("\\n", "\n").len(),
    ))
}

/// Apps of which each screen has something to show; the id of a call that waited for another server.
async fn filled(host: &Host) -> String {
    host.deploy(&says("fine"), &manifest("web", "/web/...", "")).await;
    for _ in 0..10 {
        assert_eq!(host.get("/web/").await.status, 200);
    }
    host.deploy(&prints("Status: 500\\n\\nno"), &manifest("web", "/web/...", "")).await;
    for path in ["/web/a", "/web/b"] {
        assert_eq!(host.get(path).await.status, 500);
    }
    let described = manifest("loud", "/loud/...", "");
    let described = described.replacen(
        "name = \"loud\"",
        "name = \"loud\"\ndescription = \"described <img src=x onerror='window.wasRun=1'>\"",
        1,
    );
    host.deploy(&loud(), &described).await;
    assert_eq!(host.get("/loud/").await.status, 200);
    let port = target_after(Duration::from_millis(300)).await;
    let may = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]");
    host.serve("slow", &std::fs::read(guests::OUT).unwrap(), &may).await;
    let reply = host.get(&format!("/slow?url=http://127.0.0.1:{port}/")).await;
    assert!(reply.text().contains("reached"), "{}", reply.text());
    // Of two deployments, so that they can be compared; the second spends its time elsewhere.
    let busy = manifest("busy", "/busy", profiled::LIMITS);
    let much = profiled::MUCH / 4;
    for (generation, (sorts, hashes)) in [(1, (3 * much, much)), (2, (much, 3 * much))] {
        host.deploy(&profiled::sorts_and_hashes(sorts, hashes), &busy).await;
        profiled::sample(host, generation, 150).await;
    }
    host.until("the problem", || async {
        let told = host.admin("GET", "/v1/problems", "").await.json();
        // The machine may lack something besides.
        told["problems"].as_array()?.iter().any(|problem| problem["app"] == "web").then_some(())
    })
    .await;
    host.until("what is to be paid for its CPU time", || async {
        let told = host.admin("GET", "/v1/bill?price=1000000/h", "").await.json();
        let apps = told["apps"].as_array()?;
        let busy = apps.iter().find(|app| app["app"] == "busy")?;
        (busy["use_millionths"].as_u64()? > 0).then_some(())
    })
    .await;
    let call: Value = host.last_call("slow").await;
    call["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_screen_in_a_browser() {
    let (browser, tools) = match browser() {
        Ok(found) => found,
        Err(lacks) => {
            eprintln!("SKIPPED: {lacks}; `make page-setup` brings what this test needs, as root");
            return;
        }
    };
    let sampled = ["--watch", "never", "--profile-frequency", "200", "--history-write", "100ms"];
    let host = Host::with(&[&sampled[..], &LOOPBACK].concat());
    let (closed, _folder) = closed();
    let call = filled(&host).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/page.test.mjs");
    let told = json!({
        "open": format!("http://{}", host.admin),
        "closed": format!("http://{}", closed.admin),
        "token": TOKEN,
        "call": call,
        "profile": host.run(&["profile", "busy", "--diff", "1", "-n", "100"]).done().stdout,
        "browser": browser,
        "pictures": tools.join("pictures"),
        "tools": tools,
    });
    let mut command = Command::new("node");
    command.arg("--test").arg("--test-reporter=spec").arg(script);
    command.env("STEERAGE_PAGE_TEST", told.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let _watched = watch(&child, "the tests of the page in a browser");
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {errors}", output.status);
    // A run that found no test has proved nothing.
    let passed =
        said.lines().find_map(|line| line.split_once("pass ")?.1.trim().parse::<u32>().ok());
    assert!(passed.is_some_and(|passed| passed >= 23), "{said}");
}
