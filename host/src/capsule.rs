//! A capsule: all that one guest was told while it served a call that failed, and how that ended, so that it can
//! be run again elsewhere. Here is how it is written down and read, and what is taken out of it before.
//! Does not keep capsules, does not decide which calls leave one, and runs no guest.

mod bytes;
mod recording;
mod tape;

use serde::{Deserialize, Serialize};
use steerage_core::capsule::{CapsuleFate, Ending, LARGEST, Redaction, Redactor, TooManySecrets};

pub use self::bytes::CapsuleBytes;
pub use self::recording::{
    BodyEnd, Exchange, Headers, RecordedAnswer, RecordedBody, RecordedBodyOf, Recording, TooLarge,
};
pub use self::tape::{Planned, Tape};

/// The version of what is written down. Whoever changes what stands in a capsule, or how random numbers come
/// of a seed, counts it up: a guest that is told something else takes another way.
pub const VERSION: u32 = 2;

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
    pub recording: Recording,
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

/// Why a call leaves no capsule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// It would be too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Not all secrets in it can be taken out.
    #[error(transparent)]
    TooManySecrets(#[from] TooManySecrets),
    /// Nor can those in a body that cannot be read.
    #[error("a body has a content-encoding, so that no secret can be found in it")]
    Encoded,
}

/// What is written down while a call runs.
#[derive(Debug)]
pub struct OngoingRecording {
    /// The head of its request.
    pub request: CapsuleRequest,
    /// All else.
    pub tape: Tape,
}

impl Capsule {
    /// As it is kept: without secrets, which the values of the environment are as well, and no larger than it may
    /// be.
    ///
    /// # Errors
    /// See [`Unsealed`].
    pub fn seal<'e>(
        mut self,
        redaction: &Redaction,
        env: impl IntoIterator<Item = &'e str>,
    ) -> Result<Vec<u8>, Unsealed> {
        // Before secrets are looked for, which takes the longer the larger it is.
        self.written()?;
        if recording::is_encoded(&self.request.headers, &self.recording.body)
            || self.recording.is_encoded()
        {
            return Err(Unsealed::Encoded);
        }
        self.redact(redaction, env)?;
        // What stands in the place of secrets may take more bytes as JSON.
        Ok(self.written()?)
    }

    fn written(&self) -> Result<Vec<u8>, TooLarge> {
        let bytes = serde_json::to_vec(self).map_err(|_| TooLarge)?;
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

    fn redact<'e>(
        &mut self,
        redaction: &Redaction,
        env: impl IntoIterator<Item = &'e str>,
    ) -> Result<(), TooManySecrets> {
        let mut redactor = Redactor::new(redaction);
        for value in env {
            redactor.secret(value.as_bytes());
        }
        let request = &mut self.request;
        for part in [&mut request.uri, &mut request.script_name, &mut request.path_info] {
            redactor.query(&mut part.0);
        }
        recording::redact_headers(&mut request.headers, &mut redactor);
        self.recording.redact(&mut redactor);
        // All are named now.
        for part in [&mut request.uri, &mut request.script_name, &mut request.path_info] {
            redactor.everywhere(&mut part.0);
        }
        recording::redact_headers_everywhere(&mut request.headers, &mut redactor);
        let frames = self.ending.frames.iter_mut();
        for text in frames.chain([&mut request.method]) {
            recording::redact_text(text, |text| redactor.everywhere(text));
        }
        self.recording.redact_everywhere(&mut redactor);
        self.redacted = redactor.finish()?;
        Ok(())
    }
}

impl Unsealed {
    /// What became of the capsule.
    #[must_use]
    pub fn fate(self) -> CapsuleFate {
        match self {
            Self::TooLarge(_) => CapsuleFate::TooLarge,
            Self::TooManySecrets(_) => CapsuleFate::TooManySecrets,
            Self::Encoded => CapsuleFate::Encoded,
        }
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
