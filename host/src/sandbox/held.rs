//! What the host holds for one guest: the weight of the resources in its table, of its streams,
//! futures and tasks, and of the requests that it has sent.
//! Does not bound it: the limiter does. Weighs by looking, since the types of WASI and of 0.3 are not ours
//! to count in: after every so many calls, and as soon as headers and words of some size were added.
//!
//! The order of magnitude is what matters: a body is taken to be as full as it may get, and headers
//! of many lines as large as they may be.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use http_body::Body;
use steerage_core::units::Bytes;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{FieldMap, p3};

use super::BODY_CHUNK;
use super::database::DatabaseHandle;
use super::http02::{
    BodyInput, Fields, FutureResponse, FutureTrailers, IncomingBody, IncomingRequest,
    IncomingResponse, MOST_FIELDS, OutgoingBody, OutgoingRequest, OutgoingResponse,
};

/// Most resources of the host (bodies, streams, timers, headers) one guest may hold.
pub(super) const MOST_RESOURCES: usize = 1_000;

/// Calls of host functions between two looks, beside one for every few resources: a look then costs
/// some nanoseconds for each call, whatever the guest holds, and sees what few calls have added.
const EVERY: u32 = 16;
/// Resources looked at for each call of a host function.
const A_CALL: usize = 8;
/// Bytes that are looked at as soon as they were added: a guest may bring a megabyte with one call.
const AT_ONCE: usize = 64 << 10;
/// What a resource costs beside what it refers to: its place in the table and its own fields.
const RESOURCE: usize = 512;
/// What a stream, a future or a task costs that runs beside others, each of its ends counted. Timers
/// were measured to take 1.0 KiB, the ends of streams and futures a third of it.
const TASK: usize = 1024;
/// What a response of another server may have read ahead on its connection.
const READ_AHEAD: usize = 32 << 10;
/// What a body may have written and not had taken: two chunks.
const BODY: usize = 2 * BODY_CHUNK;
/// Headers of more lines than this are not added up.
const MOST_LINES: usize = 32;

/// What was found, and when to look again.
#[derive(Debug)]
pub(super) struct ResourceMeter {
    resources: Look,
    tasks: Look,
}

/// What one kind of things weighed when last looked at.
#[derive(Debug)]
struct Look {
    /// Calls of host functions until the next look.
    left: u32,
    bytes: usize,
    /// What was added since the last one, as far as it is known.
    added: usize,
}

/// Bytes of the requests of one instance that wait or are under way: they are in no table.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent(Arc<AtomicUsize>);

/// One of these requests.
#[derive(Debug)]
pub(super) struct InSent {
    all: Sent,
    bytes: usize,
}

impl ResourceMeter {
    pub(super) fn new() -> Self {
        Self { resources: Look::new(), tasks: Look::new() }
    }

    /// Takes note of bytes that are being added to what a resource holds, or to what one will hold.
    pub(super) fn add(&mut self, bytes: usize) {
        self.resources.add(bytes);
    }

    /// Counts a call of a host function; what all weighs when it is time to look at the resources, with
    /// the bytes of requests that were `sent`.
    #[inline]
    pub(super) fn look(&mut self, table: &mut ResourceTable, sent: usize) -> Option<Bytes> {
        if !self.resources.is_time() {
            return None;
        }
        let (mut n_resources, mut bytes) = (0, 0_usize);
        for resource in table.iter_mut() {
            n_resources += 1;
            bytes = bytes.saturating_add(RESOURCE).saturating_add(weight(resource));
        }
        // What is just being added is in no resource yet; of the rest a little counts twice.
        self.resources.found(n_resources, bytes.saturating_add(self.resources.added));
        Some(self.total(sent))
    }

    /// Counts one as well; whether it is time to count the tasks.
    #[inline]
    pub(super) fn is_time_for_tasks(&mut self) -> bool {
        self.tasks.is_time()
    }

    /// Takes note of how many tasks and ends of streams and futures there are; what all weighs.
    pub(super) fn found_tasks(&mut self, n_tasks: usize, sent: usize) -> Bytes {
        self.tasks.found(n_tasks, n_tasks.saturating_mul(TASK));
        self.total(sent)
    }

