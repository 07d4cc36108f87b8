//! What a view makes of records as they stand in the store.

mod absence;

use super::*;
use crate::store::Entry;

fn entry(key: &str, value: &str) -> Entry {
    let value = format!("{{\"v\": 1, {value}}}").into_bytes();
    Entry { key: key.to_owned(), value, revision: Revision(1) }
}

fn put_host(name: &str) -> Entry {
    let value = format!(
        "\"id\": \"{name}\", \"run\": 7, \"address\": \"127.0.0.1:1\", \"listen\": \"127.0.0.1:2\", \
         \"admin\": \"127.0.0.1:3\", \"zone\": \"z\", \"cpu_m\": 1000, \"memory\": 9, \"version\": \"1\""
    );
    entry(&format!("observed/hosts/{name}"), &value)
}

fn ready(host: &str, generation: u64) -> Entry {
    entry(&format!("observed/ready/{host}/shop"), &format!("\"generation\": {generation}"))
}

fn deleted(key: &str) -> Change {
    Change { key: key.to_owned(), value: None, revision: Revision(2) }
}

fn shop() -> AppName {
    "shop".parse().unwrap()
}

fn names(hosts: &[&HostName]) -> Vec<String> {
    hosts.iter().map(ToString::to_string).collect()
}

/// `shop` in generation 2 on a and b, of which only a is ready; c still has it.
fn view() -> View {
    let entries = vec![
        entry("assigned/shop", "\"hosts\": [\"a\", \"b\"]"),
        entry("desired/apps/shop", "\"generation\": 2, \"min\": 2, \"max\": 2"),
        put_host("a"),
        put_host("b"),
        put_host("c"),
        ready("a", 2),
        ready("c", 1),
    ];
    let (view, told) = View::read(&Seen { entries, ..Seen::default() });
    assert_eq!(told.troubles, Vec::<String>::new());
    view
}

#[test]
fn those_answer_that_are_placed_and_ready_or_else_who_leaves_or_else_who_comes() {
    let mut view = view();
    assert_eq!(names(&view.answering(&shop())), ["a"]);
    assert!(!view.is_ready_everywhere(&shop(), 2));
    view.apply(&[deleted("observed/ready/a/shop")], |_, _| true);
    assert_eq!(names(&view.answering(&shop())), ["c"]);
    view.apply(&[deleted("observed/ready/c/shop")], |_, _| true);
    assert_eq!(names(&view.answering(&shop())), ["a", "b"]);
}

#[test]
fn a_host_that_the_store_has_lost_stays_while_it_answers() {
    let lost = [deleted("observed/hosts/a"), deleted("observed/ready/a/shop")];
    let (mut kept, mut gone) = (view(), view());
    kept.apply(&lost, |host, run| host.as_str() == "a" && run == 7);
    assert_eq!(names(&kept.answering(&shop())), ["a"]);
    assert!(!kept.hosts.keys().any(|host| host.as_str() == "a"));
    gone.apply(&lost, |_, _| false);
    assert_eq!(names(&gone.answering(&shop())), ["c"]);
    assert!(kept.forget_gone(|_| true));
    assert_eq!(names(&kept.answering(&shop())), ["c"]);
}

#[test]
fn nobody_waits_for_a_host_that_cannot_hear_of_what_is_new() {
    let mut view = view();
    view.apply(&[deleted("observed/hosts/b")], |_, _| true);
    assert!(view.is_ready_everywhere(&shop(), 2));
    // And it is not asked while it serves what is old.
    let old = Change { value: Some(ready("b", 1).value), ..deleted("observed/ready/b/shop") };
    view.apply(&[old], |_, _| true);
    assert_eq!(names(&view.answering(&shop())), ["a"]);
}

#[test]
fn an_app_runs_only_where_its_labels_and_its_neighbours_let_it() {
    let host = |name: &str, labels: &str| {
        let mut host = put_host(name);
        let text = String::from_utf8(host.value).unwrap();
        host.value = text.replace("\"zone\"", &format!("\"labels\": {labels}, \"zone\"")).into();
        host
    };
    let app = |name: &str, more: &str| {
        let value = format!("\"generation\": 1, \"min\": 1, \"max\": 1{more}");
        entry(&format!("desired/apps/{name}"), &value)
    };
    let entries = vec![
        app("any", ""),
        app("eu", ", \"labels\": {\"region\": \"eu\"}"),
        app("shy", ", \"apart_from\": [\"loud\", \"shy\"]"),
        app("loud", ""),
        entry("assigned/loud", "\"hosts\": [\"a\"]"),
        entry("assigned/shy", "\"hosts\": [\"b\"]"),
        host("a", "{\"region\": \"us\"}"),
        host("b", "{\"region\": \"eu\", \"disk\": \"ssd\"}"),
    ];
    let (mut view, told) = View::read(&Seen { entries, revision: Revision(1), ..Seen::default() });
    assert_eq!(told.troubles, Vec::<String>::new());
    let may = |view: &View, app: &str| {
        let app = app.parse().unwrap();
        let hosts = ["a", "b", "unknown"].iter();
        hosts.map(|host| view.may_run(&app, &host.parse().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(may(&view, "any"), [true, true, true]);
    assert_eq!(may(&view, "not-known-yet"), [true, true, true]);
    assert_eq!(may(&view, "eu"), [false, true, false]);
    assert_eq!(may(&view, "shy"), [false, true, true]);
    assert_eq!(may(&view, "loud"), [true, false, true], "though it is the other that says so");
    view.apply(&[deleted("assigned/shy"), deleted("assigned/loud")], |_, _| true);
    assert_eq!((may(&view, "shy")[0], may(&view, "loud")[1]), (true, true));
    // What leaves is still there.
    let leaves = Change { value: Some(ready("a", 1).value), ..deleted("observed/ready/a/loud") };
    view.apply(&[leaves], |_, _| true);
    assert!(!may(&view, "shy")[0]);
}

#[test]
fn what_cannot_be_read_is_told_and_changes_nothing_else() {
    let mut view = view();
    let newer = Change { value: Some(b"{\"v\": 9}".to_vec()), ..deleted("assigned/shop") };
    let told = view.apply(&[newer, deleted("observed/ready/c/shop")], |_, _| true);
    assert!(told.troubles.concat().contains("written by a newer steerage"), "{told:?}");
    assert_eq!(names(&view.answering(&shop())), ["a"]);
}
