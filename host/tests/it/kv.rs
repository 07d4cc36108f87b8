//! Key-value stores of guests: what is kept for whom, for how long, and what is refused.
//! Does not test the rules of single keys: those have their tests in `steerage-core`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use steerage_guests as guests;

use crate::fleet::Fleet;
use crate::harness::{Host, Reply, manifest};

const NAMES: &str = "key_value_stores = [\"default\", \"other\"]";

fn wasm() -> Vec<u8> {
    std::fs::read(guests::PAIRS).unwrap()
}

async fn serve(host: &Host, app: &str, more: &str) {
    host.serve(app, &wasm(), &format!("{NAMES}\n{more}")).await;
}

async fn ask(host: &Host, app: &str, query: &str) -> Reply {
    host.get(&format!("/{app}?{query}")).await
}

async fn said(host: &Host, app: &str, query: &str) -> String {
    let reply = ask(host, app, query).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    reply.text()
}

async fn refused(host: &Host, app: &str, query: &str) -> String {
    let reply = ask(host, app, query).await;
    assert_eq!(reply.status, 500, "{query}: {}", reply.text());
    reply.text()
}

#[tokio::test]
pub(crate) async fn what_is_set_by_one_interface_is_read_by_all() {
    let host = Host::start();
    serve(&host, "pairs", "").await;
    for (by, value) in [("wasi", "one"), ("draft", "two"), ("spin", "three")] {
        assert_eq!(said(&host, "pairs", "op=get").await == "nothing", by == "wasi");
        assert_eq!(said(&host, "pairs", &format!("api={by}&op=set&value={value}")).await, "set");
        for api in ["wasi", "draft", "spin"] {
            assert_eq!(said(&host, "pairs", &format!("api={api}&op=get")).await, value);
        }
    }
    assert_eq!(said(&host, "pairs", "op=get&store=other").await, "nothing");
    assert_eq!(said(&host, "pairs", "api=wasi&op=exists").await, "true");
    assert_eq!(said(&host, "pairs", "api=spin&op=exists&key=another").await, "false");
    assert_eq!(said(&host, "pairs", "op=increment&key=n&n=3").await, "3");
    assert_eq!(said(&host, "pairs", "api=spin&op=get&key=n").await, "3");
    assert_eq!(said(&host, "pairs", "api=draft&op=increment&key=n&n=4").await, "7");
    assert_eq!(said(&host, "pairs", "op=aba").await, "noticed");
    assert_eq!(said(&host, "pairs", "op=many&n=1000&value=v").await, "1000 500");
    assert_eq!(said(&host, "pairs", "api=draft&op=many&n=1000&value=v").await, "500");
    assert_eq!(said(&host, "pairs", "api=draft&op=list").await, "1: 502");
    assert_eq!(said(&host, "pairs", "api=spin&op=list").await.split(' ').count(), 502);
    assert_eq!(said(&host, "pairs", "api=spin&op=delete").await, "deleted");
    let listed = said(&host, "pairs", "op=list").await;
    assert!(listed.starts_with("1: many-500 ") && listed.ends_with(" n"), "{listed}");
}

#[tokio::test]
async fn more_keys_than_a_page_are_listed_in_pages() {
    let host = Host::start();
    serve(&host, "pairs", "").await;
    // Twice a thousand, of which half are deleted each time.
    for store in ["default", "other"] {
        said(&host, "pairs", &format!("op=many&n=1000&store={store}")).await;
    }
    for n in 0..6 {
        for m in 0..100 {
            said(&host, "pairs", &format!("op=set&key=more-{n}-{m}&value=v")).await;
        }
    }
    assert!(said(&host, "pairs", "op=list").await.starts_with("2: many-500 "));
    assert_eq!(said(&host, "pairs", "api=draft&op=list").await, "2: 1100");
    assert_eq!(said(&host, "pairs", "api=spin&op=list").await.split(' ').count(), 1100);
    assert_eq!(said(&host, "pairs", "api=draft&op=list&store=other").await, "1: 500");
}

