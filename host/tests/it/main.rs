//! Real host processes, real Wasm, real sockets: one file per topic.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]
#![expect(clippy::indexing_slicing, reason = "a missing field fails the test that reads it")]

mod access_log;
mod advice;
mod alone;
mod alone_canary;
mod backup;
mod bad_input;
mod bill;
mod bodies;
mod calls;
mod canary;
mod certs;
mod cli;
mod cpu;
mod crash_loop;
mod deploy;
mod deploy_watch;
mod desired;
mod destinations;
mod developing;
mod disk;
mod disk_bound;
mod doors;
mod ending;
mod etcd;
mod events_kept;
mod examined;
mod examples;
mod fair;
mod faults;
mod fleet;
mod fleet_copies;
mod fleet_deploy;
mod fleet_desired;
mod fleet_ending;
mod fleet_hop;
mod fleet_hosts;
mod fleet_large;
mod fleet_liveness;
mod fleet_load;
mod fleet_plan;
mod fleet_store;
mod fleet_trouble;
mod fleet_use;
mod fleet_views;
mod guests;
mod half_made;
mod harness;
mod held;
mod history;
mod host_calls;
mod host_calls_http;
mod http;
mod http02;
mod knobs;
mod kv;
mod lacking;
mod limits;
mod lineage;
mod many;
mod notify;
mod operating;
mod otlp;
mod outbound;
mod outbound_bounds;
mod page;
mod plan;
mod problems;
mod profiled;
mod redis;
mod reloading;
mod renewed;
mod replayed;
mod request_heads;
mod response_heads;
mod restored;
mod restored_programs;
mod reuse;
mod revoked;
mod routing;
mod secrets;
mod seeing;
mod shared;
mod shutdown;
mod slots;
mod sockets;
mod spin_apps;
mod sql;
mod store;
mod telemetry;
mod telling;
mod tenant_memory;
mod tenant_slots;
mod tenants;
mod threads;
mod tidy;
mod time_spent;
mod up;
mod uploads;
mod watchdog;
mod why;

/// Longer than any test takes, on a machine that other things keep busy too.
fn longest_test() -> std::time::Duration {
    std::time::Duration::from_secs(300)
}
