//! The command line end to end: what people type, what it prints, and the exit codes programs see.

use std::path::Path;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use steerage_guests as guests;

use crate::harness::{Host, Said, manifest, run, run_in, steerage};

/// A host with one app, `greet`, deployed twice from its folder and called once.
async fn greeted() -> (Host, tempfile::TempDir) {
    let host = Host::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(guests::LOGGER, folder.path().join("greet.wasm")).unwrap();
    let text = manifest("greet", "/greet/...", "[env]\nSECRET = \"s3cret\"");
    std::fs::write(folder.path().join("steerage.toml"), text).unwrap();
    for _ in 0..2 {
        host.run_in(folder.path(), &["deploy", "-f", "steerage.toml"]).done();
    }
    assert_eq!(host.get("/greet?n=2").await.status, 200);
    host.call_of("greet", "/greet").await;
    (host, folder)
}

fn refused(said: &Said, words: &[&str]) {
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stderr.starts_with("error: "), "{said:?}");
    for word in words {
        assert!(said.stderr.contains(word), "no {word} in {}", said.stderr);
    }
}

#[tokio::test]
async fn a_manifest_is_deployed() {
    let host = Host::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(guests::HELLO, folder.path().join("hello.wasm")).unwrap();
    let text = manifest("hello", "/hello", "");
    std::fs::write(folder.path().join("steerage.toml"), text).unwrap();
    let words = ["deploy", "-f", "steerage.toml", "-o", "json"];
    let deployed = host.run_in(folder.path(), &words).done().json();
    assert_eq!((&deployed["app"], &deployed["generation"]), (&json!("hello"), &json!(1)));
    assert_eq!(deployed["routes"], json!(["/hello"]));
    assert_eq!(host.get("/hello").await.status, 200);
    let again = host.run_in(folder.path(), &["deploy"]).done();
    assert!(again.stdout.contains("hello is served as generation 2"), "{again:?}");
    assert!(again.stdout.contains(&format!("try: curl {}", host.url("/hello"))), "{again:?}");
    let quiet = host.run_in(folder.path(), &["deploy", "--quiet"]).done();
    assert!(!quiet.stdout.contains("try:") && quiet.stderr.is_empty(), "{quiet:?}");
}

#[tokio::test]
async fn a_bare_component_is_deployed() {
    let host = Host::start();
    let words = ["deploy", guests::HELLO, "--name", "bare", "--route", "/bare/..."];
    host.run(&words).done();
    assert_eq!(host.get("/bare/below").await.status, 200);
    let named = ["deploy", guests::HELLO, "--name", "named", "--route", "/", "--host", "a.test"];
    let deployed = host.run(&[&named[..], &["-o", "json"]].concat()).done().json();
    assert_eq!(deployed["routes"], json!(["a.test/"]));
    assert_eq!(host.get_from("a.test", "/").await.status, 200);
    assert_eq!(host.get_from("b.test", "/").await.status, 404);
    refused(
        &host.run(&["deploy", guests::HELLO, "--name", "../up", "--route", "bare"]),
        &["--name", "--route", "must start with /"],
    );
}

#[tokio::test]
async fn programs_read_json() {
    let (host, _folder) = greeted().await;
    let json_of = |words: &[&str]| host.run(&[words, &["-o", "json"]].concat()).done();
    let apps = json_of(&["ps"]).json();
    let [app] = &apps["apps"].as_array().unwrap()[..] else { panic!("one app: {apps}") };
    assert_eq!((&app["app"], &app["generation"]), (&json!("greet"), &json!(2)));
    assert_eq!((&app["calls"], &app["failed"]), (&json!(1), &json!(0)));
    assert!(app["fuel"].as_u64().unwrap() > 0);

    let shown = json_of(&["show", "greet"]).json();
    assert_eq!(shown["limits"]["memory_bytes"], 128 << 20);
    let current =
        |deployment: &Value| (deployment["generation"].clone(), deployment["current"].clone());
    let deployments: Vec<_> =
        shown["deployments"].as_array().unwrap().iter().map(current).collect();
    assert_eq!(deployments, [(json!(2), json!(true)), (json!(1), json!(false))]);

    let calls = json_of(&["calls", "greet"]).json();
    assert_eq!(calls["calls"][0]["cause"], "answered");
    assert_eq!(calls["calls"][0]["method"], "GET");

    let lines = json_of(&["logs", "greet"]).json_lines();
    assert_eq!(lines.len(), 4, "two on each stream: {lines:?}");
    assert!(lines.iter().all(|line| line["call"] == calls["calls"][0]["id"]), "{lines:?}");
    assert_eq!(json_of(&["logs", "greet", "-n", "1"]).json_lines().len(), 1);

    let events = json_of(&["events"]).json_lines();
    let n_deployed = events.iter().filter(|event| event["kind"] == "deployed").count();
    assert_eq!(n_deployed, 2, "{events:?}");

    let back = json_of(&["rollback", "greet", "--to", "1"]).json();
    assert_eq!(back["app"], "greet");
    assert_eq!(json_of(&["remove", "greet", "--yes"]).json(), json!({ "removed": "greet" }));
    assert_eq!(json_of(&["ps"]).json(), json!({ "apps": [] }));
    assert_eq!(host.get("/greet").await.status, 404);
}

