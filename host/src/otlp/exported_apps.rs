//! Which apps and kinds of calls have series of their own at a collector, and what each series says: so a host of
//! 100,000 apps tells as much as one of some hundred.
//! Does not read apps, and writes no message.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use steerage_core::latency::BOUNDS;
use steerage_core::otlp::{CountingApp, Series};
use steerage_core::outcome::Outcome;
use steerage_core::units::{Bytes, nanoseconds};

use super::exemplars::TakenExemplars;
use super::families::{APP_ATTRIBUTE, OVERFLOW, Starts};
use super::message::KeyValue;
use super::metric_message::HistogramPoint;
use crate::telemetry::metrics::{
    APP_COUNTERS, AppMeter, AppMeters, AppReading, DURATION_COUNTERS, HttpKind,
};

/// So many apps have series of their own: at 10 KB each that is 5 MB in each export.
const MOST_APPS: usize = 500;
/// So many kinds of calls have, of all apps: by the specification 2,000 series of a metric are the most.
const MOST_KINDS: usize = 1_999;

/// A kind of calls of one app; `None` for those of it that it does not count apart.
type AppKind = (Arc<str>, Option<HttpKind>);

/// The series of all apps.
#[derive(Debug)]
pub(super) struct ExportedApps {
    began_at: u64,
    apps: Series<Arc<str>, APP_COUNTERS>,
    kinds: Series<AppKind, DURATION_COUNTERS>,
    /// Those that were noted last: what is gone of them counted until it went.
    before: HashMap<Arc<str>, Arc<AppMeter>>,
    meters: AppMeters,
}

impl ExportedApps {
    /// Of a host that counts since then, in nanoseconds since 1970.
    pub(super) fn since(began_at: u64) -> Self {
        Self {
            began_at,
            apps: Series::new(MOST_APPS, began_at),
            kinds: Series::new(MOST_KINDS, began_at),
            before: HashMap::new(),
            meters: AppMeters::new(Arc::default(), Bytes::ZERO),
        }
    }

    /// This is what all apps say now.
    pub(super) fn note(&mut self, now: u64, readings: &[AppReading]) {
        let (mut apps, mut kinds) = (Vec::with_capacity(readings.len()), Vec::new());
        let (mut before, mut is_there) = (HashMap::with_capacity(readings.len()), HashSet::new());
        for reading in readings {
            let app: Arc<str> = reading.app.as_str().into();
            before.insert(app.clone(), reading.meter.clone());
            is_there.insert(Arc::as_ptr(&reading.meter));
            for kind in reading.meter.http_kinds() {
                let [of_calls @ .., _] = reading.meter.http_durations(kind);
                let (app, weight) = ((app.clone(), kind), of_calls.iter().sum());
                kinds.push(CountingApp { app, weight, counters: (reading, kind) });
            }
            let weight = reading.meter.calls().0;
            apps.push(CountingApp { app, weight, counters: reading });
        }
        let (mut gone, mut gone_kinds) = ([0; APP_COUNTERS], [0; DURATION_COUNTERS]);
        let all_gone = self.before.values().filter(|meter| !is_there.contains(&Arc::as_ptr(meter)));
        for meter in all_gone {
            add(&mut gone, &meter.growing());
            for kind in meter.http_kinds() {
                add(&mut gone_kinds, &meter.http_durations(kind));
            }
        }
        self.apps.note(now, apps, &gone, |reading| reading.meter.growing());
        self.kinds
            .note(now, kinds, &gone_kinds, |(reading, kind)| reading.meter.http_durations(*kind));
        self.before = before;
    }

