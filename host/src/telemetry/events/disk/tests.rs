//! What is there after a restart, whatever happened to the files.

use super::super::EventPlace;
use super::*;
use crate::telemetry::events::Same;

const PATIENCE: Duration = Duration::from_secs(60);

fn open(data: &Path) -> Arc<Events> {
    Events::open(data).unwrap()
}

fn kinds(events: &Events) -> Vec<String> {
    events.recent(None, 100_000).into_iter().map(|event| event.kind.into_owned()).collect()
}

fn failure(place: u64, at: u64) -> Event {
    Event {
        app: "shop".parse().ok(),
        severity: Severity::Warning,
        place: EventPlace::of(place),
        first_at: at,
        at,
        ..Event::now("trapped", "the app trapped".to_owned())
    }
}

fn file(data: &Path, name: &str) -> PathBuf {
    data.join(FOLDER).join(name)
}

/// A data folder with the events `one` and `two`, and nobody who writes there.
fn two() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let events = open(data.path());
    events.push(Event::now("one", String::new()));
    events.push(Event::now("two", String::new()));
    events.end(PATIENCE);
    data
}

#[test]
fn events_are_there_after_a_restart_and_count_on() {
    let data = tempfile::tempdir().unwrap();
    let events = open(data.path());
    let now = Event::now("x", String::new()).at;
    events.push(Event::now("started", "first".to_owned()));
    events.push(failure(1, now));
    let app = "shop".parse().unwrap();
    let place = EventPlace::of(1_u64);
    let same = Same { app: Some(&app), generation: None, kind: "trapped", place };
    assert!(events.counted(&same) && events.counted(&same));
    let before = events.recent(None, 10);
    events.end(PATIENCE);
    drop(events);
    let events = open(data.path());
    assert_eq!(events.recent(None, 10), before);
    let mut coming = events.follow();
    assert!(!events.push_once(failure(1, now)) && events.push_once(failure(2, now)));
    // What happens again is told and counted; what is new has a new id.
    assert!(!events.counted(&same), "nobody has heard of it in this run");
    events.push(failure(1, now + 1));
    let told = coming.try_recv().unwrap();
    assert_eq!((told.id, told.place), (3, EventPlace::of(2_u64)));
    let told = coming.try_recv().unwrap();
    assert_eq!((told.id, told.count, told.first_at), (4, 4, now));
    events.end(PATIENCE);
    drop(events);
    let counts: Vec<u64> = open(data.path()).recent(None, 10).iter().map(|it| it.count).collect();
    assert_eq!(counts, [1, 1, 4], "the last line of what has the same cause counts");
}

#[test]
fn a_line_without_its_end_is_lost_and_nothing_else() {
    let data = two();
    let path = file(data.path(), NOW);
    let text = fs::read(&path).unwrap();
    for torn in [&text[..text.len() - 1], &text[..text.len() - 30]] {
        fs::write(&path, torn).unwrap();
        let events = open(data.path());
        assert_eq!(kinds(&events), ["one"]);
        events.push(Event::now("three", String::new()));
        events.end(PATIENCE);
        drop(events);
        assert_eq!(kinds(&open(data.path())), ["one", "three"]);
    }
}

#[test]
fn what_is_damaged_is_set_aside_and_the_rest_is_shown_and_kept() {
    let data = two();
    let path = file(data.path(), NOW);
    let mut text = b"\0\0\0 nothing \xff\n{}\n".to_vec();
    text.extend(fs::read(&path).unwrap());
    fs::write(&path, &text).unwrap();
    let events = open(data.path());
    assert_eq!(kinds(&events), ["one", "two", "events_damaged"]);
    let told = events.recent(None, 1).remove(0);
    assert!(told.message.contains("2 lines of it are no events"), "{}", told.message);
    assert_eq!(fs::read(file(data.path(), DAMAGED)).unwrap(), text);
    events.end(PATIENCE);
    drop(events);
    assert_eq!(kinds(&open(data.path())), ["one", "two", "events_damaged"], "told once");
}

#[test]
fn what_is_no_file_or_too_long_holds_up_nothing() {
    let data = two();
    let path = file(data.path(), NOW);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(kinds(&open(data.path())), ["events_damaged"]);
    let data = two();
    File::create(file(data.path(), BEFORE)).unwrap().set_len(READ + 1).unwrap();
    assert_eq!(kinds(&open(data.path())), ["one", "two", "events_damaged"]);
    // A file where the folder should be: all is told while the host runs.
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join(FOLDER), "").unwrap();
    let events = open(data.path());
    events.push(Event::now("one", String::new()));
    events.end(PATIENCE);
    // The thread that writes may find out before the next event is told.
    let mut told = kinds(&events);
    told.sort();
    assert_eq!(told, ["events_damaged", "events_not_kept", "one"]);
}

#[test]
fn a_disk_that_took_nothing_is_written_again() {
    let data = two();
    let events = open(data.path());
    // As a full disk does, for whoever runs the test: the file cannot be opened.
    fs::rename(file(data.path(), NOW), file(data.path(), "away")).unwrap();
    fs::create_dir(file(data.path(), NOW)).unwrap();
    for n in 0..10_000 {
        events.push(Event::now("lost", n.to_string()));
    }
    events.end(PATIENCE);
    assert!(kinds(&events).contains(&"events_not_kept".to_owned()));
    fs::remove_dir(file(data.path(), NOW)).unwrap();
    fs::rename(file(data.path(), "away"), file(data.path(), NOW)).unwrap();
    events.push(Event::now("three", String::new()));
    events.end(PATIENCE);
    drop(events);
    let found = kinds(&open(data.path()));
    assert!(found.starts_with(&["one".to_owned(), "two".to_owned()]), "{found:?}");
    assert!(found.contains(&"events_left_out".to_owned()), "{found:?}");
    assert!(found.contains(&"three".to_owned()), "{found:?}");
}

#[test]
fn the_disk_is_bounded_whatever_is_told() {
    let data = tempfile::tempdir().unwrap();
    for run in 0..12 {
        let events = open(data.path());
        for n in 0..2_000 {
            events.push(Event::now("flood", format!("{run} {n} {}", "x".repeat(900))));
        }
        events.end(PATIENCE);
    }
    let sizes = [NOW, BEFORE].map(|name| fs::metadata(file(data.path(), name)).unwrap().len());
    assert!(sizes.iter().all(|size| *size <= FILE_BYTES), "{sizes:?}");
    assert_eq!(fs::read_dir(data.path().join(FOLDER)).unwrap().count(), 2);
    assert!(kinds(&open(data.path())).len() >= 500);
}

#[test]
fn a_disk_that_stands_still_holds_nobody_up() {
    // Nobody takes what is to be written. A writer that waited would wait for ever.
    let (news, _waiting) = sync_channel(WAITING);
    let disk = Disk { news, n_left_out: Arc::default() };
    for number in 0..3 * WAITING {
        disk.write(&failure(number as u64, 0));
    }
    assert_eq!(disk.n_left_out.load(Ordering::Relaxed), 2 * WAITING as u64);
}
