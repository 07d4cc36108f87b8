//! Reads the metrics of this host as `telemetry::metrics` writes them, a line after the other, and makes points of
//! them: so what a collector is told and what `/metrics` shows have one source.
//! Does not know any metric, but for one that a collector is told in more detail.

use std::collections::HashMap;
use std::fmt;

use super::message::KeyValue;
use super::metric_message::{HistogramPoint, NumberPoint, PointNumber};
use super::point_requests::{MetricHead, MetricKind, PointRequests};

/// The label that names an app. In spans it has the other name.
const APP: &str = "app";
pub(super) const APP_ATTRIBUTE: &str = "steerage.app";
/// By the specification it stands on what several have together that have no points of their own.
pub(super) const OVERFLOW: &str = "otel.metric.overflow";
/// What has this label is counted since the app was called first, whichever apps have series of their own.
const DESTINATION: &str = "destination";
/// It is told by method and status, by the name that OpenTelemetry has for it: see `kinds`.
const IN_DETAIL: &str = "http_server_request_duration_seconds";

/// Names and values.
type Labels = Vec<(String, String)>;

/// Since when is counted, in nanoseconds since 1970.
#[derive(Debug)]
pub(super) struct Starts {
    /// What the host counts.
    pub(super) host: u64,
    /// Of each app its series, and what it counts itself.
    pub(super) apps: HashMap<String, (u64, u64)>,
}

/// What is read.
#[derive(Debug)]
pub(super) struct Families<'f> {
    starts: &'f Starts,
    now: u64,
    requests: &'f mut PointRequests,
    help: String,
    unit: &'static str,
    family: Option<(String, FamilyKind)>,
    /// Those that have a unit which is not known here.
    unknown: Vec<String>,
    /// Whether the family was begun at the requests: its unit comes after its type.
    is_begun: bool,
    histogram: Option<OpenHistogram>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FamilyKind {
    Counter,
    Gauge,
    Info,
    Histogram,
    /// It is told elsewhere, or not at all.
    LeftOut,
}

/// A histogram whose lines have not all come.
#[derive(Debug)]
struct OpenHistogram {
    labels: Labels,
    sum: f64,
    /// Bounds, and how many up to each.
    buckets: Vec<(f64, u64)>,
}

impl<'f> Families<'f> {
    /// Points of this moment, for `requests`.
    pub(super) fn new(starts: &'f Starts, now: u64, requests: &'f mut PointRequests) -> Self {
        Self {
            starts,
            now,
            requests,
            help: String::new(),
            unit: "",
            family: None,
            unknown: Vec::new(),
            is_begun: false,
            histogram: None,
        }
    }

    /// Reads whole lines.
    ///
    /// # Errors
    /// There is a line that is not understood, which is a bug.
    pub(super) fn read(&mut self, lines: &str) -> fmt::Result {
        lines.lines().try_for_each(|line| self.line(line).ok_or(fmt::Error))
    }

