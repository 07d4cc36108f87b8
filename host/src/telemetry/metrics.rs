//! Every metric, declared once, with its unit in its name. Labels are bounded sets: apps, causes,
//! status classes; never paths, hosts or digests.
//! Does not collect in the background: numbers are read when somebody asks.

mod buckets;
mod fleet;
pub mod form;

pub use self::fleet::FleetReading;

use self::buckets::Buckets;
use self::form::{Form, Pieces};

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use steerage_core::outcome::Outcome;
use steerage_core::units::nanoseconds;

use crate::call::Usage;

/// The causes that are want of room.
const SHED: [&str; 7] = [
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

/// The numbers of one app, written by its calls without any look-up.
#[derive(Debug, Default)]
pub struct AppMeter {
    by_cause: [AtomicU64; Outcome::CAUSES.len()],
    by_status: [AtomicU64; STATUS_CLASSES.len()],
    duration: Buckets,
    instantiate: Buckets,
    fuel: AtomicU64,
    cpu_nanoseconds: AtomicU64,
    memory_peak: AtomicU64,
    response_bytes: AtomicU64,
    memory_refused: AtomicU64,
    errors: AtomicU64,
    /// Instances that were put back after a call.
    pub restored: AtomicU64,
    /// Those that should have been and were not, by the reason: see [`NOT_RESTORED`].
    pub not_restored: [AtomicU64; NOT_RESTORED.len()],
    /// Memory one call of the app may have, in bytes.
    pub memory_limit: AtomicU64,
    /// Outbound requests the policy refused.
    pub outbound_denied: std::sync::Arc<AtomicU64>,
}

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
    pub meter: std::sync::Arc<AppMeter>,
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
    /// Calls refused before an app was found for them.
    pub unrouted: u64,
    /// Seconds since the host started.
    pub uptime: Duration,
    /// Its fleet, if it has one.
    pub fleet: Option<FleetReading>,
}

/// Where readings come from.
pub trait Readings: Send + Sync + fmt::Debug + 'static {
    /// All apps that were called, in order of their names.
    fn apps(&self) -> Vec<AppReading>;
    /// The host itself.
    fn host(&self) -> HostReading;
}

