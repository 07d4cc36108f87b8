//! What a manifest means, and how each mistake in one is reported.
//! Does not repeat the rules of single values: those have their tables in `steerage-core`.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use steerage_core::route::{HostPattern, PathPattern};
use steerage_core::units::show_duration;

use super::*;
use crate::fuzzing::Changes;

/// Everything that may stand in a manifest.
const FULL: &str = r#"
name = "shop"
version = "1.4.2-3-gabcdef"
description = "Sells things"
source = "../target/shop.wasm"
sha256 = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
allowed_outbound_hosts = ["https://api.example.com", "http://*.internal:8000..9000"]
key_value_stores = ["default", "cache"]
sqlite_databases = ["default"]

[[route]]
host = "*.Example.com"
path = "/shop/:id/..."

[[route]]
path = "/"

[limits]
memory = "64MiB"
fuel = 2_000_000
timeout = "1m30s"
concurrency = 7
queue = 0
request_body = 0x400
response_body = "1.5GiB"

[instance]
reuse = 128

[share]
weight = 3

[env]
GREETING = "hello"
_EMPTY = ""

[build]
command = "cargo build --release"
"#;

fn read(text: &str) -> Result<Manifest, Mistakes> {
    super::read(text, &LimitsPolicy::default())
}

fn check(text: &str, expect: &Expect) {
    let shown = match read(text) {
        Ok(manifest) => summary(&manifest),
        Err(mistakes) => mistakes.display("steerage.toml").to_string(),
    };
    expect.assert_eq(&shown);
}

/// All that a manifest says, as people write it.
fn summary(manifest: &Manifest) -> String {
    let Manifest { name, version, description, source, sha256, routes, .. } = manifest;
    let Manifest { limits, instance, weight, env, allowed_outbound_hosts, .. } = manifest;
    let stores: Vec<_> = manifest.key_value_stores.iter().map(ToString::to_string).collect();
    let databases: Vec<_> = manifest.sqlite_databases.iter().map(ToString::to_string).collect();
    let digest = sha256.map(|digest| digest.short());
    let routes: Vec<_> = routes.iter().map(ToString::to_string).collect();
    let allowed: Vec<_> = allowed_outbound_hosts.iter().map(ToString::to_string).collect();
    let timeout = show_duration(limits.timeout);
    format!(
        "{name} {version} {description:?}\n\
         {source} {digest:?} {command:?}\n\
         routes {routes}\n\
         memory {memory}, fuel {fuel}, timeout {timeout}, concurrency {concurrency}, queue {queue}\n\
         request {request}, response {response}, reuse {reuse}, weight {weight}\n\
         env {env:?}\n\
         allowed {allowed:?}, stores {stores:?}, databases {databases:?}",
        command = manifest.build.command,
        routes = routes.join(", "),
        memory = limits.memory,
        fuel = limits.fuel,
        concurrency = limits.concurrency,
        queue = limits.queue,
        request = limits.request_body,
        response = limits.response_body,
        reuse = instance.reuse,
    )
}

/// Checks what is wrong with these lines below an otherwise complete manifest.
fn check_below(lines: &str, expect: &Expect) {
    let text = format!("name = \"a\"\nsource = \"a.wasm\"\nroute = [{{ path = \"/\" }}]\n{lines}");
    check(&text, expect);
}

