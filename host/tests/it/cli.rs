//! The command line from outside: what it prints, which code it ends with, what it leaves behind.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use serde_json::Value;
use steerage_guests as guests;

use crate::harness::{Host, PATIENCE, manifest, steerage};

fn run(directory: &Path, args: &[&str]) -> Output {
    let mut command = steerage();
    // What a developer has set for their own hosts must not reach the test's.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STEERAGE_")) {
        command.env_remove(name);
    }
    command.current_dir(directory).args(args).stdin(Stdio::null()).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", stderr(output));
    text
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

fn admin(host: &Host) -> String {
    format!("http://{}", host.admin)
}

/// A directory with a manifest and the echo guest as its component.
fn echo_app(name: &str, more: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(guests::ECHO, directory.path().join(format!("{name}.wasm"))).unwrap();
    let text = manifest(name, &format!("/{name}/..."), more);
    std::fs::write(directory.path().join("steerage.toml"), text).unwrap();
    directory
}

#[tokio::test]
async fn both_fixed_forms_of_deploy_serve_the_app() {
    let host = Host::start();
    let app = echo_app("first", "");
    let url = admin(&host);
    let deployed = run(app.path(), &["deploy", "-f", "steerage.toml", "--admin", &url]);
    assert!(stdout(&deployed).contains(&format!("curl http://{}/first/", host.listen)));
    let bare = ["deploy", guests::ECHO, "--name", "second", "--route", "/second/..."];
    let bare = [&bare[..], &["--host", "b.example", "--admin", &url]].concat();
    assert!(stdout(&run(app.path(), &bare)).contains("-H 'Host: b.example'"));
    assert_eq!(host.get("/first/x").await.status, 200);
    assert_eq!(host.get_from("b.example", "/second/x").await.status, 200);
}

