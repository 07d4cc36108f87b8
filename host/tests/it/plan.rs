//! Plans on paper: the sheet of `examples/`, sheets as other programs write them, and what is no
//! sheet.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Said, run, run_in};

const LARGE: &str = "m6i.large=2cpu,8GiB,0.096/h";
const XLARGE: &str = "m6i.xlarge=4cpu,16GiB,0.192/h";
const TODAY: [&str; 3] =
    ["m5.large=2cpu,8GiB,0.096/h", "m5.xlarge=4cpu,16GiB,0.192/h", "m5.2xlarge=8cpu,32GiB,0.384/h"];

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fleet.csv");
    path.to_str().unwrap().to_owned()
}

fn plan_example(more: &[&str]) -> Said {
    let fleet = example();
    let mut words = vec!["plan", "--fleet", &fleet, "--host", LARGE, "--host", XLARGE];
    words.extend(TODAY.iter().flat_map(|kind| ["--today", kind]));
    words.extend(more);
    run(&words)
}

/// Plans a sheet of these bytes.
fn plan(bytes: &[u8], more: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sheet.csv"), bytes).unwrap();
    let words = ["plan", "--fleet", "sheet.csv", "--host", LARGE];
    run_in(folder.path(), &[&words[..], more].concat())
}

fn replicas_of(machines: &Value) -> u64 {
    let apps = machines.as_array().unwrap().iter().flat_map(|machine| machine["apps"].as_array());
    apps.flatten().map(|app| app["replicas"].as_u64().unwrap()).sum()
}

#[test]
fn the_example_is_packed_on_a_third_of_its_machines() {
    let report = plan_example(&["-o", "json"]).done().json();
    assert_eq!(report["today"]["n_machines"], 22);
    let packed = &report["packed"];
    let n_packed = packed["n_machines"].as_u64().unwrap();
    assert!((5..=9).contains(&n_packed), "{n_packed}");
    assert!(n_packed >= report["at_least"]["n_machines"].as_u64().unwrap());
    let cost = |fleet: &Value| fleet["monthly_cost"].as_f64().unwrap();
    assert!((cost(&report["today"]) - 2803.2).abs() < 0.01, "{}", report["today"]);
    assert!(cost(packed) >= cost(&report["at_least"]) && cost(packed) < 1000.0, "{packed}");
    assert!(report["saved_percent"].as_i64().unwrap() > 60);
    // Nothing is lost between the two, what fits nowhere and so keeps its machine included.
    assert_eq!(replicas_of(&packed["machines"]), replicas_of(&report["today"]["machines"]));
    assert_eq!(report["unplaced"][0]["app"], "ml-training");
    for machine in packed["machines"].as_array().unwrap() {
        for of in ["cpu_millis", "memory_bytes"] {
            assert!(machine["needed"][of].as_u64() <= machine["has"][of].as_u64(), "{machine}");
        }
    }
}

#[test]
fn every_row_that_could_not_be_used_is_named() {
    let report = plan_example(&["-o", "json"]).done().json();
    let complaints = report["complaints"].as_array().unwrap();
    let lost: Vec<u64> = complaints
        .iter()
        .filter(|complaint| complaint["loses_row"] == true)
        .map(|complaint| complaint["row"].as_u64().unwrap())
        .collect();
    assert_eq!(lost, [30, 37, 50, 51, 60]);
    assert_eq!(report["rows"], json!({ "used": 42, "left_out": 5, "passed_over": 13 }));
    assert_eq!(complaints[0]["value"], "#REF!");
    let text = plan_example(&[]).done().stdout;
    for words in [
        "22 machines today, 8 packed: 70 % less a month",
        "cost a month   2803.20",
        "ml-training: needs 7.32 cpu, and no kind of machine has more than 4",
        " 50  pdf-render     CPU request   1-2    row left out   it is a range",
        "4 rows could not be used",
        "columns: Owner, Notes",
    ] {
        assert!(text.contains(words), "no {words} in {text}");
    }
}

#[test]
fn environments_are_kept_apart_where_that_is_wanted() {
    let report = plan_example(&["--apart", "zone,env", "-o", "json"]).done().json();
    for machine in report["packed"]["machines"].as_array().unwrap() {
        if machine["kept"] == false {
            let group = machine["group"].as_str().unwrap();
            assert!(group == "prod" || group == "staging", "{machine}");
        }
    }
}

