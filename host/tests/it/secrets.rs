//! Secrets of apps: who is given them, when, and that nobody else sees them.
//! Does not test how they are sealed: `seal` has its own tests.

mod planted;
mod troubles;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use steerage_guests as guests;
use tempfile::TempDir;

use crate::fleet::Fleet;
use crate::harness::{Host, Reply, Said, manifest, run, run_in, steerage};
use crate::restored::{RESTORED, warm};

/// An app that has one secret in its environment, as it is and within another text.
const PASSWORD: &str = "[variables]\npassword = { secret = true }\nuser = { default = \"ann\" }\n[env]\n\
                        PASSWORD = \"{{ password }}\"\nURL = \"db://{{ user }}:{{ password }}@db\"\n";

/// A key for a host, and the flags that name it.
pub(crate) struct Key {
    _folder: TempDir,
    path: PathBuf,
}

impl Key {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = run(&["secret", "key"]).done().stdout;
        std::fs::write(&path, key).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self { _folder: folder, path }
    }

    fn flags(&self) -> [&str; 2] {
        ["--secrets-key", self.path.to_str().unwrap()]
    }

    /// A host that has it.
    pub(crate) fn host(&self) -> Host {
        Host::with(&self.flags())
    }
}

fn leaks() -> Vec<u8> {
    std::fs::read(guests::LEAKS).unwrap()
}

