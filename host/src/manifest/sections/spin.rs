//! Reads `[spin]`: what an app is in a Spin app. Does not read `spin.toml`.

use std::collections::BTreeMap;

use steerage_core::manifest::{SpinComponent, check_component, check_component_count};

use super::refuse_unknown;
use crate::document::{Findings, Section};

/// Reads the table; `None` where there is none.
pub(super) fn read(top: &Section<'_, '_>, findings: &mut Findings<'_>) -> Option<SpinComponent> {
    let section = top.section("spin", findings)?;
    refuse_unknown(&section, "spin", findings);
    let mut components = BTreeMap::new();
    for (name, key_at, entry) in
        section.section("components", findings).iter().flat_map(Section::entries)
    {
        if let Some(broken) = check_component(name) {
            findings.wrong(key_at, &entry.key, broken);
        } else if let Some(app) = entry.parsed(findings) {
            components.insert(name.to_owned(), app);
        }
    }
    if let (Some(broken), Some(entry)) =
        (check_component_count(components.len()), section.get("components"))
    {
        entry.noted::<()>(Err(broken), findings);
    }
    Some(SpinComponent { components })
}
