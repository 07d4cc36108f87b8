//! Stores as their users see them, over a real file.

use std::sync::Mutex;
use std::time::Duration;

use steerage_core::key_value::{ValueExpiry, ValueVersion};

use super::*;

const QUOTA: KeyValueQuota = KeyValueQuota { bytes: 1_000_000, pairs: 10_000 };

fn owner(tenant: &str, app: &str) -> StoreOwner {
    StoreOwner { tenant: tenant.parse().unwrap(), app: app.parse().unwrap() }
}

fn label(text: &str) -> StoreLabel {
    text.parse().unwrap()
}

fn stores(folder: &Path) -> AppStores {
    let stores = KeyValueStores::new(folder, QUOTA);
    stores.of_app(owner("t", "app"), [label("default")], WriteCharge::to_nobody())
}

fn set(pairs: &[(&str, &[u8])], ttl_ms: Option<u64>) -> PairChange {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
    PairChange::Set { label: label("default"), pairs, ttl_ms }
}

fn delete(key: &str) -> PairChange {
    PairChange::Delete { label: label("default"), keys: vec![key.to_owned()] }
}

fn swap(key: &str, value: &str, expected: Option<ValueVersion>) -> PairChange {
    let (key, value) = (key.to_owned(), value.as_bytes().to_vec());
    PairChange::Swap { label: label("default"), key, value, expected }
}

fn value(app: &AppStores, key: &str) -> Option<String> {
    let stored = app.get(&label("default"), key).unwrap();
    stored.map(|stored| String::from_utf8(stored.value).unwrap())
}

#[tokio::test]
async fn what_was_set_is_there_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let app = stores(folder.path());
    assert_eq!(value(&app, "a"), None);
    assert_eq!(
        app.change(set(&[("a", b"1"), ("b", b"2")], None)).await.unwrap(),
        PairChanged::Done
    );
    assert_eq!(value(&app, "a").as_deref(), Some("1"));
    assert!(app.exists(&label("default"), "b").unwrap());
    app.change(delete("b")).await.unwrap();
    app.change(delete("nothing")).await.unwrap();
    assert!(!app.exists(&label("default"), "b").unwrap());
    assert_eq!(app.usage().unwrap(), KeyValueUsage { bytes: 2, pairs: 1 });
    // As a kill leaves the file: the database has not closed it.
    let after_a_kill = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join(file::FILE), after_a_kill.path().join(file::FILE)).unwrap();
    assert_eq!(value(&stores(after_a_kill.path()), "a").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_store_that_is_not_named_is_not_opened_and_one_that_is_has_its_own_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let all = KeyValueStores::new(folder.path(), QUOTA);
    let labels = || [label("default"), label("other")];
    let one = all.of_app(owner("t", "one"), labels(), WriteCharge::to_nobody());
    let other = all.of_app(owner("t", "other"), labels(), WriteCharge::to_nobody());
    let foreign = all.of_app(owner("u", "one"), labels(), WriteCharge::to_nobody());
    assert_eq!(one.open("other").unwrap(), label("other"));
    for bad in ["third", "", "No Label", &"x".repeat(1 << 20)] {
        let error = one.open(bad).unwrap_err();
        assert!(matches!(error, KeyValueError::NotNamed { .. }), "{error}");
    }
    one.change(set(&[("k", b"v")], None)).await.unwrap();
    assert_eq!(value(&one, "k").as_deref(), Some("v"));
    assert_eq!((value(&other, "k"), value(&foreign, "k")), (None, None));
    assert_eq!(one.get(&label("other"), "k").unwrap(), None);
    assert_eq!(foreign.keys(&label("default"), None, 10).unwrap(), KeyPage::default());
    assert_eq!(all.owners().unwrap(), [owner("t", "one")]);
}