#[tokio::test]
async fn pairs_outlive_calls_deployments_and_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    serve(&host, "pairs", "").await;
    said(&host, "pairs", "op=set&value=kept").await;
    serve(&host, "pairs", "[limits]\nqueue = 7").await;
    assert_eq!(said(&host, "pairs", "op=get").await, "kept");
    host.ends_in_time();
    let host = Host::on(folder.path(), &[]);
    assert_eq!(said(&host, "pairs", "op=get").await, "kept");
}

#[tokio::test]
async fn a_host_whose_apps_name_no_store_makes_no_file() {
    let host = Host::start();
    host.serve("pairs", &wasm(), "").await;
    assert_eq!(refused(&host, "pairs", "op=get").await, "Error::AccessDenied");
    assert!(!host.data.join("key-value.redb").exists());
    serve(&host, "pairs", "").await;
    assert_eq!(said(&host, "pairs", "op=get").await, "nothing");
    assert!(host.data.join("key-value.redb").exists());
}

#[tokio::test]
async fn a_label_that_the_manifest_does_not_name_is_denied() {
    let host = Host::start();
    serve(&host, "pairs", "").await;
    for api in ["wasi", "draft", "spin"] {
        for store in ["third", "", "default%00", "Default"] {
            let said = refused(&host, "pairs", &format!("api={api}&store={store}")).await;
            assert_eq!(said, "Error::AccessDenied", "{api} {store}");
        }
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_its_length_and_the_guest_goes_on() {
    let host = Host::start();
    serve(&host, "pairs", "").await;
    for api in ["wasi", "draft", "spin"] {
        let said = refused(&host, "pairs", &format!("api={api}&op=get&length=300")).await;
        assert!(said.contains("has 300 bytes: at most 256 are allowed"), "{said}");
        let said = refused(&host, "pairs", &format!("api={api}&op=set&length=300")).await;
        assert!(said.contains("has 300 bytes: at most 256 are allowed"), "{said}");
        let said = refused(&host, "pairs", &format!("api={api}&op=set&size=2000000")).await;
        assert!(said.contains("has 2000000 bytes: at most 1048576 are allowed"), "{said}");
    }
    // The largest that there may be, of both.
    assert_eq!(said(&host, "pairs", "op=set&length=256&size=1048576").await, "set");
    assert_eq!(said(&host, "pairs", "op=get&length=256").await.len(), 1 << 20);
    let said = refused(&host, "pairs", "op=many&n=1001").await;
    assert!(said.contains("1001 keys at once: at most 1000 are allowed"), "{said}");
}

#[tokio::test]
async fn the_last_byte_of_the_quota_can_be_used_and_one_more_is_refused_with_the_numbers() {
    let host = Host::with(&["--kv-quota", "100KiB"]);
    serve(&host, "pairs", "").await;
    serve(&host, "beside", "").await;
    // A key of one byte and a value.
    let size = (100 << 10) - 1;
    assert_eq!(said(&host, "pairs", &format!("op=set&key=a&size={size}")).await, "set");
    let said_of = refused(&host, "pairs", "op=set&key=b&store=other").await;
    assert!(said_of.contains("would have 102401 bytes: its quota is 102400"), "{said_of}");
    let said_of =
        refused(&host, "pairs", &format!("api=spin&op=set&key=a&size={}", size + 1)).await;
    assert!(said_of.contains("would have 102401 bytes: its quota is 102400"), "{said_of}");
    assert_eq!(said(&host, "pairs", "op=get&key=a").await.len(), size);
    assert_eq!(said(&host, "beside", "op=set&key=b&value=mine").await, "set");
    said(&host, "pairs", "op=set&key=a&value=small").await;
    assert_eq!(said(&host, "pairs", "op=set&key=b&store=other").await, "set");
}

#[tokio::test]
async fn no_app_sees_the_pairs_of_another() {
    let host = Host::start();
    serve(&host, "one", "").await;
    serve(&host, "two", "").await;
    said(&host, "one", "op=set&value=ones").await;
    assert_eq!(said(&host, "two", "op=get").await, "nothing");
    assert_eq!(said(&host, "two", "op=list").await, "1: ");
    said(&host, "two", "op=set&value=twos").await;
    said(&host, "two", "op=delete").await;
    assert_eq!(said(&host, "one", "op=get").await, "ones");
}

#[tokio::test]
async fn a_removed_app_has_its_pairs_again_and_another_tenants_app_of_the_name_has_none() {
    let host = Host::with(&["--tenants", "acme=1,ops=1"]);
    serve(&host, "pairs", "tenant = \"acme\"").await;
    said(&host, "pairs", "op=set&value=acmes").await;
    let remove = || host.admin("DELETE", "/v1/apps/pairs", "");
    assert!(remove().await.status.is_success());
    serve(&host, "pairs", "tenant = \"acme\"").await;
    assert_eq!(said(&host, "pairs", "op=get").await, "acmes");
    assert!(remove().await.status.is_success());
    serve(&host, "pairs", "tenant = \"ops\"").await;
    assert_eq!(said(&host, "pairs", "op=get").await, "nothing");
    assert_eq!(said(&host, "pairs", "op=list").await, "1: ");
}

#[tokio::test]
async fn eight_writers_at_once_count_exactly_by_increments_and_by_swaps() {
    let host = Host::start();
    serve(&host, "pairs", "").await;
    let writers = (0..8).map(|_| async {
        for _ in 0..5 {
            said(&host, "pairs", "op=increment&key=added&n=10").await;
            said(&host, "pairs", "op=swap&key=swapped&n=5").await;
        }
    });
    futures_util::future::join_all(writers).await;
    assert_eq!(said(&host, "pairs", "op=get&key=added").await, "400");
    assert_eq!(said(&host, "pairs", "op=get&key=swapped").await, "200");
}

/// Writers at once in each round of kills.
const N_WRITERS: usize = 4;

/// Sets keys one after the other until the host is gone; says how many were acknowledged to this writer.
async fn set_until_killed(address: String, begins: String, all: Arc<AtomicUsize>) -> usize {
    let mut n_acknowledged = 0;
    while set_one(&address, &format!("{begins}-{n_acknowledged}")).await.unwrap_or(false) {
        n_acknowledged += 1;
        all.fetch_add(1, Ordering::Relaxed);
    }
    n_acknowledged
}

/// Sets a key; whether the whole answer came.
async fn set_one(address: &str, key: &str) -> std::io::Result<bool> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let path = format!("/pairs?op=set&key={key}&value=v");
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200") && answer.contains("set"))
}

/// Kills a host so often while it writes; says how many writes it acknowledged, each of which is there.
async fn check_after_kills(data: &Path, n_kills: usize) -> usize {
    let mut acknowledged: Vec<(String, usize)> = Vec::new();
    for round in 0..n_kills {
        let mut host = Host::on(data, &[]);
        // An app that was there at two crashes is not called before it is deployed again.
        serve(&host, "pairs", "").await;
        for (begins, number) in acknowledged.iter().rev().take(N_WRITERS) {
            if let Some(last) = number.checked_sub(1) {
                let last = format!("op=get&key={begins}-{last}");
                assert_eq!(said(&host, "pairs", &last).await, "v", "{last}");
            }
        }
        let all = Arc::new(AtomicUsize::new(0));
        let begins = (0..N_WRITERS).map(|writer| format!("{round}-{writer}"));
        let writers: Vec<_> = begins
            .map(|begins| {
                let (address, all, own) = (host.listen.clone(), all.clone(), begins.clone());
                (begins, tokio::spawn(set_until_killed(address, own, all)))
            })
            .collect();
        // In the middle of some write, each time after another number of them.
        let n_before = round * 7 % 40 + 1;
        let is_time = || async { (all.load(Ordering::Relaxed) >= n_before).then_some(()) };
        host.until("enough writes", is_time).await;
        host.kill();
        for (begins, writer) in writers {
            acknowledged.push((begins, writer.await.unwrap()));
        }
    }
    let host = Host::on(data, &[]);
    serve(&host, "pairs", "").await;
    for (begins, number) in &acknowledged {
        for n in 0..*number {
            let key = format!("op=get&key={begins}-{n}");
            assert_eq!(said(&host, "pairs", &key).await, "v", "{n} of {number} of {begins}");
        }
    }
    acknowledged.iter().map(|(_, number)| number).sum()
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_by_kills() {
    let folder = tempfile::tempdir().unwrap();
    let n_acknowledged = check_after_kills(folder.path(), 30).await;
    println!("{n_acknowledged} writes were acknowledged before 30 kills, and none is lost");
    assert!(n_acknowledged >= 500, "{n_acknowledged}");
}

#[tokio::test]
async fn a_call_that_used_a_store_leaves_no_capsule_and_says_so() {
    let host = Host::start();
    serve(&host, "pairs", "[capture]\nfailures = true").await;
    assert_eq!(ask(&host, "pairs", "op=fail").await.status, 500);
    assert_eq!(host.last_call("pairs").await["capsule"], "used_store");
}

#[tokio::test]
async fn a_file_that_is_damaged_is_named_to_the_guest_and_the_host_serves() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key-value.redb"), b"this is no database").unwrap();
    let host = Host::on(folder.path(), &[]);
    serve(&host, "pairs", "").await;
    let said = refused(&host, "pairs", "op=get").await;
    assert!(said.contains("key-value.redb is damaged"), "{said}");
    let kept = std::fs::read(folder.path().join("key-value.redb")).unwrap();
    assert_eq!(kept, b"this is no database");
}

#[tokio::test]
async fn a_manifest_with_a_label_that_is_none_is_refused() {
    let host = Host::start();
    let text = manifest("pairs", "/...", "key_value_stores = [\"my_store\"]");
    let reply = host.try_deploy(&wasm(), &text).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("is not the label of a store"), "{}", reply.text());
}

