//! What a plan is asked to suppose of a fleet. Only describes.

use steerage_core::place::NewHosts;

/// What a fleet is taken to be that is planned.
#[derive(Clone, Debug, Default)]
pub struct Supposed {
    /// Hosts are emptied that others can absorb.
    pub consolidate: bool,
    /// These hosts are gone.
    pub without: Vec<String>,
    /// These hosts are drained.
    pub drained: Vec<String>,
    /// There are these as well.
    pub with: Vec<NewHosts>,
}