    /// What is told of apps: each that has series of its own, and all others as one without a name, which comes
    /// first. `readings` are those that were noted last.
    pub(super) fn readings(&self, now: u64, readings: &[AppReading]) -> (Vec<AppReading>, Starts) {
        let by_name: HashMap<&str, &AppReading> =
            readings.iter().map(|reading| (reading.app.as_str(), reading)).collect();
        let own: BTreeSet<&str> =
            self.apps.each().filter_map(|point| Some(&**point.app?)).collect();
        let others: Vec<&AppReading> =
            readings.iter().filter(|reading| !own.contains(reading.app.as_str())).collect();
        let (mut told, mut apps) = (Vec::new(), HashMap::new());
        for point in self.apps.each() {
            let Some(app) = point.app else {
                if !others.is_empty() || point.counts.iter().any(|count| *count > 0) {
                    told.insert(0, self.together(&others, point.counts));
                }
                continue;
            };
            let Some(reading) = by_name.get(&**app) else { continue };
            let of_app = now.saturating_sub(nanoseconds(reading.meter.age())).max(self.began_at);
            apps.insert(app.to_string(), (point.since, of_app));
            let meter = self.meters.meter();
            meter.set_growing(point.counts);
            meter.set_memory_peak(reading.meter.totals().2);
            let limit = reading.meter.memory_limit.load(Ordering::Relaxed);
            meter.memory_limit.store(limit, Ordering::Relaxed);
            told.push(AppReading { meter, ..(*reading).clone() });
        }
        (told, Starts { host: self.began_at, apps })
    }

    /// All that have no series of their own. What cannot be added up is the highest of them.
    fn together(&self, others: &[&AppReading], counts: &[u64; APP_COUNTERS]) -> AppReading {
        let meter = self.meters.meter();
        meter.set_growing(counts);
        let peaks = others.iter().map(|reading| reading.meter.totals().2);
        meter.set_memory_peak(peaks.max().unwrap_or(0));
        let limits =
            others.iter().map(|reading| reading.meter.memory_limit.load(Ordering::Relaxed));
        meter.memory_limit.store(limits.max().unwrap_or(0), Ordering::Relaxed);
        AppReading {
            app: String::new(),
            running: others.iter().map(|reading| reading.running).sum(),
            waiting: others.iter().map(|reading| reading.waiting).sum(),
            memory_used: others.iter().map(|reading| reading.memory_used).sum(),
            meter,
            destinations: Arc::default(),
        }
    }

    /// How long calls took, by the conventions for HTTP, with examples of those that have series of their own.
    pub(super) fn durations(
        &self,
        now: u64,
        mut exemplars: TakenExemplars,
    ) -> impl Iterator<Item = HistogramPoint> {
        let bounds: Vec<f64> = BOUNDS.iter().map(Duration::as_secs_f64).collect();
        self.kinds.each().filter_map(move |point| {
            let [bucket_counts @ .., of_ns] = point.counts;
            let count = bucket_counts.iter().sum();
            // Nobody is without series of its own.
            if point.app.is_none() && count == 0 {
                return None;
            }
            let exemplars = match point.app {
                Some((app, Some(kind))) => exemplars.of(app, *kind),
                _ => Vec::new(),
            };
            Some(HistogramPoint {
                start_time_unix_nano: point.since,
                time_unix_nano: now,
                count,
                sum: Some(Duration::from_nanos(*of_ns).as_secs_f64()),
                bucket_counts: bucket_counts.to_vec(),
                explicit_bounds: bounds.clone(),
                exemplars,
                attributes: attributes(point.app),
            })
        })
    }
}

fn add<const N: usize>(sums: &mut [u64; N], more: &[u64; N]) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
}