    /// Nothing more comes. Returns the families that are left out since their units are not known, which is a bug.
    pub(super) fn finish(mut self) -> Vec<String> {
        self.end_histogram();
        self.unknown
    }

    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(of) = line.strip_prefix("# HELP ") {
            self.end_histogram();
            let (_, help) = of.split_once(' ')?;
            help.trim_end_matches('.').clone_into(&mut self.help);
            return Some(());
        }
        if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ')?;
            let kind = match kind {
                _ if name == IN_DETAIL => FamilyKind::LeftOut,
                "counter" => FamilyKind::Counter,
                "gauge" => FamilyKind::Gauge,
                "info" => FamilyKind::Info,
                "histogram" => FamilyKind::Histogram,
                _ => return None,
            };
            self.family = Some((name.to_owned(), kind));
            (self.unit, self.is_begun) = ("", false);
            return Some(());
        }
        if let Some(of) = line.strip_prefix("# UNIT ") {
            match of.split_once(' ')?.1 {
                "seconds" => self.unit = "s",
                "bytes" => self.unit = "By",
                _ => self.leave_out()?,
            }
            return Some(());
        }
        if line == "# EOF" {
            return Some(());
        }
        self.sample(line)
    }

    /// The family at hand would be told with a wrong unit, and all others may be told all the same.
    fn leave_out(&mut self) -> Option<()> {
        let (name, kind) = self.family.as_mut()?;
        *kind = FamilyKind::LeftOut;
        self.unknown.push(name.clone());
        Some(())
    }

    fn sample(&mut self, line: &str) -> Option<()> {
        let (sample, labels, value) = parted(line)?;
        let (name, kind) = self.family.clone()?;
        let suffix = sample.strip_prefix(name.as_str())?;
        if !self.is_begun {
            self.is_begun = true;
            let is_info = kind == FamilyKind::Info;
            let kind = match kind {
                FamilyKind::Counter => MetricKind::Sum,
                FamilyKind::Gauge | FamilyKind::Info => MetricKind::Gauge,
                FamilyKind::Histogram | FamilyKind::LeftOut => MetricKind::Histogram,
            };
            // An info is called as its sample is, here as there.
            let name = if is_info { sample.to_owned() } else { name };
            let description = self.help.clone();
            self.requests.begin(MetricHead { name, description, unit: self.unit, kind });
        }
        match kind {
            FamilyKind::LeftOut => Some(()),
            FamilyKind::Histogram => self.part(suffix, labels, value),
            FamilyKind::Counter | FamilyKind::Gauge | FamilyKind::Info => {
                let is_sum = kind == FamilyKind::Counter;
                let start_time_unix_nano = if is_sum { self.start(&labels) } else { 0 };
                let number = match value.parse() {
                    Ok(whole) => PointNumber::Int(whole),
                    Err(_) => PointNumber::Double(value.parse().ok()?),
                };
                self.requests.add_number(NumberPoint {
                    start_time_unix_nano,
                    time_unix_nano: self.now,
                    attributes: attributes(labels),
                    number: Some(number),
                });
                Some(())
            }
        }
    }

    /// A part of a histogram.
    fn part(&mut self, suffix: &str, mut labels: Labels, value: &str) -> Option<()> {
        let bound = match labels.iter().position(|(name, _)| name == "le") {
            Some(place) => Some(labels.remove(place).1.parse::<f64>().ok()?),
            None => None,
        };
        if self.histogram.as_ref().is_none_or(|open| open.labels != labels) {
            self.end_histogram();
            self.histogram = Some(OpenHistogram { labels, sum: 0.0, buckets: Vec::new() });
        }
        let open = self.histogram.as_mut()?;
        match (suffix, bound) {
            ("_sum", None) => open.sum = value.parse().ok()?,
            // It is the same as what all buckets have.
            ("_count", None) => {}
            ("_bucket", Some(bound)) => open.buckets.push((bound, value.parse().ok()?)),
            _ => return None,
        }
        Some(())
    }

    fn end_histogram(&mut self) {
        let Some(open) = self.histogram.take() else { return };
        let mut before = 0;
        let up_to = open.buckets.iter().map(|(_, up_to)| *up_to);
        let bucket_counts =
            up_to.map(|up_to| up_to - std::mem::replace(&mut before, up_to)).collect();
        let bounds = open.buckets.iter().map(|(bound, _)| *bound);
        let point = HistogramPoint {
            start_time_unix_nano: self.start(&open.labels),
            time_unix_nano: self.now,
            count: before,
            sum: Some(open.sum),
            bucket_counts,
            // The last one is for all that is longer.
            explicit_bounds: bounds.filter(|bound| bound.is_finite()).collect(),
            exemplars: Vec::new(),
            attributes: attributes(open.labels),
        };
        self.requests.add_histogram(point);
    }

    fn start(&self, labels: &[(String, String)]) -> u64 {
        let app = labels.iter().find(|(name, _)| name == APP);
        let Some((of_series, of_app)) = app.and_then(|(_, app)| self.starts.apps.get(app)) else {
            return self.starts.host;
        };
        let is_of_app = labels.iter().any(|(name, _)| name == DESTINATION);
        if is_of_app { *of_app } else { *of_series }
    }
}

/// The attributes for labels. All apps without series of their own have no name.
fn attributes(labels: Labels) -> Vec<KeyValue> {
    let attribute = |(name, value): (String, String)| match (name.as_str(), value.as_str()) {
        (APP, "") => KeyValue::bool(OVERFLOW, true),
        (APP, _) => KeyValue::string(APP_ATTRIBUTE, value),
        _ => KeyValue::string(&name, value),
    };
    labels.into_iter().map(attribute).collect()
}

/// The name of a sample, its labels and its value.
fn parted(line: &str) -> Option<(&str, Labels, &str)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let Some(mut rest) = rest.strip_prefix('{') else {
        return Some((name, Vec::new(), rest.trim()));
    };
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(value) = rest.strip_prefix('}') {
            return Some((name, labels, value.trim()));
        }
        let (label, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquoted(quoted)?;
        labels.push((label.to_owned(), value));
        rest = after;
    }
}

