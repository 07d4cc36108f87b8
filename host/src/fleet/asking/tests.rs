//! What hosts tell each other of what apps use, and what is made of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::forward::Peers;
use crate::store::{Change, Revision, Seen, Store, StoreSettings};

fn used(cpu_high_u: u64) -> AppUse {
    AppUse { cpu_high_u, looks: AppUse::BELIEVED, ..AppUse::default() }
}

fn part(apps: &[(&str, u64)]) -> UseRecord {
    let apps = apps.iter().map(|(app, cpu)| ((*app).to_owned(), used(*cpu))).collect();
    UseRecord { rest_is_idle: true, apps, ..UseRecord::default() }
}

fn told(run: u64, at: u64, parts: &[(u32, UseRecord)], n_parts: u32) -> ToldUse {
    let parts = parts.iter().cloned().collect();
    ToldUse { run, at, n_parts, parts, ..ToldUse::default() }
}

#[test]
fn who_knows_something_is_told_what_came_since() {
    let mut own = OwnUse::default();
    assert_eq!(own.told(7, 0), told(7, 0, &[], 0));
    own.publish([(0, part(&[("a", 1)])), (1, part(&[("b", 2)]))].into(), 2);
    own.publish([(1, part(&[("b", 9)]))].into(), 2);
    let (a, b) = ((0, part(&[("a", 1)])), (1, part(&[("b", 9)])));
    assert_eq!(own.told(7, 0), told(7, 2, &[a.clone(), b.clone()], 2));
    assert_eq!(own.told(7, 1), told(7, 2, &[b], 2));
    assert_eq!(own.told(7, 2), told(7, 2, &[], 2));
    own.publish(BTreeMap::new(), 1);
    assert_eq!(own.told(7, 2), told(7, 3, &[], 1));
}

/// What another host answers, and what it was asked.
#[derive(Debug, Default)]
struct Other {
    says: Mutex<Option<ToldUse>>,
    asked: Mutex<Vec<String>>,
}

async fn serve(other: Arc<Other>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let other = other.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let path = request.uri().path_and_query().unwrap().to_string();
                other.asked.lock().unwrap().push(path.strip_prefix(OBSERVED).unwrap().to_owned());
                let says = other.says.lock().unwrap().clone();
                let text = says.map(|says| Bytes::from(record::encode(&says)));
                let status = if text.is_some() { 200 } else { 404 };
                let body = Full::new(text.unwrap_or_default());
                let response = Response::builder().status(status).body(body).unwrap();
                std::future::ready(Ok::<_, Infallible>(response))
            });
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                drop(http.serve_connection(TokioIo::new(stream), answer).await);
            });
        }
    });
    address
}

fn host(name: &str, (address, run): (SocketAddr, u64), tells_use: bool) -> Change {
    let record = json!({
        "v": 1, "id": name, "run": run, "address": address, "listen": "127.0.0.1:2",
        "admin": "127.0.0.1:3", "zone": name, "cpu_m": 1000, "memory": 1_u64 << 30,
        "version": "1", "tells_use": tells_use
    });
    let value = Some(record.to_string().into_bytes());
    Change { key: format!("observed/hosts/{name}"), value, revision: Revision(1) }
}

fn change(key: &str, value: Option<serde_json::Value>) -> Change {
    let value = value.map(|value| value.to_string().into_bytes());
    Change { key: key.to_owned(), value, revision: Revision(1) }
}

/// The fleet as `h1` knows it, with the apps `a`, `b` and `idle` on `h2`, which answers.
async fn fleet(folder: &std::path::Path) -> (Fleet, Arc<Other>, SocketAddr) {
    let store = Store::open(&StoreSettings::Embedded(folder.to_owned())).await.unwrap();
    let me = "h1".parse().unwrap();
    let fleet = Fleet::new(me, store, Peers::new(None), folder.join("copy"));
    let other = Arc::new(Other::default());
    let address = serve(other.clone()).await;
    let own = (([127, 0, 0, 1], 1).into(), fleet.run());
    fleet.apply(&[host("h1", own, true), host("h2", (address, 7), true)]);
    for app in ["a", "b", "idle"] {
        let wanted = json!({ "v": 1, "generation": 1, "min": 1, "max": 1 });
        let placed = json!({ "v": 1, "hosts": ["h2"] });
        let wanted = change(&format!("desired/apps/{app}"), Some(wanted));
        fleet.apply(&[wanted, change(&format!("assigned/{app}"), Some(placed))]);
    }
    (fleet, other, address)
}

/// Apps, and what each uses.
type Uses = Vec<(String, u64)>;

/// What is known by host, and what is remembered.
fn known(fleet: &Fleet) -> (Uses, Uses) {
    let view = fleet.view();
    let on = view.usage.keys().flat_map(|host| view.used_on(host));
    let on = on.map(|(app, used)| (app.to_owned(), used.cpu_high_u)).collect();
    let remembered = view.remembered.iter().map(|(app, used)| (app.to_string(), used.cpu_high_u));
    (on, remembered.collect())
}

fn of(known: &[(&str, u64)]) -> Uses {
    known.iter().map(|(app, cpu)| ((*app).to_owned(), *cpu)).collect()
}

