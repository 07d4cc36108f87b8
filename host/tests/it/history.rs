//! What apps did, minute by minute: it is on the disk, outlives a kill, and is shown; whatever is wrong with
//! its files, apps are served.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use steerage_core::history::block::{BlockWriter, Blocks, Piece};
use steerage_core::history::{Grain, Slot, SlotCall};
use steerage_guests as guests;

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, run, says};

/// So that no test waits for the end of a minute.
const OFTEN: [&str; 2] = ["--history-write", "100ms"];

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn text_of(seconds: u64) -> String {
    jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap().to_string()
}

/// What is in the files of a data folder, of minutes or of hours.
fn on_disk(data: &Path, grain: Grain) -> BTreeMap<String, Slot> {
    let mut found = BTreeMap::<String, Slot>::new();
    for entry in std::fs::read_dir(data.join("history")).into_iter().flatten() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        for piece in Blocks::of(&bytes) {
            let Piece::Block(block, _) = piece else { continue };
            for entry in block.entries().filter(|_| block.grain == grain) {
                let entry = entry.unwrap();
                found.entry(entry.app.to_owned()).or_default().add(&entry.slot().unwrap());
            }
        }
    }
    found
}

/// Waits until so many calls of an app are in the files.
async fn written(host: &Host, app: &str, n_calls: u64) -> Slot {
    host.until("history on the disk", || async {
        let slot = on_disk(&host.data, Grain::Minute).remove(app)?;
        (slot.calls() >= n_calls).then_some(slot)
    })
    .await
}

/// Writes what an app did into a data folder, as an earlier run of a host would have.
fn write_past(data: &Path, grain: Grain, slot: u32, apps: &[(&str, u32, u64)]) {
    let mut block = BlockWriter::new(grain, slot);
    for (app, n_calls, cpu_us) in apps {
        let mut did = Slot { cpu_us: *cpu_us, memory_held: 1 << 20, ..Slot::default() };
        for number in 0..*n_calls {
            did.record(&SlotCall {
                cause: if number == 0 { "trapped" } else { "answered" },
                status: if number == 0 { 500 } else { 200 },
                latency_us: 2_000,
                response_bytes: 100,
                fuel: 1_000,
                memory_bytes: 3 << 20,
            });
        }
        block.push(app, &did);
    }
    let folder = data.join("history");
    std::fs::create_dir_all(&folder).unwrap();
    let kind = if grain == Grain::Minute { "minutes" } else { "hours" };
    std::fs::write(folder.join(format!("{kind}-{slot}.hist")), block.finish(true)).unwrap();
}

