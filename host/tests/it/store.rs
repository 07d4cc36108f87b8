//! The store's contract, on both stores, and what becomes of it when etcd is lost, refuses, or is
//! somebody else.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use steerage::store::{
    Change, Commit, Entry, Guard, LeaseId, MOST_BYTES, MOST_WRITES, Revision, Store, StoreError,
    StoreSettings, Watch, Write,
};

use crate::etcd::{self, Etcd};
use crate::harness::PATIENCE;

/// Runs a test on an embedded store and on etcd.
async fn on_both(test: impl AsyncFn(Store)) {
    let folder = tempfile::tempdir().unwrap();
    let settings = StoreSettings::Embedded(folder.path().to_owned());
    test(Store::open(&settings).await.unwrap()).await;
    if let Some(etcd) = Etcd::start(1) {
        test(etcd.store().await).await;
    }
}

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.to_owned(), value: value.into(), lease: None }
}

fn put_under(lease: LeaseId, key: &str) -> Write {
    Write::Put { key: key.to_owned(), value: "leased".into(), lease: Some(lease) }
}

fn delete(key: &str) -> Write {
    Write::Delete(key.to_owned())
}

fn absent(key: &str) -> Guard {
    Guard::Absent(key.to_owned())
}

fn at(key: &str, revision: Revision) -> Guard {
    Guard::At(key.to_owned(), revision)
}

async fn commit(store: &Store, guards: &[Guard], writes: &[Write]) -> Result<Revision, StoreError> {
    store.commit(Commit { guards: guards.to_vec(), writes: writes.to_vec() }).await
}

async fn write(store: &Store, writes: &[Write]) -> Revision {
    commit(store, &[], writes).await.unwrap()
}

fn conflict(result: Result<Revision, StoreError>) -> String {
    match result {
        Err(StoreError::Conflict { key }) => key.unwrap(),
        other => panic!("no conflict: {other:?}"),
    }
}

/// Waits for so many changes.
async fn changes(watch: &mut Watch, n: usize) -> Vec<Change> {
    let mut all = Vec::new();
    let whole = tokio::time::timeout(PATIENCE, async {
        while all.len() < n {
            all.extend(watch.next().await.unwrap());
        }
    });
    whole.await.unwrap();
    all
}

fn change(key: &str, value: Option<&str>, revision: Revision) -> Change {
    Change { key: key.to_owned(), value: value.map(Into::into), revision }
}

fn entry(key: &str, value: &str, revision: Revision) -> Entry {
    Entry { key: key.to_owned(), value: value.into(), revision }
}

