//! Every metric, declared once, with its unit in its name. Labels are bounded sets: apps, causes, status
//! classes, and of each app a few destinations of its requests; never paths, hosts of callers or digests.
//! Does not collect in the background: numbers are read when somebody asks.

mod app_meter;
mod buckets;
mod certificates;
mod counters;
mod fleet;
pub mod form;
mod http_durations;
mod outbound;
mod receivers;
mod told;

pub use self::app_meter::{APP_COUNTERS, AppMeter, AppMeters};
pub use self::buckets::DURATION_COUNTERS;
pub use self::certificates::CertificateDays;
pub use self::fleet::FleetReading;
pub use self::http_durations::HttpKind;
pub use self::receivers::ReceiverReading;

use self::buckets::Buckets;
use self::form::{Form, Pieces};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use steerage_core::otlp::BatchCounts;
use steerage_core::outcome::Outcome;

use super::destinations::Destinations;
use crate::shared::count;

/// The causes that are want of room.
pub const SHED: [&str; 7] = [
    "app_busy",
    "too_late",
    "host_full",
    "host_busy",
    "host_memory",
    "host_exhausted",
    "not_ready",
];
const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Why an instance was not put back after a call: its call failed; it kept more of the host than can be
/// taken from it; the system did not do its part; what was done does not add up.
pub const NOT_RESTORED: [&str; 4] = ["call_failed", "too_many_handles", "system", "mismatch"];

/// The type of exemplar labels, of which there are none.
type NoLabels = [(&'static str, &'static str); 0];

/// What is read of one app when somebody asks.
#[derive(Clone, Debug)]
pub struct AppReading {
    /// The app's name.
    pub app: String,
    /// Calls that run.
    pub running: u32,
    /// Calls that wait.
    pub waiting: u32,
    /// Bytes its instances hold now.
    pub memory_used: u64,
    /// Its counters.
    pub meter: Arc<AppMeter>,
    /// What its outbound requests came to.
    pub destinations: Arc<Destinations>,
}

/// What is read of the host when somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostReading {
    /// Instance slots in use.
    pub slots_used: u32,
    /// Instance slots there are.
    pub slots_total: u32,
    /// Apps that are deployed.
    pub apps: u64,
    /// Apps whose code is mapped.
    pub apps_mapped: u64,
    /// Open client connections.
    pub connections: u64,
    /// Bytes that components and compiled code take on the disk.
    pub disk_used: u64,
    /// Bytes that they may take; 0 where there is no bound.
    pub disk_bound: u64,
    /// How often a component or compiled code was removed for want of room.
    pub disk_evicted: u64,
    /// Bytes that log lines, last calls, counters and events take.
    pub telemetry: u64,
    /// Open problems of apps on this host, and of what the host has only so much of.
    pub problems: u64,
    /// Calls refused before an app was found for them.
    pub unrouted: u64,
    /// Lines of the access log that were left out.
    pub access_log_left_out: u64,
    /// What a collector got of spans, where it is told of calls.
    pub spans: Option<BatchCounts>,
    /// What it got of points of metrics, where it is told of those.
    pub points: Option<BatchCounts>,
    /// What became of log records, likewise.
    pub log_records: Option<BatchCounts>,
    /// Seconds since the host started.
    pub uptime: Duration,
    /// Whole days until each certificate ends.
    pub certificates: CertificateDays,
    /// Its fleet, if it has one.
    pub fleet: Option<FleetReading>,
}

/// Where readings come from.
pub trait Readings: Send + Sync + fmt::Debug + 'static {
    /// All apps that were called, in order of their names.
    fn apps(&self) -> Vec<AppReading>;
    /// The host itself.
    fn host(&self) -> HostReading;
    /// Whom it tells what is wrong.
    fn receivers(&self) -> Vec<ReceiverReading>;
}

