//! Calls itself twice through the host it runs on, and so without end: `?port=` is the host's own.
//!
//! Only the host can stop it; it answers with the status of each call that it made.

use guest_programs::{Answer, number};
use wasip2::http::{
    outgoing_handler,
    types::{
        ErrorCode, Fields, FutureIncomingResponse, IncomingRequest, OutgoingBody, OutgoingRequest,
        ResponseOutparam, Scheme,
    },
};

guest_programs::serve!(fork);

fn fork(request: IncomingRequest, out: ResponseOutparam) {
    let port = number(&request, "port", 80);
    let target = request.path_with_query().unwrap_or_default();
    // Both are on their way before either is waited for.
    let children = [call(port, &target), call(port, &target)];
    let lines: String = children.into_iter().map(|child| format!("{}\n", told(child))).collect();
    let answer = Answer::start(out, 200, &[("content-type", "text/plain")]);
    answer.send(lines.as_bytes());
    answer.finish(None);
}

fn call(port: u64, target: &str) -> Result<FutureIncomingResponse, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(&format!("127.0.0.1:{port}"))).expect("an authority");
    request.set_path_with_query(Some(target)).expect("a path");
    let body = request.body().expect("the first body");
    let child = outgoing_handler::handle(request, None)?;
    OutgoingBody::finish(body, None)?;
    Ok(child)
}

fn told(child: Result<FutureIncomingResponse, ErrorCode>) -> String {
    let response = child.and_then(|child| {
        child.subscribe().block();
        child.get().expect("it is ready").expect("it is taken once")
    });
    response.map_or_else(|code| format!("{code:?}"), |response| response.status().to_string())
}