#[test]
fn both_fleets_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let out: PathBuf = folder.path().join("fleet.svg");
    let said = plan_example(&["--format", "svg", "--out", out.to_str().unwrap()]).done();
    assert!(said.stdout.contains("8 packed") && said.stdout.contains("fleet.svg"), "{said:?}");
    let svg = std::fs::read_to_string(&out).unwrap();
    assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("Today: 22 machines") && svg.contains("Packed: 8 machines"));
    assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());
    for elsewhere in ["href", "url(", "@import", "<script", "<style"] {
        assert!(!svg.contains(elsewhere), "{elsewhere}");
    }
    let hostile = b"app,cpu,memory,host\n\"<script>\"\"&\",1,1GiB,\"</svg>\"\n";
    let svg = plan(hostile, &["--format", "svg"]).done().stdout;
    assert!(!svg.contains("<script") && svg.matches("</svg>").count() == 1, "{svg}");
}

#[test]
fn sheets_come_as_many_programs_write_them() {
    let text =
        "app;cpu;memory;replicas;server\r\nkäse;0,5;1,5 GiB;1;srv1\r\nöl;250m;512Mi;1;srv2\r\n";
    let utf16: Vec<u8> =
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin1: Vec<u8> =
        text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    let bom = format!("\u{feff}{text}").into_bytes();
    let tabs = text.replace(';', "\t").into_bytes();
    let commas = b"app,cpu,memory,replicas,server\nk\xc3\xa4se,\"0,5\",\"1,5 GiB\",1,srv1\n\
                   \xc3\xb6l,250m,512Mi,1,srv2"
        .to_vec();
    for bytes in [text.as_bytes().to_vec(), utf16, latin1, bom, tabs, commas] {
        let report = plan(&bytes, &["-o", "json"]).done().json();
        assert_eq!(report["today"]["n_machines"], 2, "{report}");
        assert_eq!(
            report["today"]["asked"],
            json!({ "cpu_millis": 750, "memory_bytes": 2_u64 << 30 })
        );
        assert_eq!(report["packed"]["n_machines"], 1, "{report}");
        assert_eq!(report["packed"]["machines"][0]["apps"][0]["app"], "käse");
    }
}

#[test]
fn a_sheet_without_machines_or_prices_is_packed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "app,cpu,mem_gib\na,1,1\nb,1,1\nc,1,1\n").unwrap();
    let said = run_in(folder.path(), &["plan", "--fleet", "a.csv", "--host", "own=2cpu,8GiB"]);
    let text = said.done().stdout;
    assert!(text.starts_with("2 machines packed\n"), "{text}");
    assert!(text.contains("nothing to compare with") && !text.contains("cost"), "{text}");
}

#[test]
fn what_is_no_plan_ends_with_255_and_says_what_to_do() {
    for (bytes, more, words) in [
        (&b"PK\x03\x04\x14"[..], &[][..], "save it as CSV"),
        (b"", &[], "is empty"),
        (b"\x00\x01\x02", &[], "not a text file"),
        (b"app,cpu\na,1\n", &[], "lacks one of memory"),
        (b"app,cpu,memory\na,lots,1Gi\n", &[], "1 x it is not a number"),
        (b"app,cpu,memory\na,1,1Gi\n", &["--out", "no/such/folder.txt"], "cannot write no/such"),
    ] {
        let said = plan(bytes, more);
        assert_eq!(said.code, 255, "{said:?}");
        assert!(said.stderr.contains(words), "no {words} in {said:?}");
    }
    let fleet = example();
    for (words, hint) in [
        (&["plan", "--fleet", &fleet][..], "--host 'm6i.large=2cpu,8GiB,0.096/h'"),
        (&["plan", "--fleet", &fleet, "--host", "m6i.large"], "expected NAME=CPU,MEMORY,PRICE"),
        (&["plan", "--fleet", &fleet, "--host", LARGE, "--host", "a=1,1GiB"], "some have none"),
        (&["plan", "--fleet", &fleet, "--host", LARGE, "--headroom", "lots"], "percentage"),
    ] {
        let said = run(words);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains(hint), "no {hint} in {said:?}");
    }
    let said = run(&["plan", "--fleet", "nowhere.csv", "--host", LARGE]);
    assert_eq!(said.code, 255);
    assert!(said.stderr.contains("cannot read nowhere.csv"), "{said:?}");
    // A name that a terminal would obey is no reason for a document that cannot be read.
    let sheet = "app,machine,cpu,memory\na\u{202e}\u{9b}b,m1,1,1GiB\n";
    let said = plan(sheet.as_bytes(), &["-o", "json"]).done();
    assert!(said.json().to_string().contains("a\u{202e}\u{9b}b"), "{said:?}");
    assert!(!said.stdout.contains(['\u{202e}', '\u{9b}']), "{said:?}");
    let said = run(&["plan", "--fleet", "nowhere.csv", "--host", LARGE, "-o", "json"]);
    let problem: Value = serde_json::from_str(said.stderr.trim()).unwrap();
    assert_eq!((said.code, &problem["cause"]), (255, &json!("no_plan")), "{said:?}");
}