/// All metrics in a text format, in pieces: those of 100,000 apps are half a gigabyte, of which no more
/// than a piece is held.
///
/// # Errors
/// When `send` fails, or the encoder does, which would be a bug.
pub fn write(
    readings: impl Readings,
    form: Form,
    send: impl FnMut(Bytes) -> fmt::Result,
) -> fmt::Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Everything { readings }));
    let mut pieces = Pieces::new(form, send);
    prometheus_client::encoding::text::encode(&mut pieces, &registry)?;
    pieces.finish()
}

#[derive(Debug)]
struct Everything<R> {
    readings: R,
}

impl<R: Readings> Collector for Everything<R> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let apps = self.readings.apps();
        encode_histograms(&mut encoder, &apps)?;
        encode_counters(&mut encoder, &apps)?;
        outbound::encode(&mut encoder, &apps)?;
        encode_gauges(&mut encoder, &apps)?;
        encode_host(&mut encoder, &self.readings.host())?;
        receivers::encode(&mut encoder, &self.readings.receivers())
    }
}

fn encode_histograms(encoder: &mut DescriptorEncoder<'_>, apps: &[AppReading]) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "http_server_request_duration",
        "From accepting a request to the last response byte, of calls that were not refused",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for app in apps {
        let all = app.meter.all().map(|counters| &counters.duration);
        Buckets::encode(all, metric.encode_family(&[("app", app.app.as_str())])?)?;
    }
    let mut metric = encoder.encode_descriptor(
        "instantiate_duration",
        "Time to make an instance for a call",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for app in apps {
        let all = app.meter.all().map(|counters| &counters.instantiate);
        Buckets::encode(all, metric.encode_family(&[("app", app.app.as_str())])?)?;
    }
    Ok(())
}

fn encode_counters(encoder: &mut DescriptorEncoder<'_>, apps: &[AppReading]) -> fmt::Result {
    let causes = |meter: &AppMeter| meter.sums(|counters| &counters.by_cause).to_vec();
    let statuses = |meter: &AppMeter| meter.sums(|counters| &counters.by_status).to_vec();
    let reasons = |meter: &AppMeter| meter.sums(|counters| &counters.not_restored).to_vec();
    type Read<'r> = &'r dyn Fn(&AppMeter) -> Vec<u64>;
    type Family<'r> = (&'r str, &'r str, (&'r str, &'r [&'r str]), Read<'r>);
    let families: [Family<'_>; 3] = [
        (
            "http_server_requests",
            "Requests answered, by status class",
            ("status", &STATUS_CLASSES),
            &statuses,
        ),
        (
            "guest_calls",
            "Calls that are over, by the cause of their end",
            ("cause", &Outcome::CAUSES),
            &causes,
        ),
        (
            "instances_not_restored",
            "Instances dropped that were to be put back, by the reason",
            ("reason", &NOT_RESTORED),
            &reasons,
        ),
    ];
    for (name, help, (label, values), read) in families {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for app in apps {
            for (value, count) in values.iter().zip(read(&app.meter)) {
                if count > 0 {
                    let labels = [("app", app.app.as_str()), (label, *value)];
                    let mut family = metric.encode_family(&labels)?;
                    family.encode_counter::<NoLabels, _, u64>(&count, None)?;
                }
            }
        }
    }
    encode_sums(encoder, apps)
}

