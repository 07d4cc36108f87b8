//! The settings of what a collector is told, by the names that the OpenTelemetry specification has for them: those of all
//! signals, and their twins of each.
//! Does not read them.

use super::knob::{Knob, knob};

/// The flag and the variable of a setting that one signal has of its own.
macro_rules! own {
    ($name:literal, $variable:literal, $what:literal, $upper:literal) => {
        (
            concat!("otlp-", $name, "-", $what),
            concat!("OTEL_EXPORTER_OTLP_", $variable, "_", $upper),
        )
    };
}

/// Those of one signal: its name in keys and flags, the same in variables, and what is sent.
macro_rules! of_signal {
    ($name:literal, $variable:literal, $things:literal) => {
        [
            knob(
                concat!("otlp.", $name, "_exporter"),
                (concat!("otlp-", $name, "-exporter"), concat!("OTEL_", $variable, "_EXPORTER")),
                ("EXPORTER", "otlp"),
                concat!("Whether a collector is told ", $things, ": otlp or none"),
            ),
            knob(
                concat!("otlp.", $name, "_endpoint"),
                own!($name, $variable, "endpoint", "ENDPOINT"),
                ("URL", ""),
                concat!(
                    "The collector of ",
                    $things,
                    ", with the whole path; goes before the one of all"
                ),
            ),
            knob(
                concat!("otlp.", $name, "_protocol"),
                own!($name, $variable, "protocol", "PROTOCOL"),
                ("PROTOCOL", ""),
                concat!("What is spoken for ", $things, ", where that is another protocol"),
            ),
            knob(
                concat!("otlp.", $name, "_headers"),
                own!($name, $variable, "headers", "HEADERS"),
                ("NAME=VALUE,...", ""),
                concat!(
                    "Headers for ",
                    $things,
                    ", in place of those for all; not on the command line either"
                ),
            ),
            knob(
                concat!("otlp.", $name, "_timeout"),
                own!($name, $variable, "timeout", "TIMEOUT"),
                ("MILLISECONDS", ""),
                concat!("Longest time for one request with ", $things, ", where that is another"),
            ),
            knob(
                concat!("otlp.", $name, "_certificate"),
                own!($name, $variable, "certificate", "CERTIFICATE"),
                ("FILE", ""),
                concat!(
                    "File with the authorities for the collector of ",
                    $things,
                    ", where that is another"
                ),
            ),
        ]
    };
}

const TRACES: [Knob; 6] = of_signal!("traces", "TRACES", "spans");
const METRICS: [Knob; 6] = of_signal!("metrics", "METRICS", "metrics");
const LOGS: [Knob; 6] = of_signal!("logs", "LOGS", "log records");

/// All of them. A flag for each is there for trying things out; the headers hold secrets and are refused there.
pub(super) const OTLP: [Knob; 30] = {
    let mut all = [knob("", ("", ""), ("", ""), ""); 30];
    let (general, rest) = all.split_at_mut(GENERAL.len());
    let (traces, rest) = rest.split_at_mut(TRACES.len());
    let (metrics, logs) = rest.split_at_mut(METRICS.len());
    general.copy_from_slice(&GENERAL);
    traces.copy_from_slice(&TRACES);
    metrics.copy_from_slice(&METRICS);
    logs.copy_from_slice(&LOGS);
    all
};

/// Those of all signals, and those that only one has.
const GENERAL: [Knob; 12] = [
    knob(
        "otlp.endpoint",
        ("otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("URL", ""),
        "Collector of all, such as http://127.0.0.1:4318; /v1/traces, /v1/metrics or /v1/logs is added",
    ),
    knob(
        "otlp.protocol",
        ("otlp-protocol", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ("PROTOCOL", "http/protobuf"),
        "What is spoken: http/protobuf or grpc",
    ),
    knob(
        "otlp.headers",
        ("otlp-headers", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("NAME=VALUE,...", ""),
        "Headers that the collector gets; not on the command line, where everybody reads them",
    ),
    knob(
        "otlp.timeout",
        ("otlp-timeout", "OTEL_EXPORTER_OTLP_TIMEOUT"),
        ("MILLISECONDS", "10000"),
        "Longest time for one request to the collector; a duration such as 10s is taken as well",
    ),
    knob(
        "otlp.certificate",
        ("otlp-certificate", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        ("FILE", ""),
        "File with the authorities that may have signed a collector's certificate, in place of public ones",
    ),
    knob(
        "otlp.service_name",
        ("otlp-service-name", "OTEL_SERVICE_NAME"),
        ("NAME", "steerage"),
        "The service that all of it is of",
    ),
    knob(
        "otlp.resource_attributes",
        ("otlp-resource-attributes", "OTEL_RESOURCE_ATTRIBUTES"),
        ("NAME=VALUE,...", ""),
        "What else is said of where they come from, such as deployment.environment.name=prod",
    ),
    knob(
        "otlp.disabled",
        ("otlp-disabled", "OTEL_SDK_DISABLED"),
        ("BOOL", "false"),
        "Whether nothing is sent, whatever the other settings say",
    ),
    knob(
        "otlp.sampler",
        ("otlp-sampler", "OTEL_TRACES_SAMPLER"),
        ("SAMPLER", "parentbased_always_on"),
        "Which calls are kept; those that fail or are slow always are, but with always_off",
    ),
    knob(
        "otlp.sampler_arg",
        ("otlp-sampler-arg", "OTEL_TRACES_SAMPLER_ARG"),
        ("RATIO", "1.0"),
        "The part that a sampler with a ratio keeps, from 0 to 1",
    ),
    knob(
        "otlp.metric_export_interval",
        ("otlp-metric-export-interval", "OTEL_METRIC_EXPORT_INTERVAL"),
        ("MILLISECONDS", "60000"),
        "How often it is told metrics; a duration such as 60s is taken as well",
    ),
    knob(
        "otlp.metric_export_timeout",
        ("otlp-metric-export-timeout", "OTEL_METRIC_EXPORT_TIMEOUT"),
        ("MILLISECONDS", "30000"),
        "Longest time to tell the metrics of one moment, with all tries",
    ),
];
