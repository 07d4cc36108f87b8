//! What differs where a collector is spoken to by gRPC: how a message is framed, and what the status of a call
//! means. One call carries one message each way, so nothing more of gRPC is needed.
//! Does not send.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use prost::Message as _;
use steerage_core::otlp::BatchAnswer;

use super::message::{RetryInfo, StatusDetails};
use super::pairs::decoded;

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// The type of a detail that says when to come back.
const RETRY_INFO: &str = "google.rpc.RetryInfo";
/// In headers the padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where spans are taken, of any collector.
pub(super) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The same of metrics.
pub(super) const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
/// The same of log records.
pub(super) const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// A message as it is sent, uncompressed.
pub(super) fn framed(message: &Bytes) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// The message in an answer; empty where there is none that can be read.
pub(super) fn unframed(mut answer: Bytes) -> Bytes {
    let is_plain = answer.first() == Some(&0) && answer.len() >= PREFIX;
    if is_plain { answer.split_off(PREFIX) } else { Bytes::new() }
}

/// What the end of a call says of a batch, and why, where it was not taken. It stands in trailers, or in the
/// headers where nothing else was answered.
pub(super) fn meant(end: &HeaderMap) -> (BatchAnswer, String) {
    let text = |name: &HeaderName| end.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text(&STATUS).and_then(|code| code.parse::<u32>().ok()) else {
        return (BatchAnswer::InDoubt, "it answers without a status of gRPC".to_owned());
    };
    // It is percent-encoded, so that a secret in it would not be found.
    let said = text(&MESSAGE).unwrap_or_default();
    let said = decoded(said).unwrap_or_else(|| said.to_owned());
    let why = format!("it answers gRPC status {code}: {said}");
    let answer = match (code, text(&DETAILS).and_then(retry_after)) {
        (0, _) => BatchAnswer::Taken { rejected: 0 },
        // Exhausted: by the specification it comes back only where it says when.
        (8, None) => BatchAnswer::Refused,
        // Cancelled, too late, exhausted, aborted, out of range, unavailable, data lost.
        (1 | 4 | 8 | 10 | 11 | 14 | 15, after) => BatchAnswer::Later { after },
        _ => BatchAnswer::Refused,
    };
    (answer, why)
}

/// How long a collector wants not to be asked, in milliseconds.
fn retry_after(details: &str) -> Option<u64> {
    let details = StatusDetails::decode(&*BASE64.decode(details).ok()?).ok()?;
    let is_retry = |url: &str| url.rsplit('/').next() == Some(RETRY_INFO);
    let detail = details.details.into_iter().find(|detail| is_retry(&detail.type_url))?;
    let delay = RetryInfo::decode(&*detail.value).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).unwrap_or(0);
    let nanoseconds = u64::try_from(delay.nanos).unwrap_or(0);
    Some(seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::super::message::{RetryDelay, StatusDetail};
    use super::*;

    #[test]
    fn a_message_is_framed_and_read_back() {
        let message = Bytes::from_static(b"abc");
        assert_eq!(&*framed(&message), b"\0\0\0\0\x03abc");
        assert_eq!(unframed(framed(&message)), message);
        for strange in [&b""[..], b"\0\0", b"\x01\0\0\0\x01x"] {
            assert!(unframed(Bytes::copy_from_slice(strange)).is_empty(), "{strange:?}");
        }
    }

    fn ended(code: &str, delay: Option<RetryDelay>) -> BatchAnswer {
        let mut end = HeaderMap::new();
        end.insert(STATUS, code.parse().unwrap());
        if delay.is_some() {
            let value = RetryInfo { retry_delay: delay }.encode_to_vec();
            let other = StatusDetail { type_url: "x/y".to_owned(), value: vec![1] };
            let type_url = format!("type.googleapis.com/{RETRY_INFO}");
            let details = vec![other, StatusDetail { type_url, value }];
            let details = StatusDetails { details }.encode_to_vec();
            end.insert(DETAILS, BASE64.encode(details).parse().unwrap());
        }
        meant(&end).0
    }

    #[test]
    fn a_status_means_what_the_specification_says() {
        let delay = Some(RetryDelay { seconds: 2, nanos: 500_000_000 });
        assert_eq!(ended("0", None), BatchAnswer::Taken { rejected: 0 });
        for code in ["1", "4", "10", "11", "14", "15"] {
            assert_eq!(ended(code, None), BatchAnswer::Later { after: None }, "{code}");
            assert_eq!(ended(code, delay), BatchAnswer::Later { after: Some(2_500) }, "{code}");
        }
        assert_eq!(ended("8", None), BatchAnswer::Refused);
        assert_eq!(ended("8", delay), BatchAnswer::Later { after: Some(2_500) });
        for code in ["2", "3", "5", "6", "7", "9", "12", "13", "16", "99"] {
            assert_eq!(ended(code, delay), BatchAnswer::Refused, "{code}");
        }
        assert_eq!(ended("x", None), BatchAnswer::InDoubt);
        assert_eq!(meant(&HeaderMap::new()).0, BatchAnswer::InDoubt);
    }
}
