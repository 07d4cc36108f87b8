//! SQL databases of guests: what is kept for whom, what ends, and what is refused.
//! Does not test what statements may be: those tests are beside `steerage::sql`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use steerage_guests as guests;

use crate::fleet::Fleet;
use crate::harness::{Host, Reply, manifest, steerage};

const NAMES: &str = "sqlite_databases = [\"default\", \"other\"]";
/// Counts for ever.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

fn wasm() -> Vec<u8> {
    std::fs::read(guests::ROWS).unwrap()
}

async fn serve(host: &Host, app: &str, more: &str) {
    host.serve(app, &wasm(), &format!("{NAMES}\n{more}")).await;
}

/// A query that has these statements.
fn query(more: &str, statements: &[&str]) -> String {
    let encoded = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let all = statements.iter().map(|statement| format!("&sql={}", encoded(statement)));
    format!("{more}{}", all.collect::<String>())
}

async fn ask(host: &Host, app: &str, more: &str, statements: &[&str]) -> Reply {
    host.get(&format!("/{app}?{}", query(more, statements))).await
}

async fn said(host: &Host, app: &str, more: &str, statements: &[&str]) -> String {
    let reply = ask(host, app, more, statements).await;
    assert_eq!(reply.status, 200, "{statements:?}: {}", reply.text());
    reply.text()
}

async fn refused(host: &Host, app: &str, more: &str, statements: &[&str]) -> String {
    let reply = ask(host, app, more, statements).await;
    assert_eq!(reply.status, 500, "{statements:?}: {}", reply.text());
    reply.text()
}

fn file(host: &Host, app: &str) -> PathBuf {
    let mut found = std::fs::read_dir(host.data.join("sql")).unwrap();
    found.next().unwrap().unwrap().path().join(app).join("default.sqlite")
}

#[tokio::test]
pub(crate) async fn what_is_written_by_one_interface_is_read_by_both() {
    let host = Host::start();
    serve(&host, "rows", "").await;
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, more)";
    assert_eq!(said(&host, "rows", "api=2", &[create]).await, "");
    let insert = "INSERT INTO t (name, more) VALUES ('one', 0.5), ('two', ?)";
    assert_eq!(said(&host, "rows", "size=3&counts=1", &[insert]).await, "2 2");
    for api in ["api=2", "api=3"] {
        let all = said(&host, "rows", api, &["SELECT *, NULL FROM t ORDER BY id"]).await;
        assert_eq!(all, "1|one|0.5|nothing\n2|two|3 bytes|nothing", "{api}");
    }
    // One connection has its transaction from statement to statement.
    let undone = ["BEGIN", "DELETE FROM t", "ROLLBACK", "SELECT count(*) FROM t"];
    assert_eq!(said(&host, "rows", "", &undone).await, "2");
    assert_eq!(
        refused(&host, "rows", "database=other", &["SELECT * FROM t"]).await,
        "Error::Io(\"no such table: t\")"
    );
}

#[tokio::test]
async fn rows_outlive_calls_deployments_and_a_host_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::on(folder.path(), &[]);
    serve(&host, "rows", "").await;
    said(&host, "rows", "", &["CREATE TABLE t (n)"]).await;
    for _ in 0..20 {
        said(&host, "rows", "", &["INSERT INTO t VALUES (1)"]).await;
    }
    host.kill();
    let host = Host::on(folder.path(), &[]);
    serve(&host, "rows", "[limits]\nqueue = 7").await;
    assert_eq!(said(&host, "rows", "", &["SELECT count(*) FROM t"]).await, "20");
}

#[tokio::test]
async fn a_host_whose_apps_name_no_database_makes_no_file_and_a_label_that_is_not_named_is_denied()
{
    let host = Host::start();
    host.serve("rows", &wasm(), "").await;
    for (api, label) in [("api=2", "default"), ("api=3", "default"), ("", "..%2Fother")] {
        let told = refused(&host, "rows", &format!("{api}&database={label}"), &["SELECT 1"]).await;
        assert_eq!(told, "Error::AccessDenied");
    }
    assert!(!host.data.join("sql").exists());
    // The interface says no more than that; the log does.
    let logs = host.run(&["logs", "rows"]).done().stdout;
    assert!(logs.contains("\"default\" is not among the app's sqlite_databases"), "{logs}");
    let text = manifest("rows", "/...", "sqlite_databases = [\"my_base\"]");
    let reply = host.try_deploy(&wasm(), &text).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("is not the label of a database"), "{}", reply.text());
}