fn encode_sums(encoder: &mut DescriptorEncoder<'_>, apps: &[AppReading]) -> fmt::Result {
    type Read = fn(&AppMeter) -> u64;
    let sums: [(&str, &str, Option<Unit>, Read); 6] = [
        (
            "instances_restored",
            "Instances put back to their beginning after a call",
            None,
            |meter| meter.sum(|counters| &counters.restored),
        ),
        ("guest_fuel", "Fuel consumed by guests", None, |meter| meter.totals().0),
        ("guest_memory_refused", "Calls that failed for want of memory", None, |meter| {
            meter.sum(|counters| &counters.memory_refused)
        }),
        (
            "capsules_too_large",
            "Failed calls that left no capsule for want of room",
            None,
            |meter| meter.capsules_too_large.load(Ordering::Relaxed),
        ),
        ("outbound_denied", "Outbound requests the app may not make", None, |meter| {
            meter.outbound_denied.load(Ordering::Relaxed)
        }),
        ("http_server_response_body", "Response body bytes", Some(Unit::Bytes), |meter| {
            meter.sum(|counters| &counters.response_bytes)
        }),
    ];
    for (name, help, unit, read) in sums {
        let mut metric =
            encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for app in apps {
            let value = read(&app.meter);
            let labels = [("app", app.app.as_str())];
            let mut family = metric.encode_family(&labels)?;
            family.encode_counter::<NoLabels, _, u64>(&value, None)?;
        }
    }
    let mut metric = encoder.encode_descriptor(
        "guest_cpu",
        "CPU time guests ran for",
        Some(&Unit::Seconds),
        MetricType::Counter,
    )?;
    for app in apps {
        let (_, cpu, _) = app.meter.totals();
        let labels = [("app", app.app.as_str())];
        let mut family = metric.encode_family(&labels)?;
        family.encode_counter::<NoLabels, _, u64>(&cpu.as_secs_f64(), None)?;
    }
    let mut metric = encoder.encode_descriptor(
        "call_wait",
        "Time that calls which are over have waited, by what they waited for",
        Some(&Unit::Seconds),
        MetricType::Counter,
    )?;
    for app in apps {
        for (phase, spent) in app.meter.waits() {
            let labels = [("app", app.app.as_str()), ("phase", phase.code())];
            let mut family = metric.encode_family(&labels)?;
            family.encode_counter::<NoLabels, _, u64>(&spent.as_secs_f64(), None)?;
        }
    }
    let mut metric = encoder.encode_descriptor(
        "requests_shed",
        "Requests refused for want of room",
        None,
        MetricType::Counter,
    )?;
    for app in apps {
        for (reason, count) in app.meter.refused() {
            let labels = [("app", app.app.as_str()), ("reason", reason)];
            metric.encode_family(&labels)?.encode_counter::<NoLabels, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

fn encode_gauges(encoder: &mut DescriptorEncoder<'_>, apps: &[AppReading]) -> fmt::Result {
    type Read = fn(&AppReading) -> u64;
    let gauges: [(&str, &str, Option<Unit>, Read); 5] = [
        ("http_server_active_requests", "Calls that run", None, |app| u64::from(app.running)),
        ("http_server_waiting_requests", "Calls that wait", None, |app| u64::from(app.waiting)),
        ("guest_memory_peak", "The most memory one call had", Some(Unit::Bytes), |app| {
            app.meter.totals().2
        }),
        ("guest_memory_in_use", "Memory that instances hold", Some(Unit::Bytes), |app| {
            app.memory_used
        }),
        ("guest_memory_limit", "Memory one call may have", Some(Unit::Bytes), |app| {
            app.meter.memory_limit.load(Ordering::Relaxed)
        }),
    ];
    for (name, help, unit, read) in gauges {
        let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for app in apps {
            let labels = [("app", app.app.as_str())];
            let mut family = metric.encode_family(&labels)?;
            family.encode_gauge(&i64::try_from(read(app)).unwrap_or(i64::MAX))?;
        }
    }
    Ok(())
}

fn encode_host(encoder: &mut DescriptorEncoder<'_>, host: &HostReading) -> fmt::Result {
    let gauges = [
        ("pool_slots_used", "Instance slots in use", u64::from(host.slots_used)),
        ("pool_slots", "Instance slots there are", u64::from(host.slots_total)),
        ("apps", "Apps that are deployed", host.apps),
        ("apps_mapped", "Apps whose code is mapped", host.apps_mapped),
        ("http_server_connections", "Open client connections", host.connections),
        (
            "disk_components_bytes",
            "What components and compiled code take on the disk",
            host.disk_used,
        ),
        ("disk_components_bound_bytes", "What they may take; 0 for no bound", host.disk_bound),
        ("problems", "Open problems of apps here, and of what this host lacks", host.problems),
        ("telemetry_bytes", "What log lines, last calls, counters and events take", host.telemetry),
        ("host_uptime_seconds", "Seconds since the host started", host.uptime.as_secs()),
    ];
    for (name, help, value) in gauges {
        let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        encode_gauge(gauge, value)?;
    }
    for (name, help, value) in [
        (
            "http_server_unrouted_requests",
            "Requests refused before an app was found for them",
            host.unrouted,
        ),
        (
            "disk_evicted",
            "Components, and compiled code of components, removed for want of room",
            host.disk_evicted,
        ),
        (
            "access_log_lines_left_out",
            "Lines of the access log that could not be written in time, or at all",
            host.access_log_left_out,
        ),
    ] {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabels, _, u64>(&value, None)?;
    }
    certificates::encode(encoder, &host.certificates)?;
    told::encode(encoder, ("otlp_spans", "Spans"), host.spans.as_ref())?;
    told::encode(encoder, ("otlp_points", "Points of metrics"), host.points.as_ref())?;
    told::encode(encoder, ("otlp_log_records", "Log records"), host.log_records.as_ref())?;
    if let Some(fleet) = &host.fleet {
        fleet.encode(encoder)?;
    }
    if count::IS_ON {
        encode_shared(encoder)?;
    }
    let mut metric =
        encoder.encode_descriptor("host_build", "The running version", None, MetricType::Info)?;
    metric.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

/// What calls have done to what all cores share, by the place in the source; counted in such builds only.
fn encode_shared(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Locks taken and shared lines written on threads that serve calls";
    let mut metric = encoder.encode_descriptor("shared_uses", help, None, MetricType::Counter)?;
    for (kind, at, count) in count::all() {
        let labels = [("kind", kind.name()), ("at", at.as_str())];
        metric.encode_family(&labels)?.encode_counter::<NoLabels, _, u64>(&count, None)?;
    }
    Ok(())
}

fn encode_gauge(mut encoder: MetricEncoder<'_>, value: u64) -> fmt::Result {
    encoder.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Apps(u32);

    impl Readings for Apps {
        fn apps(&self) -> Vec<AppReading> {
            let meter = AppMeters::new(Arc::default(), steerage_core::units::Bytes::ZERO).meter();
            let reading = |number| AppReading {
                app: format!("app-{number}"),
                running: 0,
                waiting: 0,
                memory_used: 0,
                meter: meter.clone(),
                destinations: Arc::default(),
            };
            (0..self.0).map(reading).collect()
        }

        fn host(&self) -> HostReading {
            HostReading::default()
        }

        fn receivers(&self) -> Vec<ReceiverReading> {
            Vec::new()
        }
    }

    #[test]
    fn the_metrics_of_many_apps_are_never_held_whole() {
        let (mut n_bytes, mut longest) = (0, 0);
        let written = write(Apps(5_000), Form::Classic, |piece| {
            n_bytes += piece.len();
            longest = longest.max(piece.len());
            Ok(())
        });
        assert_eq!(written, Ok(()));
        assert!(n_bytes > 5 << 20, "{n_bytes} bytes in all");
        assert!(longest < 128 << 10, "{longest} bytes at once");
    }

    #[test]
    fn who_goes_away_ends_the_writing() {
        let mut n_pieces = 0;
        let written = write(Apps(1_000), Form::Open, |_| {
            n_pieces += 1;
            if n_pieces == 3 { Err(fmt::Error) } else { Ok(()) }
        });
        assert_eq!((written, n_pieces), (Err(fmt::Error), 3));
    }
}
