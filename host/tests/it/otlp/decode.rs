//! Reads what a collector gets, by the field numbers of `opentelemetry/proto/trace/v1/trace.proto` and what it
//! uses, written here by hand: what the host writes with must not be what a test reads with.
//! Does not judge what it reads.

use std::collections::BTreeMap;

use serde_json::Value;

/// A span as a collector sees it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty where it has none.
    pub(crate) parent: String,
    pub(crate) name: String,
    /// 2 is a server's, 3 a client's.
    pub(crate) kind: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: BTreeMap<String, Value>,
    /// What happened in it, and what is said of that.
    pub(crate) events: Vec<(String, BTreeMap<String, Value>)>,
    pub(crate) n_links_dropped: u64,
    /// 0 where nothing is said, 1 is well, 2 is an error.
    pub(crate) status: u64,
    pub(crate) message: String,
    pub(crate) flags: u64,
    pub(crate) resource: BTreeMap<String, Value>,
    pub(crate) scope: String,
}

pub(super) enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

impl Field<'_> {
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(bytes) => panic!("a number was expected: {bytes:?}"),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number) => panic!("bytes were expected: {number}"),
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    pub(super) fn hex(&self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return number;
        }
    }
}

pub(super) fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, Field::Number(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            5 => 4,
            other => panic!("no wire type of proto3: {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        bytes = rest;
        let field = match key & 7 {
            2 => Field::Bytes(value),
            _ => Field::Number(
                value.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
            ),
        };
        fields.push((key >> 3, field));
    }
    fields
}

pub(super) fn attribute(bytes: &[u8]) -> (String, Value) {
    let (mut name, mut value) = (String::new(), Value::Null);
    for (number, field) in fields(bytes) {
        match number {
            1 => name = field.text(),
            2 => {
                let (kind, field) = &fields(field.bytes())[0];
                value = match kind {
                    1 => field.text().into(),
                    2 => (field.number() != 0).into(),
                    // A signed number in two's complement.
                    3 => field.number().cast_signed().into(),
                    other => panic!("no value that a host sends: {other}"),
                };
            }
            other => panic!("no field of an attribute: {other}"),
        }
    }
    (name, value)
}

/// Each field 1 of a message is an attribute.
pub(super) fn attributes(bytes: &[u8]) -> BTreeMap<String, Value> {
    fields(bytes)
        .iter()
        .filter(|(number, _)| *number == 1)
        .map(|(_, field)| attribute(field.bytes()))
        .collect()
}

fn event(bytes: &[u8]) -> (String, BTreeMap<String, Value>) {
    let (mut name, mut attributes) = (String::new(), BTreeMap::new());
    for (number, field) in fields(bytes) {
        match number {
            1 => assert!(field.number() > 0, "when it was"),
            2 => name = field.text(),
            3 => attributes.extend([attribute(field.bytes())]),
            other => panic!("no field of an event: {other}"),
        }
    }
    (name, attributes)
}

fn span(bytes: &[u8]) -> Span {
    let mut span = Span {
        trace: String::new(),
        id: String::new(),
        parent: String::new(),
        name: String::new(),
        kind: 0,
        start: 0,
        end: 0,
        attributes: BTreeMap::new(),
        events: Vec::new(),
        n_links_dropped: 0,
        status: 0,
        message: String::new(),
        flags: 0,
        resource: BTreeMap::new(),
        scope: String::new(),
    };
    for (number, field) in fields(bytes) {
        match number {
            1 => span.trace = field.hex(),
            2 => span.id = field.hex(),
            4 => span.parent = field.hex(),
            5 => span.name = field.text(),
            6 => span.kind = field.number(),
            7 => span.start = field.number(),
            8 => span.end = field.number(),
            9 => span.attributes.extend([attribute(field.bytes())]),
            11 => span.events.push(event(field.bytes())),
            14 => span.n_links_dropped = field.number(),
            15 => {
                for (number, field) in fields(field.bytes()) {
                    match number {
                        2 => span.message = field.text(),
                        3 => span.status = field.number(),
                        other => panic!("no field of a status: {other}"),
                    }
                }
            }
            16 => span.flags = field.number(),
            other => panic!("no field of a span that a host sends: {other}"),
        }
    }
    span
}

/// The spans in one request to a collector.
pub(crate) fn spans(request: &[u8]) -> Vec<Span> {
    each(request, |resource, scope, bytes| Span { resource, scope, ..span(bytes) })
}

/// What is in one request to a collector, with its resource and the name of its scope: spans and log records lie in
/// the same fields.
pub(super) fn each<T>(
    request: &[u8],
    read: impl Fn(BTreeMap<String, Value>, String, &[u8]) -> T,
) -> Vec<T> {
    let mut all = Vec::new();
    for (number, of_resource) in fields(request) {
        assert_eq!(number, 1, "resources only");
        let (mut resource, mut scopes) = (BTreeMap::new(), Vec::new());
        let of_resource = fields(of_resource.bytes());
        for (number, field) in &of_resource {
            match number {
                1 => resource = attributes(field.bytes()),
                2 => scopes.push(field.bytes()),
                3 => assert!(field.text().starts_with("https://opentelemetry.io/schemas/")),
                other => panic!("no field of what is of a resource: {other}"),
            }
        }
        for scope in scopes {
            let mut name = String::new();
            for (number, field) in fields(scope) {
                match number {
                    1 => name = fields(field.bytes())[0].1.text(),
                    2 => all.push(read(resource.clone(), name.clone(), field.bytes())),
                    other => panic!("no field of what is of a scope: {other}"),
                }
            }
        }
    }
    all
}
