//! Apps of Spin's, as their `spin.toml` describes them, are checked, deployed and served.

use expect_test::expect;
use http::Request;
use http_body_util::Full;
use steerage_guests as guests;

use crate::harness::{Host, run_in};
use crate::secrets::{Key, set};

/// A folder with an app of one component that is configured by a variable.
fn configured() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
        spin_manifest_version = 2
        [application]
        name = "settings"
        version = "0.1.0"
        [variables]
        greeting = { default = "Hello" }
        token = { required = true, secret = true }
        [[trigger.http]]
        route = "/..."
        component = "settings"
        [component.settings]
        source = "settings.wasm"
        environment = { MODE = "quiet" }
        variables = { welcome = "{{ greeting }}, you", token = "{{ token }}" }
    "#;
    std::fs::write(folder.path().join("spin.toml"), text).unwrap();
    std::fs::copy(guests::SETTINGS, folder.path().join("settings.wasm")).unwrap();
    folder
}

#[tokio::test]
pub(crate) async fn what_an_app_is_configured_with_is_found_under_all_names_of_the_interface() {
    let (key, folder) = (Key::new(), configured());
    let host = key.host();
    set(&host, "settings", "token", "s3same").await;
    let deployed = host.run_in(folder.path(), &["deploy"]).done();
    assert_eq!(deployed.stderr, "", "all that it imports is offered");
    expect![[r#"
        Ok(Some("Hello, you"))
        Ok(Some("Hello, you"))
        Ok(3)
        Ok("Hello, you")
    "#]]
    .assert_eq(&host.get("/x?name=welcome").await.text());
    expect![[r#"
        Ok(None)
        Ok(None)
        Ok(3)
        Err(Error::Undefined("no variable unknown is set"))
    "#]]
    .assert_eq(&host.get("/x?name=unknown").await.text());
    assert!(host.get("/x?name=token").await.text().contains("s3same"));
    assert!(host.get("/x?name=No-Name").await.text().contains("InvalidName"));
    let shown = host.admin("GET", "/v1/apps/settings", "").await.text();
    assert!(shown.contains("settings.wasm") && !shown.contains("s3same"), "{shown}");
}

#[test]
fn a_variable_without_a_value_is_told_before_anything_is_sent() {
    let folder = configured();
    let manifest = folder.path().join("spin.toml");
    let text =
        std::fs::read_to_string(&manifest).unwrap().replace("secret = true", "secret = false");
    std::fs::write(&manifest, text).unwrap();
    let said = run_in(folder.path(), &["validate"]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stderr.contains("set SPIN_VARIABLE_TOKEN"), "{said:?}");
}

#[tokio::test]
async fn each_component_with_a_route_answers() {
    let (host, folder) = (Host::start(), tempfile::tempdir().unwrap());
    let text = r#"
        spin_manifest_version = 2
        application = { name = "shop", version = "1.0.0" }
        [[trigger.http]]
        route = "/hello"
        component = "hello"
        [[trigger.http]]
        route = "/echo/..."
        component = "echo"
        executor = { type = "wagi" }
        [component.hello]
        source = "hello.wasm"
        [component.echo]
        source = "out/echo.wasm"
        build = { command = "cp ../cgi.wasm echo.wasm", workdir = "out" }
    "#;
    std::fs::write(folder.path().join("spin.toml"), text).unwrap();
    std::fs::copy(guests::HELLO, folder.path().join("hello.wasm")).unwrap();
    std::fs::copy(guests::CGI_ECHO, folder.path().join("cgi.wasm")).unwrap();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    let validated = run_in(folder.path(), &["validate"]).done();
    assert!(validated.stdout.contains("app shop-echo with 1 route"), "{validated:?}");
    // One command works on one app, and says so.
    let once = host.run_in(folder.path(), &["deploy", "--name", "other"]);
    assert!(once.stderr.contains("an app of one component"), "{once:?}");
    let deployed = host.run_in(folder.path(), &["deploy", "--build"]).done();
    assert!(deployed.stdout.contains("shop-hello is served as generation 1"), "{deployed:?}");
    let hello = host.get("/hello").await;
    assert_eq!(hello.text(), "Hello, world!\n");
    assert!(!hello.headers.contains_key("content-length"), "{:?}", hello.headers);
    assert_eq!(host.get("/echo/x").await.status, 200);
    // Whoever changes one of them deploys all again.
    let again = host.run_in(folder.path(), &["deploy"]).done();
    assert!(again.stdout.contains("shop-echo is served"), "{again:?}");
}

#[tokio::test]
async fn components_are_told_of_their_requests_as_spin_tells_them() {
    let (host, folder) = (Host::start(), tempfile::tempdir().unwrap());
    let text = r#"
        spin_manifest_version = 2
        application = { name = "told" }
        [[trigger.http]]
        route = "/e/:user_id/..."
        component = "echo"
        [[trigger.http]]
        route = "/cgi/..."
        component = "cgi"
        [component.echo]
        source = "echo.wasm"
        [component.cgi]
        source = "cgi.wasm"
    "#;
    std::fs::write(folder.path().join("spin.toml"), text).unwrap();
    std::fs::copy(guests::ECHO, folder.path().join("echo.wasm")).unwrap();
    std::fs::copy(guests::CGI_ECHO, folder.path().join("cgi.wasm")).unwrap();
    host.run_in(folder.path(), &["deploy"]).done();
    let said = [("spin-path-info", "evil"), ("spin_full_url", "evil"), ("redis_address", "kept")];
    let get = |path: &str| {
        let request = said.iter().fold(Request::get(host.url(path)), |request, (name, value)| {
            request.header(*name, *value)
        });
        host.send(request.body(Full::default()).unwrap())
    };
    let reply = get("/e/7/rest?q=1").await;
    let text = reply.text();
    let url = host.url("/e/7/rest?q=1");
    for told in [
        &*format!("spin-full-url: {url}"),
        "spin-path-info: /rest",
        "spin-matched-route: /e/:user_id/...",
        "spin-raw-component-route: /e/:user_id/...",
        "spin-component-route: /e/:user_id",
        "spin-base-path: /",
        "spin-path-match-user-id: 7",
        "spin-client-addr: 127.0.0.1:",
        "redis_address: kept",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("evil"), "{text}");
    // An answer of Spin's has the headers that its component gave, and none of the host's.
    assert!(!reply.headers.contains_key("x-request-id"), "{:?}", reply.headers);
    let cgi = get("/cgi/x?q=1").await.text();
    for told in ["X_MATCHED_ROUTE=/cgi/...", "X_COMPONENT_ROUTE=/cgi\n", "PATH_INFO=/x"] {
        assert!(cgi.contains(told), "{told}: {cgi}");
    }
    assert!(!cgi.contains("evil") && !cgi.contains("REDIS_ADDRESS"), "{cgi}");
}
