//! The Steerage host: thin drivers around `steerage-core`. Modules in suggested reading order.
//! Holds no logic.

pub mod request;
pub mod sandbox;

pub mod catalog;
pub mod schedule;
pub mod respond;
pub mod ingress;
pub mod store;
pub mod blobs;
pub mod telemetry;
pub mod call;
pub mod meter;
pub mod shutdown;