#[tokio::test]
async fn a_swap_needs_the_value_that_was_seen_and_one_that_came_back_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let app = stores(folder.path());
    assert_eq!(app.change(swap("k", "a", None)).await.unwrap(), PairChanged::Swapped(true));
    assert_eq!(app.change(swap("k", "b", None)).await.unwrap(), PairChanged::Swapped(false));
    let seen = app.get(&label("default"), "k").unwrap().unwrap().version;
    app.change(set(&[("k", b"b")], None)).await.unwrap();
    app.change(set(&[("k", b"a")], None)).await.unwrap();
    assert_eq!(app.change(swap("k", "c", Some(seen))).await.unwrap(), PairChanged::Swapped(false));
    app.change(delete("k")).await.unwrap();
    app.change(set(&[("k", b"a")], None)).await.unwrap();
    assert_eq!(app.change(swap("k", "c", Some(seen))).await.unwrap(), PairChanged::Swapped(false));
    let seen = app.get(&label("default"), "k").unwrap().unwrap().version;
    assert_eq!(app.change(swap("k", "c", Some(seen))).await.unwrap(), PairChanged::Swapped(true));
    assert_eq!(value(&app, "k").as_deref(), Some("c"));
}

#[tokio::test]
async fn counters_read_as_numbers_and_many_writers_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = stores(folder.path());
    let increment = |delta| PairChange::Increment {
        label: label("default"),
        key: "n".to_owned(),
        delta,
        least: i64::MIN,
    };
    let writers = (0..8).map(|_| {
        let app = app.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                app.change(increment(3)).await.unwrap();
            }
            for _ in 0..50 {
                app.change(increment(-2)).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(value(&app, "n").as_deref(), Some("400"));
    app.change(set(&[("n", b"apples")], None)).await.unwrap();
    let refused = app.change(increment(1)).await.unwrap_err();
    assert!(matches!(refused, KeyValueError::Refused(KeyValueRefusal::NotANumber { .. })));
}

#[tokio::test]
async fn the_last_byte_of_a_quota_can_be_used_and_a_change_is_done_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let quota = KeyValueQuota { bytes: 10, pairs: 3 };
    let app = KeyValueStores::new(folder.path(), quota).for_operator(owner("t", "app"));
    let refused = |answer: Result<PairChanged, KeyValueError>| answer.unwrap_err().to_string();
    app.change(set(&[("a", b"1234"), ("b", b"1234")], None)).await.unwrap();
    let said = refused(app.change(set(&[("a", b""), ("c", b"123456")], None)).await);
    assert!(said.starts_with("the app's pairs would have 13 bytes: its quota is 10"), "{said}");
    assert_eq!(value(&app, "a").as_deref(), Some("1234"), "nothing of it was done");
    // What is named twice counts once, as it is at last.
    app.change(set(&[("a", b"123456789"), ("a", b"4321")], None)).await.unwrap();
    app.change(set(&[("a", b"1"), ("c", b"12")], None)).await.unwrap();
    assert_eq!(app.usage().unwrap(), KeyValueUsage { bytes: 10, pairs: 3 });
    app.change(delete("b")).await.unwrap();
    app.change(set(&[("d", b"1")], None)).await.unwrap();
    let said = refused(app.change(set(&[("e", b"")], None)).await);
    assert!(said.starts_with("the app would have 4 pairs: its quota is 3"), "{said}");
}

#[tokio::test]
async fn keys_and_values_that_are_too_long_are_refused_with_their_lengths() {
    let folder = tempfile::tempdir().unwrap();
    let app = stores(folder.path());
    let long = "k".repeat(300);
    let said = app.change(set(&[(&long, b"v")], None)).await.unwrap_err().to_string();
    assert!(said.ends_with("has 300 bytes: at most 256 are allowed"), "{said}");
    assert!(app.get(&label("default"), &long).is_err() && app.get(&label("default"), "").is_err());
    let said = app.change(set(&[("k", &vec![0; 2_000_000])], None)).await.unwrap_err().to_string();
    assert!(said.ends_with("has 2000000 bytes: at most 1048576 are allowed"), "{said}");
    assert!(!folder.path().join(file::FILE).exists(), "nothing was asked of the file yet");
}

