//! What an app can do with its databases, and what it cannot, without a guest.

use std::fs;
use std::time::{Duration, Instant};

use steerage_core::sql::{BYTES_A_PAGE, MOST_BYTES_OF_ROWS, SqlRefusal};
use tokio::time::timeout;

use super::*;

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

struct Bench {
    data: tempfile::TempDir,
    databases: Databases,
}

fn bench(quota: Bytes) -> Bench {
    let data = tempfile::tempdir().unwrap();
    let databases = Databases::new(data.path(), quota);
    Bench { data, databases }
}

fn owner(app: &str) -> DatabaseOwner {
    DatabaseOwner { tenant: "acme".parse().unwrap(), app: app.parse().unwrap() }
}

impl Bench {
    fn app(&self) -> AppDatabases {
        self.databases.of_app(owner("shop"), ["default".parse().unwrap(), "other".parse().unwrap()])
    }

    fn file(&self) -> PathBuf {
        self.data.path().join("sql/acme/shop/default.sqlite")
    }
}

fn question(statement: &str) -> SqlQuestion {
    SqlQuestion { statement: statement.to_owned(), parameters: Vec::new() }
}

async fn said(app: &AppDatabases, on: &mut OpenedDatabase, statement: &str) -> Vec<Vec<SqlValue>> {
    app.execute(on, question(statement))
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"))
        .rows
}

async fn number(app: &AppDatabases, on: &mut OpenedDatabase, statement: &str) -> i64 {
    let rows = said(app, on, statement).await;
    let [SqlValue::Integer(number)] = &*rows[0] else { panic!("{rows:?}") };
    *number
}

async fn refused(app: &AppDatabases, on: &mut OpenedDatabase, statement: &str) -> SqlError {
    app.execute(on, question(statement)).await.unwrap_err()
}

#[tokio::test]
async fn what_is_written_is_read_with_its_types_by_another_connection() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    let mut one = app.open("default").unwrap();
    said(&app, &mut one, "CREATE TABLE t (a, b, c, d, e)").await;
    let values = vec![
        SqlValue::Null,
        SqlValue::Integer(i64::MIN),
        SqlValue::Real(0.5),
        SqlValue::Text("\u{e4}\0".to_owned()),
        SqlValue::Blob(vec![0, 255]),
    ];
    let statement = "INSERT INTO t VALUES (?, ?, ?, ?, ?)".to_owned();
    let asked = SqlQuestion { statement, parameters: values.clone() };
    let told = app.execute(&mut one, asked.clone()).await.unwrap();
    assert_eq!((told.changes, told.last_insert_rowid, one.changes()), (1, 1, 1));
    let mut two = app.open("default").unwrap();
    assert_eq!(said(&app, &mut two, "SELECT * FROM t").await, [values]);
    assert_eq!(two.last_insert_rowid(), 0, "it inserted nothing itself");
    let few = SqlQuestion { parameters: Vec::new(), ..asked };
    let few = app.execute(&mut one, few).await.unwrap_err();
    assert_eq!(few, SqlRefusal::OtherParameters { wanted: 5, brought: 0 }.into());
    assert_eq!(app.sizes().unwrap().len(), 1);
}

#[tokio::test]
async fn labels_that_are_not_named_are_denied_and_make_no_file() {
    let bench = bench(Bytes::mebi(1));
    for label in ["third", "", "../default", "Default"] {
        let denied = bench.app().open(label).unwrap_err();
        assert_eq!(denied, SqlError::NotNamed { label: label.to_owned() });
    }
    bench.app().open("default").unwrap();
    assert!(!bench.data.path().join("sql").exists(), "nothing is made before the first statement");
}

#[tokio::test]
async fn what_reaches_beyond_the_file_is_refused_by_name() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    let mut on = app.open("default").unwrap();
    said(&app, &mut on, "CREATE TABLE t (a)").await;
    for (statement, named) in [
        ("ATTACH '/etc/passwd' AS other", "ATTACH or VACUUM"),
        ("ATTACH ? AS other", "ATTACH or VACUUM"),
        ("VACUUM INTO '/tmp/stolen'", "ATTACH or VACUUM"),
        ("DETACH main", "DETACH"),
        ("CREATE TEMP TABLE x (a)", "TEMP"),
        ("PRAGMA writable_schema = ON", "PRAGMA writable_schema"),
        ("PRAGMA journal_mode = DELETE", "PRAGMA journal_mode"),
        ("PRAGMA temp_store_directory = '/'", "PRAGMA temp_store_directory"),
        ("PRAGMA max_page_count = 100000", "PRAGMA max_page_count"),
        ("CREATE VIRTUAL TABLE x USING fts3tokenize", "the module fts3tokenize"),
        ("SELECT load_extension('x')", "load_extension()"),
    ] {
        let parameters = statement.matches('?').map(|_| SqlValue::Text("x".to_owned())).collect();
        let asked = SqlQuestion { statement: statement.to_owned(), parameters };
        let told = app.execute(&mut on, asked).await.unwrap_err();
        let expected = SqlError::Refused(SqlRefusal::NotAllowed(named.to_owned()));
        // What cannot be said in this build is not known, which is as well.
        let is_unknown =
            matches!(&told, SqlError::Statement(text) if text.starts_with("no such function"));
        assert!(told == expected || is_unknown, "{statement}: {told}");
    }
    let told = refused(&app, &mut on, "UPDATE sqlite_schema SET sql = ''").await;
    assert!(told.to_string().contains("may not be modified"), "{told}");
    assert_eq!(number(&app, &mut on, "SELECT count(*) FROM t").await, 0, "it goes on");
    said(&app, &mut on, "CREATE VIRTUAL TABLE words USING fts5(text)").await;
    for wrong in ["", "; -- nothing", "SELEC", "SELECT 1; SELECT 2", "SELECT 1\0"] {
        let told = refused(&app, &mut on, wrong).await;
        assert!(matches!(told, SqlError::Refused(_) | SqlError::Statement(_)), "{wrong}: {told}");
    }
    let many = "SELECT 1;".repeat(28_000);
    assert_eq!(refused(&app, &mut on, &many).await, SqlRefusal::SeveralStatements.into());
}

