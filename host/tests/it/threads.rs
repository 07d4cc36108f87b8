//! The threads that read requests share the work: what comes on one connection keeps more than one busy.

use futures_util::future::join_all;
use http_body_util::Full;
use steerage_guests as guests;

use crate::harness::Host;

/// CPU time of each thread that reads requests, in the kernel's ticks of 10 ms.
fn ticks(host: &Host) -> Vec<u64> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", host.pid())).unwrap();
    let tasks = tasks.map(|task| task.unwrap().path());
    let named = tasks.filter(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "ingress")
    });
    named
        .map(|task| {
            let stat = std::fs::read_to_string(task.join("stat")).unwrap();
            // After the name, which is in parentheses, the state is the third field.
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            let tick = |field: usize| fields[field - 3].parse::<u64>().unwrap();
            tick(14) + tick(15)
        })
        .collect()
}

#[tokio::test]
async fn calls_of_one_http2_connection_run_on_more_than_one_thread() {
    let host = Host::start();
    host.serve("hello", &std::fs::read(guests::HELLO).unwrap(), "").await;
    let get = || {
        let request = http::Request::get(host.url("/hello")).body(Full::default()).unwrap();
        host.send_http2(request)
    };
    // Makes the connection.
    assert_eq!(get().await.status, 200);
    let before = ticks(&host);
    if before.len() < 2 {
        // A machine of one core has one thread, which begins all that it reads.
        return;
    }
    host.until("CPU time of two threads", || async {
        for reply in join_all((0..100).map(|_| get())).await {
            assert_eq!(reply.status, 200);
        }
        let now = ticks(&host);
        let used = now.iter().zip(&before).filter(|(now, before)| **now >= **before + 10);
        (used.count() >= 2).then_some(())
    })
    .await;
}