#[tokio::test]
async fn everything_below_a_prefix_is_read_at_one_revision() {
    on_both(async |store| {
        let nothing = store.read("a/").await.unwrap();
        assert_eq!(nothing.entries, []);
        assert!(nothing.revision > Revision(0));
        let first = write(&store, &[put("a/2", "x"), put("b/1", "y"), put("a", "z")]).await;
        assert!(first > nothing.revision);
        let second = write(&store, &[put("a/1", "")]).await;
        assert!(second > first);
        let seen = store.read("a/").await.unwrap();
        assert_eq!(seen.entries, [entry("a/1", "", second), entry("a/2", "x", first)]);
        assert_eq!(seen.revision, second);
        assert_eq!(store.read("").await.unwrap().entries.len(), 4);
        assert_eq!(store.get("a/2").await.unwrap(), Some(entry("a/2", "x", first)));
        assert_eq!(store.get("a/").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn more_than_a_page_is_read_whole_and_in_order() {
    on_both(async |store| {
        for batch in 0..25 {
            let keys =
                (0..MOST_WRITES).map(|n| put(&format!("n/{:05}", batch * MOST_WRITES + n), ""));
            write(&store, &keys.collect::<Vec<_>>()).await;
        }
        let seen = store.read("n/").await.unwrap();
        assert_eq!(seen.entries.len(), 25 * MOST_WRITES);
        assert!(seen.entries.is_sorted_by(|a, b| a.key < b.key));
    })
    .await;
}

#[tokio::test]
async fn what_is_under_many_keys_is_told_in_the_order_of_the_keys() {
    on_both(async |store| {
        let key = |number: usize| format!("n/{number:03}");
        let all = 0..2 * MOST_WRITES;
        for some in all.clone().collect::<Vec<_>>().chunks(MOST_WRITES) {
            let odd = some.iter().filter(|number| *number % 2 == 1);
            let writes: Vec<_> = odd.map(|number| put(&key(*number), &key(*number))).collect();
            write(&store, &writes).await;
        }
        // The last first, and more than one question takes.
        let asked: Vec<String> = all.rev().map(key).collect();
        let found = store.get_each(&asked).await.unwrap();
        assert_eq!(found.len(), asked.len());
        for (number, (key, entry)) in asked.iter().zip(found).enumerate() {
            let there = entry.map(|entry| (entry.key.clone(), entry.value));
            let expected = (number % 2 == 0).then(|| (key.clone(), key.clone().into_bytes()));
            assert_eq!(there, expected, "{key}");
        }
        assert_eq!(store.get_each(&[]).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn what_was_overwritten_before_a_revision_is_forgotten_when_it_is_said_so() {
    let Some(etcd) = Etcd::start(1) else { return };
    let store = etcd.store().await;
    let first = write(&store, &[put("c/a", "1")]).await;
    write(&store, &[put("c/a", "2")]).await;
    let last = write(&store, &[put("c/a", "3")]).await;
    store.compact(last).await.unwrap();
    assert!(matches!(store.compact(last).await, Err(StoreError::Compacted)));
    let ended = match store.watch("c/", first).await {
        Ok(mut watch) => watch.next().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(ended, Err(StoreError::Compacted)), "{ended:?}");
    assert_eq!(store.get("c/a").await.unwrap(), Some(entry("c/a", "3", last)));
    let fill = store.fill().await.unwrap();
    assert!(fill.bytes > 0 && !fill.is_full, "{fill:?}");
}

#[tokio::test]
async fn a_watch_sees_all_changes_after_a_revision_in_order() {
    on_both(async |store| {
        let before = write(&store, &[put("w/old", "1")]).await;
        let first = write(&store, &[put("w/a", "1"), put("other", "1")]).await;
        let mut watch = store.watch("w/", before).await.unwrap();
        let second = write(&store, &[put("w/a", "2")]).await;
        let third = write(&store, &[delete("w/a"), delete("w/never"), put("w/b", "3")]).await;
        let mut seen = changes(&mut watch, 4).await;
        // Within one revision the order is not said.
        seen.sort_by(|a, b| (a.revision, &a.key).cmp(&(b.revision, &b.key)));
        let told = [
            change("w/a", Some("1"), first),
            change("w/a", Some("2"), second),
            change("w/a", None, third),
            change("w/b", Some("3"), third),
        ];
        assert_eq!(seen, told);
        // A watch that is given up in between loses nothing.
        let nothing = tokio::time::timeout(Duration::from_millis(10), watch.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        for n in 0..50 {
            write(&store, &[put("w/n", &n.to_string())]).await;
        }
        let values = changes(&mut watch, 50).await.into_iter().map(|change| change.value.unwrap());
        assert!(values.eq((0..50).map(|n| n.to_string().into_bytes())));
        // Nor does one that hears nothing for long.
        let nothing = tokio::time::timeout(Duration::from_secs(4), watch.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        let last = write(&store, &[put("w/z", "")]).await;
        assert_eq!(changes(&mut watch, 1).await, [change("w/z", Some(""), last)]);
    })
    .await;
}

#[tokio::test]
async fn a_commit_is_made_only_where_its_guards_hold() {
    on_both(async |store| {
        let made = commit(&store, &[absent("g")], &[put("g", "1")]).await.unwrap();
        assert_eq!(conflict(commit(&store, &[absent("g")], &[put("g", "2")]).await), "g");
        // Another one that was written meanwhile breaks it, too, and nothing of it is done.
        let guards = [absent("h"), at("g", Revision(made.0 - 1))];
        assert_eq!(conflict(commit(&store, &guards, &[put("h", ""), delete("g")]).await), "g");
        assert_eq!(store.get("h").await.unwrap(), None);
        assert_eq!(store.get("g").await.unwrap(), Some(entry("g", "1", made)));
        let next = commit(&store, &[at("g", made), absent("h")], &[put("g", "2")]).await.unwrap();
        assert_eq!(conflict(commit(&store, &[at("g", made)], &[delete("g")]).await), "g");
        commit(&store, &[at("g", next)], &[delete("g")]).await.unwrap();
        assert_eq!(conflict(commit(&store, &[at("g", next)], &[put("g", "3")]).await), "g");
        commit(&store, &[absent("g")], &[put("g", "3")]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn one_of_many_that_guard_the_same_succeeds() {
    on_both(async |store| {
        let tries = (0..20).map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                commit(&store, &[absent("one")], &[put("one", &n.to_string())]).await
            })
        });
        let mut n_won = 0;
        for one in tries.collect::<Vec<_>>() {
            match one.await.unwrap() {
                Ok(_) => n_won += 1,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(n_won, 1);
    })
    .await;
}

#[tokio::test]
async fn what_no_store_takes_is_refused_by_both() {
    on_both(async |store| {
        let many: Vec<Write> = (0..=MOST_WRITES).map(|n| put(&n.to_string(), "")).collect();
        let error = commit(&store, &[], &many).await.unwrap_err();
        assert_eq!(error.to_string(), "a commit of 121 writes: at most 120 are taken");
        let guards: Vec<Guard> = (0..MOST_WRITES).map(|n| absent(&n.to_string())).collect();
        commit(&store, &guards, &many[..MOST_WRITES]).await.unwrap();
        let large = "x".repeat(MOST_BYTES);
        let error = commit(&store, &[], &[put("large", &large)]).await.unwrap_err();
        assert_eq!(error.to_string(), "a commit of 1048581 bytes: at most 1048576 are taken");
        write(&store, &[put("large", &large[5..])]).await;
        let error = commit(&store, &[], &[put("a", ""), delete("a")]).await.unwrap_err();
        assert_eq!(error.to_string(), "a commit that writes a twice");
    })
    .await;
}

#[tokio::test]
async fn what_stands_under_a_lease_goes_when_it_ends() {
    on_both(async |store| {
        let mut lease = store.grant(Duration::from_secs(2)).await.unwrap();
        assert_eq!(lease.ttl(), Duration::from_secs(2));
        let writes = [put_under(lease.id(), "l/a"), put_under(lease.id(), "l/b"), put("l/c", "")];
        let made = write(&store, &writes).await;
        // Written without a lease it stays.
        let stays = write(&store, &[put("l/b", "stays")]).await;
        let mut watch = store.watch("l/", stays).await.unwrap();
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(lease.keep_alive().await.unwrap(), lease.ttl());
        }
        assert_eq!(store.read("l/").await.unwrap().entries.len(), 3);
        let ended = changes(&mut watch, 1).await;
        assert_eq!(ended, [change("l/a", None, ended[0].revision)]);
        assert!(ended[0].revision > made);
        let left = [entry("l/b", "stays", stays), entry("l/c", "", made)];
        assert_eq!(store.read("l/").await.unwrap().entries, left);
        assert!(matches!(lease.keep_alive().await, Err(StoreError::LeaseLost)));
        let late = commit(&store, &[], &[put_under(lease.id(), "l/d"), put("l/e", "")]).await;
        assert!(matches!(late, Err(StoreError::LeaseLost)), "{late:?}");
        assert_eq!(store.read("l/").await.unwrap().entries, left);
        lease.revoke().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_given_back_ends_at_once() {
    on_both(async |store| {
        let lease = store.grant(Duration::from_secs(600)).await.unwrap();
        let other = store.grant(Duration::from_secs(600)).await.unwrap();
        assert_ne!(lease.id(), other.id());
        let made =
            write(&store, &[put_under(lease.id(), "r/a"), put_under(lease.id(), "r/b")]).await;
        let taken = write(&store, &[put_under(other.id(), "r/b")]).await;
        let mut watch = store.watch("r/", taken).await.unwrap();
        lease.revoke().await.unwrap();
        let gone = changes(&mut watch, 1).await;
        assert_eq!(gone, [change("r/a", None, gone[0].revision)]);
        assert!(gone[0].revision > made);
        assert_eq!(store.get("r/b").await.unwrap(), Some(entry("r/b", "leased", taken)));
    })
    .await;
}

#[tokio::test]
async fn the_embedded_store_keeps_all_but_what_was_leased() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StoreSettings::Embedded(folder.path().to_owned());
    let store = Store::open(&settings).await.unwrap();
    let lease = store.grant(Duration::from_secs(600)).await.unwrap();
    let made = write(&store, &[put("a", "1"), put_under(lease.id(), "b")]).await;
    let twice = Store::open(&settings).await.unwrap_err().to_string();
    assert!(twice.contains("stop the process that uses it"), "{twice}");
    drop((store, lease));
    let store = Store::open(&settings).await.unwrap();
    let seen = store.read("").await.unwrap();
    assert_eq!(seen.entries, [entry("a", "1", made)]);
    assert!(seen.revision > made);
    // What was before is not known any more, and that is said.
    let mut watch = store.watch("", made).await.unwrap();
    assert!(matches!(watch.next().await, Err(StoreError::Compacted)));
    let mut watch = store.watch("", seen.revision).await.unwrap();
    let next = write(&store, &[put("a", "2")]).await;
    assert_eq!(changes(&mut watch, 1).await, [change("a", Some("2"), next)]);
}

#[tokio::test]
async fn a_revision_that_etcd_has_compacted_is_not_watched() {
    let Some(etcd) = Etcd::start(1) else { return };
    let store = etcd.store().await;
    let old = write(&store, &[put("a", "1")]).await;
    let new = write(&store, &[put("a", "2")]).await;
    let client = etcd_client::Client::connect([etcd.address(0)], None).await.unwrap();
    client.kv_client().compact(i64::try_from(new.0).unwrap(), None).await.unwrap();
    let mut watch = store.watch("", Revision(old.0 - 1)).await.unwrap();
    assert!(matches!(watch.next().await, Err(StoreError::Compacted)));
    let mut watch = store.watch("", old).await.unwrap();
    assert_eq!(changes(&mut watch, 1).await, [change("a", Some("2"), new)]);
}

#[tokio::test]
async fn etcd_that_is_gone_is_away_at_once_and_works_when_it_is_back() {
    let Some(mut etcd) = Etcd::start(1) else { return };
    let store = etcd.store().await;
    let made = write(&store, &[put("a", "1")]).await;
    let mut watch = store.watch("", made).await.unwrap();
    let mut lease = store.grant(Duration::from_secs(60)).await.unwrap();
    etcd.kill(0);
    let limit = etcd.settings().timeout + Duration::from_millis(500);
    let since = Instant::now();
    let error = commit(&store, &[], &[put("a", "2")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
    assert!(error.to_string().contains(&etcd.address(0)), "{error}");
    assert!(matches!(store.read("").await, Err(StoreError::Away { .. })));
    assert!(matches!(lease.keep_alive().await, Err(StoreError::Away { .. })));
    assert!(since.elapsed() < limit, "{:?}", since.elapsed());
    assert!(matches!(watch.next().await, Err(StoreError::Away { .. })));
    etcd.run(0);
    etcd.answers(&store).await;
    assert_eq!(store.get("a").await.unwrap(), Some(entry("a", "1", made)));
    lease.keep_alive().await.unwrap();
    let mut watch = store.watch("", made).await.unwrap();
    let next = write(&store, &[put("a", "3")]).await;
    assert_eq!(changes(&mut watch, 1).await, [change("a", Some("3"), next)]);
}

#[tokio::test]
async fn etcd_that_stands_still_is_noticed_by_requests_and_watches() {
    let Some(etcd) = Etcd::start(1) else { return };
    let store = etcd.store().await;
    let made = write(&store, &[put("a", "1")]).await;
    let mut watch = store.watch("", made).await.unwrap();
    etcd.signal(0, Signal::STOP);
    let since = Instant::now();
    assert!(matches!(store.get("a").await, Err(StoreError::Away { .. })));
    let limit = etcd.settings().timeout + Duration::from_millis(500);
    assert!(since.elapsed() < limit, "{:?}", since.elapsed());
    let error = watch.next().await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    etcd.signal(0, Signal::CONT);
    etcd.answers(&store).await;
}

#[tokio::test]
async fn any_member_may_be_lost_and_without_a_quorum_changes_are_refused() {
    let Some(mut etcd) = Etcd::start(3) else { return };
    let store = etcd.store().await;
    let mut made = write(&store, &[put("n", "0")]).await;
    for member in 0..3 {
        // One after the other, so the leader is among them.
        let how = if member == 1 { Signal::STOP } else { Signal::KILL };
        etcd.signal(member, how);
        // For a moment there may be no leader.
        etcd.answers(&store).await;
        let since = Instant::now();
        let next = loop {
            match commit(&store, &[at("n", made)], &[put("n", &member.to_string())]).await {
                Ok(next) => break next,
                Err(StoreError::Away { .. }) if since.elapsed() < PATIENCE => {}
                // An earlier one of these was made after all.
                Err(StoreError::Conflict { .. }) => {
                    break store.get("n").await.unwrap().unwrap().revision;
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert!(next > made);
        made = next;
        if how == Signal::STOP {
            etcd.signal(member, Signal::CONT);
        } else {
            etcd.kill(member);
            etcd.run(member);
        }
    }
    etcd.answers(&store).await;
    let mut watch = store.watch("", made).await.unwrap();
    etcd.kill(0);
    etcd.kill(1);
    let limit = etcd.settings().timeout + Duration::from_millis(500);
    for _ in 0..5 {
        let since = Instant::now();
        let error = commit(&store, &[], &[put("lost", "")]).await.unwrap_err();
        assert!(matches!(error, StoreError::Away { .. }), "{error}");
        assert!(since.elapsed() < limit, "{:?}", since.elapsed());
    }
    // Even where its member lives.
    let since = Instant::now();
    let error = watch.next().await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    etcd.run(0);
    etcd.run(1);
    etcd.answers(&store).await;
    write(&store, &[put("back", "")]).await;
}

/// What the first question is answered with.
async fn refusal(url: &str) -> StoreError {
    match etcd::open(url).await {
        Ok(store) => store.get("a").await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn an_address_where_nobody_is_is_named() {
    let error = refusal("etcd://127.0.0.1:1").await;
    assert!(matches!(error, StoreError::Away { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("http://127.0.0.1:1") && text.contains("refused"), "{text}");
    let text = refusal("etcd://no.such.host.invalid:2379").await.to_string();
    assert!(text.contains("http://no.such.host.invalid:2379"), "{text}");
    let text = refusal("etcds://127.0.0.1:1?ca=/nonexistent/ca.pem").await.to_string();
    assert!(text.contains("cannot use /nonexistent/ca.pem for the store"), "{text}");
    let text = refusal("etcd://not a host:1").await.to_string();
    assert!(text.contains("http://not a host:1"), "{text}");
}

#[tokio::test]
async fn users_are_let_in_with_their_password_only() {
    let Some(mut etcd) = Etcd::start(1) else { return };
    let store = etcd.store().await;
    let client = etcd_client::Client::connect([etcd.address(0)], None).await.unwrap();
    let mut auth = client.auth_client();
    auth.user_add("root", "r", None).await.unwrap();
    auth.user_grant_role("root", "root").await.unwrap();
    auth.user_add("me", "secret", None).await.unwrap();
    auth.role_add("steerage").await.unwrap();
    let all = etcd_client::Permission::read_write("/steerage/").with_prefix();
    auth.role_grant_permission("steerage", all).await.unwrap();
    auth.user_grant_role("me", "steerage").await.unwrap();
    auth.auth_enable().await.unwrap();
    let address = etcd.address(0);
    let error = store.get("a").await.unwrap_err().to_string();
    assert!(error.contains(&address) && error.contains("etcd://USER@"), "{error}");
    let error = refusal(&format!("etcd://me:wrong@{address}")).await;
    assert!(matches!(error, StoreError::Denied { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("see user and password"), "{text}");
    let error = refusal(&format!("etcd://me:secret@{address}/elsewhere")).await;
    assert!(matches!(error, StoreError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("readwrite on the prefix"), "{error}");
    let store = etcd::open(&format!("etcd://me:secret@{address}")).await.unwrap();
    let made = write(&store, &[put("a", "1")]).await;
    // A token is not known any more after a restart.
    etcd.kill(0);
    etcd.run(0);
    etcd.answers(&store).await;
    let mut watch = store.watch("", made).await.unwrap();
    let next = write(&store, &[put("a", "2")]).await;
    assert_eq!(changes(&mut watch, 1).await, [change("a", Some("2"), next)]);
}

#[tokio::test]
async fn an_embedded_store_is_read_in_pages_and_made_again_of_what_it_holds() {
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let settings = StoreSettings::Embedded(folder.path().to_owned());
    let store = Store::open(&settings).await.unwrap();
    write(&store, &[put("a/1", "x"), put("a/2", ""), put("a/3", "z"), put("b/1", "y")]).await;
    let keys = |after: &str, most: usize| -> Vec<String> {
        let page = store.page_embedded("a/", after, most).unwrap();
        page.into_iter().map(|entry| entry.key).collect()
    };
    assert_eq!(keys("", 2), ["a/1", "a/2"]);
    assert_eq!(keys("a/2", 2), ["a/3"]);
    assert_eq!(keys("a/3", 2), Vec::<String>::new());
    let whole = store.read_embedded().unwrap().unwrap().entries;
    let entries = whole.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    Store::make(other.path(), entries).unwrap();
    let made = Store::embedded(other.path()).unwrap().read_embedded().unwrap().unwrap().entries;
    let plain = |entries: &[Entry]| -> Vec<_> {
        entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    };
    assert_eq!(plain(&made), plain(&whole));
}
