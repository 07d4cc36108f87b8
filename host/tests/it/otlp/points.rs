//! Reads what a collector gets of metrics, by the field numbers of `opentelemetry/proto/metrics/v1/metrics.proto`,
//! written here by hand as in `decode`.
//! Does not judge what it reads.

use std::collections::BTreeMap;

use serde_json::Value;

use super::decode::{Field, attribute, attributes, fields};

/// One point of a metric as a collector sees it.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) unit: String,
    /// `gauge`, `sum` or `histogram`.
    pub(crate) kind: &'static str,
    /// Whether it is a sum that only grows, or a histogram, that counts from its start on.
    pub(crate) is_cumulative: bool,
    pub(crate) start: u64,
    pub(crate) time: u64,
    pub(crate) attributes: BTreeMap<String, Value>,
    /// The number, or what a histogram adds up to.
    pub(crate) number: f64,
    /// Of a histogram how many there were, up to which bounds.
    pub(crate) count: u64,
    pub(crate) buckets: Vec<u64>,
    pub(crate) bounds: Vec<f64>,
    pub(crate) exemplars: Vec<Exemplar>,
    pub(crate) service: Value,
}

/// One of those that a histogram counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exemplar {
    pub(crate) time: u64,
    pub(crate) value: f64,
    pub(crate) trace: String,
    pub(crate) span: String,
}

impl Point {
    pub(crate) fn text(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Numbers of eight bytes, one after the other.
fn packed(field: &Field<'_>) -> Vec<u64> {
    let (numbers, rest) = field.bytes().as_chunks::<8>();
    assert!(rest.is_empty());
    numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
}

fn number_point(bytes: &[u8], of: &Point) -> Point {
    let mut point = of.clone();
    for (number, field) in fields(bytes) {
        match number {
            2 => point.start = field.number(),
            3 => point.time = field.number(),
            4 => point.number = f64::from_bits(field.number()),
            #[expect(clippy::cast_precision_loss, reason = "a test counts no further")]
            6 => point.number = field.number().cast_signed() as f64,
            7 => point.attributes.extend([attribute(field.bytes())]),
            other => panic!("no field of a number: {other}"),
        }
    }
    point
}

fn exemplar(bytes: &[u8]) -> Exemplar {
    let mut exemplar = Exemplar::default();
    for (number, field) in fields(bytes) {
        match number {
            2 => exemplar.time = field.number(),
            3 => exemplar.value = f64::from_bits(field.number()),
            4 => exemplar.span = field.hex(),
            5 => exemplar.trace = field.hex(),
            other => panic!("no field of an exemplar that a host sends: {other}"),
        }
    }
    exemplar
}

fn histogram_point(bytes: &[u8], of: &Point) -> Point {
    let mut point = of.clone();
    for (number, field) in fields(bytes) {
        match number {
            2 => point.start = field.number(),
            3 => point.time = field.number(),
            4 => point.count = field.number(),
            5 => point.number = f64::from_bits(field.number()),
            6 => point.buckets = packed(&field),
            7 => point.bounds = packed(&field).into_iter().map(f64::from_bits).collect(),
            8 => point.exemplars.push(exemplar(field.bytes())),
            9 => point.attributes.extend([attribute(field.bytes())]),
            other => panic!("no field of a histogram: {other}"),
        }
    }
    point
}

fn metric(bytes: &[u8], service: &Value) -> Vec<Point> {
    let mut of = Point {
        name: String::new(),
        unit: String::new(),
        kind: "",
        is_cumulative: false,
        start: 0,
        time: 0,
        attributes: BTreeMap::new(),
        number: 0.0,
        count: 0,
        buckets: Vec::new(),
        bounds: Vec::new(),
        exemplars: Vec::new(),
        service: service.clone(),
    };
    let mut data = Vec::new();
    for (number, field) in fields(bytes) {
        match number {
            1 => of.name = field.text(),
            2 => assert!(!field.text().is_empty()),
            3 => of.unit = field.text(),
            5 | 7 | 9 => {
                of.kind = if number == 5 {
                    "gauge"
                } else if number == 7 {
                    "sum"
                } else {
                    "histogram"
                };
                data = field.bytes().to_vec();
            }
            other => panic!("no field of a metric that a host sends: {other}"),
        }
    }
    let (mut points, mut temporality, mut is_monotonic) = (Vec::new(), 0, of.kind == "histogram");
    for (number, field) in fields(&data) {
        match (number, of.kind) {
            (1, "histogram") => points.push(histogram_point(field.bytes(), &of)),
            (1, _) => points.push(number_point(field.bytes(), &of)),
            (2, _) => temporality = field.number(),
            (3, "sum") => is_monotonic = field.number() == 1,
            (other, kind) => panic!("no field of a {kind}: {other}"),
        }
    }
    for point in &mut points {
        point.is_cumulative = temporality == 2 && is_monotonic;
    }
    points
}

/// The points in one request to a collector.
pub(crate) fn points(request: &[u8]) -> Vec<Point> {
    let mut points = Vec::new();
    for (number, of_resource) in fields(request) {
        assert_eq!(number, 1, "metrics of resources only");
        let (mut service, mut scopes) = (Value::Null, Vec::new());
        let of_resource = fields(of_resource.bytes());
        for (number, field) in &of_resource {
            match number {
                1 => service = attributes(field.bytes())["service.name"].clone(),
                2 => scopes.push(field.bytes()),
                3 => assert!(field.text().starts_with("https://opentelemetry.io/schemas/")),
                other => panic!("no field of the metrics of a resource: {other}"),
            }
        }
        for (number, field) in scopes.into_iter().flat_map(fields) {
            match number {
                1 => assert_eq!(fields(field.bytes())[0].1.text(), "steerage"),
                2 => points.extend(metric(field.bytes(), &service)),
                other => panic!("no field of the metrics of a scope: {other}"),
            }
        }
    }
    points
}