#[tokio::test]
async fn what_is_printed_as_json_has_the_names_of_the_api() {
    let host = Host::start();
    let app = echo_app("first", "");
    let url = admin(&host);
    let ask = |args: &[&str]| run(app.path(), &[args, &["--admin", &url, "-o", "json"]].concat());
    assert_eq!(json(&ask(&["deploy", "-f", "."]))["generation"], 1);
    assert_eq!(json(&ask(&["deploy", "-f", "."]))["generation"], 2);
    assert_eq!(json(&ask(&["ps"]))["apps"][0]["app"], "first");
    assert_eq!(json(&ask(&["show", "first"]))["limits"]["timeout_ms"], 30_000);
    assert_eq!(host.get("/first/x").await.status, 200);
    host.last_call("first").await;
    assert_eq!(json(&ask(&["calls", "first"]))["calls"][0]["path"], "/first/x");
    let events = stdout(&ask(&["events", "first"]));
    let event: Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert_eq!((event["kind"].as_str(), event["app"].as_str()), (Some("deployed"), Some("first")));
    assert_eq!(json(&ask(&["rollback", "first"]))["generation"], 1);
    assert_eq!(json(&ask(&["remove", "first", "--yes"]))["removed"], "first");
    assert_eq!(json(&ask(&["ps"]))["apps"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn exit_codes_say_whose_turn_it_is() {
    let host = Host::start();
    let url = admin(&host);
    let (first, other) = (echo_app("first", ""), echo_app("other", ""));
    let text = manifest("other", "/first/...", "");
    std::fs::write(other.path().join("steerage.toml"), text).unwrap();
    stdout(&run(first.path(), &["deploy", "--admin", &url]));

    let conflict = run(other.path(), &["deploy", "--admin", &url]);
    assert_eq!(code(&conflict), 4, "{}", stderr(&conflict));
    assert!(stderr(&conflict).contains("first"), "{}", stderr(&conflict));
    assert_eq!(code(&run(other.path(), &["show", "nobody", "--admin", &url])), 4);
    assert_eq!(code(&run(other.path(), &["deploy", "app.wasm", "--name", "x"])), 2);
    assert_eq!(code(&run(other.path(), &["remove", "first", "--admin", &url])), 2);
    std::fs::remove_file(other.path().join("other.wasm")).unwrap();
    assert_eq!(code(&run(other.path(), &["deploy", "--admin", &url])), 1);
    drop(host);
    let gone = run(first.path(), &["ps", "--admin", &url]);
    assert_eq!(code(&gone), 3, "{}", stderr(&gone));
    assert!(stderr(&gone).contains("steerage host"), "{}", stderr(&gone));
}

#[test]
fn validate_reports_every_mistake_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let text = "name = \"../up\"\nversion = \"1\"\nsource = \"a.wasm\"\nnmae = 1\n\n[limits]\n\
                memory = \"lots\"\n\n[[route]]\npath = \"nope\"\n";
    std::fs::write(directory.path().join("steerage.toml"), text).unwrap();
    let output = run(directory.path(), &["validate"]);
    assert_eq!(code(&output), 4);
    for place in ["steerage.toml:1:", "steerage.toml:4:", "steerage.toml:7:", "steerage.toml:10:"] {
        assert!(stderr(&output).contains(place), "no {place} in {}", stderr(&output));
    }
    let output = run(directory.path(), &["validate", "-o", "json"]);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["valid"], false);
    assert_eq!(verdict["mistakes"].as_array().unwrap().len(), 4);
    assert_eq!(verdict["mistakes"][0]["line"], 1);
}

#[tokio::test]
async fn each_template_builds_and_answers() {
    let host = Host::start();
    let directory = tempfile::tempdir().unwrap();
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("templates");
    for (name, template, answer) in
        [("fresh-http", "http", "fresh-http is here"), ("fresh-cgi", "cgi", "Hello from fresh-cgi")]
    {
        stdout(&run(directory.path(), &["new", name, "--template", template]));
        let app = directory.path().join(name);
        // Both have the same route, as the first app of anybody has.
        let text = std::fs::read_to_string(app.join("steerage.toml")).unwrap();
        let text = text.replace("[[route]]", &format!("[[route]]\nhost = \"{name}.example\""));
        std::fs::write(app.join("steerage.toml"), text).unwrap();
        stdout(&run(&app, &["build", "--target-dir", shared.to_str().unwrap()]));
        stdout(&run(&app, &["deploy", "--admin", &admin(&host)]));
        let reply = host.get_from(&format!("{name}.example"), "/").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains(answer), "{}", reply.text());
    }
    let again = run(directory.path(), &["new", "fresh-cgi"]);
    assert_eq!(code(&again), 4);
}

/// A running `steerage up` and the lines it prints.
struct Up {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// What was read while another line was wanted: stdout and stderr come in no order.
    passed: Vec<String>,
}

impl Up {
    fn start(directory: &Path) -> Self {
        let mut command: Command = steerage();
        command.args(["up", "--listen", "127.0.0.1:0"]).current_dir(directory);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::sync_channel(1_000);
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Self { child, lines, passed: Vec::new() }
    }

    /// A line that contains this and was not asked for before.
    fn line(&mut self, wanted: &str) {
        if let Some(position) = self.passed.iter().position(|line| line.contains(wanted)) {
            self.passed.remove(position);
            return;
        }
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no `{wanted}` in:\n{}", self.passed.join("\n"))
            };
            if line.contains(wanted) {
                return;
            }
            self.passed.push(line);
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn replace(path: &PathBuf, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn up_serves_changes_and_survives_a_build_that_fails() {
    // The build command copies, so that the test is about `up` and not about cargo.
    let app = echo_app("live", "[build]\ncommand = \"sh build.sh\"\n");
    let script = app.path().join("build.sh");
    let copy = |guest: &str| format!("cp '{guest}' live.wasm\n");
    replace(&script, &copy(guests::ECHO));
    let mut up = Up::start(app.path());
    up.line("live generation 1 is served");
    up.line("try: curl http://127.0.0.1:");
    replace(&script, "echo the compiler is unhappy; exit 7\n");
    up.line("the compiler is unhappy");
    up.line("still serving the live from before");
    replace(&script, &copy(guests::TRAP));
    up.line("live generation 2 is served");
    replace(&script, &format!("# nothing new\n{}", copy(guests::TRAP)));
    up.line("the component is the same as before");
}
