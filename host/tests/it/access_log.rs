//! `--access-log`: each call that reaches a deployment is one line, whatever became of it, or is counted as
//! left out, and files can be moved away.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Host, manifest, prints, reader, run, says, wat};

/// The lines that are whole.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn until(host: &Host, path: &Path, n: usize) -> Vec<Value> {
    host.until("lines", || async { Some(lines(path)).filter(|lines| lines.len() >= n) }).await
}

#[tokio::test]
async fn each_call_is_one_line_over_files_that_are_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.json"), folder.path().join("access.json.1"));
    let host = Host::with(&["--access-log", &path.to_string_lossy()]);
    host.deploy(&says("fine"), &manifest("web", "/web/...", "")).await;
    host.deploy(&prints("Status: 503\\n\\nno"), &manifest("bad", "/bad/...", "")).await;
    let traps = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;
    host.serve("traps", &wat(traps), "").await;
    let spins = r#"(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))"#;
    let limits = "[limits]\nfuel = \"100000B\"\ntimeout = \"200ms\"";
    host.serve("spins", &wat(spins), limits).await;
    host.serve("reads", &reader(), "[limits]\nrequest_body = \"1KiB\"").await;
    let mut ids = BTreeSet::new();
    let mut call = async |path: &str, status: u16| {
        let reply = match status {
            413 => host.post(path, vec![b'x'; 2 << 10]).await,
            _ => host.get_from("shop.example.com", path).await,
        };
        assert_eq!(reply.status, status);
        ids.insert(reply.header("x-request-id").to_owned());
        reply.body.len()
    };
    let length = call("/web/a?secret=1", 200).await;
    call("/bad/", 503).await;
    let failing = [
        ("traps", 500, "trapped"),
        ("spins", 504, "timed_out"),
        ("reads", 413, "request_too_large"),
    ];
    for (app, status, _) in failing {
        call(&format!("/{app}"), status).await;
    }
    let told = until(&host, &path, 5).await;
    for (app, status, cause) in failing {
        let line = told.iter().find(|line| line["app"] == app).unwrap();
        assert_eq!((&line["status"], &line["cause"]), (&status.into(), &cause.into()), "{line}");
    }
    let line = told.iter().find(|line| line["app"] == "web").unwrap();
    for (name, value) in [
        ("client", "127.0.0.1"),
        ("method", "GET"),
        ("host", "shop.example.com"),
        ("path", "/web/a"),
        ("protocol", "HTTP/1.1"),
        ("route", "/web/..."),
        ("cause", "answered"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!((&line["generation"], &line["status"]), (&1.into(), &200.into()));
    assert_eq!(line["response_bytes"], length);
    assert!(line["fuel"].as_u64().unwrap() > 0 && line["memory_bytes"].as_u64().unwrap() > 0);
    let (whole, phases) =
        (line["duration_us"].as_u64().unwrap(), line["time_us"].as_object().unwrap());
    let sum: u64 = phases.values().map(|time| time.as_u64().unwrap()).sum();
    // Each phase is cut to whole microseconds, and the processor's clock is another one.
    assert!(sum <= whole + whole / 10 + 1000 && sum + 10 + whole / 10 >= whole, "{line}");
    let time: jiff::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(time);
    assert!(age.as_secs() < 600 && age.as_secs() >= -1, "{line}");

    std::fs::rename(&path, &moved).unwrap();
    host.signal("HUP");
    host.until("a new file", || async { path.exists().then_some(()) }).await;
    for _ in 0..50 {
        call("/web/b", 200).await;
    }
    let new = until(&host, &path, 50).await;
    let old = lines(&moved);
    assert_eq!((old.len(), new.len()), (5, 50));
    let told: Vec<&Value> = old.iter().chain(&new).map(|line| &line["call_id"]).collect();
    let told: BTreeSet<String> =
        told.into_iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ids);
    assert_eq!(host.metric("access_log_lines_left_out_total").await, 0.0);
}

#[tokio::test]
async fn what_was_called_before_the_end_is_in_the_log_on_stdout() {
    let mut host = Host::with(&["--access-log", "-"]);
    host.deploy(&says("fine"), &manifest("web", "/web/...", "")).await;
    for _ in 0..20 {
        assert_eq!(host.get("/web/").await.status, 200);
    }
    host.signal("TERM");
    let printed = host.wait_for_output();
    let lines: Vec<Value> =
        printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.len(), 20, "{printed}");
    host.wait();
}

#[test]
fn a_log_that_cannot_be_opened_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let words = ["host", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"];
    let started =
        run(&[&words[..], &[&data.to_string_lossy(), "--access-log", "/nowhere/a"]].concat());
    assert_ne!(started.code, 0);
    assert!(
        started.stderr.contains("cannot write the access log to /nowhere/a: No such file"),
        "{started:?}"
    );
}
