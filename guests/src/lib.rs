//! x
include!(concat!(env!("OUT_DIR"), "/guests.rs"));