    fn total(&self, sent: usize) -> Bytes {
        let parts = [self.resources.bytes, self.tasks.bytes, sent];
        Bytes::new(parts.into_iter().fold(0, usize::saturating_add) as u64)
    }
}

impl Look {
    fn new() -> Self {
        Self { left: EVERY, bytes: 0, added: 0 }
    }

    fn add(&mut self, bytes: usize) {
        self.added = self.added.saturating_add(bytes);
        if self.added >= AT_ONCE {
            self.left = 0;
        }
    }

    #[inline]
    fn is_time(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }

    fn found(&mut self, number: usize, bytes: usize) {
        self.left = EVERY.saturating_add(u32::try_from(number / A_CALL).unwrap_or(u32::MAX));
        self.bytes = bytes;
        self.added = 0;
    }
}

impl Sent {
    /// What all of them weigh.
    pub(super) fn n_bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts this request, and its body as full as it may get, until that is dropped.
    pub(super) fn count<B: Body>(&self, request: &http::Request<B>) -> InSent {
        let uri = request.uri();
        let said = request.method().as_str().len()
            + uri.authority().map_or(0, |authority| authority.as_str().len())
            + uri.path_and_query().map_or(0, |path| path.as_str().len());
        let body = body(!request.body().is_end_stream());
        let bytes = fields_weight(request.headers()).saturating_add(said).saturating_add(body);
        self.0.fetch_add(bytes, Ordering::Relaxed);
        InSent { all: self.clone(), bytes }
    }
}

impl Drop for InSent {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn weight(resource: &(dyn Any + Send)) -> usize {
    if let Some(fields) = resource.downcast_ref::<Fields>() {
        fields_weight(fields.lines())
    } else if let Some(request) = resource.downcast_ref::<IncomingRequest>() {
        // An instance that serves again may hold those of its earlier calls.
        let path = request.head.uri.path_and_query().map_or(0, |path| path.as_str().len());
        let unread = if request.is_unread() { READ_AHEAD } else { 0 };
        fields_weight(request.shown_headers()).saturating_add(path).saturating_add(unread)
    } else if resource.is::<OutgoingBody>() {
        BODY
    } else if let Some(response) = resource.downcast_ref::<OutgoingResponse>() {
        fields_weight(response.headers.lines()).saturating_add(body(response.body.is_some()))
    } else if let Some(request) = resource.downcast_ref::<OutgoingRequest>() {
        let words = request.n_words().saturating_add(body(request.body.is_some()));
        fields_weight(request.headers.lines()).saturating_add(words)
    } else if let Some(response) = resource.downcast_ref::<IncomingResponse>() {
        fields_weight(response.headers.lines())
    } else if let Some(stream) = resource.downcast_ref::<BodyInput>() {
        stream.n_held()
    } else if let Some(database) = resource.downcast_ref::<DatabaseHandle>() {
        database.n_held()
    } else if is_coming(resource) {
        READ_AHEAD
    } else if let Some(map) = resource.downcast_ref::<FieldMap>() {
        fields_weight(map)
    } else if let Some(request) = resource.downcast_ref::<p3::Request>() {
        let path = request.path_with_query.as_ref().map_or(0, |path| path.as_str().len());
        let authority = request.authority.as_ref().map_or(0, |authority| authority.as_str().len());
        let words = path.saturating_add(authority).saturating_add(request.method.as_str().len());
        fields_weight(&request.headers).saturating_add(words)
    } else if let Some(response) = resource.downcast_ref::<p3::Response>() {
        fields_weight(&response.headers)
    } else {
        // The rest is small.
        0
    }
}

fn body(is_there: bool) -> usize {
    if is_there { BODY } else { 0 }
}

/// Whether more of it may have been read on its connection.
fn is_coming(resource: &(dyn Any + Send)) -> bool {
    resource.is::<IncomingBody>()
        || resource.is::<FutureResponse>()
        || resource.is::<FutureTrailers>()
}

/// What headers weigh.
pub(super) fn fields_weight(map: &HeaderMap) -> usize {
    if map.len() > MOST_LINES {
        return MOST_FIELDS;
    }
    // What the map keeps for each line beside its text.
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + 2 * size_of::<http::HeaderValue>()
    };
    map.iter().map(line).sum()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::sandbox::http02::BodyOf;

