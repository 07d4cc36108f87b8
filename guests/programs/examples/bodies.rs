//! Reads and writes bodies in ways that programs do seldom, and says what came of it.
//!
//! `?what=read` reads its request's body in each way and says what it got, `copy` answers with the body,
//! by `?by=` either `splice`, `wait` (a splice that waits) or `room` (a write of what there is room for).
//! `finish` and `drop` end a body whose stream is there, and `much` writes more than there is room for;
//! each of these is to end the guest.

use guest_programs::{Answer, query, reply};
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

guest_programs::serve!(bodies);

fn bodies(request: IncomingRequest, out: ResponseOutparam) {
    let (what, by) = (query(&request, "what"), query(&request, "by"));
    let body = request.consume().expect("the first body");
    match what.as_deref() {
        Some("read") => reply(out, 200, &read(body)),
        Some("copy") => copy(body, out, &by.expect("in which way")),
        Some("finish") => {
            let _stream = body.stream().expect("the first stream");
            drop(IncomingBody::finish(body));
            reply(out, 200, "a body ended before its stream\n");
        }
        Some("drop") => {
            let _stream = body.stream().expect("the first stream");
            drop(body);
            reply(out, 200, "a body was dropped before its stream\n");
        }
        Some("much") => {
            // Of a response that is not sent, so that what comes of it is.
            let answer = OutgoingResponse::new(Fields::new()).body().expect("the first body");
            let stream = answer.write().expect("the first stream");
            let room = stream.check_write().expect("an open stream");
            _ = stream.write(&vec![0; room as usize + 1]);
            reply(out, 200, "more was written than there is room for\n");
        }
        _ => reply(out, 400, "?what= is missing\n"),
    }
}

/// What came of reading.
fn got(read: Result<Vec<u8>, StreamError>) -> String {
    match read {
        Ok(bytes) => format!("{:?}", String::from_utf8_lossy(&bytes)),
        Err(StreamError::Closed) => "closed".to_owned(),
        Err(StreamError::LastOperationFailed(error)) => error.to_debug_string(),
    }
}

fn read(body: IncomingBody) -> String {
    let stream = body.stream().expect("the first stream");
    let mut text = format!("second stream {}\n", body.stream().is_err());
    text += &format!("nothing {}\n", got(stream.blocking_read(0)));
    text += &format!("three {}\n", got(stream.blocking_read(3)));
    text += &format!("skip {:?}\n", stream.blocking_skip(2).ok());
    let pollable = stream.subscribe();
    pollable.block();
    text += &format!("ready {} {}\n", pollable.ready(), got(stream.read(4)));
    drop(pollable);
    text += &format!("skip at once {:?}\n", stream.skip(1).ok());
    let mut rest = 0;
    let end = loop {
        match stream.blocking_read(1000) {
            Ok(bytes) => rest += bytes.len(),
            Err(error) => break got(Err(error)),
        }
    };
    text += &format!("rest {rest}, {end}\n");
    text += &format!("again {} {}\n", got(stream.read(1)), got(stream.blocking_read(1)));
    drop(stream);
    text += &format!("after it {}\n", body.stream().is_err());
    text + &trailers(body)
}

fn trailers(body: IncomingBody) -> String {
    let future = IncomingBody::finish(body);
    future.subscribe().block();
    let come = future.get().expect("they are ready").expect("they were not taken");
    let come = come.expect("the body was whole");
    let sum = come.map(|fields| fields.get("x-sum"));
    format!("trailers {sum:?}, again {}\n", future.get().is_some_and(|again| again.is_err()))
}

fn copy(body: IncomingBody, out: ResponseOutparam, by: &str) {
    let input = body.stream().expect("the first stream");
    let answer = Answer::start(out, 200, &[]);
    loop {
        let copied = match by {
            "splice" => {
                input.subscribe().block();
                answer.stream().subscribe().block();
                answer.stream().splice(&input, 50_000)
            }
            "wait" => answer.stream().blocking_splice(&input, 50_000),
            _ => into_room(&input, answer.stream()),
        };
        match copied {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    drop(input);
    answer.finish(None);
}

fn into_room(input: &InputStream, output: &OutputStream) -> Result<u64, StreamError> {
    let bytes = input.blocking_read(100_000)?;
    let mut left = bytes.as_slice();
    while !left.is_empty() {
        output.subscribe().block();
        let room = output.check_write()? as usize;
        let (now, later) = left.split_at(room.min(left.len()));
        output.write(now)?;
        left = later;
    }
    output.flush()?;
    Ok(bytes.len() as u64)
}