#[tokio::test]
async fn what_is_not_told_now_stays_as_it_was_told_last() {
    let folder = tempfile::tempdir().unwrap();
    let (fleet, other, address) = fleet(folder.path()).await;
    assert!(!fleet.knows_use(), "nobody was asked yet");
    fleet.ask_use(Duration::ZERO).await;
    assert!(!fleet.knows_use(), "the store was not read yet, and there may be others");
    other.asked.lock().unwrap().clear();
    fleet.note_cut_off(false);
    fleet.note_all_read();
    let gone = [("b".to_owned(), used(5)), ("removed".to_owned(), used(1))].into();
    let first = ToldUse { last_known: gone, ..told(7, 3, &[(0, part(&[("a", 100)]))], 1) };
    *other.says.lock().unwrap() = Some(first);
    fleet.publish_use([(0, part(&[("here", 1)]))].into(), 1);
    // It is asked again although others were asked a moment ago: this host did not know all hosts then.
    fleet.ask_use(Duration::from_secs(3600)).await;
    assert!(fleet.knows_use());
    assert_eq!(known(&fleet), (of(&[("here", 1), ("a", 100)]), of(&[("b", 5)])));
    // It says nothing that can be understood, or nothing new; and the store is read anew.
    *other.says.lock().unwrap() = None;
    fleet.ask_use(Duration::ZERO).await;
    *other.says.lock().unwrap() = Some(told(7, 3, &[], 1));
    fleet.ask_use(Duration::ZERO).await;
    assert_eq!(known(&fleet), (of(&[("here", 1), ("a", 100)]), of(&[("b", 5)])));
    let asked = std::mem::take(&mut *other.asked.lock().unwrap());
    let knows = "/v1/use?run=7&since=3&last_known=false";
    assert_eq!(asked, ["/v1/use?run=0&since=0&last_known=true", knows, knows]);
    fleet.ask_use(Duration::from_secs(3600)).await;
    assert!(other.asked.lock().unwrap().is_empty(), "it was asked a moment ago");
    // It begins anew, and lists nothing yet: what it said before is remembered.
    *other.says.lock().unwrap() = Some(told(8, 1, &[(0, UseRecord::default())], 1));
    fleet.apply(&[host("h2", (address, 8), true)]);
    fleet.ask_use(Duration::ZERO).await;
    let remembered = of(&[("a", 100), ("b", 5), ("idle", 0)]);
    assert_eq!(known(&fleet), (of(&[("here", 1)]), remembered));
}

#[tokio::test]
async fn what_was_heard_outlives_a_store_that_is_read_anew_and_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let (fleet, other, address) = fleet(folder.path()).await;
    *other.says.lock().unwrap() = Some(told(7, 3, &[(0, part(&[("a", 100)]))], 1));
    fleet.ask_use(Duration::ZERO).await;
    let entry = |change: Change| crate::store::Entry {
        key: change.key,
        value: change.value.unwrap(),
        revision: change.revision,
    };
    let wanted = |app: &str| {
        let wanted = json!({ "v": 1, "generation": 1, "min": 1, "max": 1 });
        entry(change(&format!("desired/apps/{app}"), Some(wanted)))
    };
    // What it writes for hosts of earlier versions is no more than it has told.
    let written = json!({ "v": 1, "apps": { "a": { "cpu_high_u": 1, "looks": 40 } } });
    let mut entries = vec![
        entry(host("h2", (address, 7), true)),
        entry(change("observed/use/h2/0", Some(written.clone()))),
        wanted("a"),
        wanted("b"),
        wanted("idle"),
    ];
    fleet.replace(&Seen { entries: entries.clone(), revision: Revision(2), ..Seen::default() });
    assert_eq!(known(&fleet), (of(&[("a", 100)]), of(&[])));
    fleet.apply(&[change("observed/use/h2/0", None)]);
    assert_eq!(known(&fleet), (of(&[("a", 100)]), of(&[])));
    // Another version of the program runs there now, which tells it through the store.
    entries[0] = entry(host("h2", (address, 8), false));
    fleet.replace(&Seen { entries, revision: Revision(3), ..Seen::default() });
    assert_eq!(known(&fleet), (of(&[("a", 1)]), of(&[])));
    let n_asked = other.asked.lock().unwrap().len();
    fleet.ask_use(Duration::ZERO).await;
    assert_eq!(other.asked.lock().unwrap().len(), n_asked, "it does not know the question");
    // And a newer one again; then it is lost.
    fleet.apply(&[host("h2", (address, 9), true)]);
    *other.says.lock().unwrap() = Some(told(9, 1, &[(0, part(&[("b", 70)]))], 1));
    fleet.ask_use(Duration::ZERO).await;
    assert_eq!(known(&fleet), (of(&[("b", 70)]), of(&[("a", 1)])));
}

#[tokio::test]
async fn what_a_lost_host_told_is_told_on_to_who_plans_next() {
    let folder = tempfile::tempdir().unwrap();
    let (fleet, other, address) = fleet(folder.path()).await;
    *other.says.lock().unwrap() = Some(told(7, 3, &[(0, part(&[("a", 100)]))], 1));
    fleet.ask_use(Duration::ZERO).await;
    let last = |fleet: &Fleet| {
        let told = fleet.tell_use((0, 0), true).last_known.into_iter();
        told.map(|(app, used)| (app, used.cpu_high_u)).collect::<Vec<_>>()
    };
    // Also of what it listed nothing of, since it said that it had looked.
    let all = of(&[("a", 100), ("b", 0), ("idle", 0)]);
    assert_eq!(last(&fleet), all);
    // Its lease ends, and somebody else has its address.
    fleet.apply(&[host("h2", (address, 8), true)]);
    fleet.apply(&[change("observed/hosts/h2", None)]);
    fleet.peers().keep_only(|_| false);
    fleet.forget_gone();
    assert_eq!(last(&fleet), all);
    assert!(fleet.tell_use((0, 0), false).last_known.is_empty());
}