#[tokio::test]
async fn the_last_page_of_the_quota_can_be_used_and_one_more_is_database_full() {
    let host = Host::with(&["--sql-quota", "80KiB"]);
    serve(&host, "rows", "").await;
    serve(&host, "beside", "").await;
    said(&host, "rows", "", &["CREATE TABLE t (a)"]).await;
    let mut n_rows = 0;
    let told = loop {
        let reply = ask(&host, "rows", "size=3000", &["INSERT INTO t VALUES (?)"]).await;
        if reply.status != 200 {
            break reply.text();
        }
        n_rows += 1;
    };
    assert_eq!(told, "Error::DatabaseFull");
    assert_eq!(said(&host, "rows", "", &["PRAGMA page_count"]).await, "20");
    assert_eq!(said(&host, "rows", "", &["SELECT count(*) FROM t"]).await, n_rows.to_string());
    let logs = host.run(&["logs", "rows"]).done().stdout;
    assert!(logs.contains("81920 bytes") && logs.contains("--sql-quota"), "{logs}");
    said(&host, "beside", "", &["CREATE TABLE t (a)"]).await;
    said(
        &host,
        "rows",
        "size=3000",
        &["DELETE FROM t WHERE rowid < 3", "INSERT INTO t VALUES (?)"],
    )
    .await;
}

#[tokio::test]
async fn a_damaged_file_is_named_to_the_caller_and_in_the_log_and_left_as_it_is() {
    let host = Host::start();
    serve(&host, "rows", "").await;
    said(&host, "rows", "database=other", &["CREATE TABLE t (a)"]).await;
    let path = file(&host, "rows");
    let garbage = vec![7_u8; 10_000];
    std::fs::write(&path, &garbage).unwrap();
    for statement in ["SELECT 1", "CREATE TABLE t (a)"] {
        let told = refused(&host, "rows", "", &[statement]).await;
        assert!(
            told.contains("default.sqlite is damaged") && told.contains("move it away"),
            "{told}"
        );
    }
    let logs = host.run(&["logs", "rows"]).done().stdout;
    assert!(logs.contains("is damaged"), "{logs}");
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
    assert_eq!(said(&host, "rows", "database=other", &["SELECT count(*) FROM t"]).await, "0");
    std::fs::remove_file(&path).unwrap();
    said(&host, "rows", "", &["CREATE TABLE t (a)"]).await;
}

#[tokio::test]
async fn no_app_sees_the_rows_of_another_nor_of_another_tenants_app_of_the_name() {
    let host = Host::with(&["--tenants", "acme=1,ops=1"]);
    serve(&host, "rows", "tenant = \"acme\"").await;
    serve(&host, "two", "tenant = \"acme\"").await;
    said(&host, "rows", "", &["CREATE TABLE t (a)", "INSERT INTO t VALUES ('acmes')"]).await;
    let told = refused(&host, "two", "", &["SELECT * FROM t"]).await;
    assert!(told.contains("no such table"), "{told}");
    let told = refused(&host, "two", "", &["ATTACH '../rows/default.sqlite' AS other"]).await;
    assert!(told.contains("ATTACH or VACUUM") && told.contains("is not allowed"), "{told}");
    let remove = || host.admin("DELETE", "/v1/apps/rows", "");
    assert!(remove().await.status.is_success());
    serve(&host, "rows", "tenant = \"ops\"").await;
    let told = refused(&host, "rows", "", &["SELECT * FROM t"]).await;
    assert!(told.contains("no such table"), "{told}");
    assert!(remove().await.status.is_success());
    serve(&host, "rows", "tenant = \"acme\"").await;
    assert_eq!(said(&host, "rows", "", &["SELECT * FROM t"]).await, "acmes");
}

#[tokio::test]
async fn writers_at_once_wait_for_each_other_and_count_exactly() {
    let host = Host::start();
    serve(&host, "rows", "").await;
    said(&host, "rows", "", &["CREATE TABLE t (n)", "INSERT INTO t VALUES (0)"]).await;
    // More than there are connections.
    let writers = (0..12).map(|_| said(&host, "rows", "times=5", &["UPDATE t SET n = n + 1"]));
    join_all(writers).await;
    assert_eq!(said(&host, "rows", "", &["SELECT n FROM t"]).await, "60");
    serve(&host, "once", "").await;
    said(
        &host,
        "once",
        "times=5",
        &["CREATE TABLE IF NOT EXISTS t (n)", "INSERT INTO t VALUES (1)"],
    )
    .await;
    let call = host.last_call("once").await;
    assert!(call["time_us"]["store"].as_u64().unwrap_or(0) > 0, "{call}");
}