async fn history(host: &Host, app: &str, query: &str) -> Value {
    let reply = host.admin("GET", &format!("/v1/apps/{app}/history{query}"), "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn sum(history: &Value, key: &str) -> u64 {
    let slots = history["slots"].as_array().unwrap();
    slots.iter().map(|slot| slot[key].as_u64().unwrap()).sum()
}

async fn events(host: &Host, kind: &str) -> Vec<Value> {
    let events = host.admin("GET", "/v1/events?limit=1000", "").await.json();
    let events = events["events"].as_array().unwrap().iter();
    events.filter(|event| event["kind"] == kind).cloned().collect()
}

#[tokio::test]
async fn what_apps_did_outlives_a_kill_and_idle_ones_have_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut host = Host::on(data.path(), &OFTEN);
    host.deploy(&says("well"), &manifest("well", "/well/...", "")).await;
    let trap = std::fs::read(guests::TRAP).unwrap();
    host.deploy(&trap, &manifest("trap", "/trap/...", "")).await;
    host.deploy(&says("idle"), &manifest("idle", "/idle/...", "")).await;
    for _ in 0..20 {
        assert_eq!(host.get("/well/").await.text(), "well");
    }
    assert_eq!(host.get("/trap/").await.status, 500);
    let well = written(&host, "well", 20).await;
    assert_eq!((well.calls(), well.failed(), well.errors), (20, 0, 0));
    assert_eq!((well.latency.n_counted(), well.sizes.percentile(500)), (20, Some(4)));
    assert!(well.cpu_us > 0 && well.fuel > 0 && well.memory_peak >= 65_536, "{well:?}");
    assert_eq!(written(&host, "trap", 1).await.failed(), 1);
    assert_eq!(on_disk(data.path(), Grain::Minute).keys().collect::<Vec<_>>(), ["trap", "well"]);
    host.kill();

    let mut host = Host::on(data.path(), &OFTEN);
    let told = history(&host, "well", "").await;
    assert_eq!((sum(&told, "calls"), sum(&told, "failed")), (20, 0), "{told}");
    let slot = &told["slots"][0];
    assert!(slot["p50_us"].as_u64() <= slot["p99_us"].as_u64(), "{slot}");
    assert_eq!(slot["memory_peak_bytes"], well.memory_peak, "{slot}");
    assert_eq!(sum(&history(&host, "trap", "").await, "failed"), 1);
    assert_eq!(history(&host, "idle", "?step=hour").await["slots"], serde_json::json!([]));
    // It goes on in the same minute or in the next one.
    assert_eq!(host.get("/well/").await.text(), "well");
    written(&host, "well", 21).await;
    assert_eq!(sum(&history(&host, "well", "").await, "calls"), 21);
    assert!(events(&host, "history_damaged").await.is_empty());

    // Of an app that was removed the past stays; one that never was is not there.
    assert_eq!(host.admin("DELETE", "/v1/apps/well", "").await.status, 204);
    assert_eq!(sum(&history(&host, "well", "").await, "calls"), 21);
    assert_eq!(host.admin("GET", "/v1/apps/none/history", "").await.cause(), "not_found");
    host.signal("TERM");
    host.ends_in_time();
}

#[tokio::test]
async fn a_host_that_ends_writes_the_minute_that_runs() {
    let data = tempfile::tempdir().unwrap();
    let mut host = Host::on(data.path(), &[]);
    host.deploy(&says("well"), &manifest("well", "/...", "")).await;
    assert_eq!(host.get("/").await.text(), "well");
    // What is not written yet is told all the same.
    host.until("the call", || async {
        (sum(&history(&host, "well", "").await, "calls") == 1).then_some(())
    })
    .await;
    host.signal("TERM");
    host.ends_in_time();
    assert_eq!(on_disk(data.path(), Grain::Minute)["well"].calls(), 1);
}

#[tokio::test]
async fn a_call_that_runs_is_in_its_minute() {
    let host = Host::with(&OFTEN);
    let limits = "[limits]\nfuel = \"100000B\"\ntimeout = \"20s\"";
    host.serve("spin", &std::fs::read(guests::SPIN).unwrap(), limits).await;
    let looks = host.until("CPU time of a call that runs", || async {
        let slot = on_disk(&host.data, Grain::Minute).remove("spin")?;
        (slot.cpu_us >= 100_000).then_some(slot)
    });
    tokio::select! {
        reply = host.get("/spin") => panic!("nothing was seen before it ended: {}", reply.text()),
        slot = looks => assert_eq!((slot.calls(), slot.running), (0, 1), "{slot:?}"),
    }
}