#[tokio::test]
async fn what_is_over_is_not_there_and_leaves_room() {
    let folder = tempfile::tempdir().unwrap();
    let app = stores(folder.path());
    app.change(set(&[("now", b"1")], Some(0))).await.unwrap();
    app.change(set(&[("later", b"1")], Some(3_600_000))).await.unwrap();
    assert_eq!(value(&app, "now"), None);
    assert_eq!(value(&app, "later").as_deref(), Some("1"));
    assert_eq!(app.keys(&label("default"), None, 10).unwrap().keys, ["later"]);
    assert_eq!(app.change(swap("now", "2", None)).await.unwrap(), PairChanged::Swapped(true));
    assert_eq!(app.usage().unwrap().pairs, 2);
    // One that is set anew without a time stays.
    app.change(set(&[("later", b"2")], None)).await.unwrap();
    let stored = app.get(&label("default"), "later").unwrap().unwrap();
    assert_eq!(stored.expiry, ValueExpiry::default());
}

#[tokio::test]
async fn keys_come_in_pages_in_the_order_of_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let app = stores(folder.path());
    let keys: Vec<String> = (0..25).map(|n| format!("k{n:02}")).collect();
    let pairs: Vec<(&str, &[u8])> = keys.iter().map(|key| (&**key, &b""[..])).collect();
    app.change(set(&pairs, None)).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = app.keys(&label("default"), after.as_deref(), 10).unwrap();
        assert!(page.keys.len() <= 10);
        seen.extend(page.keys);
        after = page.cursor;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, keys);
}

#[tokio::test]
async fn an_app_can_lose_all_its_pairs_and_others_keep_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let all = KeyValueStores::new(folder.path(), QUOTA);
    let [one, other] = ["a", "b"].map(|app| all.for_operator(owner("t", app)));
    for n in 0..3 {
        let keys: Vec<String> = (0..900).map(|m| format!("{n}-{m}")).collect();
        let pairs: Vec<(&str, &[u8])> = keys.iter().map(|key| (&**key, &b"v"[..])).collect();
        one.change(set(&pairs, None)).await.unwrap();
        other.change(set(&pairs, None)).await.unwrap();
    }
    one.drop_all().await.unwrap();
    assert_eq!(one.usage().unwrap(), KeyValueUsage::default());
    assert_eq!(other.usage().unwrap().pairs, 2_700);
    assert_eq!(all.owners().unwrap(), [owner("t", "b")]);
}

#[tokio::test]
async fn whoever_writes_is_charged() {
    let folder = tempfile::tempdir().unwrap();
    let charged = Arc::new(Mutex::new(Duration::ZERO));
    let to = charged.clone();
    let charge = WriteCharge::to(move |used| *to.lock().unwrap() += used);
    let app = KeyValueStores::new(folder.path(), QUOTA).of_app(owner("t", "a"), [], charge);
    app.change(set(&[("k", b"v")], None)).await.unwrap();
    assert!(*charged.lock().unwrap() > Duration::ZERO);
}

#[tokio::test]
async fn a_file_that_is_damaged_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file::FILE);
    std::fs::write(&path, b"this is no database").unwrap();
    let app = stores(folder.path());
    let said = app.get(&label("default"), "k").unwrap_err().to_string();
    assert!(said.contains("key-value.redb is damaged"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), b"this is no database");
}

#[tokio::test]
async fn a_host_that_keeps_no_stores_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let stores = KeyValueStores::unavailable(folder.path(), "not here");
    let app = stores.of_app(owner("t", "a"), [label("default")], WriteCharge::to_nobody());
    assert_eq!(app.open("default").unwrap_err().to_string(), "not here");
    assert!(app.change(set(&[("k", b"v")], None)).await.is_err());
    assert!(!path_exists(folder.path()));
}

fn path_exists(folder: &Path) -> bool {
    folder.join(file::FILE).exists()
}
