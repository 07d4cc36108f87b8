//! What is wrong reaches receivers outside: a webhook of our own and a real Alertmanager, and what they do
//! slows no call.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ring::hmac;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::fleet::Fleet;
use crate::harness::{Host, manifest, prints};
use crate::watchdog::{Watched, watch};

/// A receiver that keeps what it gets, and answers what a test wants, when it wants.
struct Inbox {
    url: String,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    /// The status it answers; nothing until there is one.
    answers: watch::Sender<Option<u16>>,
}

impl Inbox {
    async fn start(status: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?for=steerage", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>> = Arc::default();
        let (answers, status) = watch::channel(status);
        let kept = got.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, status) = (kept.clone(), status.clone());
                let answer = service_fn(move |request: Request<Incoming>| {
                    let (kept, mut status) = (kept.clone(), status.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        kept.lock().unwrap().push((head.headers, body));
                        let status = status.wait_for(Option::is_some).await.map(|status| *status);
                        let status = status.ok().flatten().unwrap_or(500);
                        let answer =
                            Response::builder().status(status).body(Full::new(Bytes::new()));
                        Ok::<_, hyper::Error>(answer.unwrap())
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { url, got, answers }
    }

    fn bodies(&self) -> Vec<Value> {
        let got = self.got.lock().unwrap();
        got.iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }

    /// What it got, once there are so many.
    async fn until(&self, host: &Host, n: usize) -> Vec<Value> {
        host.until("messages", || async { Some(self.bodies()).filter(|got| got.len() >= n) }).await
    }
}

/// Deploys an app that answers nobody, and has it found.
async fn fails(host: &Host, app: &str) {
    let answers = prints("Status: 500\\n\\nno");
    host.deploy(&answers, &manifest(app, &format!("/{app}/..."), "")).await;
    for path in ["a", "b", "c"] {
        assert_eq!(host.get(&format!("/{app}/{path}")).await.status, 500);
    }
}

async fn events(host: &Host, kind: &str) -> Vec<Value> {
    let told = host.admin("GET", "/v1/events", "").await.json();
    let all = told["events"].as_array().unwrap();
    all.iter().filter(|event| event["kind"] == kind).cloned().collect()
}

#[tokio::test]
async fn a_webhook_is_told_what_opens_and_what_closes_and_who_says_so() {
    let inbox = Inbox::start(Some(204)).await;
    let folder = tempfile::tempdir().unwrap();
    let secret_file = folder.path().join("secret");
    let secrets = ["a secret of this test", "another one, put in its place"];
    std::fs::write(&secret_file, secrets[0]).unwrap();
    let secret = secret_file.to_string_lossy();
    let flags = ["--watch", "never", "--webhook", &inbox.url, "--webhook-secret-file", &secret];
    let host = Host::with(&flags);
    fails(&host, "web").await;
    let got = inbox.until(&host, 1).await;
    let opened = &got[0];
    assert_eq!((&opened["version"], &opened["notice"]), (&1.into(), &"opened".into()));
    let problem = &opened["problem"];
    assert_eq!((&problem["kind"], &problem["app"]), (&"failing".into(), &"web".into()));
    assert_eq!(problem["claim"], "web fails: 3 of 3 calls, mostly: it answered 500");
    assert!(!problem["evidence"].as_array().unwrap().is_empty(), "{opened}");
    assert!(problem["remedy"]["text"].is_string(), "{opened}");
    assert!(problem["since"].as_u64().unwrap() <= opened["opened_at"].as_u64().unwrap());

    // What was sent was signed before, and the next message is not due before it is over.
    std::fs::write(&secret_file, secrets[1]).unwrap();
    host.run(&["remove", "web", "--yes"]).done();
    let got = inbox.until(&host, 2).await;
    let closed = &got[1];
    assert_eq!((&closed["notice"], &closed["id"]), (&"closed".into(), &opened["id"]));
    assert!(closed["closed_at"].as_u64() >= opened["opened_at"].as_u64(), "{closed}");
    host.until("the count", || async {
        (host.metric("notices_taken_total{receiver=\"webhook\"").await == 2.0).then_some(())
    })
    .await;
    assert_eq!(inbox.bodies().len(), 2, "each is told once");
    let got = inbox.got.lock().unwrap().clone();
    for ((headers, body), secret) in got.into_iter().zip(secrets) {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        let said = format!("{}.{}.", text("webhook-id"), text("webhook-timestamp"));
        let signed = [said.as_bytes(), &body].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        use base64::Engine as _;
        let signature = text("webhook-signature");
        let signature = base64::engine::general_purpose::STANDARD
            .decode(signature.strip_prefix("v1,").unwrap())
            .unwrap();
        hmac::verify(&key, &signed, &signature).unwrap();
    }
}

#[tokio::test]
async fn receivers_that_are_dead_slow_or_failing_slow_no_call_and_what_they_miss_is_counted() {
    let inbox = Inbox::start(None).await;
    // It is bound and does not listen, so nobody else takes its port.
    let dead = TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", dead.local_addr().unwrap());
    let host =
        Host::with(&["--watch", "never", "--webhook", &inbox.url, "--alertmanager", &nobody]);
    fails(&host, "web").await;
    inbox.until(&host, 1).await;
    // The webhook holds a request, and nobody is where the Alertmanager should be.
    for n in 0..200 {
        assert_eq!(host.get(&format!("/web/{n}")).await.status, 500);
    }
    // All calls were answered meanwhile; on a slow machine it has been tried again by now.
    let held = inbox.bodies();
    assert!(!held.is_empty() && held.iter().all(|got| got["notice"] == "opened"), "{held:?}");
    inbox.answers.send_replace(Some(500));
    host.until("two events", || async {
        (events(&host, "receiver_failing").await.len() == 2).then_some(())
    })
    .await;
    let failed = inbox.bodies();
    assert!(failed.len() >= 3 && failed.iter().all(|got| got["notice"] == "opened"), "{failed:?}");
    let ids: std::collections::BTreeSet<String> = {
        let got = inbox.got.lock().unwrap();
        got.iter().map(|(head, _)| head["webhook-id"].to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids.len(), 1, "what is tried again is the same message");

    host.run(&["remove", "web", "--yes"]).done();
    host.until("a loss", || async {
        let lost = host.metric("notices_lost_total{receiver=\"alertmanager\"").await;
        (lost >= 1.0).then_some(())
    })
    .await;
    host.until("that it is told", || async {
        (events(&host, "notices_lost").await.len() == 1).then_some(())
    })
    .await;
    inbox.answers.send_replace(Some(200));
    host.until("that it works", || async {
        (events(&host, "receiver_works").await.len() == 1).then_some(())
    })
    .await;
    // It may have taken that the problem opened. That the other receiver fails is a problem of its own, told here.
    host.until("that the problem is over", || async {
        let is_end = |got: &Value| got["notice"] == "closed" && got["problem"]["app"] == "web";
        inbox.bodies().iter().any(is_end).then_some(())
    })
    .await;
    assert_eq!(events(&host, "receiver_failing").await.len(), 2);
    drop(dead);
}

/// A real Alertmanager on a port of its own; gone with its data when this is dropped.
struct Alertmanager {
    child: Child,
    _watched: Arc<Watched>,
    address: String,
    folder: TempDir,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Alertmanager {
    /// Starts one; `None` where it is not installed.
    async fn start() -> Option<Self> {
        let programs =
            ["/usr/bin/prometheus-alertmanager", "/usr/local/bin/prometheus-alertmanager"];
        let Some(program) = programs.map(PathBuf::from).into_iter().find(|path| path.exists())
        else {
            eprintln!(
                "SKIPPED: no prometheus-alertmanager; `make setup` brings it where apt can be used"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        std::fs::write(&config, "route:\n  receiver: none\nreceivers:\n  - name: none\n").unwrap();
        let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = held.local_addr().unwrap().to_string();
        drop(held);
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let watched = watch(&child, format!("an Alertmanager on {address}"));
        let mut started = Self { child, _watched: watched, address, folder };
        while started.active().await.is_none() {
            if let Some(ended) = started.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(started.folder.path().join("log")).unwrap();
                panic!("the Alertmanager ended ({ended}): {log}");
            }
            tokio::task::yield_now().await;
        }
        Some(started)
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The alerts that are active; nothing while it does not answer.
    async fn active(&self) -> Option<Vec<Value>> {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let url = format!("http://{}/api/v2/alerts?active=true", self.address);
        let answer = client.get(url.parse().unwrap()).await.ok()?;
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        serde_json::from_slice(&body).ok()
    }

    async fn until(&self, host: &Host, n: usize) -> Vec<Value> {
        host.until("alerts", || async { self.active().await.filter(|alerts| alerts.len() == n) })
            .await
    }
}

#[tokio::test]
async fn an_alertmanager_is_told_what_is_wrong_and_that_it_is_over() {
    let Some(alertmanager) = Alertmanager::start().await else { return };
    let host = Host::with(&["--watch", "never", "--alertmanager", &alertmanager.url()]);
    alertmanager.until(&host, 0).await;
    fails(&host, "web").await;
    let alerts = alertmanager.until(&host, 1).await;
    let (labels, says) = (&alerts[0]["labels"], &alerts[0]["annotations"]);
    for (name, value) in [
        ("alertname", "SteerageFailing"),
        ("kind", "failing"),
        ("app", "web"),
        ("severity", "warning"),
        ("job", "steerage"),
    ] {
        assert_eq!(labels[name], value, "{labels}");
    }
    assert!(labels.get("fleet").is_none(), "{labels}");
    assert_eq!(says["summary"], "web fails: 3 of 3 calls, mostly: it answered 500");
    assert!(says["evidence"].is_string() && says["remedy"].is_string(), "{says}");
    host.run(&["remove", "web", "--yes"]).done();
    alertmanager.until(&host, 0).await;
    host.until("the count", || async {
        let counted = host.metric("notices_taken_total{receiver=\"alertmanager\"").await;
        (counted >= 2.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_several_hosts_of_a_fleet_tell_is_one_alert() {
    let Some(alertmanager) = Alertmanager::start().await else { return };
    let url = alertmanager.url();
    let flags = ["--watch", "never", "--alertmanager", &url];
    let Some(fleet) = Fleet::start_with(2, &flags).await else { return };
    let answers = prints("Status: 500\\n\\nno");
    let both = manifest("web", "/web/...", "[replicas]\nmin = 2\nmax = 2");
    fleet.first().deploy(&answers, &both).await;
    fleet.ready_on("web", 2).await;
    for host in &fleet.hosts {
        host.until("that it tells", || async {
            // Each serves what comes to it.
            assert_eq!(host.get("/web/").await.status, 500);
            let path = format!("/web/{}", fastrand::u32(..));
            assert_eq!(host.get(&path).await.status, 500);
            let taken = host.metric("notices_taken_total{receiver=\"alertmanager\"").await;
            (taken >= 1.0).then_some(())
        })
        .await;
    }
    let alerts = alertmanager.until(fleet.first(), 1).await;
    let labels = &alerts[0]["labels"];
    assert_eq!((&labels["app"], &labels["fleet"]), (&"web".into(), &"steerage".into()), "{labels}");
    assert!(labels.get("host").is_none(), "{labels}");
    fleet.first().run(&["remove", "web", "--yes"]).done();
    alertmanager.until(fleet.first(), 0).await;
}