#[tokio::test]
async fn top_and_show_tell_what_was() {
    let data = tempfile::tempdir().unwrap();
    // Ten to seventy minutes ago, so that at least one of the two is in an hour that is over.
    let (recent, earlier) = (now() / 60 - 10, now() / 60 - 70);
    let minute = |minute: u64| u32::try_from(minute).unwrap();
    let apps = [("busy", 120, 6_000_000), ("less", 60, 600_000)];
    write_past(data.path(), Grain::Minute, minute(recent), &apps);
    write_past(data.path(), Grain::Minute, minute(earlier), &[("busy", 30, 1_000)]);
    let long_ago = u32::try_from(now() / 3600 - 100).unwrap();
    write_past(data.path(), Grain::Hour, long_ago, &[("busy", 7, 1_000)]);
    let host = Host::on(data.path(), &OFTEN);

    let at = text_of(recent * 60 + 30);
    let shown = host.run(&["top", "--at", &at]).done().stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].contains("the minute of") && lines[0].contains("2 apps"), "{shown}");
    let cells = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
    assert_eq!(cells(3)[..6], ["busy", "10.0%", "1.0", "MiB", "2.0", "0.0"], "{shown}");
    assert_eq!(cells(4)[..2], ["less", "1.0%"], "{shown}");
    assert!(lines[3].contains("2.0 ms") && lines[3].ends_with("trapped"), "{shown}");
    let told = host.run(&["top", "--at", &at, "--sort", "calls", "-n", "1", "-o", "json"]).done();
    let told = told.json();
    assert_eq!((&told["apps_active"], &told["apps"][0]["app"]), (&2.into(), &"busy".into()));
    assert_eq!(told["apps"].as_array().unwrap().len(), 1);
    let shown = host.run(&["top", "--at", "3m ago"]).done().stdout;
    assert!(shown.contains("0 apps called"), "{shown}");
    let at = text_of(u64::from(long_ago) * 3600 + 1800);
    let shown = host.run(&["top", "--at", &at]).done().stdout;
    assert!(shown.contains("the hour of") && shown.contains("busy"), "{shown}");

    host.deploy(&says("busy"), &manifest("busy", "/...", "")).await;
    let told = host.run(&["show", "busy", "--since", "20m", "-o", "json"]).done().json();
    assert_eq!(
        (&told["step"], sum(&told, "calls"), sum(&told, "failed")),
        (&"minute".into(), 120, 1)
    );
    let shown = host.run(&["show", "busy", "--since", "20m"]).done().stdout;
    assert!(shown.starts_with("calls ") && shown.contains('█'), "{shown}");
    let told = host.run(&["show", "busy", "--since", "6h", "-o", "json"]).done().json();
    assert_eq!((&told["step"], sum(&told, "calls")), (&"hour".into(), 150), "{told}");
    let told = host.run(&["show", "busy", "--since", "29d", "-o", "json"]).done().json();
    assert_eq!(sum(&told, "calls"), 157, "{told}");
    // The hours that are over are written, and nothing is counted twice then.
    let made = host.until("an hour that is over", || async {
        let hours = on_disk(data.path(), Grain::Hour).remove("busy")?;
        (hours.calls() >= 7 + 30).then_some(hours)
    });
    made.await;
    let again = host.run(&["show", "busy", "--since", "29d", "-o", "json"]).done().json();
    assert_eq!(sum(&again, "calls"), 157, "{again}");
    let nothing = host.run(&["show", "busy", "--since", "1m"]).done().stdout;
    assert!(nothing.contains("busy was not called since"), "{nothing}");
}

