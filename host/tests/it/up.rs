//! `steerage up`: builds, serves and follows the sources, with a real process.
//! The build command copies a guest, so that these tests are about `up` and not about cargo.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use steerage_guests as guests;

use crate::harness::{PATIENCE, manifest, raw, run_in, steerage};

/// A directory with a manifest and the echo guest as its component.
fn echo_app(name: &str, more: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(guests::ECHO, directory.path().join(format!("{name}.wasm"))).unwrap();
    let text = manifest(name, &format!("/{name}/..."), more);
    std::fs::write(directory.path().join("steerage.toml"), text).unwrap();
    directory
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
        Self::with(directory, &[])
    }

    fn with(directory: &Path, env: &[(&str, &Path)]) -> Self {
        Self::through(directory, env, None)
    }

    /// All that it prints also goes into this file, as behind `tee`.
    fn through(directory: &Path, env: &[(&str, &Path)], tee: Option<PathBuf>) -> Self {
        let mut command: Command = steerage();
        command.args(["up", "--listen", "127.0.0.1:0"]).current_dir(directory);
        command.envs(env.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::sync_channel(1_000);
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let (sender, tee) = (sender.clone(), tee.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some(file) = &tee {
                        let file = File::options().create(true).append(true).open(file);
                        writeln!(file.unwrap(), "{line}").unwrap();
                    }
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Self { child, lines, passed: Vec::new() }
    }

    /// A line that contains this and was not asked for before.
    fn line(&mut self, wanted: &str) -> String {
        if let Some(position) = self.passed.iter().position(|line| line.contains(wanted)) {
            return self.passed.remove(position);
        }
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no `{wanted}` in:\n{}", self.passed.join("\n"))
            };
            if line.contains(wanted) {
                return line;
            }
            self.passed.push(line);
        }
    }
}