pub(crate) async fn set(host: &Host, app: &str, name: &str, value: &str) -> Value {
    let path = format!("/v1/apps/{app}/secrets/{name}");
    let reply = host.admin("PUT", &path, value.to_owned()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

async fn try_serve(host: &Host, app: &str, more: &str) -> Reply {
    host.try_deploy(&leaks(), &manifest(app, &format!("/{app}/..."), more)).await
}

async fn told(host: &Host, app: &str) -> String {
    let reply = host.get(&format!("/{app}/?how=tell")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text()
}

/// Runs `steerage secret` with something on its stdin.
fn secret(host: &Host, words: &[&str], stdin: &[u8]) -> Said {
    let mut command = steerage();
    command.arg("secret").args(words).args(["--admin", &format!("http://{}", host.admin)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Said { code: output.status.code().unwrap(), stdout, stderr }
}

#[tokio::test]
pub(crate) async fn a_secret_is_given_to_the_guests_of_its_app_and_shown_to_nobody() {
    let key = Key::new();
    let host = key.host();
    // Before there is an app.
    let said = secret(&host, &["set", "leaks", "password"], b"hunter2\n").done();
    assert!(
        said.stdout.contains("version 1: no deployment that is served uses it yet"),
        "{said:?}"
    );
    host.serve("leaks", &leaks(), PASSWORD).await;
    assert_eq!(told(&host, "leaks").await, "hunter2\ndb://ann:hunter2@db");
    let said = secret(&host, &["set", "leaks", "password"], b"hunter3").done();
    assert!(said.stdout.contains("is set, version 2: new calls get it"), "{said:?}");
    assert_eq!(told(&host, "leaks").await, "hunter3\ndb://ann:hunter3@db");
    let listed = host.run(&["secret", "list", "leaks"]).done().stdout;
    let row = listed.lines().nth(1).unwrap();
    assert!(row.starts_with("password") && row.contains('2') && row.contains("yes"), "{listed}");
    let listed = host.admin("GET", "/v1/apps/leaks/secrets", "").await.json();
    assert_eq!(
        (&listed["secrets"][0]["version"], &listed["secrets"][0]["opens"]),
        (&json!(2), &json!(true))
    );
    let shown = host.admin("GET", "/v1/apps/leaks", "").await;
    assert_eq!(shown.json()["env"], json!(["PASSWORD", "URL"]));
    assert!(!shown.text().contains("hunter") && !shown.text().contains("ann"), "{}", shown.text());
    let events = host.admin("GET", "/v1/events?app=leaks", "").await.text();
    assert!(events.contains("version 2 of secret password of leaks was set"), "{events}");
}

#[tokio::test]
async fn what_an_app_is_configured_with_is_found_with_its_secrets() {
    let key = Key::new();
    let host = key.host();
    set(&host, "settings", "password", "hunter2").await;
    let wasm = std::fs::read(guests::SETTINGS).unwrap();
    host.serve("settings", &wasm, PASSWORD).await;
    let reply = host.get("/settings/?name=URL").await.text();
    let found = "Ok(Some(\"db://ann:hunter2@db\"))\n";
    assert!(reply.starts_with(&format!("{found}{found}Ok(2)\n")), "{reply}");
}

#[tokio::test]
async fn a_new_value_reaches_instances_that_wait_for_another_call_and_those_that_are_put_back() {
    let key = Key::new();
    let host = key.host();
    for (app, instance) in [("reused", "reuse = 1000"), (RESTORED, "fresh = \"restored\"")] {
        set(&host, app, "password", "first-value").await;
        host.serve(app, &leaks(), &format!("{PASSWORD}[instance]\n{instance}\n")).await;
    }
    warm(&host, "/?how=kept").await;
    for app in ["reused", RESTORED] {
        for value in ["second-value", "third-value"] {
            for _ in 0..3 {
                host.get(&format!("/{app}/?how=kept")).await;
            }
            set(&host, app, "password", value).await;
            for _ in 0..10 {
                let kept = host.get(&format!("/{app}/?how=kept")).await.text();
                assert!(kept.starts_with(value), "{app}: {kept}");
            }
        }
    }
}

#[tokio::test]
async fn a_canary_gets_a_new_value_and_counts_on() {
    let key = Key::new();
    let host = key.host();
    set(&host, "leaks", "password", "first-value").await;
    host.serve("leaks", &leaks(), PASSWORD).await;
    let text = manifest("leaks", "/leaks/...", &format!("{PASSWORD}CANARY = \"yes\"\n"));
    let component = crate::harness::digest(&leaks());
    let body = json!({ "manifest": text, "component": component, "canary": "50%" }).to_string();
    let reply = host.admin("POST", "/v1/apps/leaks/deployments", body).await;
    assert!(reply.status.is_success(), "{}", reply.text());
    let of_canary = async || {
        host.until("a call of the canary", || async {
            let said = told(&host, "leaks").await;
            said.starts_with("yes").then_some(said)
        })
        .await
    };
    assert!(of_canary().await.contains("\nfirst-value\n"));
    let calls = async || {
        let shown = host.admin("GET", "/v1/apps/leaks", "").await.json();
        shown["canary"]["canary"]["calls"].as_u64().unwrap()
    };
    let before = host.until("a counted call", || async { Some(calls().await).filter(|n| *n > 0) });
    let before = before.await;
    set(&host, "leaks", "password", "second-value").await;
    assert!(of_canary().await.contains("\nsecond-value\n"));
    assert!(calls().await >= before, "of {before} calls some are forgotten");
}

#[tokio::test]
async fn secrets_outlive_the_host_and_go_with_their_app() {
    let (key, folder) = (Key::new(), tempfile::tempdir().unwrap());
    let mut host = Host::on(folder.path(), &key.flags());
    set(&host, "leaks", "password", "hunter2").await;
    host.serve("leaks", &leaks(), PASSWORD).await;
    host.kill();
    let host = Host::on(folder.path(), &key.flags());
    assert!(told(&host, "leaks").await.starts_with("hunter2\n"));
    host.run(&["remove", "leaks", "--yes"]).done();
    let reply = host.admin("GET", "/v1/apps/leaks/secrets", "").await;
    assert_eq!(reply.cause(), "not_found", "{}", reply.text());
    // Whoever is given the name next has nothing of it.
    let reply = try_serve(&host, "leaks", PASSWORD).await;
    assert_eq!(reply.cause(), "no_secret", "{}", reply.text());
}

#[tokio::test]
async fn a_backup_has_secrets_as_they_are_sealed() {
    let (key, folder) = (Key::new(), tempfile::tempdir().unwrap());
    let host = key.host();
    set(&host, "leaks", "password", "hunter2").await;
    host.serve("leaks", &leaks(), PASSWORD).await;
    let (file, data) = (folder.path().join("backup.tar"), folder.path().join("data"));
    host.run(&["backup", file.to_str().unwrap()]).done();
    assert!(!contains(&std::fs::read(&file).unwrap(), b"hunter2"));
    run(&["restore", file.to_str().unwrap(), "--data", data.to_str().unwrap()]).done();
    let host = Host::on(&data, &key.flags());
    assert!(told(&host, "leaks").await.starts_with("hunter2\n"));
}

#[tokio::test]
async fn variables_are_said_by_flags_the_environment_and_a_file() {
    let (host, folder) = (Host::start(), tempfile::tempdir().unwrap());
    let more = "[variables]\na = { default = \"1\" }\nb = {}\n[variables.c]\nrequired = true\n[env]\n\
                ALL = \"{{ a }} {{ b }} {{ c }}\"\n";
    let text = manifest("leaks", "/leaks/...", more);
    std::fs::write(folder.path().join("steerage.toml"), &text).unwrap();
    std::fs::copy(guests::LEAKS, folder.path().join("leaks.wasm")).unwrap();
    let said = host.run_in(folder.path(), &["deploy"]);
    assert_eq!(said.code, 4, "{said:?}");
    for lacks in ["variables.b: it has no value: say --variable b=VALUE", "STEERAGE_VARIABLE_C"] {
        assert!(said.stderr.contains(lacks), "{said:?}");
    }
    std::fs::write(folder.path().join(".env"), "SPIN_VARIABLE_B=2\nSTEERAGE_VARIABLE_C=3\n")
        .unwrap();
    host.run_in(folder.path(), &["deploy", "--variable", "c=4=4"]).done();
    assert_eq!(told(&host, "leaks").await, "1 2 4=4");
    // The file stays as it was written.
    assert_eq!(std::fs::read_to_string(folder.path().join("steerage.toml")).unwrap(), text);
    let said = host.run_in(folder.path(), &["deploy", "--variable", "d=5"]);
    assert!(said.code == 2 && said.stderr.contains("[variables] has no d"), "{said:?}");
}

#[tokio::test]
async fn all_hosts_of_a_fleet_give_what_one_was_told_and_serve_on_without_the_store() {
    let key = Key::new();
    let Some(mut fleet) = Fleet::start_with(2, &key.flags()).await else { return };
    let (first, second) = (&fleet.hosts[0], &fleet.hosts[1]);
    set(first, "leaks", "password", "first-value").await;
    let planted = planted::planted();
    let (mut variables, mut env) = (String::new(), String::new());
    for (name, value) in &planted {
        set(second, "leaks", name, value).await;
        variables += &format!("{name} = {{ secret = true }}\n");
        env += &format!("Z_{name} = \"{{{{ {name} }}}}\"\n");
    }
    let more = PASSWORD.replace("[env]", &format!("{variables}[env]"));
    let more = format!("[replicas]\nmin = 2\nmax = 2\n{more}{env}");
    first.serve("leaks", &leaks(), &more).await;
    fleet.ready_on("leaks", 2).await;
    for host in &fleet.hosts {
        assert!(told(host, "leaks").await.starts_with("first-value\n"));
    }
    set(second, "leaks", "password", "second-value").await;
    for host in &fleet.hosts {
        host.until("the new value", || async {
            told(host, "leaks").await.starts_with("second-value\n").then_some(())
        })
        .await;
    }
    let stored = fleet.etcd.store().await.read("").await.unwrap();
    let stored: Vec<u8> = stored.entries.into_iter().flat_map(|entry| entry.value).collect();
    assert!(contains(&stored, b"\"sealed\"") && !contains(&stored, b"-value"));
    assert_eq!(planted::found_in(&planted, &stored), [""; 0]);
    for (path, bytes) in fleet.hosts.iter().flat_map(|host| files_below(&host.data)) {
        assert_eq!(planted::found_in(&planted, &bytes), [""; 0], "{}", path.display());
    }
    // One that starts while the store is away has what it read before.
    let mut ended = fleet.hosts.remove(0);
    ended.kill();
    fleet.etcd.kill(0);
    let kept = std::fs::read(ended.data.join("secrets.json")).unwrap();
    assert!(contains(&kept, b"\"sealed\"") && !contains(&kept, b"-value"));
    let host = Host::on(&ended.data, &Fleet::flags(&fleet.etcd.url(), "h1", &key.flags()));
    // Not one that the other passes on.
    fleet.hosts.clear();
    host.until("an answer", || async {
        let reply = host.get("/leaks/?how=tell").await;
        reply.text().starts_with("second-value\n").then_some(())
    })
    .await;
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(bytes, text).is_some()
}

/// All files below a folder, with what is in each.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.is_file() {
            let content = std::fs::read(&path).unwrap();
            files.push((path, content));
        }
    }
    files
}

#[test]
fn what_is_given_to_up_is_for_the_app_that_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("steerage.toml"),
        manifest("leaks", "/...", &format!("{PASSWORD}[build]\ncommand = \"true\"\n")),
    )
    .unwrap();
    std::fs::copy(guests::LEAKS, folder.path().join("leaks.wasm")).unwrap();
    let said = run_in(folder.path(), &["up", "--once", "--listen", "0"]);
    assert!(said.code != 0 && said.stderr.contains("set STEERAGE_VARIABLE_PASSWORD"), "{said:?}");
}
