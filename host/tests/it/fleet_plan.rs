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
    let many = host.admin("GET", "/v1/plan?with=9999x1cpu,1GiB;2x1cpu,1GiB", "").await;
    assert_eq!(many.status.as_u16(), 400);
    assert!(many.text().contains("10001 new hosts to plan with, where 10000"), "{}", many.text());
    let long = host.run(&["fleet", "freeze", "--why", &"x".repeat(201)]);
    assert_eq!(long.code, 4, "{long:?}");
    assert!(long.stderr.contains("why has 201 bytes, where 200 may be"), "{long:?}");
    assert!(host.run(&["fleet", "freeze", "--why", "\u{1b}[2Jx"]).done().stderr.is_empty());
    host.until("freeze to be known", || async {
        let told = host.run(&["hosts"]).done().stderr;
        (told.contains("nothing is planned") && !told.contains('\u{1b}')).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_frozen_fleet_moves_nothing_and_says_so_until_it_is_thawed() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let (h1, h2) = (&fleet.hosts[0], &fleet.hosts[1]);
    h1.deploy(&says("one"), &manifest("one", "/one/...", "")).await;
    let at = fleet.ready_on("one", 1).await;
    let said = h1.run(&["fleet", "freeze", "--why", "the network is being mended"]).done();
    assert!(said.stdout.contains("nothing is planned from now on"), "{said:?}");
    for host in [h1, h2] {
        host.until("freeze to be known", || async {
            let hosts = host.admin("GET", "/v1/hosts", "").await.json();
            (hosts["frozen"]["why"] == "the network is being mended").then_some(())
        })
        .await;
    }
    // Neither what is drained nor what is new goes anywhere, and both are answered none the less.
    fleet.stand(&at[0], "draining").await;
    h1.deploy(&says("two"), &manifest("two", "/two/...", "")).await;
    fleet.all_answer("/two/", "two").await;
    fleet.all_answer("/one/", "one").await;
    let replicas = |app: &str| {
        let path = format!("/v1/apps/{app}/replicas");
        async move { h1.admin("GET", &path, "").await.json() }
    };
    let two = replicas("two").await;
    assert!(two["lacks"].as_str().unwrap().contains("steerage fleet thaw"), "{two}");
    assert_eq!(replicas("one").await["hosts"][0]["host"], at[0].as_str());
    let plan = h2.run(&["plan"]);
    assert!(plan.code == 1 && plan.stdout.contains("the host is drained"), "{plan:?}");
    let note = "nothing is planned, for ";
    assert!(plan.stderr.contains(note), "{plan:?}");
    assert!(
        plan.stderr.contains("(the network is being mended); `steerage fleet thaw`"),
        "{plan:?}"
    );
    assert!(h2.run(&["hosts"]).done().stderr.contains(note));
    assert!(h2.run(&["fleet", "thaw"]).done().stdout.contains("plans are made again"));
    fleet.ready_on("two", 1).await;
    h1.until("replica to go", || async {
        (replicas("one").await["hosts"][0]["host"] != at[0].as_str()).then_some(())
    })
    .await;
    assert!(h1.run(&["fleet", "thaw"]).done().stdout.contains("plans are made already"));
}

#[tokio::test]
async fn any_host_tells_which_plan_moved_what_what_led_to_it_and_why_replicas_are_where_they_are() {
    let Some(fleet) = Fleet::start(3).await else { return };
    let (h1, h3) = (&fleet.hosts[0], &fleet.hosts[2]);
    let empty = h3.run(&["plan", "--history"]).done();
    assert!(empty.stdout.contains("no plan has changed anything yet"), "{empty:?}");
    h1.deploy(&says("shop"), &manifest("shop", "/shop/...", "")).await;
    let at = fleet.ready_on("shop", 1).await;
    let shown = h1.run(&["show", "shop"]).done().stdout;
    assert!(shown.contains(&format!("{} for ", at[0])), "{shown}");
    assert!(shown.contains("by plan 1: it ran nowhere yet"), "{shown}");
    fleet.stand(&at[0], "draining").await;
    let to = h1
        .until("replica to go", || async {
            let on = fleet.ready_on("shop", 1).await;
            (on != at).then(|| on[0].clone())
        })
        .await;
    // Every host says the same, since the store has it.
    for host in &fleet.hosts {
        host.until("plan to have settled", || async {
            let plans = host.admin("GET", "/v1/plans", "").await.json();
            let plans = plans["plans"].as_array()?.clone();
            assert!(plans.len() <= 2, "{plans:?}");
            let [second, first] = &plans[..] else { return None };
            assert_eq!((&first["number"], &second["number"]), (&1.into(), &2.into()));
            assert_eq!(second["host"], "h1");
            let led = second["triggers"].as_array().unwrap();
            assert!(led.contains(&format!("host {} was drained", at[0]).into()), "{second}");
            (second["outcome"] == "settled" && first["outcome"] == "settled").then_some(())
        })
        .await;
    }
    let listed = h3.run(&["plan", "--history"]).done().stdout;
    assert!(listed.contains(&format!("host {} was drained", at[0])), "{listed}");
    assert!(listed.lines().next().unwrap().contains("WHAT LED TO IT"), "{listed}");
    let one = h3.run(&["plan", "--history", "2"]).done().stdout;
    assert!(one.contains(&format!("shop  {}    {to}  done", at[0])), "{one}");
    assert!(one.contains("the host is drained"), "{one}");
    let json = h3.run(&["plan", "--history", "2", "-o", "json"]).done().json();
    assert_eq!(json["moves"][0]["to"], to.as_str(), "{json}");
    let shown = h3.run(&["show", "shop", "-o", "json"]).done().json();
    let placed = &shown["replicas"]["hosts"][0]["placed"];
    assert_eq!(
        (&placed["plan"], &placed["why"]),
        (&2.into(), &"its host before was drained".into())
    );
    // What is kept of a replica that stays is kept when another one comes.
    h1.run(&["scale", "shop", "2"]).done();
    fleet.ready_on("shop", 2).await;
    let shown = h3.run(&["show", "shop"]).done().stdout;
    assert!(shown.contains(&format!("{to} for ")), "{shown}");
    assert!(shown.contains("by plan 2: its host before was drained"), "{shown}");
    assert!(shown.contains("by plan 3: more replicas were wanted"), "{shown}");
    let third = h3.run(&["plan", "--history", "3"]).done().stdout;
    assert!(third.contains("shop wanted 2 replicas, not 1"), "{third}");
    h1.run(&["remove", "shop", "--yes"]);
    h3.until("removal to be planned", || async {
        let fourth = h3.run(&["plan", "--history", "4"]);
        (fourth.code == 0).then(|| assert!(fourth.stdout.contains("the app was removed")))
    })
    .await;
    let gone = h3.run(&["plan", "--history", "9"]);
    assert_eq!(gone.code, 4, "{gone:?}");
    assert!(gone.stderr.contains("there is no plan 9; kept are 1 to 4"), "{gone:?}");
    let bad = h3.admin("GET", "/v1/plans/-1", "").await;
    assert_eq!(bad.status.as_u16(), 400);
    assert!(bad.text().contains("no number of a plan"), "{}", bad.text());
}

#[tokio::test]
async fn a_drain_says_at_once_what_has_nowhere_to_go_and_changes_nothing_unless_it_must() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let host = fleet.first();
    let more = "[replicas]\nmin = 2\nmax = 2";
    host.deploy(&says("twice"), &manifest("twice", "/twice/...", more)).await;
    fleet.ready_on("twice", 2).await;
    host.deploy(&says("once"), &manifest("once", "/once/...", "")).await;
    let at = fleet.ready_on("once", 1).await.remove(0);
    let refused = host.run(&["drain", &at]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("twice has nowhere to go: needs "), "{refused:?}");
    let told = format!("{at} was not drained: 1 replica on it has nowhere to go");
    assert!(refused.stderr.contains(&told), "{refused:?}");
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    let hosts = host.admin("GET", "/v1/hosts", "").await.json();
    let standings = hosts["hosts"].as_array().unwrap().iter().map(|host| &host["standing"]);
    assert_eq!(standings.collect::<Vec<_>>(), ["open", "open"]);
    // What can go goes, and it ends as soon as only the rest is left.
    let forced = host.run(&["drain", &at, "--force"]);
    assert_eq!(forced.code, 1, "{forced:?}");
    let told = format!("{at} keeps what has nowhere to go: twice; the rest has gone");
    assert!(forced.stderr.contains(&told), "{forced:?}");
    assert_ne!(fleet.ready_on("once", 1).await, [at.as_str()]);
    assert_eq!(fleet.ready_on("twice", 2).await.len(), 2);
    host.run(&["uncordon", &at]).done();
    host.run(&["scale", "twice", "1"]).done();
    fleet.ready_on("twice", 1).await;
    let drained = host.run(&["drain", &at]).done();
    assert!(drained.stdout.contains(&format!("{at} is empty")), "{drained:?}");
    let nobody = host.run(&["drain", "h9"]);
    assert!(nobody.stderr.contains("no host named h9"), "{nobody:?}");
}
