//! What an operator says of the collector that is told about calls, by the `OTEL_*` variables and their twins.
//! Connects to nobody.

use std::fmt;
use std::time::Duration;

use steerage_core::otlp::{Sampler, TraceRatio};
use steerage_core::units::{parse_duration, show_duration};

use super::check::bounded;
use super::said::Said;
use crate::otlp::{CollectorHeaders, OtlpProtocol, OtlpSettings, pairs, traces_at, traces_below};

/// The attribute that names the service.
const SERVICE_NAME: &str = "service.name";
/// A request that takes longer holds up what comes after it.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(600));
/// The longest name of a service, in bytes.
const LONGEST_NAME: usize = 255;

/// Reads it.
pub(super) fn read(said: &mut Said<'_, '_>) -> OtlpSettings {
    let mut settings = OtlpSettings::default();
    // All of them are read, so that mistakes are told even where they would not matter.
    let is_disabled = take(said, "otlp.disabled", truth).unwrap_or(false);
    let protocol = take(said, "otlp.protocol", OtlpProtocol::parse).unwrap_or_default();
    settings.protocol = protocol;
    let base = take(said, "otlp.endpoint", |text| traces_below(text, protocol));
    let traces = take(said, "otlp.traces_endpoint", |text| traces_at(text, protocol));
    settings.traces = traces.or(base).filter(|_| !is_disabled);
    settings.headers = take(said, "otlp.headers", CollectorHeaders::parse).unwrap_or_default();
    if let Some(timeout) = take(said, "otlp.timeout", timeout) {
        settings.timeout = timeout;
    }
    settings.resource = take(said, "otlp.resource_attributes", pairs).unwrap_or_default();
    let in_resource = settings.resource.iter().find(|(name, _)| name == SERVICE_NAME);
    let in_resource = in_resource.map(|(_, service)| service.clone());
    // A name of its own goes before the one among the attributes.
    if let Some(service) = take(said, "otlp.service_name", service).or(in_resource) {
        settings.service = service;
    }
    settings.resource.retain(|(name, _)| name != SERVICE_NAME);
    let ratio = take(said, "otlp.sampler_arg", TraceRatio::parse).unwrap_or(TraceRatio::ALL);
    if let Some(sampler) = take(said, "otlp.sampler", |text| Sampler::parse(text, ratio)) {
        settings.sampler = sampler;
    }
    settings
}

/// What was said, where that is not empty: by the specification an empty variable is as one that is not there.
fn take<T, E: fmt::Display>(
    said: &mut Said<'_, '_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<T> {
    let parse = |text: &str| match text.trim() {
        "" => Ok(None),
        text => parse(text).map(Some),
    };
    said.take(key, parse).flatten()
}

fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Milliseconds, as the specification has it, or a duration as elsewhere here.
fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = match text.parse() {
        Ok(milliseconds) => Duration::from_millis(milliseconds),
        Err(_) => parse_duration(text).map_err(|error| error.to_string())?,
    };
    bounded(timeout, TIMEOUTS.0, TIMEOUTS.1, |timeout| show_duration(*timeout))
}

fn service(text: &str) -> Result<String, String> {
    match text.len() {
        0..=LONGEST_NAME => Ok(text.to_owned()),
        length => Err(format!("has {length} bytes: at most {LONGEST_NAME} are allowed")),
    }
}
