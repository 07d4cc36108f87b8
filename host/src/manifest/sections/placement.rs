//! The sections that speak of a fleet: `replicas`, `resources` and `placement`.
//! Does not know what a fleet is: the core's `place` does.

use std::collections::BTreeSet;

use steerage_core::id::AppName;
use steerage_core::manifest::{self, HIGHEST_PRIORITY, MAX_REPLICAS, Placement};

use super::{refuse_unknown, set};
use crate::document::{Entry, Findings, Section};

/// Reads all three; what is not said is as on a host of its own.
pub(super) fn read(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Placement {
    let mut placement = Placement::default();
    if let Some(section) = top.section("replicas", findings) {
        refuse_unknown(&section, "replicas", findings);
        let count = |key: &str, findings: &mut Findings<'_>| {
            section.get(key).and_then(|entry| entry.count(1..=MAX_REPLICAS, findings))
        };
        set(&mut placement.min, count("min", findings));
        placement.max = count("max", findings).unwrap_or(placement.min);
        if let (Some(broken), Some(entry)) =
            (manifest::check_replicas(placement.min, placement.max), section.get("max"))
        {
            entry.noted::<()>(Err(broken), findings);
        }
    }
    if let Some(section) = top.section("resources", findings) {
        refuse_unknown(&section, "resources", findings);
        placement.cpu = section.get("cpu").and_then(|entry| cpu(&entry, findings));
        placement.memory = section.get("memory").and_then(|entry| entry.amount(findings));
    }
    if let Some(section) = top.section("placement", findings) {
        refuse_unknown(&section, "placement", findings);
        labels(&section, &mut placement, findings);
        let apart = section.get("apart_from");
        let apart = apart.and_then(|entry| entry.list("an array of names of apps", findings));
        placement.apart_from = apart
            .unwrap_or_default()
            .iter()
            .filter_map(|e| e.parsed::<AppName>(findings))
            .collect::<BTreeSet<_>>();
        set(&mut placement.zones, section.get("zones").and_then(|e| flag(&e, findings)));
        set(&mut placement.priority, section.get("priority").and_then(|e| priority(&e, findings)));
    }
    placement
}

fn labels(section: &Section<'_, '_>, placement: &mut Placement, findings: &mut Findings<'_>) {
    let Some(labels) = section.get("labels") else { return };
    let Some(labels) = labels.section("a table, [placement.labels]", findings) else { return };
    for (name, at, entry) in labels.entries() {
        let Some(value) = entry.text(findings) else { continue };
        if let Some(broken) = manifest::check_label(name) {
            findings.wrong(at, &entry.key, broken);
        } else if let Some(broken) = manifest::check_label(value) {
            entry.noted::<()>(Err(broken), findings);
        } else {
            placement.labels.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Cores may be written as a number with a point.
fn cpu<T: std::str::FromStr<Err: std::fmt::Display>>(
    entry: &Entry<'_, '_>,
    findings: &mut Findings<'_>,
) -> Option<T> {
    let text = entry.scalar(findings)?;
    entry.noted(text.parse(), findings)
}

pub(super) fn flag(entry: &Entry<'_, '_>, findings: &mut Findings<'_>) -> Option<bool> {
    let text = entry.scalar(findings)?;
    entry.noted(text.parse().map_err(|_| format!("{text:?} is neither true nor false")), findings)
}

fn priority(entry: &Entry<'_, '_>, findings: &mut Findings<'_>) -> Option<i32> {
    let text = entry.scalar(findings)?;
    let most = i32::try_from(HIGHEST_PRIORITY).unwrap_or(i32::MAX);
    let read = text.parse().ok().filter(|priority| (-most..=most).contains(priority));
    let told =
        || format!("{text:?} is no priority: expected a whole number from -{most} to {most}");
    entry.noted(read.ok_or_else(told), findings)
}