#[tokio::test]
async fn an_endless_statement_ends_at_its_calls_timeout_and_leaves_its_thread_and_its_lock() {
    let host = Host::start();
    serve(&host, "rows", "[limits]\ntimeout = \"1s\"").await;
    said(&host, "rows", "", &["CREATE TABLE t (n)"]).await;
    let endless = ["BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)", ENDLESS];
    for reply in join_all((0..4).map(|_| ask(&host, "rows", "", &endless))).await {
        assert_eq!(reply.cause(), "timed_out", "{}", reply.text());
    }
    // Nobody has the lock any more, nor a connection, and nothing of it was done.
    let began_at = Instant::now();
    said(&host, "rows", "", &["INSERT INTO t VALUES (2)"]).await;
    assert!(began_at.elapsed() < Duration::from_secs(1), "{:?}", began_at.elapsed());
    assert_eq!(said(&host, "rows", "", &["SELECT count(*) FROM t WHERE n = 1"]).await, "0");
}

#[tokio::test]
async fn an_endless_statement_takes_its_share_of_the_cpu_and_ends_with_a_named_cause() {
    let host = Host::start();
    let limits = "[limits]\nfuel = \"1000B\"\ntimeout = \"3s\"\nconcurrency = 8";
    serve(&host, "endless", limits).await;
    host.serve("victim", &std::fs::read(guests::SPIN).unwrap(), limits).await;
    said(&host, "endless", "", &["SELECT 1"]).await;
    // Four of each, so that both would use all cores, for as long.
    let endless = join_all((0..4).map(|_| ask(&host, "endless", "times=100", &[ENDLESS])));
    let victim = join_all((0..4).map(|_| host.get("/victim")));
    let (endless, victim) = join(endless, victim).await;
    for reply in endless.iter().chain(&victim) {
        assert_eq!(reply.cause(), "timed_out", "{}", reply.text());
    }
    let endless = host.metric("guest_cpu_seconds_total{app=\"endless\"}").await;
    let victim = host.metric("guest_cpu_seconds_total{app=\"victim\"}").await;
    let share = victim / (victim + endless);
    println!(
        "the victim had {:.1} % of the CPU: {victim} s of {} s",
        share * 100.0,
        victim + endless
    );
    assert!(share >= 0.45, "{victim} s against {endless} s");
}

#[tokio::test]
async fn an_endless_statement_that_is_alone_ends_after_so_many_steps() {
    let host = Host::start();
    serve(&host, "rows", "[limits]\nfuel = \"1000B\"\ntimeout = \"60s\"").await;
    let told = refused(&host, "rows", "", &[ENDLESS]).await;
    let names = |cause: &str| told.contains(&format!("the statement was ended after {cause}"));
    assert!(names("500000000 steps") || names("10s of CPU time"), "{told}");
    assert_eq!(said(&host, "rows", "", &["SELECT 7"]).await, "7");
}

#[tokio::test]
async fn rows_and_parameters_that_are_too_many_are_refused_and_the_guest_goes_on() {
    let host = Host::start();
    serve(&host, "rows", "").await;
    let all = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) SELECT i FROM n";
    let told = refused(&host, "rows", "", &[all]).await;
    assert!(told.contains("the rows have more than 4194304 bytes"), "{told}");
    let told = refused(&host, "rows", "size=2000000", &["SELECT ?"]).await;
    assert!(told.contains("parameter 1 has 2000000 bytes: at most 1048576"), "{told}");
    assert_eq!(said(&host, "rows", "size=1048576", &["SELECT length(?)"]).await, "1048576");
    assert_eq!(said(&host, "rows", "size=1048576", &["SELECT ?"]).await, "1048576 bytes");
}

#[tokio::test]
async fn a_call_that_used_a_database_leaves_no_capsule_and_says_why() {
    let host = Host::start();
    serve(&host, "rows", "[capture]\nfailures = true").await;
    assert_eq!(ask(&host, "rows", "end=trap", &["SELECT 1"]).await.status, 500);
    let call = host.last_call("rows").await;
    assert_eq!(call["capsule"], "used_store", "{call}");
}

