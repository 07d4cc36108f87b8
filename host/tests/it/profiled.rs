//! Where guests spend their CPU time, as `steerage profile` tells it of a real host.
//! Does not test how samples are taken or put together: `steerage-sampler` and `core::profile` have tests of their own.

use serde_json::Value;
use steerage_guests as guests;

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, wat};

/// A program that counts so far in one function and so far in another, each called by `work`.
pub(crate) fn sorts_and_hashes(sorts: u64, hashes: u64) -> Vec<u8> {
    let counts = |name: &str| {
        format!(
            "(func ${name} (param $n i64)
                (loop $more
                    (local.set $n (i64.sub (local.get $n) (i64.const 1)))
                    (br_if $more (i64.gt_s (local.get $n) (i64.const 0)))))"
        )
    };
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 32) "\nok")
            {} {}
            (func $work
                (call $sorts (i64.const {sorts}))
                (call $hashes (i64.const {hashes})))
            (func $_start (export "_start")
                (call $work)
                (i32.store (i32.const 0) (i32.const 32))
                (i32.store (i32.const 4) (i32.const 3))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        counts("sorts"),
        counts("hashes"),
    ))
}

/// Its limits: all of its calls are to end.
pub(crate) const LIMITS: &str = "[limits]\nfuel = \"900G\"\ntimeout = \"10m\"";
/// About half a second of CPU time of a small machine.
pub(crate) const MUCH: u64 = 150_000_000;

/// The part of the samples in which a function ran itself, and with what it called, in hundredths.
fn parts(told: &str, function: &str) -> (f64, f64) {
    let line = told.lines().find(|line| line.ends_with(&format!(" {function}")));
    let line = line.unwrap_or_else(|| panic!("no {function:?} in {told}"));
    let mut columns = line.split_whitespace();
    let mut percent = || columns.next().unwrap().trim_end_matches('%').parse::<f64>().unwrap();
    (percent(), percent())
}

/// Calls until there are so many samples of a generation.
pub(crate) async fn sample(host: &Host, generation: u64, least: u64) -> Value {
    host.until("samples", || async {
        assert_eq!(host.get("/busy").await.status, 200);
        let told = host.admin("GET", "/v1/apps/busy/profile", "").await.json();
        let deployments = told["deployments"].as_array()?;
        let of = deployments.iter().find(|of| of["generation"] == generation)?.clone();
        (of["samples"].as_u64()? >= least).then_some(of)
    })
    .await
}

#[tokio::test]
async fn functions_have_their_part_of_the_cpu_time_and_what_changed_is_told() {
    let host = Host::with(&["--profile-frequency", "200", "--watch", "never"]);
    let manifest = manifest("busy", "/busy", LIMITS);
    host.deploy(&sorts_and_hashes(3 * MUCH, MUCH), &manifest).await;
    let nothing = host.run(&["profile", "busy"]);
    assert!(nothing.stderr.contains("no profile of busy yet"), "{nothing:?}");
    sample(&host, 1, 300).await;

    let told = host.run(&["profile", "busy"]).done().stdout;
    assert!(told.starts_with("CPU time of busy: generation 1, "), "{told}");
    let near = |found: f64, expected: f64| (found - expected).abs() <= 12.0;
    let (sorts, hashes) = (parts(&told, "sorts"), parts(&told, "hashes"));
    assert!(near(sorts.0, 75.0) && near(hashes.0, 25.0), "{told}");
    let (work, start) = (parts(&told, "work"), parts(&told, "_start"));
    assert!(work.0 <= 5.0 && work.1 >= 90.0, "{told}");
    assert!(start.1 >= work.1, "{told}");

    host.deploy(&sorts_and_hashes(MUCH, 3 * MUCH), &manifest).await;
    sample(&host, 2, 300).await;
    let told = host.run(&["profile", "busy", "--diff", "1"]).done().stdout;
    assert!(told.contains("against generation 1, "), "{told}");
    // The part and what it changed by, in hundredths.
    assert!(near(parts(&told, "hashes").1, 50.0) && near(parts(&told, "sorts").1, -50.0), "{told}");

    let folded = host.run(&["profile", "busy", "--format", "folded"]).done().stdout;
    assert!(folded.lines().any(|line| line.starts_with("_start;work;hashes ")), "{folded}");
    let svg = host.run(&["profile", "busy", "--format", "svg"]).done().stdout;
    assert!(svg.starts_with("<svg ") && svg.contains("<title>hashes: "), "{svg}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    host.run(&["profile", "busy", "--format", "pprof", "--out", path]).done();
    let pprof = std::fs::read(path).unwrap();
    assert!(pprof.windows(6).any(|part| part == b"hashes"), "{pprof:?}");
    let missing = host.run(&["profile", "busy", "--generation", "7"]);
    let expected = "no profile of generation 7 of busy: there is one of 1 and 2";
    assert!(missing.code != 0 && missing.stderr.contains(expected), "{missing:?}");
}

#[tokio::test]
async fn instances_that_are_put_back_and_components_are_sampled_too() {
    let host = Host::with(&["--profile-frequency", "200", "--watch", "never"]);
    let more = format!("{LIMITS}\n[instance]\nfresh = \"restored\"");
    host.deploy(&sorts_and_hashes(3 * MUCH, MUCH), &manifest("busy", "/busy", &more)).await;
    sample(&host, 1, 100).await;
    host.until("an instance that is put back", || async {
        assert_eq!(host.get("/busy").await.status, 200);
        (host.metric("instances_restored_total{app=\"busy\"}").await >= 1.0).then_some(())
    })
    .await;
    let before = sample(&host, 1, 1).await["samples"].as_u64().unwrap();
    sample(&host, 1, before + 100).await;
    let told = host.run(&["profile", "busy"]).done().stdout;
    assert!(parts(&told, "sorts").0 >= 60.0, "{told}");

    host.serve("work", &std::fs::read(guests::WORK).unwrap(), LIMITS).await;
    let told = host.until("samples of a component", || async {
        assert_eq!(host.get("/work/?n=50000000").await.status, 200);
        let told = host.admin("GET", "/v1/apps/work/profile", "").await.json();
        let of = told["deployments"].as_array()?.first()?.clone();
        (of["samples"].as_u64()? >= 50).then(|| of.to_string())
    });
    let told = told.await;
    // Its own function is compiled into the one that it exports.
    assert!(told.contains("wasi:http/incoming-handler@0.2.12#handle"), "{told}");
}

#[tokio::test]
async fn hosts_of_a_fleet_add_up_and_who_wants_none_has_none() {
    let Some(fleet) = Fleet::start(2).await else { return };
    fleet.first().deploy(&sorts_and_hashes(MUCH, MUCH), &manifest("busy", "/busy", LIMITS)).await;
    fleet.ready_on("busy", 1).await;
    sample(fleet.first(), 1, 20).await;
    let told = fleet.first().run(&["profile", "busy"]).done().stdout;
    assert!(told.contains(" sorts"), "{told}");

    let host = Host::with(&["--profile-frequency", "0"]);
    host.deploy(&sorts_and_hashes(MUCH, MUCH), &manifest("busy", "/busy", LIMITS)).await;
    assert_eq!(host.get("/busy").await.status, 200);
    let none = host.run(&["profile", "busy"]);
    assert!(none.stderr.contains("started with --profile-frequency 0"), "{none:?}");
}
