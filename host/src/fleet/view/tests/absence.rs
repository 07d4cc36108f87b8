//! What is not seen, or cannot be read, is no less there for it.

use steerage_core::node::FleetKey;

use super::super::*;
use crate::store::Entry;

fn entry(key: &str, value: &str) -> Entry {
    let value = value.as_bytes().to_vec();
    Entry { key: key.to_owned(), value, revision: Revision(1) }
}

fn change(key: &str, value: Option<&str>) -> Change {
    let value = value.map(|value| value.as_bytes().to_vec());
    Change { key: key.to_owned(), value, revision: Revision(2) }
}

const SHOP: &str = r#"{"v": 1, "generation": 2, "min": 1, "max": 1}"#;
const H1: &str = r#"{"v": 1, "id": "h1", "run": 7, "address": "127.0.0.1:1", "listen": "127.0.0.1:2",
    "admin": "127.0.0.1:3", "zone": "z", "cpu_m": 1000, "memory": 9, "version": "1"}"#;
const NEWER: &str = r#"{"v": 9, "zone": "attic", "labels": {"disk": "ssd"}, "generation": "new"}"#;

fn read(entries: &[Entry]) -> View {
    View::read(&Seen { entries: entries.to_vec(), ..Seen::default() }).0
}

fn shop() -> AppName {
    "shop".parse().unwrap()
}

fn view() -> View {
    read(&[
        entry("assigned/shop", r#"{"v": 1, "hosts": ["h1"]}"#),
        entry("desired/apps/shop", SHOP),
        entry("observed/hosts/h1", H1),
    ])
}

#[test]
fn an_app_goes_by_its_removal_only() {
    let removed = |generation: u64| format!("{{\"v\": 1, \"generation\": {generation}}}");
    let gone = || change("desired/apps/shop", None);
    let tomb = |generation| change("desired/removed/shop", Some(&removed(generation)));
    for (changes, is_there) in [
        (vec![gone()], true),
        (vec![gone(), tomb(2)], false),
        (vec![tomb(2), gone()], false),
        // An earlier app of this name was removed.
        (vec![gone(), tomb(1)], true),
        (vec![tomb(7)], true),
    ] {
        let mut view = view();
        view.apply(&changes, |_, _| true);
        assert_eq!(view.app(&shop()).is_some(), is_there, "{changes:?}");
        // One after the other is the same.
        let mut view = self::view();
        for change in &changes {
            view.apply(std::slice::from_ref(change), |_, _| true);
        }
        assert_eq!(view.app(&shop()).is_some(), is_there, "{changes:?}");
        let has_vanished = is_there && changes.contains(&gone());
        assert_eq!(view.vanished.contains(&shop()), has_vanished, "{changes:?}");
    }
    // The same where everything is read anew.
    for (entries, is_there) in [
        (vec![], true),
        (vec![entry("desired/removed/shop", &removed(2))], false),
        (vec![entry("desired/removed/shop", &removed(1))], true),
    ] {
        let mut now = read(&entries);
        now.keep_detached(&view(), |_, _| false);
        assert_eq!(now.app(&shop()).is_some(), is_there, "{entries:?}");
        assert_eq!(now.vanished.contains(&shop()), is_there, "{entries:?}");
    }
    // It is there again.
    let mut view = view();
    view.apply(&[gone()], |_, _| true);
    view.apply(&[change("desired/apps/shop", Some(SHOP))], |_, _| true);
    assert!(view.vanished.is_empty());
}

#[test]
fn what_cannot_be_read_is_what_it_was() {
    for bad in [NEWER, "{", "", "[]", r#"{"v": 1}"#] {
        let entries = [
            entry("assigned/shop", bad),
            entry("desired/apps/shop", bad),
            entry("observed/hosts/h1", bad),
        ];
        let mut now = read(&entries);
        assert!(now.apps().next().is_none() && now.hosts.is_empty(), "{bad}");
        assert_eq!(now.outlined().count(), 1, "{bad}");
        let h1 = FleetKey::Host("h1".parse().unwrap());
        for key in [FleetKey::Assigned(shop()), FleetKey::App(shop()), h1.clone()] {
            assert!(now.is_unreadable(&key), "{bad}");
        }
        let before = view();
        now.keep_detached(&before, |_, _| false);
        assert_eq!(now.app(&shop()), before.app(&shop()), "{bad}");
        assert_eq!(now.assigned(&shop()), before.assigned(&shop()), "{bad}");
        assert_eq!(now.hosts, before.hosts, "{bad}");
        assert!(now.vanished.is_empty(), "{bad}");
        // It can be read again.
        now.apply(&[change("observed/hosts/h1", Some(H1))], |_, _| true);
        assert!(!now.is_unreadable(&h1) && now.outlined().count() == 0, "{bad}");
    }
    let now = read(&[entry("observed/hosts/h1", NEWER)]);
    let (_, outlined) = now.outlined().next().unwrap();
    assert_eq!((&*outlined.zone, outlined.labels.len()), ("attic", 1));
}