#[tokio::test]
async fn people_read_tables() {
    let (host, _folder) = greeted().await;
    for (words, expected) in [
        (&["ps"][..], &["APP", "greet", "/greet/..."][..]),
        (&["show", "greet"], &["memory 128MiB", "served", "/greet/...", "SECRET"]),
        (&["calls", "greet"], &["OUTCOME", "GET /greet", "200", "answered"]),
        (&["logs", "greet"], &["  out 1 ", "  err 2 "]),
        (&["events", "greet"], &["greet  deployed  "]),
    ] {
        let said = host.run(words).done();
        for word in expected {
            assert!(said.stdout.contains(word), "no {word} in {words:?}: {said:?}");
        }
        assert!(!said.stdout.contains('\u{1b}'), "colours in a pipe: {said:?}");
        assert!(!said.stdout.contains("s3cret"), "the environment's values show: {said:?}");
    }
    let back = host.run(&["rollback", "greet"]).done();
    assert!(back.stdout.contains("greet is served as generation"), "{back:?}");
    let asked = host.run(&["remove", "greet"]);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.stderr.contains("--yes"), "{asked:?}");
    assert_eq!(host.run(&["remove", "greet", "-y"]).done().stdout, "greet was removed\n");
    let none = host.run(&["ps"]).done();
    assert!(format!("{none:?}").contains("no apps yet"), "{none:?}");
}

#[tokio::test]
async fn what_the_host_refuses_ends_with_4() {
    let (host, folder) = greeted().await;
    let words = ["deploy", guests::HELLO, "--name", "thief", "--route", "/greet/..."];
    refused(&host.run(&words), &["cannot deploy thief", "/greet/...", "greet"]);
    let text = folder.path().join("not.wasm");
    std::fs::write(&text, "this is not Wasm").unwrap();
    let words = ["deploy", text.to_str().unwrap(), "--name", "text", "--route", "/text"];
    refused(&host.run(&words), &["cannot deploy text"]);
    for words in [
        &["show", "nobody"][..],
        &["logs", "nobody"],
        &["calls", "nobody"],
        &["rollback", "nobody"],
        &["remove", "nobody", "--yes"],
        &["rollback", "greet", "--to", "99"],
    ] {
        let said = host.run(words);
        refused(&said, &["because: "]);
        assert!(said.stdout.is_empty(), "{said:?}");
    }
    let apps = host.run(&["ps", "-o", "json"]).done().json();
    assert_eq!(apps["apps"].as_array().unwrap().len(), 1, "nothing is left behind: {apps}");
}

