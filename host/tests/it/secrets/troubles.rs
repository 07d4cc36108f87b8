//! What goes wrong with secrets says what it is, and loses nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use steerage::store::{Commit, Write};

use super::{Key, PASSWORD, contains, files_below, leaks, secret, set, told, try_serve};
use crate::fleet::Fleet;
use crate::harness::{Host, run};

#[tokio::test]
async fn an_app_whose_secret_is_not_set_is_refused_with_what_sets_it() {
    let key = Key::new();
    let host = key.host();
    let reply = try_serve(&host, "leaks", PASSWORD).await;
    assert_eq!((reply.status.as_u16(), &*reply.cause()), (409, "no_secret"), "{}", reply.text());
    let said = "secret password of leaks is not set: `steerage secret set leaks password` reads it from stdin";
    assert_eq!(reply.json()["detail"], said);
    // Nothing is left behind, and what is served stays so.
    assert_eq!(host.admin("GET", "/v1/apps", "").await.json(), json!({ "apps": [] }));
    host.serve("leaks", &leaks(), "[env]\nA = \"b\"\n").await;
    assert_eq!(try_serve(&host, "leaks", PASSWORD).await.cause(), "no_secret");
    assert_eq!(told(&host, "leaks").await, "b");
    // One that has a default need not be set.
    let more = PASSWORD.replace("secret = true", "secret = true, default = \"none\"");
    host.serve("leaks", &leaks(), &more).await;
    assert_eq!(told(&host, "leaks").await, "none\ndb://ann:none@db");
    set(&host, "leaks", "password", "hunter2").await;
    assert!(told(&host, "leaks").await.starts_with("hunter2\n"));
}

#[tokio::test]
async fn a_secret_that_is_used_is_not_deleted() {
    let key = Key::new();
    let host = key.host();
    set(&host, "leaks", "password", "hunter2").await;
    set(&host, "leaks", "other", "hunter2").await;
    host.serve("leaks", &leaks(), PASSWORD).await;
    let said = host.run(&["secret", "delete", "leaks", "password"]);
    assert!(said.code == 4 && said.stderr.contains("used by deployment 1 of leaks"), "{said:?}");
    host.run(&["secret", "delete", "leaks", "other"]).done();
    let said = host.run(&["secret", "delete", "leaks", "other"]);
    assert!(said.stderr.contains("leaks has no secret other; it has password"), "{said:?}");
    host.serve("leaks", &leaks(), "").await;
    host.run(&["secret", "delete", "leaks", "password"]).done();
    // The one before needs it.
    let said = host.run(&["rollback", "leaks"]);
    assert!(said.code == 4 && said.stderr.contains("password of leaks is not set"), "{said:?}");
    assert_eq!(told(&host, "leaks").await, "");
}

#[tokio::test]
async fn what_cannot_be_a_secret_is_refused_with_the_reason() {
    let key = Key::new();
    let host = key.host();
    for (name, value, reason) in [
        ("password", &b""[..], "stdin holds no value"),
        ("password", b"\n", "stdin holds no value"),
        ("password", b"a\0b", "no text without NUL characters"),
        ("password", b"\xff\xfe", "no text without NUL characters"),
        ("password", &[b'a'; (32 << 10) + 1], "more than the 32768 bytes that are allowed"),
        ("Pass-Word", b"hunter2", "\"Pass-Word\" is not the name of a variable"),
    ] {
        let said = secret(&host, &["set", "leaks", name], value);
        assert!(said.code != 0 && said.stderr.contains(reason), "{reason}: {said:?}");
    }
    secret(&host, &["set", "leaks", "password"], &[b'a'; 32 << 10]).done();
    for n in 1..64 {
        set(&host, "leaks", &format!("s{n}"), "v").await;
    }
    let said = secret(&host, &["set", "leaks", "one_more"], b"v");
    assert!(said.stderr.contains("leaks has 64 secrets, which is the most"), "{said:?}");
    // What is set can be set anew all the same.
    secret(&host, &["set", "leaks", "s1"], b"w").done();
    let reply = host.admin("PUT", "/v1/apps/leaks/secrets/empty", "").await;
    assert_eq!((reply.status.as_u16(), &*reply.cause()), (400, "bad_request"), "{}", reply.text());
}

#[tokio::test]
async fn a_secret_stands_in_nothing_that_is_shown() {
    let key = Key::new();
    let host = key.host();
    set(&host, "leaks", "password", "hunter2").await;
    let more =
        format!("allowed_outbound_hosts = [\"https://{{{{ password }}}}.test\"]\n{PASSWORD}");
    let reply = try_serve(&host, "leaks", &more).await;
    assert_eq!(reply.cause(), "bad_manifest", "{}", reply.text());
    assert!(reply.text().contains("password is secret, and this is shown"), "{}", reply.text());
}

