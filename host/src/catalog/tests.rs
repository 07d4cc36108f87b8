//! What becomes visible when apps are published together. Apps without code will do.

use steerage_core::id::Digest;

use super::*;
use crate::ledger::index::IndexRecord;

fn app(name: &str, generation: u64, route: &str) -> Arc<App> {
    let record = IndexRecord {
        app: name.parse().unwrap(),
        generation: Generation::new(generation).unwrap(),
        digest: Digest::from_bytes([1; 32]),
        version: "1.0".to_owned(),
        routes: vec![route.to_owned()],
        kind: "http-0.2".to_owned(),
        size: 1,
        deployed_at: 2,
        fingerprint: None,
    };
    Arc::new(App::new(record).unwrap())
}

fn served(snapshot: &Snapshot) -> Vec<String> {
    let owner = |app: &Arc<App>| {
        let route = app.routes().remove(0);
        let owner = snapshot.routes.get(&route).map(|there| there.owner.to_string());
        format!("{} {} at {route} of {}", app.name, app.generation, owner.unwrap_or_default())
    };
    snapshot.apps.values().map(owner).collect()
}

#[test]
fn apps_that_are_published_together_are_seen_together() {
    let catalog = Catalog::default();
    let n_apps = 1_000;
    let apps: Vec<_> =
        (0..n_apps).map(|n| app(&format!("a{n}"), 1, &format!("/a{n}/..."))).collect();
    let before = catalog.snapshot();
    let published = catalog.publish_all(apps);
    assert!(published.iter().all(|one| matches!(one, Ok(None))));
    assert_eq!(published.len(), n_apps);
    assert_eq!(catalog.snapshot().apps.len(), n_apps);
    assert!(before.apps.is_empty(), "who has an earlier snapshot keeps it");
}

#[test]
fn of_an_app_that_cannot_be_published_nothing_changes_and_the_others_are() {
    let catalog = Catalog::default();
    catalog.publish(app("a", 1, "/a")).unwrap();
    catalog.publish(app("b", 1, "/b")).unwrap();
    let published =
        catalog.publish_all(vec![app("b", 2, "/a"), app("c", 1, "/c"), app("a", 2, "/new")]);
    let [Err(conflict), Ok(None), Ok(Some(replaced))] = &published[..] else {
        panic!("{published:?}");
    };
    assert_eq!(
        (conflict.owner.to_string(), replaced.generation),
        ("a".to_owned(), Generation::FIRST)
    );
    assert_eq!(
        served(&catalog.snapshot()),
        ["a 2 at /new of a", "b 1 at /b of b", "c 1 at /c of c"]
    );
    let former = catalog.former_routes();
    let former: Vec<_> = former.iter().map(|former| former.route.to_string()).collect();
    assert_eq!(former, ["/a"], "a route that an app keeps has not gone");
    // Nobody publishes where nothing can be.
    let before = catalog.snapshot();
    assert!(catalog.publish(app("d", 1, "/new")).is_err());
    assert!(Arc::ptr_eq(&before, &catalog.snapshot()));
}
