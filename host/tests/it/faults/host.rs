//! Faults of a host itself.

use super::{a_host, call, is_well, tells};
use crate::harness::says;

#[tokio::test]
async fn its_data_folder_is_gone() {
    let host = a_host();
    host.serve("web", &says("x"), "").await;
    let elsewhere = host.data.with_extension("elsewhere");
    std::fs::rename(&host.data, &elsewhere).unwrap();
    call(&host, "/web/{n}", 5).await;
    let told = ["after a restart there is none of them", "bring the folder back"];
    tells(&host, "the data folder of this host is gone", &told).await;
    std::fs::rename(&elsewhere, &host.data).unwrap();
    is_well(&host).await;
}

#[tokio::test]
async fn it_stood_still() {
    let host = a_host();
    host.serve("web", &says("x"), "").await;
    host.signal("STOP");
    let stopped_at = std::time::Instant::now();
    // A process that does not run can only be waited for.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    host.signal("CONT");
    let stopped = stopped_at.elapsed();
    let event = host
        .until("word of the stall", || async {
            let events = host.admin("GET", "/v1/events", "").await.json();
            let events = events["events"].as_array()?.clone();
            events.into_iter().find(|event| event["kind"] == "host_stalled")
        })
        .await;
    let message = event["message"].as_str().unwrap();
    assert!(message.starts_with("this host stood still for "), "{message} after {stopped:?}");
}
