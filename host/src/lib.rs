//! The Steerage host: thin drivers around `steerage-core`. Modules in suggested reading order.
//! Holds no logic.

pub mod request;
pub mod sandbox;
pub mod agent;
pub mod catalog;
pub mod schedule;
pub mod respond;
pub mod ingress;
pub mod api;
pub mod client;
pub mod serve;
pub mod store;
pub mod blobs;
pub mod manifest;
pub mod telemetry;
pub mod call;
pub mod meter;
pub mod shutdown;
pub mod cli;
