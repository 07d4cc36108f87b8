//! A thousand apps that are well, under everything that clients, bots and operators do to them: whatever that
//! looks like, it is no problem. How problems are judged, `core::problem` tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::clients::{ask, connect};
use crate::harness::{Host, manifest};
use crate::{ALONE, read, setting};

/// How many apps there are, where it takes long and where it does not.
const APPS: (u64, u64) = (1_000, 60);
/// Clients at once.
const CLIENTS: u64 = 24;
/// Statuses that an app answers that is well.
const STATUSES: [u16; 6] = [404, 403, 401, 409, 422, 429];
/// Such an app fails one call in so many: fewer than may fail.
const FAILS_ONE_IN: u64 = 5_000;

/// Numbers from a seed (xorshift64*).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % most
    }

    /// One of so many, the first ones far more often than the last.
    fn uneven(&mut self, most: u64) -> u64 {
        let (one, other) = (self.below(most), self.below(most));
        one * other / most
    }
}

/// What guest an app is: one that answers with the status that is asked for, one that waits, and so on.
fn guest(app: u64) -> &'static str {
    [guests::CGI_ECHO, guests::HELLO, guests::SLOW, guests::COUNTER, guests::P3_ECHO]
        [usize::try_from(app % 5).unwrap()]
}

/// Apps that wait promise that it does not take long: a minute on a machine that has other work.
fn promise(app: u64) -> &'static str {
    if app % 5 == 2 { "[objective]\nlatency = \"60s at p99\"" } else { "" }
}

fn path(app: u64, seeded: &mut Seeded) -> String {
    let number = seeded.below(1_000);
    match app % 5 {
        0 if seeded.below(FAILS_ONE_IN) == 0 => format!("/app{app}/{number}?status=500"),
        0 if seeded.below(4) == 0 => {
            let status = STATUSES[usize::try_from(seeded.below(6)).unwrap()];
            format!("/app{app}/{number}?status={status}")
        }
        2 => format!("/app{app}/{number}?ms={}", seeded.below(60)),
        _ => format!("/app{app}/{number}"),
    }
}

/// One client until a time; how many answers it had of which status.
async fn client(host: Arc<Host>, n_apps: u64, seed: u64, until: Instant) -> BTreeMap<u16, u64> {
    let mut seeded = Seeded(seed);
    let mut statuses = BTreeMap::new();
    let mut sender = connect(&host.listen).await;
    while Instant::now() < until {
        let app = seeded.uneven(n_apps);
        let path = path(app, &mut seeded);
        match seeded.below(100) {
            // A bot.
            0..5 => drop(ask(&mut sender, &format!("/{}.php", seeded.below(50))).await),
            // Who goes away.
            5..8 => {
                let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
                let mut gone = TcpStream::connect(&host.listen).await.unwrap();
                gone.write_all(head.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(seeded.below(20))).await;
            }
            // Who sends slowly.
            8..10 => {
                let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n");
                let mut slow = TcpStream::connect(&host.listen).await.unwrap();
                slow.write_all(head.as_bytes()).await.unwrap();
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    drop(slow.write_all(b"x").await);
                }
                drop(slow.read(&mut [0; 64]).await);
            }
            // Who speaks no HTTP.
            10 => {
                let mut odd = TcpStream::connect(&host.listen).await.unwrap();
                drop(odd.write_all(&[22, 3, 1, 0, 200, 1, 0, 0]).await);
            }
            // Who tries again at once, whatever came.
            11..13 => {
                for _ in 0..5 {
                    let status = ask(&mut sender, &path).await.expect("an answer").0;
                    *statuses.entry(status).or_default() += 1;
                }
            }
            _ => {
                let status = ask(&mut sender, &path).await.expect("an answer").0;
                *statuses.entry(status).or_default() += 1;
            }
        }
    }
    statuses
}

/// Deploys one app after the other anew.
async fn operate(host: Arc<Host>, n_apps: u64, until: Instant) -> u64 {
    let mut seeded = Seeded(99);
    let mut n_deployed = 0;
    while Instant::now() < until {
        let app = seeded.below(n_apps);
        host.serve(&format!("app{app}"), &read(guest(app)), promise(app)).await;
        n_deployed += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    n_deployed
}

/// Looks at what is told as wrong until a time; the disk of this machine is none of these apps' doing.
async fn look(host: Arc<Host>, n_looks: Arc<AtomicU64>, until: Instant) {
    while Instant::now() < until {
        let told = host.admin("GET", "/v1/problems", "").await.json();
        let problems: Vec<&Value> = told["problems"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|problem| problem["kind"] != "disk")
            .collect();
        assert!(problems.is_empty(), "{problems:#?}");
        n_looks.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_healthy_apps_have_no_problem() {
    let _alone = ALONE.lock().await;
    let (n_apps, span) = match setting("STEERAGE_SOAK_SECONDS") {
        Some(seconds) => (APPS.0, Duration::from_secs(seconds)),
        None => (APPS.1, Duration::from_secs(15)),
    };
    let host = Arc::new(Host::with(&["--watch", "never"]));
    for app in 0..n_apps {
        let name = format!("app{app}");
        host.deploy(&read(guest(app)), &manifest(&name, &format!("/{name}/..."), promise(app)))
            .await;
    }
    let until = Instant::now() + span;
    let n_looks = Arc::<AtomicU64>::default();
    let looking = tokio::spawn(look(host.clone(), n_looks.clone(), until));
    let operating = tokio::spawn(operate(host.clone(), n_apps, until));
    let clients = (1..=CLIENTS).map(|seed| tokio::spawn(client(host.clone(), n_apps, seed, until)));
    let mut statuses = BTreeMap::<u16, u64>::new();
    for answered in join_all(clients.collect::<Vec<_>>()).await {
        for (status, n) in answered.unwrap() {
            *statuses.entry(status).or_default() += n;
        }
    }
    looking.await.unwrap();
    let n_deployed = operating.await.unwrap();
    let n_looks = n_looks.load(Ordering::Relaxed);
    eprintln!("{n_apps} apps, {n_deployed} deployments, {n_looks} looks, answers: {statuses:?}");
    assert!(n_looks > 5 && statuses[&200] > 1_000, "{n_looks} looks, {statuses:?}");
    // None was opened between two looks either.
    let told = host.admin("GET", "/v1/events?limit=1000", "").await.json();
    let opened: Vec<&Value> = told["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] == "problem_opened")
        .filter(|event| !event["message"].as_str().unwrap().contains("the disk"))
        .collect();
    assert!(opened.is_empty(), "{opened:#?}");
}
