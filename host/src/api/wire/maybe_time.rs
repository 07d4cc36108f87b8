//! Moments on the wire that there may be none of: as `time` writes them, or nothing.
//! Does not know how a moment is written.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment.
#[derive(Deserialize, Serialize)]
struct Moment(#[serde(with = "super::time")] u64);

/// Writes a moment as text, or nothing.
///
/// # Errors
/// When the serializer fails.
#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
pub(super) fn serialize<S: Serializer>(moment: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    moment.map(Moment).serialize(to)
}

/// Reads a moment, or nothing.
///
/// # Errors
/// When it is no moment.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::<Moment>::deserialize(from)?.map(|Moment(moment)| moment))
}