#[tokio::test]
async fn damaged_files_cost_what_was_in_them_and_are_told_once() {
    let data = tempfile::tempdir().unwrap();
    let minute = u32::try_from(now() / 60 - 5).unwrap();
    write_past(data.path(), Grain::Minute, minute, &[("well", 50, 1)]);
    write_past(data.path(), Grain::Minute, minute + 1, &[("well", 3, 1)]);
    let damaged = data.path().join(format!("history/minutes-{minute}.hist"));
    let mut bytes = std::fs::read(&damaged).unwrap();
    let place = bytes.len() - 2;
    bytes[place] ^= 0x40;
    std::fs::write(&damaged, bytes).unwrap();
    // One of an hour that is over, all of which is nonsense; and hours of which a killed process wrote half.
    let older = data.path().join(format!("history/minutes-{}.hist", minute - 120));
    std::fs::write(&older, b"\0\0\0\0 nonsense").unwrap();
    let hour = data.path().join(format!("history/hours-{}.hist", minute / 60 - 2));
    std::fs::write(&hour, b"\xF5hist\r\n1half").unwrap();
    let mut host = Host::on(data.path(), &OFTEN);
    host.deploy(&says("well"), &manifest("well", "/...", "")).await;
    assert_eq!(host.get("/").await.text(), "well");
    written(&host, "well", 4).await;
    let told = host.run(&["show", "well", "--since", "10m", "-o", "json"]).done().json();
    assert_eq!(sum(&told, "calls"), 4, "{told}");
    let told = events(&host, "history_damaged").await;
    assert_eq!(told.len(), 1, "{told:?}");
    let message = told[0]["message"].as_str().unwrap();
    assert!(message.contains(&format!("minutes-{minute}.hist")), "{message}");
    assert!(host.run(&["events"]).done().stdout.contains("history_damaged"));
    host.signal("TERM");
    host.ends_in_time();

    // No folder at all where it should be: history is not kept, and everything else is as it was.
    std::fs::remove_dir_all(data.path().join("history")).unwrap();
    std::fs::write(data.path().join("history"), "a file").unwrap();
    let host = Host::on(data.path(), &OFTEN);
    assert_eq!(host.get("/").await.text(), "well");
    let told = host
        .until("word of a folder that cannot be used", || async {
            let told = events(&host, "history_not_kept").await;
            (!told.is_empty()).then_some(told)
        })
        .await;
    assert!(told[0]["advice"].as_str().unwrap().contains("--history-disk"), "{told:?}");
    // Once there is room again it is kept again.
    std::fs::remove_file(data.path().join("history")).unwrap();
    host.until("history that is kept again", || async {
        assert_eq!(host.get("/").await.text(), "well");
        (!events(&host, "history_kept").await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(events(&host, "history_not_kept").await.len(), 1);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_by_name_and_no_history_is_said_so() {
    let host = Host::with(&["--history-disk", "0"]);
    host.deploy(&says("well"), &manifest("well", "/...", "")).await;
    assert_eq!(host.get("/").await.text(), "well");
    for path in ["/v1/apps/well/history", "/v1/history?at=2026-11-25T03:12:00Z"] {
        let reply = host.admin("GET", path, "").await;
        assert!(
            reply.cause() == "not_found" && reply.text().contains("--history-disk 0"),
            "{path}"
        );
    }
    assert!(!host.data.join("history").exists());
    for (query, part) in [
        ("apps/well/history?since=now", "since: \\\"now\\\""),
        ("apps/well/history?step=day", "step: \\\"day\\\" is neither minute nor hour"),
        ("apps/well/history?steps=hour", "steps"),
        ("history", "at: says no moment"),
        ("history?at=2999-01-01T00:00:00Z", "is ahead"),
    ] {
        let reply = host.admin("GET", &format!("/v1/{query}"), "").await;
        assert!(reply.status == 400 && reply.text().contains(part), "{query}: {}", reply.text());
    }
    for (words, part) in [
        (&["show", "well", "--since", "yesterday"][..], "10m ago"),
        (&["show", "well", "--step", "hour"], "--since"),
        (&["top", "--at", "10m ago", "--once"], "--once"),
    ] {
        let said = host.run(words);
        assert!(said.code == 2 && said.stderr.contains(part), "{words:?}: {said:?}");
    }
    let said = run(&["host", "--history-disk", "5KiB", "--history-write", "2m"]);
    assert_eq!(said.code, 2, "{said:?}");
    for part in ["--history-disk", "at least 1MiB", "or 0", "--history-write", "at most 1m"] {
        assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
    }
}

#[tokio::test]
async fn a_fleet_tells_the_sum_of_its_hosts() {
    let Some(fleet) = Fleet::called(&OFTEN).await else { return };
    for host in &fleet.hosts {
        host.until("calls of both hosts", || async {
            let told = history(host, "web", "?host=*&step=hour").await;
            assert!(told["sources"]["unanswered"].as_array().unwrap().is_empty(), "{told}");
            (sum(&told, "calls") == 5).then_some(())
        })
        .await;
        for (name, n_calls) in [("h1", 3), ("h2", 2)] {
            let told = history(host, "web", &format!("?host={name}&step=hour")).await;
            assert_eq!(sum(&told, "calls"), n_calls, "{told}");
        }
        let at = text_of(now());
        let told = host.admin("GET", &format!("/v1/history?host=*&at={at}"), "").await.json();
        assert_eq!(told["sources"]["hosts"], serde_json::json!(["h1", "h2"]), "{told}");
    }
}