#[tokio::test]
async fn a_host_without_the_key_or_with_another_says_which_it_needs_and_loses_nothing() {
    let (key, other, folder) = (Key::new(), Key::new(), tempfile::tempdir().unwrap());
    let mut host = Host::on(folder.path(), &key.flags());
    set(&host, "leaks", "password", "hunter2").await;
    host.serve("leaks", &leaks(), PASSWORD).await;
    let listed = host.admin("GET", "/v1/apps/leaks/secrets", "").await.json();
    let sealed_with = listed["secrets"][0]["key"].as_str().unwrap().to_owned();
    host.ends_in_time();

    let mut host = Host::on(folder.path(), &other.flags());
    let reply = host.get("/leaks/?how=tell").await;
    assert_eq!(reply.status, 500);
    assert!(!reply.text().contains("secret"), "callers are told nothing of it: {}", reply.text());
    let event = host.until("load_failed", || async {
        let events = host.admin("GET", "/v1/events?limit=100", "").await.json()["events"].clone();
        events.as_array()?.iter().find(|event| event["kind"] == "load_failed").cloned()
    });
    let event = event.await.to_string();
    let said =
        format!("secret password of leaks cannot be opened: it was sealed with key {sealed_with}");
    assert!(event.contains(&said), "{event}");
    let listed = host.run(&["secret", "list", "leaks"]).done().stdout;
    assert!(listed.contains("not this host's"), "{listed}");
    host.ends_in_time();

    let mut host = Host::on(folder.path(), &[]);
    assert_eq!(host.get("/leaks/?how=tell").await.status, 500);
    let said = secret(&host, &["set", "leaks", "password"], b"hunter3");
    assert!(said.code == 4 && said.stderr.contains("start it with --secrets-key FILE"), "{said:?}");
    host.ends_in_time();

    // As a credential of systemd, which nobody has to name.
    let folder_of_key = tempfile::tempdir().unwrap();
    fs::copy(&key.path, folder_of_key.path().join("steerage-secrets-key")).unwrap();
    let credentials = folder_of_key.path().to_str().unwrap();
    let host = Host::on_with_env(folder.path(), &[("CREDENTIALS_DIRECTORY", credentials)]);
    assert!(told(&host, "leaks").await.starts_with("hunter2\n"));
    assert!(!files_below(folder.path()).iter().any(|(_, bytes)| contains(bytes, b"hunter2")));
}

#[test]
fn a_key_that_is_none_keeps_a_host_from_starting_and_a_check_from_passing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let (data, key) = (folder.path().join("data"), path.to_str().unwrap());
    let config = folder.path().join("host.toml");
    fs::write(&config, format!("secrets_key = \"{key}\"\n")).unwrap();
    let start = || {
        let flags = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--secrets-key", key];
        let data = ["host", "--data", data.to_str().unwrap()];
        let started = run(&[&data[..], &flags].concat());
        let checked = run(&["host", "check", config.to_str().unwrap()]);
        assert!(started.code != 0 && checked.code != 0, "{started:?} {checked:?}");
        (started.stderr, checked.stderr)
    };
    let check = |said: &str| {
        let (started, checked) = start();
        assert!(started.contains(said) && checked.contains(said), "{started}\n{checked}");
        assert!(started.contains(key), "it names the file: {started}");
    };
    check("cannot read the key for secrets");
    fs::write(&path, "too short").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    check("has 9 bytes: expected 32, or 64 hexadecimal digits");
    fs::write(&path, run(&["secret", "key"]).done().stdout).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    check("can be read by others (its mode is 644): chmod 600 it");
}

#[tokio::test]
async fn what_was_changed_in_the_store_is_named_and_not_given_and_mended_by_setting_it() {
    let key = Key::new();
    let Some(fleet) = Fleet::start_with(1, &key.flags()).await else { return };
    let (host, store) = (fleet.first(), fleet.etcd.store().await);
    let place = |name: &str| format!("desired/secrets/leaks/{name}");
    let put = async |name: &str, value: &[u8]| {
        let put = Write::Put { key: place(name), value: value.to_vec(), lease: None };
        store.commit(Commit { guards: Vec::new(), writes: vec![put] }).await.unwrap();
    };
    set(host, "leaks", "password", "hunter2").await;
    set(host, "leaks", "other", "hunter3").await;
    put("password", b"{").await;
    let said = host.run(&["secret", "list", "leaks"]);
    let named = "desired/secrets/leaks/password is damaged";
    assert!(said.code != 0 && said.stderr.contains(named), "{said:?}");
    let reply = try_serve(host, "leaks", PASSWORD).await;
    assert!(reply.cause() == "bad_record" && reply.text().contains(named), "{}", reply.text());
    secret(host, &["set", "leaks", "password"], b"hunter4").done();
    host.serve("leaks", &leaks(), PASSWORD).await;
    assert!(told(host, "leaks").await.starts_with("hunter4\n"));
    // The value of another name, by somebody who cannot read it.
    let other = store.get(&place("other")).await.unwrap().unwrap();
    put("password", &other.value).await;
    let event = fleet.event(host, "secret_not_taken").await.to_string();
    assert!(event.contains("or was sealed as something else"), "{event}");
    assert!(told(host, "leaks").await.starts_with("hunter4\n"), "what was given stays");
    secret(host, &["set", "leaks", "password"], b"hunter5").done();
    assert!(told(host, "leaks").await.starts_with("hunter5\n"));
}