    fn map(value: usize) -> Fields {
        let mut fields = Fields::new();
        let value = http::HeaderValue::from_str(&"x".repeat(value)).unwrap();
        fields.append(http::HeaderName::from_static("x"), value).unwrap();
        fields
    }

    #[test]
    fn headers_weigh_what_they_hold_and_bodies_what_they_may() {
        let mut table = ResourceTable::new();
        let weigh = |table: &mut ResourceTable| {
            let mut meter = ResourceMeter::new();
            (0..EVERY).find_map(|_| meter.look(table, 0)).unwrap().get()
        };
        for _ in 0..10 {
            table.push(map(10_000)).unwrap();
        }
        let ten = weigh(&mut table);
        assert!((100_000..110_000).contains(&ten), "{ten}");
        table.push(OutgoingBody::new(BodyOf::Response, None).0).unwrap();
        assert_eq!(weigh(&mut table), ten + (BODY + RESOURCE) as u64);
    }

    #[test]
    fn requests_that_came_in_weigh_what_they_brought() {
        let request = |path: usize, header: usize, body: &'static str| {
            let uri = format!("http://a/{}", "x".repeat(path));
            let request = http::Request::get(uri).header("x", "y".repeat(header));
            let body = http_body_util::Full::from(body);
            let body = body.map_err(|never| -> wasmtime_wasi_http::Error { match never {} });
            IncomingRequest::new(request.body(body).unwrap(), None, false)
        };
        let least = weight(&request(0, 0, ""));
        assert_eq!(weight(&request(1_000, 0, "")), least + 1_000);
        assert_eq!(weight(&request(0, 1_000, "text")), least + 1_000 + READ_AHEAD);
        let mut read = request(0, 0, "text");
        assert!(read.take_body().is_some() && read.take_body().is_none());
        assert_eq!(weight(&read), least, "the body is another resource now");
    }

    #[test]
    fn a_look_comes_after_few_calls_and_later_the_more_there_is() {
        let mut table = ResourceTable::new();
        for _ in 0..80 {
            table.push(map(1)).unwrap();
        }
        let mut meter = ResourceMeter::new();
        let mut looks = Vec::new();
        for n in 1..=60 {
            if meter.look(&mut table, 0).is_some() {
                looks.push(n);
            }
        }
        assert_eq!(looks, [16, 42], "sixteen, then ten more for eighty resources");
    }

    #[test]
    fn much_that_is_added_is_looked_at_at_once_and_counts_before_it_is_there() {
        let mut table = ResourceTable::new();
        let mut meter = ResourceMeter::new();
        for _ in 0..3 {
            meter.add(AT_ONCE / 4);
            assert_eq!(meter.look(&mut table, 0), None);
        }
        meter.add(AT_ONCE / 4);
        assert_eq!(meter.look(&mut table, 0), Some(Bytes::new(AT_ONCE as u64)));
        assert_eq!(meter.look(&mut table, 0), None, "the next look begins anew");
    }

    #[test]
    fn tasks_and_requests_that_were_sent_weigh_besides() {
        let sent = Sent::default();
        let mut meter = ResourceMeter::new();
        assert_eq!(meter.found_tasks(10, sent.n_bytes()).get(), 10 * TASK as u64);
        let request = |body: &'static str| {
            let body = http_body_util::Full::new(bytes::Bytes::from_static(body.as_bytes()));
            sent.count(&http::Request::get("http://a/").body(body).unwrap())
        };
        let two = (request(""), request("text"));
        // Each says `GET`, `a` and `/`.
        assert_eq!(meter.found_tasks(10, sent.n_bytes()).get(), (10 * TASK + BODY + 10) as u64);
        drop(two);
        assert_eq!(meter.found_tasks(0, sent.n_bytes()).get(), 0);
    }
}
