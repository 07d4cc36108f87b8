//! The section `capture`: whether calls that fail leave a capsule. Does not know what is in one.

use steerage_core::manifest::{self, Capture};

use super::placement::flag;
use super::{refuse_unknown, set};
use crate::document::{Findings, Section};

/// Reads it; where it is not there, nothing is kept.
pub(super) fn read(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Capture {
    let mut capture = Capture::default();
    let Some(section) = top.section("capture", findings) else { return capture };
    refuse_unknown(&section, "capture", findings);
    set(&mut capture.failures, section.get("failures").and_then(|entry| flag(&entry, findings)));
    let Some(entry) = section.get("redact") else { return capture };
    let names = entry.list("an array of names of headers and fields", findings);
    let names = names.unwrap_or_default();
    if let Some(broken) = manifest::check_redact_count(names.len()) {
        entry.noted::<()>(Err(broken), findings);
    }
    capture.redact = names.iter().filter_map(|name| name.parsed(findings)).collect();
    capture
}