#[tokio::test]
async fn operators_ask_whether_or_not_the_app_runs() {
    let host = Host::start();
    serve(&host, "rows", "").await;
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, name, more); INSERT INTO t VALUES (7, 'one', x'00ff')";
    host.run(&["sql", "rows", create]).done();
    assert_eq!(said(&host, "rows", "", &["SELECT name FROM t"]).await, "one");
    let table = host.run(&["sql", "rows", "SELECT id, name, more, NULL AS none FROM t"]).done();
    assert_eq!(table.stdout, "id  name  more         none\n7   one   base64:AP8=  NULL\n");
    let json = host.run(&["sql", "rows", "SELECT id, more FROM t", "-o", "json"]).done().json();
    assert_eq!(json["rows"][0][0], 7);
    assert_eq!(json["rows"][0][1]["base64"], "AP8=");
    let wrong = host.run(&["sql", "rows", "SELECT * FROM nowhere"]);
    assert!(wrong.code == 4 && wrong.stderr.contains("no such table: nowhere"), "{wrong:?}");
    let unknown = host.run(&["sql", "rows", "--database", "third", "SELECT 1"]);
    assert!(
        unknown.code == 4 && unknown.stderr.contains("rows has no database third"),
        "{unknown:?}"
    );
    let sizes = host.run(&["sql", "rows", "--sizes", "-o", "json"]).done().json();
    assert_eq!(sizes["databases"][0]["label"], "default");
    assert_eq!(sizes["bytes_quota"], 64 << 20);
    // The app is gone and its database is not.
    assert!(host.admin("DELETE", "/v1/apps/rows", "").await.status.is_success());
    assert_eq!(host.run(&["sql", "rows", "SELECT count(*) AS n FROM t"]).done().stdout, "n\n1\n");
    assert_eq!(host.run(&["sql", "rows", "--drop"]).code, 2, "nobody is there to ask");
    let dropped =
        || async { (host.run(&["sql", "rows", "--drop", "--yes"]).code == 0).then_some(()) };
    host.until("the end of connections", dropped).await;
    assert_eq!(host.run(&["sql", "rows", "SELECT 1"]).code, 4);
}

#[tokio::test]
async fn statements_from_a_pipe_are_run_one_by_one_and_a_transaction_whole() {
    let host = Host::start();
    serve(&host, "rows", "").await;
    let piped = |text: &str| {
        let mut child = steerage()
            .args(["sql", "rows", "--admin", &format!("http://{}", host.admin)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let dump = "-- a dump;\nCREATE TABLE t (a);\nBEGIN;\nINSERT INTO t VALUES (';');\nINSERT INTO t\n VALUES (2);\nCOMMIT;\n\
        SELECT count(*) AS n FROM t;\nSELECT a FROM t WHERE a = 2";
    let (code, stdout, stderr) = piped(dump);
    assert_eq!((code, &*stdout), (0, "n\n2\na\n2\n"), "{stderr}");
    let (code, _, stderr) = piped("BEGIN; INSERT INTO t VALUES (3); nonsense; COMMIT; SELECT 1;");
    assert!(code == 4 && stderr.contains("syntax error"), "{code} {stderr}");
    let (code, _, stderr) = piped("BEGIN; INSERT INTO t VALUES (3);");
    assert!(code == 2 && stderr.contains("ends within a transaction"), "{code} {stderr}");
    assert_eq!(said(&host, "rows", "", &["SELECT count(*) FROM t"]).await, "2");
}

#[tokio::test]
async fn a_copy_is_a_database_of_one_moment() {
    let host = Host::start();
    serve(&host, "rows", "").await;
    said(&host, "rows", "", &["CREATE TABLE t (a)", "INSERT INTO t VALUES ('kept')"]).await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.sqlite");
    let shown = copy.to_str().unwrap();
    host.run(&["sql", "rows", "--copy", shown]).done();
    assert_eq!(host.run(&["sql", "rows", "--copy", shown]).code, 4, "it is there already");
    // Put in the place of the other one, it is served.
    let to = Host::start();
    serve(&to, "rows", "").await;
    said(&to, "rows", "database=other", &["CREATE TABLE t (a)"]).await;
    std::fs::copy(&copy, file(&to, "rows")).unwrap();
    assert_eq!(said(&to, "rows", "", &["SELECT a FROM t"]).await, "kept");
}

#[tokio::test]
async fn a_host_of_a_fleet_keeps_no_databases_and_says_so() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let text = manifest("rows", "/rows/...", NAMES);
    let reply = fleet.first().try_deploy(&wasm(), &text).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("not kept in a fleet yet"), "{}", reply.text());
}
