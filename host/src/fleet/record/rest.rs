//! What a newer host has written into a record, kept as it is. Understands nothing of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Fields that this version does not know. They are written again as they were: a host must not take
/// away what a newer one has said.
#[expect(
    clippy::box_collection,
    reason = "most records have none, and every host keeps those of all apps"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest(Option<Box<BTreeMap<String, serde_json::Value>>>);

impl Rest {
    /// Nothing.
    pub(super) const NONE: Self = Self(None);
}

impl<'de> Deserialize<'de> for Rest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = BTreeMap::deserialize(deserializer)?;
        // The version stands beside the record and is written with it.
        fields.remove("v");
        Ok(Self((!fields.is_empty()).then(|| Box::new(fields))))
    }
}

impl Serialize for Rest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A map in any case: these stand among the fields of a record.
        serializer.collect_map(self.0.iter().flat_map(|fields| fields.iter()))
    }
}
