//! The ledger on a real file: what survives, what makes room, and what cannot be read.

use steerage_core::limits::LimitsPolicy;

use super::tables::{INDEX, KEPT};
use super::*;

fn record(app: &str, generation: u64) -> DeploymentRecord {
    DeploymentRecord {
        app: app.parse().unwrap(),
        generation: Generation::new(generation).unwrap(),
        digest: Digest::from_bytes([u8::try_from(generation % 256).unwrap(); 32]),
        manifest: format!(
            "name = \"{app}\"\nversion = \"{generation}\"\nsource = \"a.wasm\"\n\
             [[route]]\npath = \"/{app}/...\"\n"
        ),
        kind: "http-0.2".to_owned(),
        size: 7,
        deployed_at: 11,
    }
}

fn read(record: DeploymentRecord) -> Deployment {
    Deployment::read(record, &LimitsPolicy::default()).unwrap()
}

fn deployment(app: &str, generation: u64) -> Deployment {
    read(record(app, generation))
}

/// What is served, and in order of names what cannot be.
fn current(ledger: &Ledger) -> (Vec<IndexRecord>, Vec<String>) {
    let (mut found, mut broken) = (Vec::new(), Vec::new());
    let show = |_: &str, shown: Result<IndexRecord, LedgerError>| match shown {
        Ok(record) => found.push(record),
        Err(error) => broken.push(error.to_string()),
    };
    ledger.each_current(show).unwrap();
    (found, broken)
}

fn index(app: &str, generation: u64) -> IndexRecord {
    IndexRecord::of(&record(app, generation)).unwrap()
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.commit(&deployment("b", 1)).unwrap();
    ledger.commit(&deployment("a", 1)).unwrap();
    ledger.commit(&deployment("a", 2)).unwrap();
    drop(ledger);
    let ledger = Ledger::open(folder.path()).unwrap();
    assert_eq!(current(&ledger).0, [index("a", 2), index("b", 1)]);
    let a = "a".parse().unwrap();
    assert_eq!(ledger.history(&a).unwrap(), [record("a", 1), record("a", 2)]);
    ledger.set_current(&a, Generation::FIRST).unwrap();
    assert!(ledger.is_current(&a, Generation::FIRST).unwrap());
    assert!(!ledger.is_current(&a, Generation::new(2).unwrap()).unwrap());
    assert!(!ledger.is_current(&"none".parse().unwrap(), Generation::FIRST).unwrap());
    assert_eq!(current(&ledger).0, [index("a", 1), index("b", 1)]);
    assert_eq!(ledger.deployment(&a, Generation::FIRST).unwrap(), Some(record("a", 1)));
    assert_eq!(ledger.deployment(&a, Generation::new(3).unwrap()).unwrap(), None);
    assert_eq!(ledger.next_generation(&a).unwrap().get(), 3);
}

#[test]
fn old_deployments_make_room_and_their_numbers_are_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let app: AppName = "a".parse().unwrap();
    for generation in 1..=30 {
        assert_eq!(ledger.next_generation(&app).unwrap().get(), generation);
        let pruned = ledger.commit(&deployment("a", generation)).unwrap();
        let oldest = generation.checked_sub(KEPT as u64).and_then(Generation::new);
        let oldest = oldest.map(|oldest| record("a", oldest.get()).digest);
        assert_eq!(pruned, oldest.into_iter().collect::<Vec<_>>());
    }
    assert_eq!(ledger.history(&app).unwrap().len(), KEPT);
    let n_used = |ledger: &Ledger| {
        let all = (1..=30).map(|n| Digest::from_bytes([n; 32]));
        all.filter(|digest| ledger.is_used(digest).unwrap()).count()
    };
    assert_eq!(n_used(&ledger), KEPT);
    assert_eq!(ledger.remove(&app).unwrap().unwrap().len(), KEPT);
    assert_eq!(ledger.remove(&app).unwrap(), None);
    assert_eq!(n_used(&ledger), 0);
    assert!(ledger.history(&app).unwrap().is_empty());
    assert_eq!(ledger.next_generation(&app).unwrap().get(), 31);
}

