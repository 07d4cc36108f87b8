//! What a fleet would be without a host, or with more of them: asked of one that runs.

use crate::fleet::Fleet;
use crate::harness::{manifest, says};

#[tokio::test]
async fn a_plan_tells_what_a_lost_host_would_leave_and_what_bought_ones_would_take() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let host = fleet.first();
    let more = "[replicas]\nmin = 2\nmax = 2";
    host.deploy(&says("twice"), &manifest("twice", "/twice/...", more)).await;
    fleet.ready_on("twice", 2).await;
    let plan = host.run(&["plan"]);
    assert_eq!((plan.code, plan.stdout.trim()), (0, "nothing would move"), "{plan:?}");
    // Two replicas need two hosts.
    let without = host.run(&["plan", "--without", "h2"]);
    assert_eq!(without.code, 1, "{without:?}");
    assert!(without.stdout.starts_with("without h2: "), "{without:?}");
    assert!(without.stdout.contains("1 replica has no room"), "{without:?}");
    assert!(without.stdout.contains("twice: 1 replica: needs "), "{without:?}");
    let replaced = host.run(&["plan", "--without", "h2", "--with", "1x1cpu,2GiB"]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert!(replaced.stdout.contains("all have room"), "{replaced:?}");
    let step = replaced.stdout.lines().find(|line| line.contains("new-1")).unwrap();
    assert!(step.contains("h2") && step.contains("the host is gone"), "{step}");
    // A label that no host has is bought with the hosts, and nothing of all this has happened.
    let json = host.run(&["plan", "--with", "2x4cpu,16GiB,disk=ssd", "-o", "json"]).done().json();
    assert_eq!(json["unplaced"].as_array().unwrap().len(), 0, "{json}");
    assert_eq!(json["spare"], serde_json::json!(["new-1", "new-2"]), "{json}");
    assert_eq!(fleet.ready_on("twice", 2).await, ["h1", "h2"]);
}

#[tokio::test]
async fn what_cannot_be_supposed_is_refused_by_name() {
    let Some(fleet) = Fleet::start(1).await else { return };
    let host = fleet.first();
    let gone = host.run(&["plan", "--without", "h7"]);
    assert_eq!(gone.code, 255, "{gone:?}");
    assert!(gone.stderr.contains("no host named h7 to plan without; there are h1"), "{gone:?}");
    for with in ["3", "0x1cpu,1GiB", "1x1cpu", "1xmany"] {
        let bad = host.run(&["plan", "--with", with]);
        assert_eq!(bad.code, 2, "{bad:?}");
        assert!(bad.stderr.contains("expected COUNTxCPU,MEMORY"), "{bad:?}");
    }
    let bad = host.admin("GET", "/v1/plan?with=3", "").await;
    assert_eq!(bad.status.as_u16(), 400);
    assert!(bad.text().contains("3x4cpu,16GiB"), "{}", bad.text());
}
