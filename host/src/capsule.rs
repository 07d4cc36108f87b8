//! A capsule: all that one guest was told while it served a call that failed, and how that ended, so that it can
//! be run again elsewhere. Here is how it is written down and read, and what is taken out of it before.
//! Does not keep capsules, does not decide which calls leave one, and runs no guest.

mod bytes;
mod tape;
mod told;

use serde::{Deserialize, Serialize};
use steerage_core::capsule::{Ending, LARGEST, Redaction, Redactor};

pub use self::bytes::CapsuleBytes;
pub use self::tape::{Planned, Tape};
pub use self::told::{BodyEnd, Exchange, Headers, Told, ToldAnswer, ToldBody, ToldOf, TooLarge};

/// The version of what is written down. Whoever changes what stands in a capsule, or how random numbers come
/// of a seed, counts it up: a guest that is told something else takes another way.
pub const VERSION: u32 = 1;

/// One capsule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Capsule {
    /// See [`VERSION`].
    pub version: u32,
    /// The version of Steerage that made it.
    pub steerage: String,
    /// The call.
    pub call: String,
    /// The app.
    pub app: String,
    /// Which of its deployments served the call.
    pub generation: u64,
    /// The digest of its component.
    pub component: String,
    /// When the call came in, in milliseconds since the epoch.
    pub at_ms: u64,
    /// What it might use.
    pub limits: CapsuleLimits,
    /// Its environment, without the values.
    pub env: Vec<EnvName>,
    /// What was asked.
    pub request: CapsuleRequest,
    /// What else the guest was told.
    pub told: Told,
    /// How it ended.
    pub ending: CapsuleEnding,
    /// How many values were replaced, so that what the guest was told is not what stands here.
    pub redacted: usize,
}

/// What a call might use, as its manifest and its host said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CapsuleLimits {
    /// Bytes of memory.
    pub memory: u64,
    /// Fuel.
    pub fuel: u64,
    /// Milliseconds.
    pub timeout_ms: u64,
    /// Bytes of the request's body.
    pub request_body: u64,
    /// Bytes of the response's body.
    pub response_body: u64,
}

/// A variable of the environment. Its value is a secret and stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct EnvName {
    /// Its name.
    pub name: String,
    /// How long its value is, so that another of that length can stand for it.
    pub value_bytes: usize,
}

/// The head of a request, as its guest was shown it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CapsuleRequest {
    /// Its method.
    pub method: String,
    /// Its path and query; a whole address where the guest is told that.
    pub uri: CapsuleBytes,
    /// The version of HTTP.
    pub protocol: String,
    /// Its headers in their order.
    pub headers: Headers,
    /// Whether it came over TLS.
    pub https: bool,
    /// Who called.
    pub remote: String,
    /// The port that it came in on.
    pub port: u16,
    /// The part of the path that the route names.
    pub script_name: CapsuleBytes,
    /// The part below that.
    pub path_info: CapsuleBytes,
}

/// How the call ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CapsuleEnding {
    /// The cause code of its outcome.
    pub cause: String,
    /// The status that the guest set, 0 where it set none.
    pub status: u16,
    /// Where the guest was, innermost frame first.
    pub frames: Vec<String>,
    /// What it used.
    pub fuel: u64,
}

/// What is no capsule that can be replayed here.
#[derive(Debug, thiserror::Error)]
pub enum BadCapsule {
    /// It is of another version.
    #[error(
        "the capsule is of version {0}, and this steerage replays version {VERSION}: use the steerage that \
         made it"
    )]
    Version(u32),
    /// It is damaged.
    #[error("this is no capsule: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// What is written down while a call runs.
#[derive(Debug)]
pub struct Recording {
    /// The head of its request.
    pub request: CapsuleRequest,
    /// All else.
    pub tape: Tape,
}

impl Capsule {
    /// As it is kept: without secrets, and no larger than it may be.
    ///
    /// # Errors
    /// It is too large.
    pub fn seal(mut self, redaction: &Redaction) -> Result<Vec<u8>, TooLarge> {
        self.redact(redaction);
        let bytes = serde_json::to_vec(&self).map_err(|_| TooLarge)?;
        if bytes.len() > LARGEST { Err(TooLarge) } else { Ok(bytes) }
    }

    /// Reads one.
    ///
    /// # Errors
    /// See [`BadCapsule`].
    pub fn open(bytes: &[u8]) -> Result<Self, BadCapsule> {
        #[derive(Deserialize)]
        struct OfVersion {
            version: u32,
        }
        let OfVersion { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(BadCapsule::Version(version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    fn redact(&mut self, redaction: &Redaction) {
        let mut redactor = Redactor::new(redaction);
        let request = &mut self.request;
        redactor.query(&mut request.uri.0);
        told::redact_headers(&mut request.headers, &mut redactor);
        self.told.redact(&mut redactor);
        // All are named now.
        for part in [&mut request.uri, &mut request.script_name, &mut request.path_info] {
            redactor.everywhere(&mut part.0);
        }
        for (_, value) in &mut request.headers {
            redactor.everywhere(&mut value.0);
        }
        let mut method = CapsuleBytes(request.method.clone().into_bytes());
        redactor.everywhere(&mut method.0);
        request.method = method.into_text();
        self.told.redact_everywhere(&mut redactor);
        self.redacted = redactor.n_redacted();
    }
}

impl From<&CapsuleEnding> for Ending {
    fn from(ending: &CapsuleEnding) -> Self {
        let CapsuleEnding { cause, status, frames, fuel } = ending.clone();
        Self { cause, status, frames, fuel }
    }
}

#[cfg(test)]
mod tests;