#[test]
fn what_was_current_before_a_deploy_is_kept_though_it_is_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let kept = KEPT as u64;
    for generation in (1..=kept).chain([1]) {
        assert_eq!(ledger.commit(&deployment("a", generation)).unwrap(), []);
    }
    assert_eq!(ledger.commit(&deployment("a", kept + 1)).unwrap(), [record("a", 2).digest]);
    let history = ledger.history(&"a".parse().unwrap()).unwrap();
    assert!(history.iter().any(|kept| kept.generation.get() == 1));
}

#[test]
fn a_second_host_on_the_same_folder_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let _store = Ledger::open(folder.path()).unwrap();
    let error = Ledger::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("in use by another host"), "{error}");
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let app: AppName = "a".parse().unwrap();
    for generation in 1..=9 {
        ledger.commit(&deployment("a", generation)).unwrap();
        // The file as it is while the host runs is what a kill leaves behind.
        let killed = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join(FILE), killed.path().join(FILE)).unwrap();
        let reopened = Ledger::open(killed.path()).unwrap();
        assert_eq!(current(&reopened).0, [index("a", generation)]);
        assert_eq!(reopened.history(&app).unwrap(), ledger.history(&app).unwrap());
        assert_eq!(reopened.next_generation(&app).unwrap().get(), generation + 1);
    }
}

#[test]
fn a_deployment_that_is_not_there_does_not_become_current() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.commit(&deployment("a", 1)).unwrap();
    let (app, missing) = ("a".parse().unwrap(), Generation::new(7).unwrap());
    let error = ledger.set_current(&app, missing).unwrap_err();
    assert_eq!(error.to_string(), "the ledger has no deployment 7 of a");
    assert_eq!(current(&ledger).0, [index("a", 1)]);
}

#[test]
fn what_is_only_kept_is_not_current_and_never_pushes_that_out() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.commit(&deployment("a", 1)).unwrap();
    for generation in 2..=40 {
        ledger.keep(&record("a", generation)).unwrap();
    }
    assert_eq!(current(&ledger).0, [index("a", 1)]);
    let app = "a".parse().unwrap();
    assert_eq!(ledger.history(&app).unwrap().len(), KEPT);
    assert_eq!(ledger.next_generation(&app).unwrap().get(), 41);
    ledger.set_current(&app, Generation::new(40).unwrap()).unwrap();
    assert_eq!(current(&ledger).0, [index("a", 40)]);
}

#[test]
fn a_component_is_used_until_the_last_deployment_that_needs_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let (a, b) =
        (record("a", 1), DeploymentRecord { digest: record("a", 1).digest, ..record("b", 1) });
    assert_eq!(ledger.commit_all(&[read(a.clone()), read(b.clone())]).unwrap(), []);
    assert_eq!(ledger.remove(&b.app).unwrap(), Some(Vec::new()));
    assert!(ledger.is_used(&a.digest).unwrap());
    assert_eq!(ledger.remove(&a.app).unwrap(), Some(vec![a.digest]));
    assert!(!ledger.is_used(&a.digest).unwrap());
}

fn begin_write(ledger: &Ledger) -> WriteTransaction {
    ledger.backing.with(|database| Ok(database.begin_write()?)).unwrap()
}

#[test]
fn what_was_there_is_read_on_after_the_disk_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.commit(&deployment("a", 1)).unwrap();
    // As the database says it from the first failure on.
    let broken = |_: &Database| Err::<(), _>(redb::Error::PreviousIo.into());
    assert!(ledger.backing.with(broken).is_err());
    assert_eq!(current(&ledger).0, [index("a", 1)]);
    ledger.commit(&deployment("a", 2)).unwrap();
    // Nor for good where the file was away meanwhile.
    let (path, away) = (folder.path().join(FILE), folder.path().join("away"));
    fs::rename(&path, &away).unwrap();
    assert!(ledger.backing.with(broken).is_err());
    assert!(ledger.history(&"a".parse().unwrap()).is_err());
    fs::rename(&away, &path).unwrap();
    assert_eq!(current(&ledger).0, [index("a", 2)]);
}

