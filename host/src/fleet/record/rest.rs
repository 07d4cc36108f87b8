//! What a newer host has written into a record and this one does not know.
//! Does not guess what it means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Fields that this version does not know. They are written again as they were: a host must not take
/// away what a newer one has said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Rest(BTreeMap<String, serde_json::Value>);

impl<'de> Deserialize<'de> for Rest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = BTreeMap::deserialize(deserializer)?;
        // The version stands beside the record and is written with it.
        fields.remove("v");
        Ok(Self(fields))
    }
}
