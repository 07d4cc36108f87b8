//! Reads what a collector gets of logs, by the field numbers of `opentelemetry/proto/logs/v1/logs.proto`, written here
//! by hand as in `decode`.
//! Does not judge what it reads.

use std::collections::BTreeMap;

use serde_json::Value;

use super::decode::{attribute, each, fields};

/// A log record as a collector sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogRecord {
    pub(crate) time: u64,
    pub(crate) observed: u64,
    /// 0 where none is known.
    pub(crate) severity: u64,
    pub(crate) severity_text: String,
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) flags: u64,
    /// Empty where it has none.
    pub(crate) trace: String,
    pub(crate) span: String,
    pub(crate) event: String,
    pub(crate) resource: BTreeMap<String, Value>,
    pub(crate) scope: String,
}

fn record(bytes: &[u8]) -> LogRecord {
    let mut record = LogRecord::default();
    for (number, field) in fields(bytes) {
        match number {
            1 => record.time = field.number(),
            2 => record.severity = field.number(),
            3 => record.severity_text = field.text(),
            5 => {
                let (kind, text) = &fields(field.bytes())[0];
                assert_eq!(*kind, 1, "a text");
                record.body = text.text();
            }
            6 => {
                let (name, value) = attribute(field.bytes());
                let before = record.attributes.insert(name, value);
                assert_eq!(before, None, "a name is there once");
            }
            8 => record.flags = field.number(),
            9 => record.trace = field.hex(),
            10 => record.span = field.hex(),
            11 => record.observed = field.number(),
            12 => record.event = field.text(),
            other => panic!("no field of a log record that a host sends: {other}"),
        }
    }
    record
}

/// The log records in one request to a collector.
pub(crate) fn records(request: &[u8]) -> Vec<LogRecord> {
    each(request, |resource, scope, bytes| LogRecord { resource, scope, ..record(bytes) })
}