impl Up {
    /// Where it says that it serves.
    fn address(&mut self) -> String {
        let line = self.line("http://");
        let (_, rest) = line.split_once("http://").unwrap();
        rest.split('/').next().unwrap().to_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // In order, so that it takes its folder away, unless it has ended already.
        if let Ok(None) = self.child.try_wait() {
            self.signal("TERM");
            drop(self.child.wait());
        }
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

async fn get(address: &str, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    raw(address, head.as_bytes()).await
}

fn children(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn up_without_a_manifest_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let said = run_in(folder.path(), &["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("cannot read manifest `steerage.toml`"), "{said:?}");
    let app = echo_app("deep", "");
    std::fs::create_dir(app.path().join("src")).unwrap();
    let said = run_in(&app.path().join("src"), &["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("there is one above") && said.stderr.contains("-f "), "{said:?}");
}

#[test]
fn up_cleans_up_however_it_is_told_to_end() {
    for signal in ["INT", "TERM", "HUP"] {
        let app = echo_app("tidy", "[build]\ncommand = \"true\"\n");
        let temporary = tempfile::tempdir().unwrap();
        let mut up = Up::with(app.path(), &[("TMPDIR", temporary.path())]);
        up.line("tidy generation 1 is served");
        let [folder] = &children(temporary.path())[..] else { panic!("one folder") };
        assert!(folder.starts_with("steerage-up-"), "{folder} says whose it is");
        up.signal(signal);
        assert_eq!(up.child.wait().unwrap().code(), Some(0), "{signal}");
        assert_eq!(children(temporary.path()), [] as [String; 0], "{signal}");
    }
}

#[tokio::test]
async fn up_says_that_it_builds_and_then_answers_under_every_name() {
    let app = echo_app("named", "");
    let text = "name = \"named\"\nsource = \"named.wasm\"\n[build]\ncommand = \"cat go\"\n\
                [[route]]\nhost = \"named.localhost\"\npath = \"/only/...\"\n";
    std::fs::write(app.path().join("steerage.toml"), text).unwrap();
    let pipe = app.path().join("go");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut up = Up::start(app.path());
    let address = up.address();
    let early = get(&address, "/only/x").await;
    assert!(early.starts_with("HTTP/1.1 503 "), "{early}");
    assert!(early.contains("\"cause\":\"not_ready\"") && early.contains("building"), "{early}");
    assert!(early.to_lowercase().contains("\r\nretry-after:"), "{early}");
    // The build waits until somebody writes.
    std::fs::write(&pipe, "").unwrap();
    up.line("named generation 1 is served");
    up.line(&format!("try: curl http://{address}/only/"));
    assert!(get(&address, "/only/x").await.starts_with("HTTP/1.1 200 "));
    assert!(get(&address, "/else").await.starts_with("HTTP/1.1 404 "));
}

/// An app whose build takes the component that `src/which` names, and writes what builds write.
fn generating_app(command: &str) -> (tempfile::TempDir, tempfile::TempDir) {
    let count = tempfile::tempdir().unwrap();
    let builds = count.path().join("builds");
    let command =
        format!("echo >> '{}'; {command}; cp $(cat src/which) gen.wasm", builds.display());
    let app = echo_app("gen", &format!("[build]\ncommand = \"\"\"{command}\"\"\"\n"));
    std::fs::create_dir(app.path().join("src")).unwrap();
    replace(&app.path().join("src/which"), guests::ECHO);
    (app, count)
}

fn n_builds(count: &tempfile::TempDir) -> usize {
    std::fs::read_to_string(count.path().join("builds")).unwrap().lines().count()
}

#[test]
fn what_a_build_writes_starts_no_build() {
    let (app, count) =
        generating_app("mkdir -p dist; echo >> dist/bundle.js; date +%N > src/gen.ts");
    let mut up = Up::start(app.path());
    up.line("gen generation 1 is served");
    for (generation, guest) in [(2, guests::TRAP), (3, guests::HELLO), (4, guests::ECHO)] {
        replace(&app.path().join("src/which"), guest);
        up.line(&format!("gen generation {generation} is served"));
    }
    assert_eq!(n_builds(&count), 4, "{:?}", up.passed);
}

#[test]
fn its_own_output_in_a_file_beside_the_sources_starts_no_build() {
    let (app, count) = generating_app("true");
    let (temporary, log) = (app.path().join("tmp"), app.path().join("a.log"));
    std::fs::create_dir(&temporary).unwrap();
    let mut command = steerage();
    command.args(["up", "--listen", "127.0.0.1:0"]).current_dir(app.path());
    command.env("TMPDIR", &temporary);
    let output = File::create(&log).unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let child = command.spawn().unwrap();
    let (_, lines) = mpsc::sync_channel(1);
    let up = Up { child, lines, passed: Vec::new() };
    let said = || std::fs::read_to_string(&log).unwrap();
    let wait_for = |wanted: &str, times: usize| {
        let started_at = Instant::now();
        while said().matches(wanted).count() < times {
            assert!(started_at.elapsed() < PATIENCE, "no {times} times {wanted} in {}", said());
            std::thread::yield_now();
        }
    };
    wait_for("gen generation 1 is served", 1);
    for times in 1..=3 {
        replace(&app.path().join("src/which"), guests::ECHO);
        wait_for("the component is the same as before", times);
    }
    replace(&app.path().join("src/which"), guests::HELLO);
    wait_for("gen generation 2 is served", 1);
    let changed = said().lines().filter(|line| line.contains("changed: ")).count();
    assert_eq!(changed, said().matches("changed: src/which").count(), "{}", said());
    assert_eq!(n_builds(&count), 5, "{}", said());
    drop(up);
}

#[test]
fn what_somebody_writes_of_its_output_beside_the_sources_does_not_build_for_ever() {
    let (app, _count) = generating_app("true");
    let log = app.path().join("up.log");
    let mut up = Up::through(app.path(), &[], Some(log));
    up.line("up.log changes with each build: name it in .gitignore");
    for (generation, guest) in [(2, guests::HELLO), (3, guests::TRAP), (4, guests::HELLO)] {
        replace(&app.path().join("src/which"), guest);
        up.line(&format!("gen generation {generation} is served"));
    }
    // Three times it may be somebody's, and as often again where a slow reader wrote it while a build
    // ran at first.
    let n_changes = up.passed.iter().filter(|line| line.contains("changed: up.log")).count();
    assert!(n_changes <= 8, "{:?}", up.passed);
}

#[test]
fn what_gitignore_names_starts_no_build_even_when_it_was_there() {
    let (app, count) = generating_app("echo >> dist/bundle.js");
    std::fs::create_dir(app.path().join("dist")).unwrap();
    replace(&app.path().join("dist/bundle.js"), "from yesterday");
    replace(&app.path().join(".gitignore"), "/dist\n");
    let mut up = Up::start(app.path());
    up.line("gen generation 1 is served");
    replace(&app.path().join("src/which"), guests::TRAP);
    up.line("gen generation 2 is served");
    assert_eq!(n_builds(&count), 2, "{:?}", up.passed);
}

#[test]
fn what_is_saved_while_a_build_runs_is_built_after_it() {
    let (app, _count) =
        generating_app("cp src/which first; cat go > /dev/null; cp first src/../used");
    let which = app.path().join("src/which");
    let pipe = app.path().join("go");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut up = Up::start(app.path());
    // Opening it waits until the build reads: the build has begun, and cannot end yet.
    let go = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    replace(&which, guests::TRAP);
    drop(go);
    up.line("changed: src/which");
    drop(std::fs::OpenOptions::new().write(true).open(&pipe).unwrap());
    up.line("gen generation");
}

#[test]
fn the_manifest_says_what_to_watch() {
    let shared = tempfile::tempdir().unwrap();
    let shared_file = shared.path().join("which");
    replace(&shared_file, guests::ECHO);
    let watch = format!(
        "[build]\ncommand = \"cp $(cat '{0}') far.wasm\"\nwatch = [\"src/*.ts\", \"{0}\"]\n",
        shared_file.display()
    );
    let app = echo_app("far", &watch);
    std::fs::create_dir(app.path().join("src")).unwrap();
    let mut up = Up::start(app.path());
    up.line("far generation 1 is served");
    replace(&app.path().join("notes.txt"), "not watched");
    replace(&shared_file, guests::TRAP);
    let changed = up.line("changed: ");
    assert!(changed.ends_with("/which"), "{changed}");
    up.line("far generation 2 is served");
    replace(&app.path().join("src/new.ts"), "watched");
    up.line("changed: src/new.ts");
}

#[tokio::test]
async fn up_tells_every_call_that_fails() {
    let app = echo_app("trap", "[build]\ncommand = \"true\"\n");
    std::fs::copy(guests::TRAP, app.path().join("trap.wasm")).unwrap();
    let mut up = Up::start(app.path());
    let address = up.address();
    up.line("trap generation 1 is served");
    get(&address, "/trap/first").await;
    up.line("path: /trap/first");
    for n in 2..4 {
        get(&address, &format!("/trap/again{n}")).await;
        up.line(&format!("GET /trap/again{n}: "));
    }
}

#[tokio::test]
async fn an_app_of_spins_is_served_and_followed() {
    let app = tempfile::tempdir().unwrap();
    let text = |route: &str| {
        format!(
            "spin_manifest_version = 2\n[application]\nname = \"spun\"\n[[trigger.http]]\n\
             route = \"{route}\"\ncomponent = \"spun\"\n[component.spun]\nsource = \"echo.wasm\"\n"
        )
    };
    std::fs::copy(guests::ECHO, app.path().join("echo.wasm")).unwrap();
    std::fs::write(app.path().join("spin.toml"), text("/one/...")).unwrap();
    let mut up = Up::start(app.path());
    let address = up.address();
    up.line("spun generation 1 is served");
    assert!(get(&address, "/one/x").await.starts_with("HTTP/1.1 200 "));
    replace(&app.path().join("spin.toml"), &text("/two/..."));
    up.line("spun generation 2 is served");
    assert!(get(&address, "/two/x").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn all_components_of_an_app_of_spins_are_served_and_followed() {
    let app = tempfile::tempdir().unwrap();
    let text = |route: &str| {
        format!(
            "spin_manifest_version = 2\napplication = {{ name = \"shop\" }}\n\
             [[trigger.http]]\nroute = \"/hello\"\ncomponent = \"hello\"\n\
             [[trigger.http]]\nroute = \"{route}\"\ncomponent = \"logger\"\n\
             [component.hello]\nsource = \"hello.wasm\"\n\
             [component.logger]\nsource = \"logger.wasm\"\n\
             allowed_outbound_hosts = [\"mqtt://example.com\"]\n"
        )
    };
    std::fs::copy(guests::HELLO, app.path().join("hello.wasm")).unwrap();
    std::fs::copy(guests::LOGGER, app.path().join("logger.wasm")).unwrap();
    std::fs::write(app.path().join("spin.toml"), text("/log")).unwrap();
    let mut up = Up::start(app.path());
    let address = up.address();
    up.line("mqtt://example.com is left out");
    up.line("shop-hello generation 1 is served");
    up.line("shop-logger generation 1 is served");
    assert!(get(&address, "/hello").await.starts_with("HTTP/1.1 200 "));
    assert!(get(&address, "/log").await.starts_with("HTTP/1.1 200 "));
    // Only what changed is deployed anew.
    replace(&app.path().join("spin.toml"), &text("/logs"));
    up.line("shop-logger generation 2 is served");
    assert!(get(&address, "/hello").await.starts_with("HTTP/1.1 200 "));
    assert!(get(&address, "/logs").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_secret_that_is_given_to_up_is_given_to_its_app_and_printed_nowhere() {
    let app = tempfile::tempdir().unwrap();
    std::fs::copy(guests::LEAKS, app.path().join("leaks.wasm")).unwrap();
    let more = "[variables]\npassword = { secret = true }\nlevel = {}\n[env]\nP = \"{{ level }} {{ password }}\"\n\
                [build]\ncommand = \"true\"\n";
    std::fs::write(app.path().join("steerage.toml"), manifest("leaks", "/...", more)).unwrap();
    std::fs::write(
        app.path().join(".env"),
        "STEERAGE_VARIABLE_PASSWORD=hunter2\nSPIN_VARIABLE_LEVEL=low\n",
    )
    .unwrap();
    let mut up = Up::start(app.path());
    let address = up.address();
    up.line("leaks generation 1 is served");
    assert!(get(&address, "/?how=tell").await.ends_with("low hunter2"));
    assert!(get(&address, "/?how=say").await.starts_with("HTTP/1.1 200 "));
    up.line("it is low [secret password].");
    assert!(!up.passed.iter().any(|line| line.contains("hunter2")), "{:?}", up.passed);
}
