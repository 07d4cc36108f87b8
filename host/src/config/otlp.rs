//! What an operator says of collectors, by the `OTEL_*` variables and their twins: for all signals, and for one.
//! Connects to nobody.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use steerage_core::otlp::{Sampler, TraceRatio};
use steerage_core::units::{parse_duration, show_duration};

use super::check::bounded;
use super::said::Said;
use crate::otlp::{CollectorHeaders, OtlpProtocol, OtlpSettings, Signal, SignalEndpoint, pairs};

/// The attribute that names the service.
const SERVICE_NAME: &str = "service.name";
/// A request that takes longer holds up what comes after it.
const TIMEOUTS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(600));
/// How often metrics may be told: more often than each 100 ms a host would do little else, and who hears of it
/// less than once a day does not know whether it is there.
const INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(86_400));
/// The longest name of a service, in bytes.
const LONGEST_NAME: usize = 255;

/// What was said for all signals.
struct General {
    endpoint: Option<String>,
    protocol: OtlpProtocol,
    headers: CollectorHeaders,
    timeout: Option<Duration>,
    certificate: Option<PathBuf>,
}

/// Reads it.
pub(super) fn read(said: &mut Said<'_, '_>) -> OtlpSettings {
    let mut settings = OtlpSettings::default();
    // All of them are read, so that mistakes are told even where they would not matter.
    let is_disabled = take(said, "otlp.disabled", truth).unwrap_or(false);
    let protocol = take(said, "otlp.protocol", OtlpProtocol::parse).unwrap_or_default();
    let general = General {
        protocol,
        // It is read for one signal, so that a mistake is told once.
        endpoint: take(said, "otlp.endpoint", |text| {
            Signal::Traces.below(text, protocol).map(|_| text.to_owned())
        }),
        headers: take(said, "otlp.headers", CollectorHeaders::parse).unwrap_or_default(),
        timeout: take(said, "otlp.timeout", duration_in(TIMEOUTS)),
        certificate: take(said, "otlp.certificate", path),
    };
    let [traces, metrics, logs] = [Signal::Traces, Signal::Metrics, Signal::Logs]
        .map(|signal| endpoint(said, signal, &general).filter(|_| !is_disabled));
    settings = OtlpSettings { traces, metrics, logs, ..settings };
    if let Some(interval) = take(said, "otlp.metric_export_interval", duration_in(INTERVALS)) {
        settings.interval = interval;
    }
    if let Some(timeout) = take(said, "otlp.metric_export_timeout", duration_in(TIMEOUTS)) {
        settings.export_timeout = timeout;
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

/// Where a signal goes, if anybody wants it: what is said for it goes before what is said for all.
fn endpoint(said: &mut Said<'_, '_>, signal: Signal, general: &General) -> Option<SignalEndpoint> {
    let key = |what: &str| format!("otlp.{}_{what}", signal.name());
    let is_wanted = take(said, &key("exporter"), exporter).unwrap_or(true);
    let protocol = take(said, &key("protocol"), OtlpProtocol::parse).unwrap_or(general.protocol);
    let headers = take(said, &key("headers"), CollectorHeaders::parse);
    let timeout = take(said, &key("timeout"), duration_in(TIMEOUTS)).or(general.timeout);
    let certificate = take(said, &key("certificate"), path);
    let own = take(said, &key("endpoint"), |text| signal.at(text, protocol));
    // It was read before.
    let below = || signal.below(general.endpoint.as_deref()?, protocol).ok();
    let endpoint = SignalEndpoint::at(own.or_else(below).filter(|_| is_wanted)?);
    Some(SignalEndpoint {
        protocol,
        headers: headers.unwrap_or_else(|| general.headers.clone()),
        timeout: timeout.unwrap_or(endpoint.timeout),
        certificate: certificate.or_else(|| general.certificate.clone()),
        ..endpoint
    })
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

#[expect(clippy::unnecessary_wraps, reason = "as all that reads settings")]
fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Whether a signal is told.
fn exporter(text: &str) -> Result<bool, String> {
    match text {
        "otlp" => Ok(true),
        "none" => Ok(false),
        _ => Err(format!("{text:?} is no exporter here: expected otlp or none")),
    }
}

/// Milliseconds, as the specification has it, or a duration as elsewhere here.
fn duration_in((least, most): (Duration, Duration)) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let duration = match text.parse() {
            Ok(milliseconds) => Duration::from_millis(milliseconds),
            Err(_) => parse_duration(text).map_err(|error| error.to_string())?,
        };
        bounded(duration, least, most, |duration| show_duration(*duration))
    }
}

fn service(text: &str) -> Result<String, String> {
    match text.len() {
        0..=LONGEST_NAME => Ok(text.to_owned()),
        length => Err(format!("has {length} bytes: at most {LONGEST_NAME} are allowed")),
    }
}
