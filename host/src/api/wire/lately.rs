//! What hosts tell each other of the last ten minutes: what happened to them, and which apps had their cores.
//! Is no part of the control API.

use serde::{Deserialize, Serialize};

use super::{Event, time};

/// What happened lately, of some hosts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Lately {
    /// Events of hosts that are told for a while, the oldest first.
    pub events: Vec<Event>,
    /// Which apps used most of the cores, ten seconds each, the oldest first.
    pub busiest: Vec<BusyApp>,
}

/// What an app used of the cores of its host for the seconds until a moment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BusyApp {
    /// The end of those seconds.
    #[serde(with = "time")]
    pub at: u64,
    /// The app.
    pub app: String,
    /// Its part of the cores that run guests, in percent.
    pub percent: u32,
    /// The host; nothing where that is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}
