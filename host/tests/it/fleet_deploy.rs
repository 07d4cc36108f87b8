//! What whoever deploys to a fleet is told: when the hosts are ready that were chosen, and why they are not.

use std::fs;
use std::process::Command;

use crate::fleet::Fleet;
use crate::fleet_trouble::{Disk, large};
use crate::harness::{Host, manifest, says};

#[tokio::test]
async fn a_deploy_that_no_host_gets_ready_fails_and_says_why() {
    let Some(disk) = Disk::mount("12m") else { return };
    let Some(mut fleet) = Fleet::start(1).await else { return };
    let url = fleet.etcd.url();
    fleet.hosts.push(Host::on(disk.path(), &Fleet::flags(&url, "h2", &[])));
    fleet.answers(fleet.first(), 2).await;
    fleet.stand("h1", "cordoned").await;
    let filler = disk.path().join("filler");
    let of = format!("of={}", filler.display());
    // As much as there is.
    drop(Command::new("dd").args(["if=/dev/zero", "bs=64k", &of]).output());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("large.wasm"), large()).unwrap();
    let text = manifest("large", "/large/...", "[replicas]\nmin = 1\nmax = 1");
    fs::write(folder.path().join("steerage.toml"), &text).unwrap();
    let said = fleet.first().run_in(folder.path(), &["deploy", "--wait", "3s"]);
    assert_eq!(said.code, 1, "{said:?}");
    let told = "large is deployed as generation 1, but it is ready on no host yet\n  h2: large cannot \
                be brought up here: ";
    assert!(said.stderr.contains(told), "{said:?}");
    assert!(said.stderr.contains("disk of this host is full"), "{said:?}");
    // It is durable and answered all the same, and ready once there is room.
    assert_eq!(fleet.first().get("/large/").await.text(), "large");
    fs::remove_file(&filler).unwrap();
    let said = fleet.first().run_in(folder.path(), &["deploy"]).done();
    assert!(said.stdout.contains("h2"), "{said:?}");
    assert_eq!(fleet.ready_on("large", 1).await, ["h2"]);
}

#[tokio::test]
async fn a_deploy_says_which_hosts_are_ready() {
    let Some(fleet) = Fleet::start(2).await else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("two.wasm"), says("two")).unwrap();
    let text = manifest("two", "/two/...", "[replicas]\nmin = 2\nmax = 2");
    fs::write(folder.path().join("steerage.toml"), &text).unwrap();
    let told = fleet.first().run_in(folder.path(), &["deploy", "-o", "json"]).done().json();
    assert_eq!(told["replicas"]["ready"], 2, "{told}");
}
