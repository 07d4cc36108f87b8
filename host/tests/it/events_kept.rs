//! Events after a restart: those of before are shown, with how the host ended last, whatever happened to
//! their files.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Host, manifest, says};

async fn events(host: &Host) -> Vec<Value> {
    let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
    events["events"].as_array().unwrap().clone()
}

fn text<'e>(event: &'e Value, field: &str) -> &'e str {
    event[field].as_str().unwrap()
}

/// Waits until an event of that kind is in the file.
async fn written(host: &Host, data: &Path, kind: &str) {
    host.until("an event on the disk", || async {
        let text = std::fs::read_to_string(data.join("events/now.jsonl")).ok()?;
        text.contains(&format!("\"kind\":\"{kind}\"")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn events_of_before_are_shown_after_a_kill_and_after_an_end() {
    let data = tempfile::tempdir().unwrap();
    let mut host = Host::on(data.path(), &[]);
    host.deploy(&says("well"), &manifest("well", "/...", "")).await;
    written(&host, data.path(), "deployed").await;
    let first = events(&host).await;
    assert!(text(&first[0], "message").starts_with("serving 0 apps"), "{first:?}");
    host.kill();

    // What a kill in the middle of a line leaves.
    let path = data.path().join("events/now.jsonl");
    let mut torn = std::fs::read(&path).unwrap();
    torn.extend(br#"{"v":1,"id":77,"fir"#);
    std::fs::write(&path, torn).unwrap();
    let mut host = Host::on(data.path(), &[]);
    let second = events(&host).await;
    assert_eq!(second[..first.len()], first);
    let started = &second[first.len()];
    assert_eq!(text(started, "kind"), "started");
    let message = text(started, "message");
    assert!(message.contains("was killed or crashed") && message.contains("1 app"), "{message}");
    assert!(second.iter().all(|event| event["kind"] != "events_damaged"), "{second:?}");
    assert!(started["id"].as_u64() > first.last().unwrap()["id"].as_u64());
    let shown = host.run(&["events"]).done().stdout;
    assert!(shown.contains("deployed") && shown.contains("killed or crashed"), "{shown}");

    host.signal("TERM");
    host.ends_in_time();
    // A file that nobody can read holds up no start.
    std::fs::write(&path, b"\0\0\0\0\n").unwrap();
    let host = Host::on(data.path(), &[]);
    let third = events(&host).await;
    let damaged = third.iter().find(|event| event["kind"] == "events_damaged").unwrap();
    assert!(text(damaged, "message").contains("damaged.jsonl"), "{damaged}");
    let started = third.iter().rfind(|event| event["kind"] == "started").unwrap();
    assert!(text(started, "message").contains("after it was told to end"), "{started}");
    assert_eq!(host.get("/").await.text(), "well");
}
