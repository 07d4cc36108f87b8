//! Steerage decisions without effects: what to route where, whom to admit, how a call ended.
//!
//! Nothing here reads a clock, rolls a die, opens a socket or logs: time, sizes and requests are
//! arguments, and the answer is a value. The dependency list of this package is the proof.
//!
//! Suggested reading order is the order of the modules below.

#![forbid(unsafe_code)]

pub mod admit;
pub mod advice;
pub mod bill;
pub mod budget;
pub mod canary;
pub mod capsule;
pub mod crash_loop;
pub mod destinations;
pub mod disk;
pub mod doctor;
pub mod event_log;
pub mod excerpt;
pub mod expiry;
pub mod fair;
pub mod history;
pub mod id;
pub mod key_value;
pub mod lasting;
pub mod latency;
pub mod limits;
pub mod lineage;
pub mod liveness;
pub mod machine;
pub mod manifest;
pub mod mapped;
pub mod mistaken;
pub mod network;
pub mod node;
pub mod notify;
pub mod objective;
pub mod otlp;
pub mod outbound;
pub mod outcome;
pub mod pack;
pub mod place;
pub mod probing;
pub mod problem;
pub mod profile;
pub mod reconcile;
pub mod renewal;
pub mod replicas;
pub mod restoring;
pub mod retry;
pub mod revoked;
pub mod rollout;
pub mod route;
pub mod sessions;
pub mod sheet;
pub mod slots;
pub mod spent;
pub mod sql;
pub mod takeover;
pub mod telemetry;
pub mod threads;
pub mod trace;
pub mod units;
pub mod unrouted;
pub mod why;
pub mod world;
pub mod xml;

mod pause;
mod quote;