#[test]
fn every_key_is_read() {
    let manifest = read(FULL).unwrap();
    assert_eq!(manifest.check(), []);
    check(
        FULL,
        &expect![[r#"
            shop 1.4.2-3-gabcdef Some("Sells things")
            ../target/shop.wasm Some("001122334455") Some("cargo build --release")
            routes *.example.com/shop/:id/..., /
            memory 64MiB, fuel 2M, timeout 1m30s, concurrency 7, queue 0
            request 1KiB, response 1.5GiB, reuse 128, weight 3
            env {"GREETING": "hello", "_EMPTY": ""}
            allowed ["https://api.example.com", "http://*.internal:8000..9000"], stores ["default", "cache"], databases ["default"]"#]],
    );
}

#[test]
fn databases_have_labels_and_there_are_four_at_most() {
    check_below(
        "sqlite_databases = [\"../etc\"]",
        &expect![[
            r#"steerage.toml:4:21: sqlite_databases[1]: "../etc" is not the label of a database: only a-z, 0-9 and - are allowed"#
        ]],
    );
    check_below(
        "sqlite_databases = [\"a\", \"b\", \"c\", \"d\", \"e\"]",
        &expect![[
            r#"steerage.toml:4:20: sqlite_databases: there are 5 sqlite_databases: at most 4 are allowed"#
        ]],
    );
}

#[test]
fn stores_have_labels_and_there_are_sixteen_at_most() {
    check_below(
        "key_value_stores = [\"my_store\", 7]",
        &expect![[r#"
            steerage.toml:4:21: key_value_stores[1]: "my_store" is not the label of a store: only a-z, 0-9 and - are allowed
            steerage.toml:4:33: key_value_stores[2]: expected a string: write "7""#]],
    );
    let many: Vec<String> = (0..17).map(|n| format!("\"s{n}\"")).collect();
    check_below(
        &format!("key_value_stores = [{}]", many.join(", ")),
        &expect![[
            r#"steerage.toml:4:20: key_value_stores: there are 17 key_value_stores: at most 16 are allowed"#
        ]],
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    check(
        "name = \"a\"\nsource = \"a.wasm\"\n[[route]]\npath = \"/...\"",
        &expect![[r#"
            a 0.0.0 None
            a.wasm None None
            routes /...
            memory 128MiB, fuel 20G, timeout 30s, concurrency 100, queue 1000
            request 10MiB, response 100MiB, reuse 1, weight 1
            env {}
            allowed [], stores [], databases []"#]],
    );
}

#[test]
fn an_empty_file_lacks_what_has_no_default() {
    check(
        "",
        &expect![[r#"
        steerage.toml:1:1: name: missing: write name = "my-app"
        steerage.toml:1:1: source: missing: write source = "app.wasm"
        steerage.toml:1:1: route: missing: write [[route]] and below it path = "/...""#]],
    );
    check(
        "[[route]]\nhost = \"a.b\"\n[build]\n",
        &expect![[r#"
        steerage.toml:1:1: name: missing: write name = "my-app"
        steerage.toml:1:1: source: missing: write source = "app.wasm"
        steerage.toml:1:1: route[1].path: missing: write path = "/..."
        steerage.toml:3:1: build.command: missing: write command = "cargo build""#]],
    );
    check(
        "name = \"a\"\nsource = \"b\"\nroute = []",
        &expect!["steerage.toml:3:9: route: there is no route: at least one is needed"],
    );
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    check(
        r#"
nmae = "shop"
version = ""
source = "a\u0000b"
sha256 = "abc"
timeout = "1s"
allowed_outbound_hosts = ["api.example.com", 8080, "https://ok.example.com"]

[[route]]
host = "example.com:80"
path = "/a/../b"

[[route]]
path = "/x/:id"
methods = ["GET"]

[[route]]
path = "/x/:name"

[limits]
memroy = "64MiB"
memory = "64XB"
fuel = "900B"
timeout = 30
concurrency = 0
queue = -1
request_body = 1.5
response-body = "1GiB"

[instance]
reuse = "many"

[share]
wieght = 3

[env]
"A-B" = "c"
PORT = 8080
DEBUG = true

[build]
comand = "make"
"#,
        &expect![[r#"
            steerage.toml:1:1: name: missing: write name = "my-app"
            steerage.toml:2:1: nmae: unknown key, did you mean name?
            steerage.toml:3:11: version: version is "": expected 1 to 64 bytes on one line
            steerage.toml:4:10: source: source is "a\0b": expected the path of a component
            steerage.toml:5:10: sha256: "abc" is not a digest: expected sha256: and 64 hexadecimal digits, the prefix may be left out
            steerage.toml:6:1: timeout: unknown key here, timeout belongs into [limits]
            steerage.toml:7:27: allowed_outbound_hosts[1]: "api.example.com" is not an allowed host: expected scheme://host, such as https://api.example.com
            steerage.toml:7:46: allowed_outbound_hosts[2]: expected a string: write "8080"
            steerage.toml:10:8: route[1].host: "example.com:80" is not a host: a port is not part of it; the host answers on its own ports
            steerage.toml:11:8: route[1].path: "/a/../b" is not a route's path: it has a . or .. segment
            steerage.toml:15:1: route[2].methods: unknown key, expected one of host, path
            steerage.toml:17:1: route[3]: route /x/:name answers the same requests as route /x/:id
            steerage.toml:21:1: limits.memroy: unknown key, did you mean memory?
            steerage.toml:22:10: limits.memory: "64XB" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
            steerage.toml:24:11: limits.timeout: "30" is not a duration: expected numbers with units, such as 500us, 250ms, 2s, 1m30s or 1h
            steerage.toml:25:15: limits.concurrency: expected a whole number from 1 to 10000, found 0
            steerage.toml:26:9: limits.queue: expected a whole number from 0 to 100000, found -1
            steerage.toml:27:16: limits.request_body: expected a whole number or a string, found a number with a point
            steerage.toml:28:1: limits.response-body: unknown key, did you mean response_body?
            steerage.toml:31:9: instance.reuse: expected a whole number from 1 to 1000000, found a string
            steerage.toml:34:1: share.wieght: unknown key, did you mean weight?
            steerage.toml:37:1: env.A-B: "A-B" is not the name of a variable: expected letters, digits and _, not starting with a digit
            steerage.toml:38:8: env.PORT: expected a string: write "8080"
            steerage.toml:39:9: env.DEBUG: expected a string: write "true"
            steerage.toml:41:1: build.command: missing: write command = "cargo build"
            steerage.toml:42:1: build.comand: unknown key, did you mean command?"#]],
    );
}

#[test]
fn a_wrong_type_names_what_is_expected_and_what_is_found() {
    check(
        r#"
name = 5
source = ["a"]
route = "/..."
limits = 3
env = []
allowed_outbound_hosts = "http://a"
"#,
        &expect![[r#"
            steerage.toml:2:8: name: expected a string: write "5"
            steerage.toml:3:10: source: expected a string, found an array
            steerage.toml:4:9: route: expected [[route]] tables, each with a path, found a string
            steerage.toml:5:10: limits: expected a table, [limits], found an integer
            steerage.toml:6:7: env: expected a table, [env], found an array
            steerage.toml:7:26: allowed_outbound_hosts: expected an array of strings, found a string"#]],
    );
    check_below(
        "[share]\nweight = 2.5",
        &expect![
            "steerage.toml:5:10: share.weight: expected a whole number from 1 to 1000, found a number with a point"
        ],
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_the_right_one() {
    check_below(
        "command = \"make\"\nhost = \"a.b\"\n[limits]\nallowed_outbound_hosts = []\n[nonsense]\nx = 1",
        &expect![[r#"
            steerage.toml:4:1: command: unknown key here, command belongs into [build]
            steerage.toml:5:1: host: unknown key here, host belongs into [[route]]
            steerage.toml:7:1: limits.allowed_outbound_hosts: unknown key here, allowed_outbound_hosts belongs above the first [table]
            steerage.toml:8:2: nonsense: unknown key, expected one of name, tenant, version, description, source, sha256, route, limits, instance, share, variables, env, allowed_outbound_hosts, key_value_stores, sqlite_databases, replicas, resources, placement, objective, capture, build, spin"#]],
    );
}

#[test]
fn what_is_kept_of_failing_calls_is_read_and_mistakes_are_told() {
    let bare = "name = \"a\"\nsource = \"b\"\n[[route]]\npath = \"/\"\n";
    assert_eq!(read(bare).unwrap().capture.redaction(), None, "it is off");
    let text = format!("{bare}[capture]\nfailures = true\nredact = [\"X-Api-Key\"]\n");
    let redaction = read(&text).unwrap().capture.redaction().unwrap();
    assert!(redaction.is_secret("x_api_key") && redaction.is_secret("cookie"));
    check_below(
        "[capture]\nfailures = \"maybe\"\nredact = [\"a b\"]\nkeep = 5",
        &expect![[r#"
            steerage.toml:5:12: capture.failures: "maybe" is neither true nor false
            steerage.toml:6:11: capture.redact[1]: "a b" is no name of a header or a field: expected 1 to 64 letters, digits and any of - _ . without spaces
            steerage.toml:7:1: capture.keep: unknown key, expected one of failures, redact"#]],
    );
}

#[test]
fn where_an_app_may_run_is_read_and_mistakes_are_told() {
    let text = "name = \"a\"\nsource = \"b\"\n[[route]]\npath = \"/\"\n\
                [replicas]\nmin = 2\n[resources]\ncpu = 0.25\nmemory = \"64MiB\"\n\
                [placement]\nlabels = { disk = \"ssd\" }\napart_from = [\"b\"]\nzones = true\n\
                priority = -5\n";
    let placement = read(text).unwrap().placement;
    assert_eq!((placement.min, placement.max), (2, 2));
    assert_eq!(placement.cpu.unwrap().as_millis(), 250);
    assert_eq!(placement.memory.unwrap().get(), 64 << 20);
    assert_eq!(placement.labels.get("disk").unwrap(), "ssd");
    assert_eq!(placement.apart_from.iter().next().unwrap().as_str(), "b");
    assert!(placement.zones);
    assert_eq!(placement.priority, -5);
    check_below(
        "[replicas]\nmin = 3\nmax = 2\n[resources]\ncpu = \"much\"\n[placement]\npriority = 5000\n\
         zones = \"maybe\"\nlabels = { \"a b\" = \"x\" }",
        &expect![[r#"
            steerage.toml:6:7: replicas.max: max is 2: at least min, which is 3
            steerage.toml:8:7: resources.cpu: "much" is not an amount of cpu: expected a number of cores such as 2 or 0.25, or of thousandths such as 250m
            steerage.toml:10:12: placement.priority: "5000" is no priority: expected a whole number from -1000 to 1000
            steerage.toml:11:9: placement.zones: "maybe" is neither true nor false
            steerage.toml:12:12: placement.labels.a b: "a b" is no label: expected 1 to 63 letters, digits, -, _, . or /"#]],
    );
}

#[test]
fn bounds_are_those_of_the_core() {
    check_below(
        "[limits]\nmemory = \"8GiB\"\ntimeout = \"2h\"\nfuel = 0",
        &expect![[r#"
            steerage.toml:5:10: limits.memory: memory is 8GiB: at most 4GiB is allowed
            steerage.toml:6:11: limits.timeout: timeout is 2h: at most 1h is allowed
            steerage.toml:7:8: limits.fuel: fuel is 0: at least 1k is allowed"#]],
    );
    let routes = "[[route]]\npath = \"/a\"\n".repeat(101);
    let text = format!("name = \"a\"\nsource = \"b\"\n{routes}");
    let mistakes = read(&text).unwrap_err();
    let first = mistakes.iter().next().unwrap();
    assert_eq!(first.message, "there are 101 routes: at most 100 are allowed");
    assert_eq!(mistakes.iter().count(), 101, "each repeated route is a mistake too");
}

#[test]
fn a_syntax_error_has_its_place_and_the_lines_around_it_are_still_checked() {
    check_below(
        "[limits]\nmemory = \"64XB\"\nfuel 3\nqueue = true",
        &expect![[r#"
        steerage.toml:5:10: limits.memory: "64XB" is not a size: expected a number of bytes with an optional unit, such as 512, 10KB, 64MiB or 1.5GiB
        steerage.toml:6:6: key with no value, expected `=`"#]],
    );
    check_below(
        "version = \"1\n[limits\nmemory = \"64XB\"\nfuel 3\n",
        &expect![[r#"
        steerage.toml:4:13: invalid basic string, expected `"`
        steerage.toml:5:8: unclosed table, expected `]`
        steerage.toml:7:6: key with no value, expected `=`"#]],
    );
    check(
        "name = \"a\"\nname = \"b\"\nsource = \"x\"",
        &expect!["steerage.toml:2:1: duplicate key: name is on line 1 already"],
    );
    check(
        "\u{0}",
        &expect![[r#"
        steerage.toml:1:1: invalid unquoted key, expected letters, numbers, `-`, `_`
        steerage.toml:1:2: key with no value, expected `=`"#]],
    );
}

#[test]
fn a_duplicate_key_names_itself_and_the_first_place() {
    check_below(
        "version = \"1\"\n[env]\nA = \"1\"\n\n[limits]\nfuel = 5000\nfuel = 6000\n\n[env]\nB = \"2\"",
        &expect![[r#"
            steerage.toml:10:1: duplicate key: fuel is on line 9 already
            steerage.toml:12:2: duplicate key: env is on line 5 already"#]],
    );
    check_below(
        "[[route]]\npath = \"/a\"\n",
        &expect!["steerage.toml:4:3: duplicate key: route is on line 3 already"],
    );
    check(
        "name = \"a\"\nsource = \"b\"\nroute = [{ path = \"/\", path = \"/a\" }]",
        &expect!["steerage.toml:3:24: duplicate key: path is on line 3 already"],
    );
    check(
        "name = \"a\"\nsource = \"b\"\n[[route]]\npath = \"/\"\n[[route]]\npath = \"/a\"\npath = \"/b\"",
        &expect!["steerage.toml:7:1: duplicate key: path is on line 6 already"],
    );
}

#[test]
fn what_other_tools_call_a_route_is_told_what_to_write() {
    check(
        r#"
name = "a"
source = "https://example.com/x.wasm"
[[route]]
host = "https://example.com:8443/x"
path = "/a/*"
[[route]]
host = "example.com/"
path = "/users/{id}"
[env]
DEBUG = true
RATIO = 1.5
SINCE = 2024-01-02
"#,
        &expect![[r#"
            steerage.toml:3:10: source: source is "https://example.com/x.wasm": expected the path of a component, not a URL; download it first and write sha256 beside it to be sure of it
            steerage.toml:5:8: route[1].host: "https://example.com:8443/x" is not a host: a scheme and a path are not part of it: write example.com
            steerage.toml:6:8: route[1].path: "/a/*" is not a route's path: write /a/... for "/a/*"
            steerage.toml:8:8: route[2].host: "example.com/" is not a host: a scheme and a path are not part of it: write example.com
            steerage.toml:9:8: route[2].path: "/users/{id}" is not a route's path: write /users/:id for "/users/{id}"
            steerage.toml:11:9: env.DEBUG: expected a string: write "true"
            steerage.toml:12:9: env.RATIO: expected a string: write "1.5"
            steerage.toml:13:9: env.SINCE: expected a string: write "2024-01-02""#]],
    );
}

#[test]
fn lines_may_end_as_any_editor_ends_them() {
    let text = "\u{feff}name = \"a\"\r\nsource = \"b\"\r\n[[route]]\r\npath = \"/\"\r";
    assert_eq!(read(text).unwrap().name.as_str(), "a");
    assert_eq!(read(&text.replace("\r\n", "\r")).unwrap().source, "b");
    check(
        "name = \"a\"\rsource = 5\r\nroute = [{ path = \"/\" }]\r",
        &expect!["steerage.toml:2:10: source: expected a string: write \"5\""],
    );
}

#[test]
fn what_is_watched_can_be_said_with_or_without_a_command() {
    let head = "name = \"a\"\nsource = \"b\"\nroute = [{ path = \"/\" }]\n[build]\n";
    let build = read(&format!("{head}watch = [\"src/**/*.ts\", \"../shared\"]")).unwrap().build;
    assert_eq!((build.command, build.watch.len()), (None, 2));
    check_below(
        "[build]\nwatch = [\"\", 5, \"https://x\"]",
        &expect![[r#"
            steerage.toml:5:10: build.watch[1]: watch has "": expected a path or a pattern, such as src/**/*.ts
            steerage.toml:5:14: build.watch[2]: expected a string: write "5"
            steerage.toml:5:17: build.watch[3]: watch has "https://x": expected a path or a pattern, such as src/**/*.ts"#]],
    );
}

#[test]
fn columns_count_characters() {
    check_below(
        "description = \"é\" x",
        &expect!["steerage.toml:4:19: unexpected key or value, expected newline, `#`"],
    );
    check(
        "name = \"a\"\r\nsource = \"b\"\r\nroute = [{ path = \"é\", host = \"é\" }]",
        &expect![[r#"
        steerage.toml:3:19: route[1].path: "é" is not a route's path: it must start with /
        steerage.toml:3:31: route[1].host: "é" is not a host: only a-z, 0-9, -, _ and dots are allowed; write other letters as xn--"#]],
    );
}

#[test]
fn a_hostile_manifest_is_refused_quickly_and_briefly() {
    let huge = "a = 1\n".repeat(50_000);
    expect!["steerage.toml:1:1: it has 300000 bytes, at most 262144 are allowed"]
        .assert_eq(&read(&huge).unwrap_err().to_string());
    let unknown: String = (0..20_000).map(|number| format!("k{number}=1\n")).collect();
    let shown = read(&unknown).unwrap_err().to_string();
    assert!(shown.len() < 60_000);
    assert!(shown.ends_with("and 19803 more mistakes"), "{}", &shown[shown.len() - 60..]);
    let wide: String = (0..20_000).map(|number| format!("k{number}=1,")).collect();
    assert!(read(&format!("x = {{{wide}}}")).is_err());
    for deep in ["[", "{a=", "a."] {
        assert!(read(&format!("x = {}", deep.repeat(50_000))).is_err());
    }
}

#[test]
fn a_long_value_does_not_fill_the_report() {
    let text =
        format!("name = \"{}\"\nsource = \"a\"\nroute = [{{ path = \"/\" }}]", "x".repeat(9999));
    assert!(read(&text).unwrap_err().to_string().len() < 200);
}

#[test]
fn a_bare_manifest_is_canonical_and_says_what_is_wrong_with_its_arguments() {
    let text = bare("hello", "dir\\a \"b\"\n.wasm", Some("*.example.com"), "/hi/...");
    expect![[r#"
        name = "hello"
        source = "dir\\a \"b\"\n.wasm"

        [[route]]
        host = "*.example.com"
        path = "/hi/..."
    "#]]
    .assert_eq(&text);
    assert_eq!(read(&text).unwrap().source, "dir\\a \"b\"\n.wasm");
    check(
        &bare("Hello", "", Some("a:1"), "hi"),
        &expect![[r#"
        steerage.toml:1:8: name: "Hello" is not an app name: only a-z, 0-9 and - are allowed
        steerage.toml:2:10: source: source is "": expected the path of a component
        steerage.toml:5:8: route[1].host: "a:1" is not a host: a port is not part of it; the host answers on its own ports
        steerage.toml:6:8: route[1].path: "hi" is not a route's path: it must start with /"#]],
    );
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof!["[a-z0-9._~!@*+=:-]{1,5}", "%C3%A9"];
    (prop::collection::vec(segment, 0..4), any::<bool>()).prop_filter_map("a path", |(s, rest)| {
        let mut path: String = s.iter().flat_map(|segment| ["/", segment]).collect();
        if rest || path.is_empty() {
            path.push_str(if rest { "/..." } else { "/" });
        }
        PathPattern::parse(&path).ok().map(|_| path)
    })
}

#[test]
fn a_variable_of_requests_is_refused_with_its_place_and_left_where_it_was_accepted() {
    let text = "\
name = \"a\"
source = \"a.wasm\"
[env]
HTTP_HOST = \"x\"
OTHER = \"y\"
[[route]]
path = \"/\"
";
    let mistakes = read(text).unwrap_err().to_string();
    assert!(
        mistakes.starts_with("steerage.toml:4:1: env.HTTP_HOST: HTTP_HOST is set by"),
        "{mistakes}"
    );
    assert_eq!(reread(text, &LimitsPolicy::default()).unwrap().env.len(), 2);
}

proptest! {
    #[test]
    fn a_bare_manifest_reads_back_its_arguments(
        name in "[a-z]([a-z0-9-]{0,20}[a-z0-9])?",
        // A file's name: the manifest is taken to lie beside it.
        source in "[^\0/]{1,40}",
        host in prop::option::of("(\\*\\.)?[a-z0-9]{1,5}\\.[a-z]{1,5}"),
        path in path(),
    ) {
        let manifest = read(&bare(&name, &source, host.as_deref(), &path)).unwrap();
        prop_assert_eq!(manifest.check(), []);
        prop_assert_eq!(manifest.name.as_str(), name);
        prop_assert_eq!(manifest.source, source);
        let [route] = manifest.routes.as_slice() else { panic!("one route") };
        let expected = host.map_or(HostPattern::Any, |host| HostPattern::parse(&host).unwrap());
        prop_assert_eq!(&route.host, &expected);
        prop_assert_eq!(route.path.to_string(), path);
    }

    #[test]
    fn whatever_the_arguments_a_bare_manifest_is_toml(
        name in any::<String>(),
        source in any::<String>(),
        host in any::<Option<String>>(),
        path in any::<String>(),
    ) {
        let text = bare(&name, &source, host.as_deref(), &path);
        if let Err(mistakes) = read(&text) {
            prop_assert!(mistakes.iter().all(|mistake| !mistake.key.is_empty()), "{text}");
        }
    }

    #[test]
    fn any_text_is_read_or_refused_with_places_inside_of_it(
        text in "([a-z_]{1,6}|\\[|\\]|=|\"|\n|[0-9]|\\.|,|\\{|\\}|#| |é|\\\\){0,40}",
    ) {
        if let Err(mistakes) = read(&text) {
            prop_assert!(mistakes.iter().count() > 0);
            let lines = text.bytes().filter(|&b| b == b'\n').count() + 1;
            prop_assert!(mistakes.iter().all(|m| m.line <= lines && !m.message.contains('\n')));
        }
    }

    #[test]
    fn a_mutilated_manifest_is_read_or_refused(cut in 0..FULL.len(), length in 0..40usize) {
        let end = (cut + length).min(FULL.len());
        let text = format!("{}{}", &FULL[..cut], &FULL[end..]);
        if let Ok(manifest) = read(&text) {
            prop_assert_eq!(manifest.check(), []);
        }
    }
}

/// Fuzzed: a manifest that is taken is taken again after a restart and means the same; one that is not
/// says why.
#[test]
fn fuzzed_manifests_are_read_or_refused() {
    let policy = LimitsPolicy::default();
    bolero::check!().with_type::<Changes>().for_each(|changes| {
        let text = changes.made_to_text(FULL);
        match super::read(&text, &policy) {
            Ok(manifest) => assert_eq!(reread(&text, &policy).unwrap(), manifest, "{text}"),
            Err(mistakes) => assert!(!mistakes.to_string().is_empty(), "{text}"),
        }
    });
}
