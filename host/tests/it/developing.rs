//! A developer's first hour: an app made anywhere builds anywhere, and what goes wrong says what it is.

use std::path::Path;

use steerage_guests as guests;

use crate::harness::{Host, Said, manifest, run, run_in, steerage};

/// Builds an app as on a machine that has nothing but what was downloaded before.
fn build(app: &Path) -> Said {
    let output = steerage()
        .args(["build", "--quiet"])
        .current_dir(app)
        .env("CARGO_TARGET_DIR", guests::TARGET_DIR)
        .env("CARGO_NET_OFFLINE", "true")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Said { code: output.status.code().unwrap(), stdout, stderr }
}

fn texts_below(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(texts_below(&path));
        } else {
            texts.push(std::fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

#[test]
fn a_new_app_builds_inside_any_workspace_and_on_any_machine() {
    let monorepo = tempfile::tempdir().unwrap();
    let root = monorepo.path();
    std::fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
    run_in(root, &["new", "mine"]).done();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().display().to_string();
    for text in texts_below(&root.join("mine")) {
        assert!(!text.contains(&source), "it names where this program was built: {text}");
    }
    // The same on a colleague's machine, where neither workspace nor checkout is.
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    std::fs::rename(root.join("mine"), &moved).unwrap();
    for app in [&root.join("mine"), &moved] {
        if !app.exists() {
            run_in(root, &["new", "mine"]).done();
        }
        let built = build(app).done();
        assert_eq!(built.stderr, "", "quiet is quiet");
        assert!(app.join("mine.wasm").is_file());
    }
}

#[test]
fn a_new_app_that_a_workspace_lists_is_a_member() {
    let monorepo = tempfile::tempdir().unwrap();
    let apps = monorepo.path().join("apps");
    std::fs::create_dir(&apps).unwrap();
    let workspace = "[workspace]\nmembers = [\"apps/*\"]\nresolver = \"3\"\n";
    std::fs::write(monorepo.path().join("Cargo.toml"), workspace).unwrap();
    run_in(&apps, &["new", "one", "--template", "cgi"]).done();
    let text = std::fs::read_to_string(apps.join("one/Cargo.toml")).unwrap();
    assert!(!text.contains("[workspace]"), "{text}");
    run_in(monorepo.path(), &["new", "two", "--template", "cgi"]).done();
    let text = std::fs::read_to_string(monorepo.path().join("two/Cargo.toml")).unwrap();
    assert!(text.contains("[workspace]"), "{text}");
    build(&apps.join("one")).done();
}

#[tokio::test]
async fn two_new_apps_live_on_one_host() {
    let (host, folder) = (Host::start(), tempfile::tempdir().unwrap());
    for name in ["one", "two"] {
        run_in(folder.path(), &["new", name, "--template", "cgi"]).done();
        let app = folder.path().join(name);
        std::fs::copy(guests::CGI_ECHO, app.join(format!("{name}.wasm"))).unwrap();
        let said = host.run_in(&app, &["deploy"]).done();
        let port = host.listen.rsplit(':').next().unwrap();
        let url = format!("try: curl http://{name}.localhost:{port}/");
        assert!(said.stdout.contains(&url), "{said:?}");
        let reply = host.get_from(&format!("{name}.localhost"), "/").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[test]
fn what_a_command_built_must_be_wasm() {
    let folder = tempfile::tempdir().unwrap();
    let command = "[build]\ncommand = \"echo compiling; echo 12345678 > odd.wasm\"\n";
    std::fs::write(folder.path().join("steerage.toml"), manifest("odd", "/odd", command)).unwrap();
    let said = run_in(folder.path(), &["build"]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stderr.contains("is no WebAssembly binary: it is a text, 9 B"), "{said:?}");
    assert!(said.stderr.contains("compiling"), "{said:?}");
    std::fs::copy(guests::ECHO, folder.path().join("echo.wasm")).unwrap();
    let command = "[build]\ncommand = \"echo compiling; cp echo.wasm odd.wasm\"\n";
    std::fs::write(folder.path().join("steerage.toml"), manifest("odd", "/odd", command)).unwrap();
    let said = run_in(folder.path(), &["build", "-q"]).done();
    assert_eq!(said.stderr, "", "{said:?}");
    let command = "[build]\ncommand = \"echo it broke; exit 3\"\n";
    std::fs::write(folder.path().join("steerage.toml"), manifest("odd", "/odd", command)).unwrap();
    let said = run_in(folder.path(), &["build", "-q"]);
    assert!(said.code == 1 && said.stderr.contains("it broke"), "{said:?}");
}

#[tokio::test]
async fn the_address_of_the_apps_is_not_that_of_operators() {
    let host = Host::start();
    host.serve("echo", &std::fs::read(guests::ECHO).unwrap(), "").await;
    let url = format!("http://{}", host.listen);
    for words in [&["ps"][..], &["show", "echo"], &["logs", "echo", "-f"], &["events"]] {
        let said = run(&[words, &["--admin", &url]].concat());
        assert_eq!(said.code, 3, "{said:?}");
        assert!(said.stderr.contains("is not the admin address of a host"), "{said:?}");
    }
}

#[test]
fn verbs_of_other_tools_are_told_ours() {
    let said = run(&["list"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("`steerage ps`") && !said.stderr.contains("validate"), "{said:?}");
}