#[tokio::test]
async fn the_last_page_of_a_quota_can_be_used_and_one_more_loses_nothing() {
    let quota = Bytes::new(20 * BYTES_A_PAGE);
    let bench = bench(quota);
    let app = bench.app();
    let mut on = app.open("default").unwrap();
    said(&app, &mut on, "CREATE TABLE t (a)").await;
    let insert = "INSERT INTO t VALUES (zeroblob(3000))";
    let mut n_rows = 0;
    let told = loop {
        match app.execute(&mut on, question(insert)).await {
            Ok(_) => n_rows += 1,
            Err(told) => break told,
        }
    };
    assert_eq!(told, SqlError::Full { quota: quota.get() });
    assert!(told.to_string().contains("81920 bytes") && told.to_string().contains("--sql-quota"));
    assert_eq!(number(&app, &mut on, "PRAGMA page_count").await, 20, "to the last page");
    assert_eq!(number(&app, &mut on, "SELECT count(*) FROM t").await, n_rows);
    said(&app, &mut on, "DELETE FROM t WHERE rowid = 1").await;
    said(&app, &mut on, insert).await;
    // Another database of the app has a quota of its own.
    let mut other = app.open("other").unwrap();
    said(&app, &mut other, "CREATE TABLE t (a)").await;
}

#[tokio::test]
async fn an_endless_statement_ends_after_so_many_steps_and_the_connection_goes_on() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    let mut on = app.open("default").unwrap();
    let told = refused(&app, &mut on, ENDLESS).await;
    assert!(told == SqlRefusal::ManySteps.into() || told == SqlRefusal::MuchTime.into(), "{told}");
    assert_eq!(number(&app, &mut on, "SELECT 7").await, 7);
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_is_interrupted_and_its_transaction_rolled_back() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    let mut on = app.open("default").unwrap();
    said(&app, &mut on, "CREATE TABLE t (a)").await;
    said(&app, &mut on, "BEGIN").await;
    said(&app, &mut on, "INSERT INTO t VALUES (1)").await;
    let given_up = timeout(Duration::from_millis(50), app.execute(&mut on, question(ENDLESS)));
    given_up.await.unwrap_err();
    drop(on);
    // It would wait for the lock if the transaction stayed open, and for a place if the statement did.
    let began_at = Instant::now();
    for _ in 0..10 {
        let mut on = app.open("default").unwrap();
        said(&app, &mut on, "INSERT INTO t VALUES (2)").await;
    }
    assert!(began_at.elapsed() < Duration::from_secs(3), "{:?}", began_at.elapsed());
    let mut on = app.open("default").unwrap();
    assert_eq!(number(&app, &mut on, "SELECT min(a) FROM t").await, 2);
}

/// How many threads of connections have stepped back for all others.
fn n_stepped_back() -> usize {
    let nice = |stat: &String| {
        let nice = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(17));
        nice == Some("19")
    };
    stats().iter().filter(|stat| nice(stat)).count()
}

/// What the system says of all threads of connections.
fn stats() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats.filter(|stat| stat.contains("(sql)")).collect()
}

#[tokio::test]
async fn a_function_that_cannot_be_interrupted_steps_back_for_all_others() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    let mut on = app.open("default").unwrap();
    // Each of so many letters is looked for among as many others, within one step of the engine.
    let dear = "SELECT length(trim(replace(hex(zeroblob(10000)), '0', 'a'),
        replace(hex(zeroblob(10000)), '0', 'b') || 'a'))";
    let given_up = timeout(Duration::from_millis(100), app.execute(&mut on, question(dear)));
    let told = given_up.await;
    assert!(told.is_err(), "it was over too soon to tell: {told:?}");
    assert_eq!(n_stepped_back(), 1, "{:?}", stats());
    // The app goes on, on another connection.
    drop(on);
    let mut on = app.open("default").unwrap();
    assert_eq!(number(&app, &mut on, "SELECT 7").await, 7);
}