#[tokio::test]
async fn a_guest_that_reads_without_end_ends_at_its_timeout_and_others_are_answered() {
    let host = Host::start();
    serve(&host, "greedy", "[limits]\ntimeout = \"2s\"").await;
    serve(&host, "beside", "").await;
    said(&host, "greedy", "op=set&size=1048576").await;
    said(&host, "beside", "op=set&value=mine").await;
    for op in ["op=gets&n=100000000", "op=lists&n=100000000", "op=finds&n=100000000"] {
        let readers = (0..4).map(|_| ask(&host, "greedy", op));
        let beside = async {
            for _ in 0..50 {
                assert_eq!(said(&host, "beside", "op=get").await, "mine");
            }
        };
        let (readers, ()) = tokio::join!(futures_util::future::join_all(readers), beside);
        for reply in readers {
            assert_eq!(reply.cause(), "timed_out", "{op}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn time_in_which_a_write_is_waited_for_is_told_as_such() {
    let host = Host::start();
    serve(&host, "pairs", "").await;
    said(&host, "pairs", "op=increment&n=30").await;
    let call = host.last_call("pairs").await;
    assert!(call["time_us"]["store"].as_u64().unwrap_or(0) > 0, "{call}");
}

#[tokio::test]
async fn operators_get_set_list_and_delete() {
    let host = Host::start();
    serve(&host, "pairs", "").await;
    said(&host, "pairs", "op=set&key=greeting&value=hello").await;
    assert_eq!(host.run(&["kv", "get", "pairs", "greeting"]).done().stdout, "hello\n");
    host.run(&["kv", "set", "pairs", "a b/ü", "a value", "--store", "other"]).done();
    assert_eq!(said(&host, "pairs", "op=list&store=other").await, "1: a b/ü");
    let got = host.run(&["kv", "get", "pairs", "a b/ü", "--store", "other"]).done();
    assert_eq!(got.stdout, "a value\n");
    assert_eq!(host.run(&["kv", "list", "pairs"]).done().stdout, "greeting\n");
    let usage = host.run(&["kv", "usage", "pairs", "-o", "json"]).done().json();
    assert_eq!((&usage["pairs"], &usage["bytes_quota"]), (&2.into(), &(64 << 20).into()));
    host.run(&["kv", "delete", "pairs", "greeting"]).done();
    assert_eq!(said(&host, "pairs", "op=get&key=greeting").await, "nothing");
    let missing = host.run(&["kv", "get", "pairs", "greeting"]);
    assert_eq!(missing.code, 4, "{missing:?}");
    assert!(missing.stderr.contains("has no key \"greeting\""), "{missing:?}");
    let unknown = host.run(&["kv", "get", "nobody", "greeting"]);
    assert_eq!(unknown.code, 4, "{unknown:?}");
    let long = host.run(&["kv", "set", "pairs", &"k".repeat(300), "v"]);
    assert!(long.stderr.contains("has 300 bytes: at most 256 are allowed"), "{long:?}");
}

#[tokio::test]
async fn what_operators_set_with_a_time_is_over_then() {
    let host = Host::start();
    serve(&host, "pairs", "").await;
    host.run(&["kv", "set", "pairs", "short", "v", "--ttl", "1ms"]).done();
    host.run(&["kv", "set", "pairs", "long", "v", "--ttl", "1h"]).done();
    let gone = || async {
        let is_gone = said(&host, "pairs", "op=get&key=short").await == "nothing";
        is_gone.then_some(())
    };
    host.until("the end of a value", gone).await;
    assert_eq!(said(&host, "pairs", "op=list").await, "1: long");
    let usage = || async {
        let usage = host.run(&["kv", "usage", "pairs", "-o", "json"]).done().json();
        (usage["pairs"] == 1).then_some(())
    };
    host.until("room in the quota", usage).await;
}

#[tokio::test]
async fn pairs_are_taken_from_one_host_to_another_as_a_file() {
    let (from, to) = (Host::start(), Host::start());
    for host in [&from, &to] {
        serve(host, "pairs", "").await;
    }
    said(&from, "pairs", "op=many&n=1000&value=v").await;
    said(&from, "pairs", "op=many&n=1000&value=v&store=other").await;
    from.run(&["kv", "set", "pairs", "long", "v", "--ttl", "1h"]).done();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pairs.jsonl");
    let shown = file.to_str().unwrap();
    let told = from.run(&["kv", "export", "pairs", shown]).done();
    assert!(told.stdout.contains("has 501 pairs"), "{told:?}");
    assert_eq!(from.run(&["kv", "export", "pairs", shown]).code, 4, "it is there already");
    to.run(&["kv", "import", "pairs", shown]).done();
    let listed = said(&to, "pairs", "op=list").await;
    assert_eq!(listed, said(&from, "pairs", "op=list").await);
    assert_eq!(said(&to, "pairs", "op=get&key=many-500").await, "v");
    let long = to.run(&["kv", "get", "pairs", "long", "-o", "json"]).done().json();
    assert!(long["expires_at_ms"].is_u64(), "{long}");
    std::fs::write(&file, "no json\n").unwrap();
    let refused = to.run(&["kv", "import", "pairs", shown]);
    assert!(refused.code == 4 && refused.stderr.contains("pairs.jsonl:1: "), "{refused:?}");
}

#[tokio::test]
async fn what_a_removed_app_left_can_be_deleted() {
    let host = Host::start();
    serve(&host, "pairs", "").await;
    said(&host, "pairs", "op=set&value=left").await;
    assert!(host.admin("DELETE", "/v1/apps/pairs", "").await.status.is_success());
    assert_eq!(host.run(&["kv", "get", "pairs", "key"]).done().stdout, "left\n");
    assert_eq!(host.run(&["kv", "drop", "pairs"]).code, 2, "nobody is there to ask");
    host.run(&["kv", "drop", "pairs", "--yes"]).done();
    serve(&host, "pairs", "").await;
    assert_eq!(said(&host, "pairs", "op=get").await, "nothing");
}

#[tokio::test]
async fn a_host_of_a_fleet_keeps_no_stores_and_says_so() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let text = manifest("pairs", "/pairs/...", NAMES);
    let reply = fleet.first().try_deploy(&wasm(), &text).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("not kept in a fleet yet"), "{}", reply.text());
    assert_eq!(fleet.first().admin("GET", "/v1/apps/pairs", "").await.status, 404);
}
