//! Points of metrics as requests of a bounded size: a metric with too many points is in several.
//! Does not know where points come from, and does not send.

use bytes::Bytes;
use prost::Message as _;

use super::metric_message::{
    CUMULATIVE, GaugePoints, HistogramPoint, HistogramPoints, MetricMessage, MetricPoints,
    NumberPoint, SumPoints,
};

/// Points in one request at most: some 600 KB, where collectors take 4 MiB unless they are told otherwise.
const MOST: u64 = 2_000;

/// Metrics for one request.
#[derive(Debug, Default)]
pub(super) struct PointRequest {
    /// Each a `MetricMessage`, written already.
    pub(super) metrics: Vec<Bytes>,
    /// Points of all of them.
    pub(super) n_points: u64,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricKind {
    Gauge,
    Sum,
    Histogram,
}

/// What is said of a metric, whatever its points.
#[derive(Clone, Debug)]
pub(super) struct MetricHead {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) unit: &'static str,
    pub(super) kind: MetricKind,
}

/// Requests that are being made.
#[derive(Debug, Default)]
pub(super) struct PointRequests {
    done: Vec<PointRequest>,
    request: PointRequest,
    head: Option<MetricHead>,
    numbers: Vec<NumberPoint>,
    histograms: Vec<HistogramPoint>,
}

impl PointRequests {
    /// What comes now is of this metric.
    pub(super) fn begin(&mut self, head: MetricHead) {
        self.end_metric();
        self.head = Some(head);
    }

    /// A number of the metric that was begun.
    pub(super) fn add_number(&mut self, point: NumberPoint) {
        self.numbers.push(point);
        self.count();
    }

    /// A histogram of the metric that was begun.
    pub(super) fn add_histogram(&mut self, point: HistogramPoint) {
        self.histograms.push(point);
        self.count();
    }

    /// All requests.
    pub(super) fn finish(mut self) -> Vec<PointRequest> {
        self.end_request();
        self.done
    }

    fn count(&mut self) {
        self.request.n_points += 1;
        if self.request.n_points >= MOST {
            self.end_request();
        }
    }

    fn end_request(&mut self) {
        self.end_metric();
        let request = std::mem::take(&mut self.request);
        if request.n_points > 0 {
            self.done.push(request);
        }
    }

    /// More points of the same metric may come, for the next request.
    fn end_metric(&mut self) {
        let Some(head) = &self.head else { return };
        let numbers = std::mem::take(&mut self.numbers);
        let histograms = std::mem::take(&mut self.histograms);
        if numbers.is_empty() && histograms.is_empty() {
            return;
        }
        let (points, temporality) = (numbers, CUMULATIVE);
        let points = match head.kind {
            MetricKind::Gauge => MetricPoints::Gauge(GaugePoints { points }),
            MetricKind::Sum => {
                MetricPoints::Sum(SumPoints { points, temporality, is_monotonic: true })
            }
            MetricKind::Histogram => {
                MetricPoints::Histogram(HistogramPoints { points: histograms, temporality })
            }
        };
        let message = MetricMessage {
            name: head.name.clone(),
            description: head.description.clone(),
            unit: head.unit.to_owned(),
            points: Some(points),
        };
        self.request.metrics.push(Bytes::from(message.encode_to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_of_many_points_is_in_several_requests_and_none_is_lost() {
        let mut requests = PointRequests::default();
        for (name, n_points) in [("none", 0), ("many", 4_500), ("few", 3)] {
            let (name, description) = (name.to_owned(), String::new());
            requests.begin(MetricHead { name, description, unit: "", kind: MetricKind::Sum });
            for place in 0..n_points {
                let start_time_unix_nano = place;
                requests.add_number(NumberPoint { start_time_unix_nano, ..NumberPoint::default() });
            }
        }
        let requests = requests.finish();
        let n_points: Vec<_> = requests.iter().map(|request| request.n_points).collect();
        assert_eq!(n_points, [2_000, 2_000, 503]);
        let mut told: Vec<(String, Vec<u64>)> = Vec::new();
        for metric in requests.iter().flat_map(|request| &request.metrics) {
            let metric = MetricMessage::decode(metric.clone()).unwrap();
            let Some(MetricPoints::Sum(sum)) = metric.points else { panic!("{metric:?}") };
            assert!(sum.is_monotonic && sum.temporality == CUMULATIVE);
            let points = sum.points.iter().map(|point| point.start_time_unix_nano);
            match told.last_mut() {
                Some((name, all)) if *name == metric.name => all.extend(points),
                _ => told.push((metric.name, points.collect())),
            }
        }
        let expected =
            [("many".to_owned(), (0..4_500).collect()), ("few".to_owned(), vec![0, 1, 2])];
        assert_eq!(told, expected);
    }
}
