//! The Steerage host: thin drivers around `steerage-core`. Modules in suggested reading order.
//! Holds no logic.
// Whether the future of an ingress thread may be sent follows from some hundred types that hold each other.
#![recursion_limit = "256"]

pub mod admission;
pub mod agent;
pub mod api;
pub mod backup;
pub mod blobs;
pub mod body;
pub mod budget;
pub mod call;
pub mod capsule;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod clock;
pub mod code;
pub mod config;
pub mod connector;
pub mod cpu;
pub mod desired;
pub mod document;
pub mod fleet;
pub mod flow;
pub mod forward;
#[cfg(test)]
mod fuzzing;
pub mod header;
pub mod history;
pub mod identity;
pub mod ingress;
pub mod io_charge;
pub mod kernel;
pub mod key_value;
pub mod ledger;
pub mod listener;
pub mod manifest;
pub mod member;
pub mod meter;
pub mod notify;
pub mod otlp;
pub mod pem;
pub mod placement;
pub mod priority;
pub mod reload;
pub mod replay;
pub mod request;
pub mod respond;
pub mod sandbox;
pub mod seal;
pub mod serve;
pub mod shared;
pub mod shutdown;
pub mod sql;
pub mod store;
pub mod telemetry;
pub mod tenants;
