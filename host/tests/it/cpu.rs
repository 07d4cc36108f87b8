//! The CPU time of an app is counted while its calls run, once.

use serde_json::Value;
use steerage_guests as guests;

use crate::harness::Host;

async fn cpu_of(host: &Host, app: &str) -> f64 {
    let usage = host.admin("GET", "/v1/usage", "").await.json();
    let apps = usage["apps"].as_array().unwrap();
    let app = apps.iter().find(|known| known["app"] == app);
    app.map_or(0.0, |app| app["cpu_seconds"].as_f64().unwrap())
}

#[tokio::test]
async fn a_call_that_runs_is_seen_to_use_the_processor() {
    let host = Host::start();
    let limits = "[limits]\nfuel = \"100000B\"\ntimeout = \"4s\"";
    host.serve("spin", &std::fs::read(guests::SPIN).unwrap(), limits).await;
    let looks = async {
        host.until("a fifth of a second of a call that runs", || async {
            (cpu_of(&host, "spin").await >= 0.2).then_some(())
        })
        .await;
        let counted = host.metric("guest_cpu_seconds_total{app=\"spin\"}").await;
        assert!(counted >= 0.2, "{counted}");
    };
    tokio::select! {
        reply = host.get("/spin") => panic!("nothing was seen before it ended: {}", reply.text()),
        () = looks => {}
    }
    // What was counted while it ran is not counted again.
    let call: Value = host.call_of("spin", "/spin").await;
    let used = call["cpu_us"].as_f64().unwrap() / 1e6;
    let counted = cpu_of(&host, "spin").await;
    assert!(used >= 0.2 && (counted - used).abs() < 0.001, "{counted} s counted, {call}");
}
