//! What manifests of Spin's become, and what is said of those that cannot become anything.

use expect_test::{Expect, expect};

use super::*;

const HELLO: &str = r#"
spin_manifest_version = 2

[application]
name = "Hello_World"
version = "0.1.0"
authors = ["A. Nybody <a@example.com>"]
description = ""

[[trigger.http]]
route = "/..."
component = "hello-world"

[component.hello-world]
source = "target/wasm32-wasip1/release/hello_world.wasm"
allowed_outbound_hosts = []
[component.hello-world.build]
command = "cargo build --target wasm32-wasip1 --release"
workdir = "it's here"
watch = ["src/**/*.rs", "Cargo.toml"]
"#;

fn becomes(text: &str, expected: &Expect) {
    let values = BTreeMap::from([("domain".to_owned(), "given.example.com".to_owned())]);
    let told = match crate::manifest::read_spin(text, &values) {
        Ok(app) => {
            let notes = app.notes.iter().map(|note| format!("note: {note}"));
            app.manifests.into_iter().chain(notes).collect::<Vec<_>>().join("---\n")
        }
        Err(mistakes) => mistakes.display("spin.toml").to_string(),
    };
    expected.assert_eq(&told);
}

#[test]
fn an_app_of_one_component_keeps_its_name() {
    assert!(is_spin(HELLO) && !is_spin("name = \"a\""));
    becomes(
        HELLO,
        &expect![[r#"
            name = "hello-world"
            version = "0.1.0"
            source = "target/wasm32-wasip1/release/hello_world.wasm"

            [[route]]
            path = "/..."

            [build]
            command = "cd 'it'\\''s here' && cargo build --target wasm32-wasip1 --release"
            watch = ["it's here/src/**/*.rs", "it's here/Cargo.toml"]

            [spin.components]
            "hello-world" = "hello-world"
        "#]],
    );
}

#[test]
fn each_component_with_a_route_becomes_an_app() {
    let text = r#"
        spin_manifest_version = 2
        application = { name = "shop" }
        [variables]
        domain = { default = "example.com" }
        port = { default = "8000" }
        [[trigger.http]]
        route = "/cart/:id"
        component = "cart"
        [[trigger.http]]
        route = "/carts/..."
        component = "cart"
        executor = { type = "wagi" }
        [[trigger.http]]
        route = "/price"
        component = { source = "price.wasm" }
        [component.cart]
        source = "cart.wasm"
        description = "What is bought"
        environment = { LEVEL = "de\"bug" }
        key_value_stores = ["default"]
        sqlite_databases = ["default"]
        variables = { api = "https://{{ domain }}/v1" }
        allowed_outbound_hosts = [
            "https://{{ domain }}", "http://127.0.0.1:{{port}}..9000", "redis://{{domain}}", "*://*:*",
        ]
        files = []
        [component.unused]
        source = "unused.wasm"
    "#;
    becomes(
        text,
        &expect![[r#"
            name = "shop-cart"
            description = "What is bought"
            source = "cart.wasm"
            allowed_outbound_hosts = ["https://given.example.com", "http://127.0.0.1:8000..8999", "redis://given.example.com", "*://*:*"]
            key_value_stores = ["default"]
            sqlite_databases = ["default"]

            [[route]]
            path = "/cart/:id"

            [[route]]
            path = "/carts/..."

            [env]
            "LEVEL" = "de\"bug"
            "api" = "https://given.example.com/v1"

            [build]
            command = "true"

            [spin.components]
            "cart" = "shop-cart"
            "http-3" = "shop-http-3"
            ---
            name = "shop-http-3"
            source = "price.wasm"

            [[route]]
            path = "/price"

            [build]
            command = "true"

            [spin.components]
            "cart" = "shop-cart"
            "http-3" = "shop-http-3"
            ---
            note: component unused has no route and is left out"#]],
    );
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let text = r#"
spin_manifest_version = 1
[application]
nam = "shop"
[variables]
token = { required = true, secret = true }
[[trigger.http]]
route = { private = true }
component = "cart"
[[trigger.http]]
route = "cart"
component = "chart"
static_response = { status_code = 200 }
[[trigger.http]]
route = "/cart"
component = "cart"
executor = { type = "wagi", entrypoint = "main", argv = "x" }
[[trigger.redis]]
channel = "x"
component = "cart"
[component.cart]
source = { url = "https://example.com/cart.wasm", digest = "sha256:1" }
allowed_outbound_hosts = ["http://self", "https://{{ no }}", "https://{{ token }}", "ftp", "https://{{ x"]
files = ["assets/*"]
sqlite_databases = ["my_base"]
key_value_stores = ["my_store"]
environment = { both = "x" }
variables = { both = "y" }
"#;
    becomes(
        text,
        &expect![[r#"
            spin.toml:2:25: spin_manifest_version: only manifests of version 2 are read
            spin.toml:3:1: application.name: missing: write name = "my-app"
            spin.toml:4:1: application.nam: unknown key, did you mean name?
            spin.toml:8:9: trigger.http[1].route: private routes are not offered yet; give it a path
            spin.toml:12:13: trigger.http[2].component: there is no [component.chart]
            spin.toml:13:19: trigger.http[2].static_response: this is not offered yet
            spin.toml:17:42: trigger.http[3].executor.entrypoint: expected _start
            spin.toml:17:57: trigger.http[3].executor.argv: this is not offered yet
            spin.toml:18:11: trigger.redis: triggers of kind redis are not offered yet; those of http are
            spin.toml:22:10: component.cart.source: only files are read; download it first and write its path
            spin.toml:23:27: component.cart.allowed_outbound_hosts[1]: calls between components of an app are not offered yet
            spin.toml:23:42: component.cart.allowed_outbound_hosts[2]: there is no variable no in [variables]
            spin.toml:23:62: component.cart.allowed_outbound_hosts[3]: token is secret, and this is shown to operators
            spin.toml:23:85: component.cart.allowed_outbound_hosts[4]: "ftp" is not an allowed host: expected scheme://host, such as https://api.example.com
            spin.toml:23:92: component.cart.allowed_outbound_hosts[5]: {{ is not closed by }}
            spin.toml:24:9: component.cart.files: this is not offered yet
            spin.toml:25:21: component.cart.sqlite_databases[1]: "my_base" is not the label of a database: only a-z, 0-9 and - are allowed
            spin.toml:26:21: component.cart.key_value_stores[1]: "my_store" is not the label of a store: only a-z, 0-9 and - are allowed
            spin.toml:28:22: component.cart.variables.both: environment has this name as well"#]],
    );
}

#[test]
fn components_get_names_of_their_own() {
    let named = |application: &str, ids: [&str; 2]| {
        let component = |id: &str| {
            format!(
                "[[trigger.http]]\nroute = \"/{id}\"\ncomponent = \"{id}\"\n\
                 [component.{id}]\nsource = \"{id}.wasm\"\n"
            )
        };
        let text = format!(
            "spin_manifest_version = 2\napplication = {{ name = \"{application}\" }}\n{}{}",
            component(ids[0]),
            component(ids[1])
        );
        let read = crate::manifest::read_spin(&text, &BTreeMap::new());
        read.map(|app| {
            let names = app.manifests.iter().filter_map(|text| text.lines().next());
            names.map(|line| line.replace("name = ", "")).collect::<Vec<_>>().join(" ")
        })
        .map_err(|mistakes| mistakes.display("spin.toml").to_string())
    };
    assert_eq!(named("shop", ["shop", "shop-cart"]).unwrap(), "\"shop\" \"shop-cart\"");
    assert_eq!(named("shop", ["cart", "shopping"]).unwrap(), "\"shop-cart\" \"shop-shopping\"");
    let same = named("shop", ["cart", "shop-cart"]).unwrap_err();
    assert!(same.contains("another component becomes app shop-cart as well"), "{same}");
}

#[test]
fn what_breaks_our_own_rules_is_told_as_well() {
    let text = HELLO.replace("\"/...\"", "\"...\"").replace("Hello_World", "a b");
    becomes(
        &text,
        &expect![[r#"
            spin.toml:1:1: name: "a b" is not an app name: only a-z, 0-9 and - are allowed
            spin.toml:1:1: route[1].path: "..." is not a route's path: it must start with /
            spin.toml:1:1: spin.components.hello-world: "a b" is not an app name: only a-z, 0-9 and - are allowed"#]],
    );
}
