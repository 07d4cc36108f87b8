//! Bytes in a capsule: a text where they are one, so that people can read it, and base64 otherwise.
//! Does not know what they mean.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Bytes of somebody's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct CapsuleBytes(pub Vec<u8>);

/// As they are written down.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Bytes { base64: String },
}

impl CapsuleBytes {
    /// As a text; what is none is shown as well as it can be.
    #[must_use]
    pub fn into_text(self) -> String {
        String::from_utf8(self.0)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

impl From<&str> for CapsuleBytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<CapsuleBytes> for Written {
    fn from(bytes: CapsuleBytes) -> Self {
        String::from_utf8(bytes.0).map_or_else(
            |error| Self::Bytes { base64: STANDARD.encode(error.as_bytes()) },
            Self::Text,
        )
    }
}

impl TryFrom<Written> for CapsuleBytes {
    type Error = base64::DecodeError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        Ok(Self(match written {
            Written::Text(text) => text.into_bytes(),
            Written::Bytes { base64 } => STANDARD.decode(base64)?,
        }))
    }
}
