//! Components that import what no host offers are served, and say what they called when they call it.

use steerage_guests as guests;

use crate::harness::{Host, manifest, run_in, wat};

const INTERFACE: &str = "shop:orders/book@1.0.0";

#[tokio::test]
pub(crate) async fn what_no_host_offers_traps_with_its_name_when_it_is_called() {
    let host = Host::start();
    let wasm = std::fs::read(guests::LACKING).unwrap();
    // By a new instance for each call, and by one that is put back.
    for (name, made) in [("new", "[instance]\nfresh = \"new\""), ("restored", "")] {
        let told = host.deploy(&wasm, &manifest(name, &format!("/{name}"), made)).await;
        assert_eq!(told["not_offered"][0], INTERFACE, "{told}");
        assert_eq!(told["not_offered"].as_array().unwrap().len(), 1, "{told}");
        for _ in 0..3 {
            let reply = host.get(&format!("/{name}")).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(reply.text(), "it did without");
            for (what, function) in [("count", "count"), ("order", "[constructor]order")] {
                let reply = host.get(&format!("/{name}?what={what}")).await;
                assert_eq!(reply.cause(), "trapped", "{}", reply.text());
                let called =
                    format!("called what this host does not offer: {INTERFACE}#{function}");
                let path = format!("/v1/events?app={name}");
                host.until(&called, || async {
                    let events = host.admin("GET", &path, "").await.text();
                    events.contains(&called).then_some(())
                })
                .await;
            }
        }
    }
    let shown = host.run(&["show", "new"]).done().stdout;
    assert!(shown.contains("not offered") && shown.contains(INTERFACE), "{shown}");
    let why = host.run(&["why", "new"]).stdout;
    assert!(why.contains(&format!("{INTERFACE}#")), "{why}");
}

#[test]
fn validate_and_deploy_list_what_no_host_offers() {
    let folder = tempfile::tempdir().unwrap();
    let text = manifest("lacking", "/...", "");
    std::fs::write(folder.path().join("steerage.toml"), text).unwrap();
    std::fs::copy(guests::LACKING, folder.path().join("lacking.wasm")).unwrap();
    let file = folder.path().join("steerage.toml");
    let host = Host::start();
    let validated = run_in(folder.path(), &["validate"]);
    assert!(validated.stderr.contains(INTERFACE), "{validated:?}");
    let json = run_in(folder.path(), &["validate", "-o", "json"]);
    assert!(json.stdout.contains("not_offered") && json.stdout.contains(INTERFACE), "{json:?}");
    let deployed = host.run(&["deploy", "-f", file.to_str().unwrap()]).done();
    assert!(deployed.stderr.contains(INTERFACE), "{deployed:?}");
}

#[tokio::test]
async fn an_import_that_cannot_be_stood_in_for_is_refused() {
    let host = Host::start();
    let wasm = wat("(component (import \"some-module\" (core module)))");
    let refused = host.try_deploy(&wasm, &manifest("odd", "/odd", "")).await;
    assert!(refused.text().contains("some-module"), "{}", refused.text());
}

#[tokio::test]
async fn what_would_need_too_much_to_stand_in_for_is_refused() {
    let host = Host::start();
    let functions: String = (0..900).map(|n| format!("(export \"f{n}\" (func))")).collect();
    let interfaces = |n: usize| -> String {
        (0..n).map(|n| format!("(import \"a:b/c{n}@1.0.0\" (instance {functions}))")).collect()
    };
    let many = wat(&format!("(component {})", interfaces(12)));
    let refused = host.try_deploy(&many, &manifest("many", "/many", "")).await.text();
    assert!(
        refused.contains("10812 functions and interfaces that this host does not"),
        "{refused}"
    );
    // Fewer are no reason: this one exports nothing.
    let few = wat(&format!("(component {})", interfaces(11)));
    let refused = host.try_deploy(&few, &manifest("few", "/few", "")).await.text();
    assert!(refused.contains("wrong world"), "{refused}");
    // An interface that is not one of a package whose others are there is missing like any other.
    let rockets = wat("(component (import \"wasi:http/rockets@0.2.0\" (instance)))");
    let refused = host.try_deploy(&rockets, &manifest("rockets", "/r", "")).await.text();
    assert!(refused.contains("wrong world"), "{refused}");
}
