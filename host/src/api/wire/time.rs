//! Moments on the wire: RFC 3339 in UTC with milliseconds, like `2026-11-25T17:04:05.120Z`.
//! Inside, a moment is a count of milliseconds since the epoch. A count is read as well, since hosts
//! before this version sent one.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de};

/// A moment as text.
#[must_use]
pub fn moment(moment: u64) -> String {
    let at = i64::try_from(moment).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Writes a moment as text.
///
/// # Errors
/// When the serializer fails.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
pub(super) fn serialize<S: Serializer>(moment: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&self::moment(*moment))
}

/// Reads a moment.
///
/// # Errors
/// When it is neither a moment of RFC 3339 nor a count of milliseconds.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Count(u64),
        Text(String),
    }
    match Either::deserialize(from)? {
        Either::Count(count) => Ok(count),
        Either::Text(text) => {
            let at: Timestamp = text.parse().map_err(de::Error::custom)?;
            u64::try_from(at.as_millisecond()).map_err(de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Moment {
        #[serde(with = "super")]
        at: u64,
    }

    #[test]
    fn moments_are_text_of_rfc_3339() {
        let told = serde_json::to_value(Moment { at: 1_795_626_245_120 }).unwrap();
        assert_eq!(told, json!({ "at": "2026-11-25T17:04:05.120Z" }));
        assert_eq!(serde_json::from_value::<Moment>(told).unwrap().at, 1_795_626_245_120);
        assert!(serde_json::to_string(&Moment { at: u64::MAX }).is_ok());
    }

    #[test]
    fn counts_of_older_hosts_are_read() {
        assert_eq!(serde_json::from_value::<Moment>(json!({ "at": 7 })).unwrap().at, 7);
        assert!(serde_json::from_value::<Moment>(json!({ "at": "yesterday" })).is_err());
        assert!(serde_json::from_value::<Moment>(json!({ "at": -1 })).is_err());
    }
}
