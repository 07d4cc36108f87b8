//! What limits apps should have: told from what real calls needed, of all hosts, and written into a manifest.

use serde_json::Value;
use steerage_guests as guests;

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, says};

/// So that no test waits for the end of a minute.
const OFTEN: [&str; 2] = ["--history-write", "100ms"];

async fn advice(host: &Host, query: &str) -> Value {
    let reply = host.admin("GET", &format!("/v1/advice{query}"), "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn of_key(report: &Value, key: &str) -> Value {
    let keys = report["apps"][0]["keys"].as_array().unwrap().iter();
    keys.clone().find(|told| told["key"] == key).cloned().unwrap_or_default()
}

#[tokio::test]
async fn calls_that_run_out_of_fuel_ask_for_more_of_it_which_is_written_into_the_manifest() {
    let host = Host::with(&OFTEN);
    let spin = std::fs::read(guests::SPIN).unwrap();
    let text = manifest("spin", "/spin", "[limits]\nfuel = \"50M\" # a guess");
    host.deploy(&spin, &text).await;
    host.deploy(&says("well"), &manifest("well", "/well", "")).await;
    assert_eq!(host.get("/well").await.text(), "well");
    assert_ne!(host.get("/spin").await.status, 200);
    let told = host
        .until("advice on the fuel", || async {
            let told = advice(&host, "?app=spin").await;
            (of_key(&told, "limits.fuel")["advised"] == "100M").then_some(told)
        })
        .await;
    let fuel = of_key(&told, "limits.fuel");
    assert_eq!((&fuel["present"], &told["apps"][0]["calls"]), (&"50M".into(), &1.into()), "{told}");
    assert!(fuel["reason"].as_str().unwrap().contains("1 call failed because of it"), "{fuel}");
    // Of all else one call tells too little, and that is said.
    let memory = of_key(&told, "limits.memory");
    assert_eq!(memory["advised"], Value::Null, "{memory}");
    let reason = memory["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("too little history since the deployment: 1 call in 1 day"),
        "{reason}"
    );

    let shown = host.run(&["advise"]).done().stdout;
    assert!(shown.contains("spin  limits.fuel  50M     100M"), "{shown}");
    assert!(shown.contains("nothing to change for 1 app"), "{shown}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("steerage.toml");
    std::fs::write(&file, &text).unwrap();
    let path = folder.path().to_str().unwrap();
    let shown = host.run(&["advise", "spin", "--write", path]).done().stdout;
    assert!(shown.contains("-fuel = \"50M\" # a guess\n+fuel = \"100M\" # a guess\n"), "{shown}");
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written, text.replace("50M", "100M"));
    let said = host.run(&["advise", "well", "--write", path]);
    assert!(said.code == 4 && said.stderr.contains("is the manifest of spin"), "{said:?}");

    // Once it is deployed, the same failed call asks for nothing more.
    host.deploy(&spin, &written).await;
    let told = advice(&host, "?app=spin").await;
    let fuel = of_key(&told, "limits.fuel");
    assert_eq!((&fuel["present"], &fuel["advised"]), (&"100M".into(), &Value::Null), "{fuel}");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_by_name_and_no_history_gives_no_advice() {
    let host = Host::with(&["--history-disk", "0"]);
    host.deploy(&says("well"), &manifest("well", "/...", "")).await;
    let reply = host.admin("GET", "/v1/advice", "").await;
    assert!(
        reply.cause() == "not_found" && reply.text().contains("--history-disk 0"),
        "{}",
        reply.text()
    );
    for (query, status, part) in [
        ("?app=none", 404, "no app named none"),
        ("?app=A%20B", 400, "app: "),
        ("?limit=many", 400, "limit"),
        ("?of=well", 400, "of"),
    ] {
        let reply = host.admin("GET", &format!("/v1/advice{query}"), "").await;
        let text = reply.text();
        assert!(reply.status == status && text.contains(part), "{query}: {text}");
    }
    let said = host.run(&["advise", "--write", "steerage.toml"]);
    assert!(said.code == 2 && said.stderr.contains("<APP>"), "{said:?}");
    let said = host.run(&["advise", "none"]);
    assert!(said.code != 0 && said.stderr.contains("no app named none"), "{said:?}");
}

#[tokio::test]
async fn a_fleet_advises_from_what_all_its_hosts_saw() {
    let Some(mut fleet) = Fleet::called(&OFTEN).await else { return };
    for host in &fleet.hosts {
        host.until("calls of both hosts", || async {
            let told = advice(host, "").await;
            (told["apps"][0]["calls"] == 5).then_some(())
        })
        .await;
    }
    // What a lost host saw is not known, and that is the reason why nothing is advised.
    fleet.hosts[1].kill();
    fleet
        .first()
        .until("word that a host is silent", || async {
            let told = advice(fleet.first(), "?app=web").await;
            let reason = of_key(&told, "limits.memory")["reason"].to_string();
            reason.contains("1 host did not say what is known there").then_some(())
        })
        .await;
}
