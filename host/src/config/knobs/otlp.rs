//! The settings of what a collector is told, by the names that the OpenTelemetry specification has for them.
//! Does not read them.

use super::knob::{Knob, knob};

/// All of them. A flag for each is there for trying things out; the headers hold secrets and are refused there.
pub(super) const OTLP: [Knob; 18] = [
    knob(
        "otlp.endpoint",
        ("otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("URL", ""),
        "Collector of spans and metrics, such as http://127.0.0.1:4318; /v1/traces or /v1/metrics is added",
    ),
    knob(
        "otlp.traces_endpoint",
        ("otlp-traces-endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ("URL", ""),
        "The same for spans, with the whole path; goes before the other",
    ),
    knob(
        "otlp.metrics_endpoint",
        ("otlp-metrics-endpoint", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
        ("URL", ""),
        "The same for metrics",
    ),
    knob(
        "otlp.metrics_exporter",
        ("otlp-metrics-exporter", "OTEL_METRICS_EXPORTER"),
        ("EXPORTER", "otlp"),
        "Whether a collector is told metrics: otlp or none",
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
    knob(
        "otlp.certificate",
        ("otlp-certificate", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        ("FILE", ""),
        "File with the authorities that may have signed a collector's certificate, in place of public ones",
    ),
    knob(
        "otlp.headers",
        ("otlp-headers", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("NAME=VALUE,...", ""),
        "Headers that the collector gets; not on the command line, where everybody reads them",
    ),
    knob(
        "otlp.protocol",
        ("otlp-protocol", "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ("PROTOCOL", "http/protobuf"),
        "What is spoken: http/protobuf or grpc",
    ),
    knob(
        "otlp.timeout",
        ("otlp-timeout", "OTEL_EXPORTER_OTLP_TIMEOUT"),
        ("MILLISECONDS", "10000"),
        "Longest time for one request to the collector; a duration such as 10s is taken as well",
    ),
    knob(
        "otlp.metrics_headers",
        ("otlp-metrics-headers", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"),
        ("NAME=VALUE,...", ""),
        "The same for metrics, in place of the other headers; not on the command line either",
    ),
    knob(
        "otlp.metrics_protocol",
        ("otlp-metrics-protocol", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"),
        ("PROTOCOL", ""),
        "What is spoken for metrics, where that is another protocol",
    ),
    knob(
        "otlp.metrics_timeout",
        ("otlp-metrics-timeout", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT"),
        ("MILLISECONDS", ""),
        "Longest time for one request with metrics, where that is another",
    ),
    knob(
        "otlp.service_name",
        ("otlp-service-name", "OTEL_SERVICE_NAME"),
        ("NAME", "steerage"),
        "The service that spans and metrics are of",
    ),
    knob(
        "otlp.resource_attributes",
        ("otlp-resource-attributes", "OTEL_RESOURCE_ATTRIBUTES"),
        ("NAME=VALUE,...", ""),
        "What else is said of where they come from, such as deployment.environment.name=prod",
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
        "otlp.disabled",
        ("otlp-disabled", "OTEL_SDK_DISABLED"),
        ("BOOL", "false"),
        "Whether nothing is sent, whatever the other settings say",
    ),
];
