//! Faults of a host itself.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use steerage_guests as guests;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{a_host, call, is_well, read, tells};
use crate::crash_loop;
use crate::disk::Disk;
use crate::harness::{Host, PATIENCE, raw, says, works};
use crate::reloading::certificate_until;
use crate::slots::hold;

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
    // A process that does not run can only be waited for.
    tokio::time::sleep(Duration::from_secs(5)).await;
    host.signal("CONT");
    let parts = ["host_stalled", "whether others kept the cores or the disk busy"];
    tells(&host, "this host stood still for ", &parts).await;
}

#[tokio::test]
async fn it_was_killed() {
    let mut host = a_host();
    host.serve("web", &read(guests::SLOW), "").await;
    let waiting = tokio::spawn({
        let listen = host.listen.clone();
        let head = b"GET /web/?ms=20000 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        async move { raw(&listen, head).await }
    });
    crash_loop::runs(&host, "\"app\":\"web\"").await;
    host.kill();
    drop(waiting.await);
    let host = Host::on(&host.data, &["--watch", "never"]);
    let parts = ["host_crashed", "look in the kernel's log", "out of memory"];
    let of = "this host ended without being told to, while calls of ";
    let told = tells(&host, of, &parts).await;
    // Those of neighbours may have run as well.
    assert!(told.contains("web ran") || told.contains("web, "), "{told}");
}

#[tokio::test]
async fn its_disk_is_full() {
    let Some(disk) = Disk::mount("24m") else { return };
    let mut host = Host::on(disk.path(), &["--watch", "never"]);
    host.serve("web", &says("x"), "").await;
    host.kill();
    let filler = disk.fill();
    let host = Host::on(disk.path(), &["--watch", "never"]);
    tells(&host, "the disk of this host is full", &["make room"]).await;
    // Whatever only looks goes on.
    for verb in ["ps", "show web", "calls web", "logs web", "events", "problems", "why web"] {
        let words: Vec<&str> = verb.split(' ').collect();
        let said = host.run(&words);
        // It ends with 1 while anything is wrong; the app itself is well.
        let code = i32::from(verb == "problems");
        assert!(said.code == code && !said.stderr.contains("error:"), "{verb}: {said:?}");
    }
    std::fs::remove_file(filler).unwrap();
    host.until("room", || async {
        let told = host.run(&["why"]).stdout;
        (!told.contains("is full")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn its_certificate_ends_tomorrow() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let write = |days: u64| {
        let (pem, key_pem) = certificate_until(Duration::from_hours(24 * days));
        std::fs::write(&cert, pem).unwrap();
        std::fs::write(&key, key_pem).unwrap();
    };
    write(1);
    let [cert_flag, key_flag] = [&cert, &key].map(|path| path.to_str().unwrap());
    let flags = ["--watch", "never", "--tls-cert", cert_flag, "--tls-key", key_flag];
    let host = Host::with(&flags);
    let of = "the certificate that this host shows to callers ends within a day";
    tells(&host, of, &["refuse to connect afterwards", "renew it"]).await;
    write(90);
    host.signal("HUP");
    is_well(&host).await;
    // Plain requests to it are told as well, and what to do about them.
    for _ in 0..6 {
        drop(raw(&host.listen, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await);
    }
    let of = "6 connections to this host began with something that is not TLS, where TLS is spoken";
    tells(&host, of, &["have clients ask for https://"]).await;
}

#[tokio::test]
async fn clients_speak_tls_to_it() {
    // Without neighbours: where others are answered, who speaks TLS is a bot that tries.
    let host = Host::with(&["--watch", "never"]);
    host.serve("web", &says("x"), "").await;
    for _ in 0..6 {
        let mut client = TcpStream::connect(&host.listen).await.unwrap();
        // How a handshake begins.
        client.write_all(&[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]).await.unwrap();
        client.shutdown().await.unwrap();
        drop(client.read_to_end(&mut Vec::new()).await);
    }
    let of = "6 connections to this host began with TLS, where plain HTTP is spoken";
    tells(&host, of, &["--tls-cert"]).await;
}

#[tokio::test]
async fn another_app_has_its_cores() {
    let host = Host::with(&["--watch", "never", "--threads", "1"]);
    let limits = "[limits]\ntimeout = \"10m\"\nfuel = 100000000000000";
    host.serve("hog", &read(guests::SPIN), limits).await;
    let promise = "[objective]\nlatency = \"1ms at p99\"";
    host.serve("web", &works(20_000_000, "x"), promise).await;
    let hogs = (0..4).map(|_| {
        let listen = host.listen.clone();
        let head = b"GET /hog/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        tokio::spawn(async move { raw(&listen, head).await })
    });
    let hogs: Vec<_> = hogs.collect();
    let started_at = Instant::now();
    let told = loop {
        // Many at once wait for each other; these wait for the other app.
        join_all((0..2).map(|_| call(&host, "/web/{n}", 1))).await;
        let told = host.run(&["why", "web"]).stdout;
        if told.contains("meanwhile hog used ") {
            break told;
        }
        assert!(started_at.elapsed() < PATIENCE, "{told}");
    };
    for part in
        ["took longer than is promised: 1ms at p99", "waited for a free core", "% of the cores"]
    {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    hogs.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn its_connections_are_used_up() {
    let host = Host::with(&["--watch", "never", "--connections", "16"]);
    host.serve("web", &read(guests::SLOW), "[limits]\ntimeout = \"10m\"").await;
    let held = hold(&host, "/web?ms=500000", 16).await;
    // What is so for a minute is told, and a host looks every ten seconds.
    let (started_at, longest) = (Instant::now(), Duration::from_secs(60) + PATIENCE);
    let told = loop {
        let told = host.run(&["problems"]).stdout;
        if told.contains("the connections of this host are nearly used up") {
            break told;
        }
        assert!(started_at.elapsed() < longest, "{told}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    for part in ["16 of 16 are in use, 100%", "raise --connections"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    held.iter().for_each(tokio::task::JoinHandle::abort);
}