/// A text up to its quote, without the escapes in it, and what comes after.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((text, quoted.get(at + 1..)?)),
            '\\' => match letters.next()?.1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::metric_message::{MetricMessage, MetricPoints};
    use super::*;

    fn read(lines: &str) -> Vec<MetricMessage> {
        let apps = HashMap::from([("a".to_owned(), (20, 30)), (String::new(), (10, 10))]);
        let starts = Starts { host: 10, apps };
        let mut requests = PointRequests::default();
        let mut families = Families::new(&starts, 99, &mut requests);
        families.read(lines).unwrap();
        families.finish();
        let requests = requests.finish();
        let metrics = requests.iter().flat_map(|request| &request.metrics);
        metrics.map(|metric| MetricMessage::decode(metric.clone()).unwrap()).collect()
    }

    #[test]
    fn lines_become_points_with_their_unit_and_start() {
        let told = read(
            "# HELP cpu_seconds CPU time.\n# TYPE cpu_seconds counter\n# UNIT cpu_seconds seconds\n\
             cpu_seconds_total{app=\"a\",x=\"q\\\"\\\\\\n,}\"} 1.5\n\
             cpu_seconds_total{app=\"\",destination=\"d\"} 2\n\
             cpu_seconds_total{app=\"a\",destination=\"d\"} 2\n\
             # HELP apps Apps.\n# TYPE apps gauge\napps -3\n\
             # HELP build Build.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n# EOF\n",
        );
        let [cpu, apps, build] = &told[..] else { panic!("{told:#?}") };
        assert_eq!(
            (cpu.name.as_str(), cpu.description.as_str(), cpu.unit.as_str()),
            ("cpu_seconds", "CPU time", "s")
        );
        let Some(MetricPoints::Sum(sum)) = &cpu.points else { panic!("{cpu:?}") };
        let numbers: Vec<_> = sum.points.iter().map(|point| point.number).collect();
        assert_eq!(
            numbers,
            [Some(PointNumber::Double(1.5)), Some(PointNumber::Int(2)), Some(PointNumber::Int(2))]
        );
        let starts: Vec<_> = sum.points.iter().map(|point| point.start_time_unix_nano).collect();
        assert_eq!(starts, [20, 10, 30]);
        let expected = [KeyValue::string(APP_ATTRIBUTE, "a"), KeyValue::string("x", "q\"\\\n,}")];
        assert_eq!(sum.points[0].attributes, expected);
        assert_eq!(sum.points[1].attributes[0], KeyValue::bool(OVERFLOW, true));
        let Some(MetricPoints::Gauge(gauge)) = &apps.points else { panic!("{apps:?}") };
        assert_eq!(gauge.points[0].number, Some(PointNumber::Int(-3)));
        assert_eq!(build.name, "build_info");
    }

    #[test]
    fn buckets_are_told_each_by_itself_and_what_is_told_in_detail_is_left_out() {
        let of = |name: &str| {
            format!(
                "# HELP {name} Time.\n# TYPE {name} histogram\n# UNIT {name} seconds\n\
                 {name}_sum{{app=\"a\"}} 2.5\n{name}_count{{app=\"a\"}} 6\n\
                 {name}_bucket{{le=\"0.1\",app=\"a\"}} 1\n\
                 {name}_bucket{{le=\"0.5\",app=\"a\"}} 4\n\
                 {name}_bucket{{le=\"+Inf\",app=\"a\"}} 6\n\
                 {name}_sum{{app=\"b\"}} 0.0\n{name}_count{{app=\"b\"}} 0\n\
                 {name}_bucket{{le=\"+Inf\",app=\"b\"}} 0\n"
            )
        };
        let told = read(&format!("{}{}", of(IN_DETAIL), of("x_seconds")));
        let [x] = &told[..] else { panic!("{told:#?}") };
        let Some(MetricPoints::Histogram(histogram)) = &x.points else { panic!("{x:?}") };
        let [a, b] = &histogram.points[..] else { panic!("{histogram:?}") };
        assert_eq!(
            (&a.bucket_counts[..], &a.explicit_bounds[..]),
            (&[1, 3, 2][..], &[0.1, 0.5][..])
        );
        assert_eq!((a.count, a.sum, a.start_time_unix_nano), (6, Some(2.5), 20));
        assert_eq!((b.count, b.start_time_unix_nano), (0, 10));
    }

    #[test]
    fn a_line_that_is_not_understood_is_no_point() {
        let starts = Starts { host: 0, apps: HashMap::new() };
        let mut requests = PointRequests::default();
        let mut families = Families::new(&starts, 0, &mut requests);
        for wrong in ["a 1", "# TYPE a summary", "# UNIT a parsecs"] {
            assert!(families.read(wrong).is_err(), "{wrong}");
        }
        // One whose unit is not known is left out, and no other.
        let family = |name: &str, unit: &str| {
            format!("# HELP {name} A.\n# TYPE {name} gauge\n# UNIT {name} {unit}\n{name} 1\n")
        };
        let mut told = PointRequests::default();
        let mut others = Families::new(&starts, 0, &mut told);
        let lines = ["seconds", "parsecs", "bytes"].map(|unit| family(&format!("a_{unit}"), unit));
        others.read(&lines.concat()).unwrap();
        assert_eq!(others.finish(), ["a_parsecs"]);
        assert_eq!(told.finish().iter().map(|request| request.n_points).sum::<u64>(), 2);
        families.read("# HELP a A.\n# TYPE a gauge").unwrap();
        for wrong in ["b 1", "a x", "a{b=\"} 1", "a{b} 1", "a"] {
            assert!(families.read(wrong).is_err(), "{wrong}");
        }
        assert!(requests.finish().is_empty());
    }
}