/// Makes the ledger what a host wrote that knew neither index nor references.
fn make_old(ledger: &Ledger) {
    let transaction = begin_write(ledger);
    transaction.delete_table(INDEX).unwrap();
    transaction.delete_table(REFS).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn an_older_store_is_read_once_and_then_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.commit_all(&[deployment("a", 1), deployment("a", 2), deployment("b", 3)]).unwrap();
    ledger.set_current(&record("a", 1).app, Generation::FIRST).unwrap();
    make_old(&ledger);
    drop(ledger);
    let ledger = Ledger::open(folder.path()).unwrap();
    assert_eq!(current(&ledger), (vec![index("a", 1), index("b", 3)], Vec::new()));
    assert!((1..=3).all(|n| ledger.is_used(&record("a", n).digest).unwrap()));
    assert!(!ledger.is_used(&record("a", 4).digest).unwrap());
    let transaction = ledger.backing.with(|database| Ok(database.begin_read()?)).unwrap();
    assert!(transaction.open_table(INDEX).unwrap().get("b").unwrap().is_some());
}

#[test]
fn a_store_an_older_host_wrote_to_meanwhile_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.commit_all(&[deployment("a", 1), deployment("b", 1)]).unwrap();
    // An older host deploys `a` again and removes `b`.
    let bytes = record("a", 2).encode().unwrap();
    let transaction = begin_write(&ledger);
    let mut deployments = transaction.open_table(DEPLOYMENTS).unwrap();
    deployments.insert(("a", 2), bytes.as_slice()).unwrap();
    deployments.remove(("b", 1)).unwrap();
    drop(deployments);
    transaction.open_table(CURRENT).unwrap().insert("a", 2).unwrap();
    transaction.open_table(CURRENT).unwrap().remove("b").unwrap();
    transaction.commit().unwrap();
    assert_eq!(current(&ledger), (vec![index("a", 2)], Vec::new()));
}

#[test]
fn one_record_that_cannot_be_read_keeps_nothing_back_but_itself() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    ledger.commit_all(&[deployment("a", 1), deployment("b", 1), deployment("c", 1)]).unwrap();
    let transaction = begin_write(&ledger);
    let newer = br#"{"v": 9}"#.as_slice();
    transaction.open_table(DEPLOYMENTS).unwrap().insert(("b", 1), newer).unwrap();
    transaction.commit().unwrap();
    make_old(&ledger);
    drop(ledger);
    let ledger = Ledger::open(folder.path()).unwrap();
    let (served, broken) = current(&ledger);
    assert_eq!(served, [index("a", 1), index("c", 1)]);
    assert_eq!(broken, ["cannot read deployment 1 of b in the ledger"]);
    // Nobody knows which component it needs.
    assert!(ledger.is_used(&Digest::from_bytes([77; 32])).unwrap());
    assert_eq!(ledger.remove(&"a".parse().unwrap()).unwrap(), Some(Vec::new()));
    assert_eq!(ledger.remove(&"b".parse().unwrap()).unwrap(), Some(Vec::new()));
    assert!(!ledger.is_used(&Digest::from_bytes([77; 32])).unwrap());
}

#[test]
fn a_record_of_a_newer_host_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let transaction = begin_write(&ledger);
    let newer = br#"{"v": 9}"#.as_slice();
    transaction.open_table(DEPLOYMENTS).unwrap().insert(("a", 3), newer).unwrap();
    transaction.commit().unwrap();
    let error = ledger.history(&"a".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read deployment 3 of a in the ledger");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("version 9"), "{source}");
}

