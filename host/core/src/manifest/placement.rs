//! What a developer says about where an app may run in a fleet, and in how many replicas.
//! Does not place anything: `place` does.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::AppName;
use crate::quote::Quoted;
use crate::units::{Bytes, Cpu};

use super::Broken;

/// The most replicas of one app: as many as the largest fleet has hosts.
pub const MAX_REPLICAS: u32 = 10_000;
/// The most bytes of a label's name or value.
pub const LONGEST_LABEL: usize = 63;
/// The highest priority, and below 0 the lowest.
pub const HIGHEST_PRIORITY: u32 = 1000;

/// Where an app may run. A host on its own runs every app once, whatever this says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Fewest replicas, at least 1.
    pub min: u32,
    /// Most replicas; load decides between the two.
    pub max: u32,
    /// What one replica needs, until it is known what it uses.
    pub cpu: Option<Cpu>,
    /// The same for memory.
    pub memory: Option<Bytes>,
    /// Labels that a host must have.
    pub labels: BTreeMap<String, String>,
    /// Apps that must not be on the same host.
    pub apart_from: BTreeSet<AppName>,
    /// Whether every replica must have a zone of its own; otherwise zones are shared where there are
    /// fewer than replicas.
    pub zones: bool,
    /// Who goes first where there is no room for all.
    pub priority: i32,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            min: 1,
            max: 1,
            cpu: None,
            memory: None,
            labels: BTreeMap::new(),
            apart_from: BTreeSet::new(),
            zones: false,
            priority: 0,
        }
    }
}

/// The rule that the text breaks as a label's name or value, if any.
#[must_use]
pub fn check_label(text: &str) -> Option<Broken> {
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    let is_label = !text.is_empty() && text.len() <= LONGEST_LABEL && text.bytes().all(is_fine);
    (!is_label).then(|| Broken::Label(text.to_owned()))
}

/// Shows a label that is none.
pub(super) fn shown(text: &str) -> String {
    format!(
        "{} is no label: expected 1 to {LONGEST_LABEL} letters, digits, -, _, . or /",
        Quoted(text)
    )
}