impl AppMeter {
    /// Counts one call that is over.
    pub fn record(
        &self,
        outcome: &Outcome,
        status: u16,
        duration: Duration,
        usage: &Usage,
        bytes: u64,
    ) {
        let cause = outcome.cause();
        let position = Outcome::CAUSES.iter().position(|known| *known == cause);
        if let Some(counter) = position.and_then(|position| self.by_cause.get(position)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(counter) = self.by_status.get(usize::from(status / 100)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.duration.record(duration);
        if usage.instantiate > Duration::ZERO {
            self.instantiate.record(usage.instantiate);
        }
        self.fuel.fetch_add(usage.fuel.get(), Ordering::Relaxed);
        self.add_cpu(usage.cpu.saturating_sub(usage.cpu_counted));
        self.memory_peak.fetch_max(usage.memory.get(), Ordering::Relaxed);
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
        if matches!(outcome, Outcome::Answered) && status >= 500 {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(outcome, Outcome::OutOfMemory { .. }) {
            self.memory_refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts CPU time of a call that is not over: one that runs for minutes is seen while it does.
    pub fn add_cpu(&self, used: Duration) {
        self.cpu_nanoseconds.fetch_add(nanoseconds(used), Ordering::Relaxed);
    }

    /// Calls that are over, and those of them that did not end well through the app's fault.
    #[must_use]
    pub fn calls(&self) -> (u64, u64) {
        let total = self.by_cause.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        // The causes from `trapped` to `no_answer` are the guest's own failures.
        let failed =
            self.by_cause.iter().skip(1).take(6).map(|count| count.load(Ordering::Relaxed));
        (total, failed.sum())
    }

    /// Calls that the app itself answered with a status of class 5xx. The sandbox sees no failure in
    /// them, and callers do.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Calls that were refused for want of room, by cause.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let causes = Outcome::CAUSES.iter().zip(&self.by_cause);
        causes
            .filter(|(cause, _)| SHED.contains(cause))
            .map(|(cause, count)| (*cause, count.load(Ordering::Relaxed)))
    }

    /// Fuel, CPU time and the highest memory of all calls so far.
    #[must_use]
    pub fn totals(&self) -> (u64, Duration, u64) {
        (
            self.fuel.load(Ordering::Relaxed),
            Duration::from_nanos(self.cpu_nanoseconds.load(Ordering::Relaxed)),
            self.memory_peak.load(Ordering::Relaxed),
        )
    }
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
        encode_gauges(&mut encoder, &apps)?;
        encode_host(&mut encoder, &self.readings.host())
    }
}

fn encode_histograms(encoder: &mut DescriptorEncoder<'_>, apps: &[AppReading]) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(
        "http_server_request_duration",
        "From accepting a request to the last response byte",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for app in apps {
        app.meter.duration.encode(metric.encode_family(&[("app", app.app.as_str())])?)?;
    }
    let mut metric = encoder.encode_descriptor(
        "instantiate_duration",
        "Time to make an instance for a call",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for app in apps {
        app.meter.instantiate.encode(metric.encode_family(&[("app", app.app.as_str())])?)?;
    }
    Ok(())
}

fn encode_counters(encoder: &mut DescriptorEncoder<'_>, apps: &[AppReading]) -> fmt::Result {
    type Family<'m> = (&'static [&'static str], &'m [AtomicU64]);
    type Read = for<'m> fn(&'m AppMeter) -> Family<'m>;
    let families: [(&str, &str, &str, Read); 3] = [
        ("http_server_requests", "Requests answered, by status class", "status", |meter| {
            (&STATUS_CLASSES, &meter.by_status)
        }),
        ("guest_calls", "Calls that are over, by the cause of their end", "cause", |meter| {
            (&Outcome::CAUSES, &meter.by_cause)
        }),
        (
            "instances_not_restored",
            "Instances dropped that were to be put back, by the reason",
            "reason",
            |meter| (&NOT_RESTORED, &meter.not_restored),
        ),
    ];
    for (name, help, label, read) in families {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for app in apps {
            let (values, counters) = read(&app.meter);
            for (value, counter) in values.iter().zip(counters) {
                let count = counter.load(Ordering::Relaxed);
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
    let sums: [(&str, &str, Option<Unit>, Read); 5] = [
        (
            "instances_restored",
            "Instances put back to their beginning after a call",
            None,
            |meter| meter.restored.load(Ordering::Relaxed),
        ),
        ("guest_fuel", "Fuel consumed by guests", None, |meter| meter.fuel.load(Ordering::Relaxed)),
        ("guest_memory_refused", "Calls that failed for want of memory", None, |meter| {
            meter.memory_refused.load(Ordering::Relaxed)
        }),
        ("outbound_denied", "Outbound requests the app may not make", None, |meter| {
            meter.outbound_denied.load(Ordering::Relaxed)
        }),
        ("http_server_response_body", "Response body bytes", Some(Unit::Bytes), |meter| {
            meter.response_bytes.load(Ordering::Relaxed)
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
            app.meter.memory_peak.load(Ordering::Relaxed)
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
        ("host_uptime_seconds", "Seconds since the host started", host.uptime.as_secs()),
    ];
    for (name, help, value) in gauges {
        let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        encode_gauge(gauge, value)?;
    }
    let mut metric = encoder.encode_descriptor(
        "http_server_unrouted_requests",
        "Requests refused before an app was found for them",
        None,
        MetricType::Counter,
    )?;
    metric.encode_counter::<NoLabels, _, u64>(&host.unrouted, None)?;
    if let Some(fleet) = &host.fleet {
        fleet.encode(encoder)?;
    }
    let mut metric =
        encoder.encode_descriptor("host_build", "The running version", None, MetricType::Info)?;
    metric.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

fn encode_gauge(mut encoder: MetricEncoder<'_>, value: u64) -> fmt::Result {
    encoder.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Debug)]
    struct Apps(u32);

    impl Readings for Apps {
        fn apps(&self) -> Vec<AppReading> {
            let meter = Arc::new(AppMeter::default());
            let reading = |number| AppReading {
                app: format!("app-{number}"),
                running: 0,
                waiting: 0,
                memory_used: 0,
                meter: meter.clone(),
            };
            (0..self.0).map(reading).collect()
        }

        fn host(&self) -> HostReading {
            HostReading::default()
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
