//! Thirty secrets of an app that says them wherever it can: none of them is found in what others see.

use std::path::Path;

use super::{Key, contains, files_below, leaks, set};
use crate::harness::{Host, manifest};
use crate::outbound::LOOPBACK;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Of the forms that secrets have: words, tokens, numbers, and a key of several lines.
pub(super) fn planted() -> Vec<(String, String)> {
    let form = |n: usize| match n % 5 {
        0 => format!("planted-{n:02}-correct-horse"),
        1 => format!("sk_live_{n:02}abcdefghijklmnop"),
        2 => format!("4111{n:02}1111111111"),
        3 => format!("eyJhbGciOi{n:02}.eyJzdWIiOi.SflKxwRJSM"),
        _ => format!("-----BEGIN {n:02} KEY-----\nMIIEvQIBADANBg{n:02}\n-----END {n:02} KEY-----"),
    };
    (0..30).map(|n| (format!("s{n}"), form(n))).collect()
}

/// A server that says again all that it was asked.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                let Ok(n_read) = stream.read(&mut asked).await else { return };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {n_read}\r\n\r\n"
                );
                drop(stream.write_all(head.as_bytes()).await);
                drop(stream.write_all(&asked[..n_read]).await);
            });
        }
    });
    port
}

/// What of the planted stands in a text: whole or, of those of several lines, one of these.
pub(super) fn found_in(secrets: &[(String, String)], bytes: &[u8]) -> Vec<String> {
    let lines = |value: &str| value.lines().map(str::to_owned).collect::<Vec<_>>();
    let each = secrets.iter().flat_map(|(_, value)| lines(value));
    // Names of hosts are in small letters.
    each.flat_map(|line| [line.to_ascii_lowercase(), line])
        .filter(|line| contains(bytes, line.as_bytes()))
        .collect()
}

/// Has the guest say them in each way; returns the ids of the calls.
async fn said_everywhere(host: &Host, port: u16) -> Vec<String> {
    let mut ids = Vec::new();
    for how in ["say".to_owned(), "deny".to_owned(), format!("ask&port={port}"), "panic".to_owned()]
    {
        let reply = host.get(&format!("/leaks/?how={how}")).await;
        ids.push(reply.header("x-request-id").to_owned());
    }
    // What a caller knows is shown by its name as well.
    host.get("/leaks/4111021111111111/?how=panic").await;
    ids
}

#[tokio::test]
async fn thirty_planted_secrets_are_found_in_nothing_that_others_see() {
    let (key, folder, secrets) = (Key::new(), tempfile::tempdir().unwrap(), planted());
    let log = folder.path().join("log");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let flags = [&key.flags()[..], &LOOPBACK, &["--access-log", log.to_str().unwrap()]].concat();
    let mut host = Host::logging_on(&data, "steerage=debug", &flags);
    for (name, value) in &secrets {
        set(&host, "leaks", name, value).await;
    }
    let port = echo().await;
    let (mut variables, mut env) = (String::new(), String::new());
    for (name, _) in &secrets {
        variables += &format!("{name} = {{ secret = true }}\n");
        env += &format!("{} = \"{{{{ {name} }}}}\"\n", name.to_uppercase());
    }
    let more = format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n[variables]\n{variables}[env]\n{env}[capture]\n\
         failures = true\n"
    );
    host.deploy(&leaks(), &manifest("leaks", "/leaks/...", &more)).await;
    // The guest has them all, so that it could say them.
    let told = host.get("/leaks/?how=tell").await.body;
    assert!(secrets.iter().all(|(_, value)| contains(&told, value.as_bytes())));
    let ids = said_everywhere(&host, port).await;
    let logs = host.until("all that it printed", || async {
        let logs = host.admin("GET", "/v1/apps/leaks/logs?lines=1000", "").await;
        logs.text().contains("panicked").then_some(logs)
    });
    let logs = logs.await;
    assert!(logs.text().contains("it is [secret s0]."), "{}", logs.text());
    assert!(logs.text().contains("[secret s29]"), "{}", logs.text());
    let mut seen = vec![("logs".to_owned(), logs.body.to_vec())];
    for path in [
        "/v1/apps".to_owned(),
        "/v1/apps/leaks".to_owned(),
        "/v1/apps/leaks/secrets".to_owned(),
        "/v1/apps/leaks/calls?limit=100".to_owned(),
        "/v1/apps/leaks/destinations".to_owned(),
        "/v1/apps/leaks/deployments".to_owned(),
        "/v1/apps/leaks/history".to_owned(),
        "/v1/host".to_owned(),
        "/v1/apps/leaks/why".to_owned(),
        "/v1/apps/leaks/stores".to_owned(),
        "/v1/events?limit=1000".to_owned(),
        "/v1/problems".to_owned(),
        "/v1/usage".to_owned(),
        "/v1/hosts".to_owned(),
        "/metrics".to_owned(),
    ]
    .into_iter()
    .chain(ids.iter().map(|id| format!("/v1/calls/{id}")))
    {
        let reply = host.admin("GET", &path, "").await;
        seen.push((path, reply.body.to_vec()));
    }
    let mut n_capsules = 0;
    for id in &ids[2..] {
        let path = format!("/v1/calls/{id}/capsule");
        let capsule = host.until("a capsule", || async {
            let found = host.admin("GET", &path, "").await;
            found.json()["capsules"].get(0).is_some().then_some(found)
        });
        seen.push((path.clone(), capsule.await.body.to_vec()));
        n_capsules += 1;
    }
    assert_eq!(n_capsules, 2);
    let shown = host.run(&["show", "leaks"]).done();
    seen.push(("show".to_owned(), [shown.stdout, shown.stderr].concat().into_bytes()));
    let backup = folder.path().join("backup.tar");
    host.run(&["backup", backup.to_str().unwrap()]).done();
    host.signal("TERM");
    seen.push(("the host's own log".to_owned(), host.wait_for_log().into_bytes()));
    let files = files_below(folder.path());
    assert!(files.iter().any(|(path, _)| path.ends_with("steerage.redb")));
    assert!(files.iter().any(|(path, _)| path == Path::new(&log)));
    seen.extend(files.into_iter().map(|(path, bytes)| (path.display().to_string(), bytes)));
    for (place, bytes) in &seen {
        assert!(!bytes.is_empty() || place.contains("steerage"), "nothing was seen of {place}");
        let found = found_in(&secrets, bytes);
        assert!(found.is_empty(), "{place}: {found:?}");
    }
}