#[test]
fn a_damaged_file_is_refused_and_never_ends_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let ledger = Ledger::open(folder.path()).unwrap();
    (1..=9).for_each(|generation| drop(ledger.commit(&deployment("a", generation)).unwrap()));
    drop(ledger);
    let whole = fs::read(&path).unwrap();
    let mut dice = fastrand::Rng::with_seed(7);
    let mut n_refused = 0;
    for round in 0..60 {
        let mut bytes = whole.clone();
        if round % 3 == 0 {
            bytes.truncate(dice.usize(1..whole.len()));
        } else {
            (0..200).for_each(|_| bytes[dice.usize(..whole.len())] ^= 1 << dice.u8(..8));
        }
        fs::write(&path, bytes).unwrap();
        if let Err(error) = Ledger::open(folder.path()) {
            let text = error.to_string();
            assert!(text.contains("cannot open the ledger"), "round {round}: {text}");
            n_refused += 1;
        }
    }
    assert!(n_refused > 20, "{n_refused}");
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    for text in ["", "not a database, but long enough"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text.repeat(999)).unwrap();
        let error = Ledger::open(folder.path());
        if text.is_empty() {
            // An empty file is a ledger that was never written.
            assert_eq!(current(&error.unwrap()), (Vec::new(), Vec::new()));
            continue;
        }
        let error = error.unwrap_err().to_string();
        assert!(error.contains("cannot open the ledger"), "{error}");
        assert!(error.contains("steerage restore"), "{error}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_not_called_damaged() {
    let error = Ledger::open(Path::new("/nonexistent")).unwrap_err();
    assert_eq!(error.to_string(), "cannot open the ledger /nonexistent/steerage.redb");
}

#[test]
fn any_one_damaged_page_leaves_all_apps_readable_or_is_refused_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let ledger = Ledger::open(folder.path()).unwrap();
    let apps: Vec<AppName> = (0..12).map(|n| format!("app{n}").parse().unwrap()).collect();
    let long = "# ".to_owned() + &"x".repeat(1500) + "\n";
    for (app, generation) in apps.iter().flat_map(|app| [(app, 1), (app, 2)]) {
        let record = record(app.as_str(), generation);
        let manifest = long.clone() + &record.manifest;
        ledger.commit(&read(DeploymentRecord { manifest, ..record })).unwrap();
    }
    let wanted: Vec<_> = apps
        .iter()
        .map(|app| ledger.deployment(app, Generation::new(2).unwrap()).unwrap())
        .collect();
    drop(ledger);
    let whole = fs::read(&path).unwrap();
    let (mut n_read, mut n_copied, mut n_refused) = (0, 0, 0);
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        let Ok(ledger) = Ledger::open(folder.path()) else {
            n_refused += 1;
            continue;
        };
        let mut shown = Vec::new();
        let walked = ledger.each_current(|name, record| {
            assert!(record.is_ok(), "page {page}: {name}: {record:?}");
            shown.push(name.to_owned());
        });
        if let Err(error) = walked {
            assert!(error.to_string().contains(path.to_str().unwrap()), "page {page}: {error}");
            n_refused += 1;
            continue;
        }
        shown.sort();
        shown.dedup();
        assert_eq!(shown.len(), apps.len(), "page {page}");
        for (app, wanted) in apps.iter().zip(&wanted) {
            let read = ledger.deployment(app, Generation::new(2).unwrap());
            assert_eq!(read.unwrap(), *wanted, "page {page}");
        }
        n_read += 1;
        n_copied += u32::from(ledger.is_damaged());
        // Nobody is told that a component is not needed where that cannot be known.
        assert!(ledger.is_used(&wanted[0].as_ref().unwrap().digest).unwrap_or(true), "page {page}");
    }
    assert!(n_read > 3 * n_refused, "{n_read} read, {n_refused} refused");
    assert!(n_copied > 0);
}
