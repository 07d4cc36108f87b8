//! What a guest was told while it ran, besides the head of its request: what clocks and random numbers said,
//! what was ready when it looked, and what came of its request's body and of its own requests.
//! Does not know who tells it: `tape` writes it down and says it again.

use serde::{Deserialize, Serialize};
use steerage_core::capsule::{LARGEST, Redactor};

use super::bytes::CapsuleBytes;

/// Headers in their order.
pub type Headers = Vec<(String, CapsuleBytes)>;

/// What a guest was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Recording {
    /// What its random numbers come of.
    pub seed: CapsuleBytes,
    /// Readings of the wall clock, in nanoseconds since the epoch.
    pub wall_ns: Vec<u64>,
    /// Readings of the other clock, in nanoseconds since it was made.
    pub monotonic_ns: Vec<u64>,
    /// Which of what it waited for was ready, each time.
    pub polls: Vec<Vec<u32>>,
    /// Whether there was something when it looked without waiting: the lengths of runs, beginning with not ready.
    pub readiness_checks: Vec<u32>,
    /// Bytes that it might write, each time it asked.
    pub write_permits: Vec<u64>,
    /// The span of its call, as a `traceparent` says it, where it asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_context: Option<String>,
    /// The body of its request.
    pub body: RecordedBody,
    /// Its own requests in their order.
    pub outbound: Vec<Exchange>,
}

/// A body as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct RecordedBody {
    /// All pieces together.
    pub bytes: CapsuleBytes,
    /// How long each was.
    pub pieces: Vec<usize>,
    /// What came after them.
    pub trailers: Headers,
    /// How it ended.
    pub end: BodyEnd,
}

/// How a body ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyEnd {
    /// Nobody has read so far.
    #[default]
    Unread,
    /// It was whole.
    Whole,
    /// It broke off, for this reason.
    Broken {
        /// Its code, as `wasi:http` has it.
        error: String,
    },
}

/// A request of the guest, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Exchange {
    /// Its method.
    pub method: String,
    /// Whom it asked: scheme, host and port.
    pub to: String,
    /// What came, if anything did before the call was over.
    pub answer: Option<RecordedAnswer>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedAnswer {
    /// No response, for this reason.
    Failed {
        /// Its code, as `wasi:http` has it.
        error: String,
    },
    /// A response.
    Answered {
        /// Its status.
        status: u16,
        /// Its headers.
        headers: Headers,
        /// Its body.
        body: RecordedBody,
    },
}

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedBodyOf {
    /// Of the request that the guest serves.
    Request,
    /// Of the answer to its own request of this number.
    Answer(usize),
}

/// More than a capsule may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the guest was told takes more than {LARGEST} bytes, which is the most of a capsule")]
pub struct TooLarge;

impl Recording {
    /// The body of this part, where there is one.
    pub(super) fn body_of(&mut self, of: RecordedBodyOf) -> Option<&mut RecordedBody> {
        match of {
            RecordedBodyOf::Request => Some(&mut self.body),
            RecordedBodyOf::Answer(number) => match &mut self.outbound.get_mut(number)?.answer {
                Some(RecordedAnswer::Answered { body, .. }) => Some(body),
                _ => None,
            },
        }
    }

    /// Takes out what is secret by its name.
    pub(super) fn redact(&mut self, redactor: &mut Redactor<'_>) {
        self.body.redact(redactor);
        for exchange in &mut self.outbound {
            match &mut exchange.answer {
                Some(RecordedAnswer::Answered { headers, body, .. }) => {
                    redact_headers(headers, redactor);
                    body.redact(redactor);
                }
                Some(RecordedAnswer::Failed { error }) => {
                    redact_text(error, |error| redactor.query(error));
                }
                None => {}
            }
        }
    }

    /// Whether a secret may stand in an answer that nobody finds there.
    pub(super) fn is_encoded(&self) -> bool {
        self.outbound.iter().any(|exchange| match &exchange.answer {
            Some(RecordedAnswer::Answered { headers, body, .. }) => is_encoded(headers, body),
            _ => false,
        })
    }

    /// Takes out what was found to be secret.
    pub(super) fn redact_everywhere(&mut self, redactor: &mut Redactor<'_>) {
        self.body.redact_everywhere(redactor);
        for exchange in &mut self.outbound {
            for text in [&mut exchange.method, &mut exchange.to] {
                redact_text(text, |text| redactor.everywhere(text));
            }
            match &mut exchange.answer {
                Some(RecordedAnswer::Answered { headers, body, .. }) => {
                    redact_headers_everywhere(headers, redactor);
                    body.redact_everywhere(redactor);
                }
                Some(RecordedAnswer::Failed { error }) => {
                    redact_text(error, |error| redactor.everywhere(error));
                }
                None => {}
            }
        }
    }
}

impl RecordedBody {
    fn redact(&mut self, redactor: &mut Redactor<'_>) {
        // All pieces at once: a secret may lie across two.
        redactor.body(&mut self.bytes.0);
        redact_headers(&mut self.trailers, redactor);
        if let BodyEnd::Broken { error } = &mut self.end {
            redact_text(error, |error| redactor.query(error));
        }
    }

    fn redact_everywhere(&mut self, redactor: &mut Redactor<'_>) {
        redactor.everywhere(&mut self.bytes.0);
        redact_headers_everywhere(&mut self.trailers, redactor);
        if let BodyEnd::Broken { error } = &mut self.end {
            redact_text(error, |error| redactor.everywhere(error));
        }
    }
}

/// Whether a body is compressed, or otherwise is something else than what it says.
pub(super) fn is_encoded(headers: &Headers, body: &RecordedBody) -> bool {
    let is_plain = |value: &[u8]| {
        let value = value.trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"identity")
    };
    let encodings =
        headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    !body.bytes.0.is_empty() && encodings.into_iter().any(|(_, value)| !is_plain(&value.0))
}

/// Takes out what was found to be secret, also where it is a name.
pub(super) fn redact_headers_everywhere(headers: &mut Headers, redactor: &mut Redactor<'_>) {
    for (name, value) in headers {
        redact_text(name, |name| redactor.everywhere(name));
        redactor.everywhere(&mut value.0);
    }
}

/// Has something taken out of a text.
pub(super) fn redact_text(text: &mut String, redact: impl FnOnce(&mut [u8])) {
    let mut bytes = CapsuleBytes(std::mem::take(text).into_bytes());
    redact(&mut bytes.0);
    *text = bytes.into_text();
}

/// Takes out the values of headers that are secret by their names.
pub(super) fn redact_headers(headers: &mut Headers, redactor: &mut Redactor<'_>) {
    for (name, value) in headers {
        redactor.header(name, &mut value.0);
    }
}
