//! Each rule of a manifest, broken by itself and all at once.
//! Does not test how mistakes are found in a file: that is the host's part.

use expect_test::{Expect, expect};

use std::time::Duration;

use super::*;
use crate::units::Bytes;

fn valid() -> Manifest {
    Manifest {
        name: AppName::parse("a").unwrap(),
        tenant: TenantName::default(),
        version: "1".to_owned(),
        description: None,
        source: "a.wasm".to_owned(),
        sha256: None,
        routes: vec!["/".parse().unwrap()],
        limits: Limits::default(),
        instance: Instance::default(),
        weight: Weight::DEFAULT,
        env: BTreeMap::new(),
        secret_env: BTreeMap::new(),
        variables: BTreeMap::new(),
        allowed_outbound_hosts: Vec::new(),
        key_value_stores: Vec::new(),
        sqlite_databases: Vec::new(),
        placement: Placement::default(),
        objective: Objective::default(),
        capture: Capture::default(),
        build: Build::default(),
        spin: None,
    }
}

fn check(spoil: impl FnOnce(&mut Manifest), expect: &Expect) {
    let mut manifest = valid();
    spoil(&mut manifest);
    let lines: Vec<_> = manifest.check().iter().map(Broken::to_string).collect();
    expect.assert_eq(&lines.join("\n"));
}

fn routes(texts: &[&str]) -> Vec<Route> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_plain_manifest_breaks_no_rule() {
    assert_eq!(valid().check(), []);
}

#[test]
fn all_broken_rules_are_named_at_once() {
    check(
        |manifest| {
            manifest.version = "1\n2".to_owned();
            manifest.description = Some("x".repeat(501));
            manifest.source = "a\0".to_owned();
            manifest.routes = Vec::new();
            manifest.limits.memory = Bytes::ZERO;
            manifest.limits.queue = u32::MAX;
            manifest.instance.reuse = NonZeroU32::MAX;
            manifest.env.insert("A=B".to_owned(), String::new());
            manifest.env.insert("NUL".to_owned(), "\0".to_owned());
            manifest.env.insert("BIG".to_owned(), "x".repeat(LARGEST_ENV));
            manifest.build.command = Some(" ".to_owned());
            manifest.build.watch = vec!["src".to_owned(), String::new()];
        },
        &expect![[r#"
            version is "1\n2": expected 1 to 64 bytes on one line
            description has 501 bytes: at most 500 are allowed
            source is "a\0": expected the path of a component
            there is no route: at least one is needed
            memory is 0: at least 64KiB is allowed
            queue is 4294967295: at most 100000 is allowed
            reuse is 4294967295: at most 1000000 is allowed
            "A=B" is not the name of a variable: expected letters, digits and _, not starting with a digit
            the value of NUL has a NUL character
            env has 65546 bytes: at most 65536 are allowed
            the build command is " ": expected a shell command
            watch has "": expected a path or a pattern, such as src/**/*.ts"#]],
    );
}

#[test]
fn a_source_is_a_path_on_this_machine() {
    for source in ["app.wasm", "../target/a b.wasm", "/abs/app.wasm", "C:/app.wasm", "a//b"] {
        assert_eq!(check_source(source), None, "{source}");
    }
    for source in ["https://example.com/x.wasm", "file:///x.wasm", "oci://ghcr.io/x"] {
        assert_eq!(check_source(source), Some(Broken::SourceUrl(source.to_owned())));
    }
}

#[test]
fn routes_of_one_shape_are_duplicates() {
    check(
        |m| m.routes = routes(&["/:a", "/:b", "a.b/:a", "A.B/:c", "/:a/...", "/:a"]),
        &expect![[r#"
        route /:b answers the same requests as route /:a
        route a.b/:c answers the same requests as route a.b/:a
        route /:a answers the same requests as route /:a"#]],
    );
}

#[test]
fn an_app_has_a_bounded_number_of_routes() {
    let numbered = |count: usize| (0..count).map(|n| format!("/{n}").parse().unwrap()).collect();
    check(|m| m.routes = numbered(MAX_ROUTES), &expect![]);
    check(
        |m| m.routes = numbered(MAX_ROUTES + 1),
        &expect!["there are 101 routes: at most 100 are allowed"],
    );
}

#[test]
fn what_requests_set_is_not_the_manifests() {
    for name in ["REQUEST_METHOD", "HTTP_HOST", "HTTP_", "HTTPS", "REMOTE_USER", "REQUEST_URI"] {
        let broken = check_env_of_requests(name).unwrap();
        assert!(broken.to_string().contains(name), "{broken}");
    }
    for name in ["http_proxy", "HTTP", "MY_HTTP_HOST", "request_method", "PATH", "SERVER"] {
        assert_eq!(check_env_of_requests(name), None, "{name}");
    }
}

#[test]
fn names_of_variables_are_those_a_shell_can_use() {
    assert_eq!(check_env("_A1", "any\nvalue é"), None);
    for name in ["", "1A", "A-B", "A B", "É", "A=", "A\0"] {
        assert_eq!(check_env(name, ""), Some(Broken::EnvName(name.to_owned())));
    }
}

#[test]
fn an_instance_is_given_up_for_its_calls_its_age_or_its_growth() {
    let instance = Instance {
        reuse: NonZeroU32::new(3).unwrap(),
        max_age: Duration::from_secs(10),
        max_growth: Bytes::new(100),
        ..Instance::default()
    };
    let fresh = ReuseStats { calls: 1, age: Duration::ZERO, growth: Bytes::ZERO };
    assert!(instance.keeps(&fresh));
    assert!(!instance.keeps(&ReuseStats { calls: 3, ..fresh }));
    assert!(!instance.keeps(&ReuseStats { age: Duration::from_secs(10), ..fresh }));
    assert!(instance.keeps(&ReuseStats { growth: Bytes::new(100), ..fresh }));
    assert!(!instance.keeps(&ReuseStats { growth: Bytes::new(101), ..fresh }));
    assert!(!Instance::default().keeps(&fresh), "a fresh instance for each call");
}
