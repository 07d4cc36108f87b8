//! A tenant's share of the host's memory: many apps of one tenant hold no more than one of another.

use futures_util::future::{join, join_all};

use crate::harness::{Host, manifest, wat};

/// Apps of the tenant that has many, and the pages that a call of each holds: 392 MiB in all.
const N_APPS: usize = 7;
const PAGES: u32 = 896;
/// What each of two calls of the other tenant's app holds: 72 MiB.
const OWN_PAGES: u32 = 1152;

/// A program that takes this many pages of memory and keeps them until its time is over.
fn holder(pages: u32) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (memory (export "memory") 1)
            (func (export "_start")
                (if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable))
                (loop br 0)))"#
    ))
}

async fn serve(host: &Host, tenant: &str, app: &str, pages: u32) {
    let limits = "[limits]\nfuel = \"1000B\"\ntimeout = \"5s\"\nconcurrency = 8";
    let text = manifest(app, &format!("/{app}/..."), limits);
    host.deploy(&holder(pages), &format!("tenant = \"{tenant}\"\n{text}")).await;
}

#[tokio::test]
async fn an_app_gets_its_tenants_share_beside_many_small_ones_of_another() {
    let host = Host::with(&["--memory-budget", "512MiB", "--memory-overcommit", "1"]);
    for n in 0..N_APPS {
        serve(&host, "many", &format!("many{n}"), PAGES).await;
    }
    serve(&host, "one", "one", OWN_PAGES).await;
    let paths: Vec<String> = (0..N_APPS).map(|n| format!("/many{n}")).collect();
    let many = join_all(paths.iter().map(|path| host.get(path)));
    let one = async {
        host.until("hold", || async {
            let held = join_all((0..N_APPS).map(|n| {
                let line = format!("guest_memory_in_use_bytes{{app=\"many{n}\"}}");
                let host = &host;
                async move { host.metric(&line).await }
            }));
            let held: f64 = held.await.iter().sum();
            (held >= N_APPS as f64 * f64::from(PAGES) * 65536.0).then_some(())
        })
        .await;
        join(host.get("/one"), host.get("/one")).await
    };
    let (many, (first, second)) = join(many, one).await;
    // Each holds more than any of the others, and both together less than half of the budget.
    assert_eq!([first.cause(), second.cause()], ["timed_out"; 2], "{}", first.text());
    let ended = many.iter().filter(|reply| reply.cause() == "host_memory").count();
    assert_eq!(ended, 1, "one call had to give back what was needed");
}
