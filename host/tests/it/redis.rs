//! Guests ask a real Redis server through the host, where there is one: `make servers-setup` brings it.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use expect_test::expect;
use steerage_guests as guests;

use crate::harness::{Host, PATIENCE, manifest};
use crate::outbound::LOOPBACK;

/// A server with its data in memory, on a port of its own; ended when it is dropped.
struct Redis {
    server: Child,
    port: u16,
}

impl Redis {
    /// `None` where none is installed.
    async fn start(more: &[&str]) -> Option<Self> {
        let ours = PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/tools/redis/redis-server"
        ));
        let program = if ours.exists() { ours } else { PathBuf::from("redis-server") };
        for _ in 0..10 {
            // Somebody else may take the port before the server does; then another is tried.
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let server = Command::new(&program)
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                .args(more)
                .stdout(Stdio::null())
                .spawn();
            let Ok(mut server) = server else {
                println!("skipped: there is no redis-server; `make servers-setup` brings it");
                return None;
            };
            let started_at = Instant::now();
            while server.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Some(Self { server, port });
                }
                assert!(started_at.elapsed() < PATIENCE, "no server in {PATIENCE:?}");
                tokio::task::yield_now().await;
            }
        }
        panic!("no server starts");
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

async fn deploy(host: &Host, name: &str, allowed: &str) {
    let text = manifest(name, &format!("/{name}"), "");
    let text = format!("allowed_outbound_hosts = [\"{allowed}\"]\n{text}");
    host.deploy(&std::fs::read(guests::REMEMBERS).unwrap(), &text).await;
}

#[tokio::test]
pub(crate) async fn a_guest_asks_a_server_that_its_manifest_allows() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let host = Host::with(&LOOPBACK);
    deploy(&host, "named", &redis.url()).await;
    // By a new instance, and by one that was put back.
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(host.get(&format!("/named?to={}", redis.url())).await.text());
    }
    assert_eq!(told[0], told[1]);
    expect![[r#"
        Ok(None)
        Ok(())
        Ok(Some("Eureka!"))
        Err(Error::TypeError)
        Ok(1) Ok(2)
        Ok(2) Ok(0)
        Ok(["a", "b"])
        Ok(1)
        Err(Error::TypeError)
        Ok(())
        Ok([RedisResult::Int64(2)]) Ok([RedisResult::Binary([120]), RedisResult::Binary([45, 55])])
        Err("unknown")
        Ok(3) Ok([RedisResult::Status("OK")])
    "#]]
    .assert_eq(&told[0]);
    let large = host.get(&format!("/named?to={}&size=1048576", redis.url())).await.text();
    assert_eq!(large, "Ok(()) Ok(Some(1048576)) Ok(None)\n");
}

#[tokio::test]
async fn no_server_is_asked_that_the_manifest_does_not_allow() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let host = Host::with(&LOOPBACK);
    deploy(&host, "tcp", &redis.url().replace("redis", "tcp")).await;
    deploy(&host, "other", "redis://127.0.0.1:1").await;
    deploy(&host, "wildcard", "*://*:*").await;
    for name in ["tcp", "other", "wildcard"] {
        for to in [redis.url(), format!("redis://localhost:{}", redis.port), "nonsense".to_owned()]
        {
            let told = host.get(&format!("/{name}?to={to}")).await.text();
            assert_eq!(told, "Error::InvalidAddress\n", "{name} {to}");
        }
    }
    let events = host.admin("GET", "/v1/events?app=tcp", "").await.text();
    assert!(events.contains(&format!("add \\\"{}\\\"", redis.url())), "{events}");
    // Nobody listens there, which is no matter of rights.
    let told = host.get("/other?to=redis://127.0.0.1:1").await.text();
    assert!(told.contains("no connection"), "{told}");
}

#[tokio::test]
async fn a_password_and_a_database_are_what_the_address_says() {
    let Some(redis) = Redis::start(&["--requirepass", "p@ss"]).await else { return };
    let host = Host::with(&LOOPBACK);
    deploy(&host, "named", &redis.url()).await;
    let at = |who: &str, database: &str| {
        format!("/named?to=redis://{who}127.0.0.1:{}{database}", redis.port)
    };
    let told = host.get(&at(":p%40ss@", "/3")).await.text();
    assert!(told.starts_with("Ok(None)\nOk(())\n"), "{told}");
    let told = host.get(&at("", "")).await.text();
    assert!(told.contains("NOAUTH"), "{told}");
    let told = host.get(&at(":wrong@", "")).await.text();
    assert!(told.starts_with("Error::Other(\"WRONGPASS"), "{told}");
    let told = host.get(&at(":p%40ss@", "/99")).await.text();
    assert!(told.starts_with("Error::Other(\"ERR DB index"), "{told}");
}