#[tokio::test]
async fn what_sorts_without_end_is_refused_memory_and_its_neighbour_is_not() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    let mut on = app.open("default").unwrap();
    let sorts = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT i, randomblob(100) FROM n ORDER BY 2";
    let told = refused(&app, &mut on, sorts).await;
    assert_eq!(told, SqlRefusal::MuchMemory.into());
    assert_eq!(number(&app, &mut on, "SELECT 7").await, 7);
    let large = "SELECT length(zeroblob(2000000))";
    assert_eq!(refused(&app, &mut on, large).await, SqlRefusal::LargeRow.into());
}

#[tokio::test]
async fn rows_that_are_too_many_are_refused_and_what_returned_them_is_undone() {
    let bench = bench(Bytes::mebi(64));
    let app = bench.app();
    let mut on = app.open("default").unwrap();
    let all = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {}) SELECT i FROM n",
        MOST_BYTES_OF_ROWS / 24
    );
    assert_eq!(refused(&app, &mut on, &all).await, SqlRefusal::LargeAnswer.into());
    said(&app, &mut on, "CREATE TABLE t (i)").await;
    let inserts = format!("INSERT INTO t {all} RETURNING i");
    assert_eq!(refused(&app, &mut on, &inserts).await, SqlRefusal::LargeAnswer.into());
    assert_eq!(number(&app, &mut on, "SELECT count(*) FROM t").await, 0);
    let few = said(&app, &mut on, "INSERT INTO t VALUES (1), (2) RETURNING i").await;
    assert_eq!(few.len(), 2);
    assert_eq!(number(&app, &mut on, "SELECT count(*) FROM t").await, 2);
}

#[tokio::test]
async fn nothing_that_a_call_left_on_a_connection_is_seen_by_the_next() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    let mut on = app.open("default").unwrap();
    said(&app, &mut on, "CREATE TABLE t (a)").await;
    said(&app, &mut on, "PRAGMA foreign_keys = OFF").await;
    said(&app, &mut on, "BEGIN IMMEDIATE").await;
    said(&app, &mut on, "INSERT INTO t VALUES (1)").await;
    drop(on);
    for _ in 0..3 {
        let mut on = app.open("default").unwrap();
        assert_eq!(number(&app, &mut on, "PRAGMA foreign_keys").await, 1);
        assert_eq!(number(&app, &mut on, "SELECT count(*) + last_insert_rowid() FROM t").await, 0);
    }
}

#[tokio::test]
async fn a_ninth_connection_is_refused_with_the_number() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut on = app.open("default").unwrap();
        assert_eq!(number(&app, &mut on, "SELECT 1").await, 1);
        held.push(on);
    }
    let mut ninth = app.open("default").unwrap();
    let told = refused(&app, &mut ninth, "SELECT 1").await;
    assert_eq!(told.to_string(), "too many connections are in use: 8 of the app's");
    // The neighbour has its own.
    let beside = bench.databases.of_app(owner("beside"), ["default".parse().unwrap()]);
    let mut on = beside.open("default").unwrap();
    assert_eq!(number(&beside, &mut on, "SELECT 1").await, 1);
    drop(held);
    assert_eq!(number(&app, &mut ninth, "SELECT 1").await, 1);
}

#[tokio::test]
async fn a_damaged_file_is_named_and_left_as_it_is() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    fs::create_dir_all(bench.file().parent().unwrap()).unwrap();
    let garbage = vec![7_u8; 10_000];
    fs::write(bench.file(), &garbage).unwrap();
    for statement in ["SELECT 1", "CREATE TABLE t (a)"] {
        let mut on = app.open("default").unwrap();
        let told = refused(&app, &mut on, statement).await.to_string();
        assert!(
            told.contains("default.sqlite is damaged") && told.contains("move it away"),
            "{told}"
        );
    }
    assert_eq!(fs::read(bench.file()).unwrap(), garbage);
    let mut other = app.open("other").unwrap();
    assert_eq!(number(&app, &mut other, "SELECT 1").await, 1, "the other one is served");
}

#[tokio::test]
async fn writers_wait_for_each_other_and_all_are_done() {
    let bench = bench(Bytes::mebi(1));
    let app = bench.app();
    let mut on = app.open("default").unwrap();
    said(&app, &mut on, "CREATE TABLE t (n)").await;
    said(&app, &mut on, "INSERT INTO t VALUES (0)").await;
    let writers = (0..4).map(|_| async {
        let mut on = app.open("default").unwrap();
        for _ in 0..10 {
            said(&app, &mut on, "UPDATE t SET n = n + 1").await;
        }
    });
    futures_util::future::join_all(writers).await;
    assert_eq!(number(&app, &mut on, "SELECT n FROM t").await, 40);
}

#[tokio::test]
async fn a_host_that_keeps_none_says_why() {
    let data = tempfile::tempdir().unwrap();
    let databases = Databases::unavailable(data.path(), NO_SQL_IN_A_FLEET);
    let app = databases.of_app(owner("shop"), ["default".parse().unwrap()]);
    assert_eq!(app.open("default").unwrap_err(), SqlError::Unavailable(NO_SQL_IN_A_FLEET));
}