#[test]
fn a_host_that_is_not_there_ends_with_3() {
    // A port that was free a moment ago and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for words in [
        &["ps"][..],
        &["events", "-o", "json"],
        &["logs", "greet", "-f"],
        &["deploy", guests::HELLO, "--name", "hello", "--route", "/hello"],
    ] {
        let said = run(&[words, &["--admin", &url]].concat());
        assert_eq!(said.code, 3, "{said:?}");
        assert!(said.stderr.contains(&format!("is a host running at {url}?")), "{said:?}");
        assert!(said.stderr.contains("steerage host"), "{said:?}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() {
    for (words, hint) in [
        (&["frobnicate"][..], "--help"),
        (&["deploy", "app.wasm"], "--name <NAME>"),
        (&["ps", "--admin", "not a url"], "not a url"),
        (&["ps", "--admin"], "--admin <URL>"),
    ] {
        let said = run(words);
        assert_eq!(said.code, 2, "{words:?}: {said:?}");
        assert!(said.stderr.contains(hint), "{words:?}: {said:?}");
    }
}

#[test]
fn help_documents_the_exit_codes() {
    let said = run(&["--help"]).done();
    for line in ["0  done", "2  the command line", "3  the host could not", "4  refused"] {
        assert!(said.stdout.contains(line), "{}", said.stdout);
    }
}

#[test]
fn validate_prints_every_mistake_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("steerage.toml");
    let text = "name = \"Bad Name\"\nversion = \"1.0.0\"\nsource = \"a.wasm\"\nsauce = 1\n\n\
                [[route]]\npath = \"a\"\n\n[limits]\nmemory = \"lots\"\n";
    std::fs::write(&file, text).unwrap();
    let said = run_in(folder.path(), &["validate"]);
    refused(&said, &["the manifest has mistakes"]);
    for place in ["steerage.toml:1:", "steerage.toml:4:1", "steerage.toml:7:", "steerage.toml:10:"]
    {
        assert!(said.stderr.contains(place), "no {place} in {}", said.stderr);
    }
    let said = run_in(folder.path(), &["validate", "-o", "json"]);
    assert_eq!(said.code, 4);
    let verdict = said.json();
    assert_eq!(verdict["valid"], false);
    let mistakes = verdict["mistakes"].as_array().unwrap();
    let lines: Vec<_> = mistakes.iter().map(|mistake| mistake["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [1, 4, 7, 10]);
    assert!(mistakes.iter().all(|mistake| mistake["column"].as_u64().unwrap() > 0));
    let missing = run_in(folder.path(), &["validate", "-f", "nowhere.toml"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.stderr.contains("nowhere.toml"), "{missing:?}");
}

#[test]
fn version_and_completions_are_printed() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(run(&["version"]).done().stdout.contains(version));
    assert_eq!(run(&["version", "-o", "json"]).done().json()["version"], version);
    assert_eq!(run(&["--version"]).done().stdout, format!("steerage {version}\n"));
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef steerage"), ("fish", "complete -c steerage")]
    {
        let script = run(&["completions", shell]).done().stdout;
        assert!(script.contains(mark) && script.contains("rollback"), "{shell}");
        let hidden = ["steerage,compile)", "Compile one component"];
        assert!(!hidden.iter().any(|mark| script.contains(mark)), "{shell} offers a hidden verb");
    }
}

/// Makes an app from a template, builds it from source and deploys it.
fn start_from(template: &str, host: &Host, folder: &Path) {
    let made = run_in(folder, &["new", "mine", "--template", template]).done();
    assert!(made.stdout.contains("steerage up"), "it says how to go on: {made:?}");
    let app = folder.join("mine");
    run_in(&app, &["validate"]).done();
    let built = steerage()
        .args(["build", "-o", "json"])
        .current_dir(&app)
        .env("CARGO_TARGET_DIR", guests::TARGET_DIR)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let built: Value = serde_json::from_slice(&built.stdout).unwrap();
    assert!(built["digest"].as_str().unwrap().starts_with("sha256:"), "{built}");
    host.run_in(&app, &["deploy"]).done();
    refused(&run_in(folder, &["new", "mine"]), &["exists already"]);
}

#[tokio::test]
async fn a_new_http_service_builds_deploys_and_answers() {
    let (host, folder) = (Host::start(), tempfile::tempdir().unwrap());
    start_from("http", &host, folder.path());
    let get = |path| host.get_from("mine.localhost", path);
    assert_eq!(get("/").await.text(), "mine is here. Try /hello/you\n");
    assert_eq!(get("/hello/you?greeting=Ahoy").await.text(), "Ahoy, you!\n");
    assert_eq!(get("/nowhere").await.status, 404);
}

#[tokio::test]
async fn a_new_cgi_program_builds_deploys_and_answers() {
    let (host, folder) = (Host::start(), tempfile::tempdir().unwrap());
    start_from("cgi", &host, folder.path());
    let request = Request::post(host.url("/a/b")).header("host", "mine.localhost");
    let text = host.send(request.body(Full::new("four".into())).unwrap()).await.text();
    assert!(text.starts_with("Hello from mine!\nYou asked for POST /a/b\n"), "{text}");
    assert!(text.ends_with("and sent 4 bytes.\n"), "{text}");
}