fn attributes(of: Option<&AppKind>) -> Vec<KeyValue> {
    let app = of.map(|(app, _)| KeyValue::string(APP_ATTRIBUTE, &**app));
    let Some((_, Some(kind))) = of else {
        return app.into_iter().chain([KeyValue::bool(OVERFLOW, true)]).collect();
    };
    let mut all: Vec<KeyValue> = app.into_iter().collect();
    all.push(KeyValue::string("http.request.method", kind.method));
    if kind.status > 0 {
        all.push(KeyValue::int("http.response.status_code", kind.status));
    }
    // As in the span of such a call.
    if kind.cause != Outcome::Answered.cause() {
        all.push(KeyValue::string("error.type", kind.cause));
    } else if kind.status >= 500 {
        all.push(KeyValue::string("error.type", kind.status.to_string()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Usage;

    const KIND: HttpKind = HttpKind { method: "GET", status: 200, cause: "answered" };

    fn call(reading: &AppReading, n_calls: u64) {
        for _ in 0..n_calls {
            let took = Duration::from_millis(3);
            reading.meter.record(&Outcome::Answered, 200, took, &Usage::default(), 7);
            reading.meter.record_http(KIND, took);
        }
    }

    fn reading(name: usize) -> AppReading {
        AppReading {
            app: format!("app-{name:06}"),
            running: 1,
            waiting: 0,
            memory_used: 10,
            meter: AppMeters::new(Arc::default(), Bytes::ZERO).meter(),
            destinations: Arc::default(),
        }
    }

    #[test]
    fn however_many_apps_there_are_few_have_their_own_and_all_calls_are_told() {
        const APPS: usize = 3_000;
        let all: Vec<AppReading> = (0..APPS).map(reading).collect();
        let mut told = ExportedApps::since(1);
        // Those with the highest numbers are called most.
        (0..).zip(&all).for_each(|(place, app)| call(app, 1 + place / 1_000));
        let n_calls = 1_000 + 2_000 + 3_000;
        all[0].meter.memory_limit.store(9, Ordering::Relaxed);
        told.note(5, &all);
        let (readings, starts) = told.readings(5, &all);
        assert_eq!((readings.len(), starts.apps.len()), (MOST_APPS + 1, MOST_APPS));
        let calls = |readings: &[AppReading]| -> u64 {
            readings.iter().map(|reading| reading.meter.calls().0).sum()
        };
        assert_eq!(calls(&readings), n_calls);
        let running: u32 = readings.iter().map(|reading| reading.running).sum();
        let memory: u64 = readings.iter().map(|reading| reading.memory_used).sum();
        assert_eq!((running, memory), (3_000, 30_000));
        let (others, own) = readings.split_first().unwrap();
        assert!(others.app.is_empty() && own.iter().all(|own| own.meter.calls().0 == 3));
        assert_eq!(others.meter.memory_limit.load(Ordering::Relaxed), 9);

        let durations =
            |told: &ExportedApps| told.durations(5, TakenExemplars::default()).collect::<Vec<_>>();
        let first = durations(&told);
        assert_eq!(first.len(), MOST_KINDS + 1);
        assert_eq!(first.iter().map(|point| point.count).sum::<u64>(), n_calls);
        let overflow = first.last().unwrap();
        assert_eq!(overflow.attributes, [KeyValue::bool(OVERFLOW, true)]);
        assert!(first.iter().all(|point| point.bucket_counts.iter().sum::<u64>() == point.count));

        // Nothing happens, and nothing else is told.
        told.note(6, &all);
        assert_eq!(calls(&told.readings(6, &all).0), n_calls);
        let again = durations(&told);
        assert!(again.iter().zip(&first).all(|(one, other)| one.count == other.count));

        // One has a series of its own for a while and goes, and what it counted last is told all the same.
        call(&all[0], 1_000);
        call(&all[1], 5);
        told.note(7, &all);
        call(&all[0], 3);
        call(&all[2], 7);
        told.note(8, &all[1..]);
        let calls = calls(&told.readings(8, &all[1..]).0);
        // Two gave way to these, and what their own series had told is told no more: three calls each.
        assert_eq!(calls, n_calls + 1_000 + 5 + 3 + 7 - 2 * 3);
    }

    #[test]
    fn how_a_call_ended_is_told_as_in_its_span() {
        let of = |status, cause| {
            let key = ("a".into(), Some(HttpKind { status, cause, ..KIND }));
            let all = attributes(Some(&key));
            all.into_iter().map(|attribute| attribute.key).collect::<Vec<_>>().join(" ")
        };
        let known = "steerage.app http.request.method";
        assert_eq!(of(200, "answered"), format!("{known} http.response.status_code"));
        assert_eq!(of(503, "answered"), format!("{known} http.response.status_code error.type"));
        assert_eq!(of(0, "client_gone"), format!("{known} error.type"));
        let others = attributes(Some(&("a".into(), None)));
        assert_eq!(others, [KeyValue::string(APP_ATTRIBUTE, "a"), KeyValue::bool(OVERFLOW, true)]);
    }
}
