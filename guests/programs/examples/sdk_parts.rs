//! Each part of the SDK behind a path of its own, so that a test finds which one broke.
//!
//! What a service is best written like is the examples' business, not this one's.

use std::io::{self, Read as _, Write as _};

use serde::{Deserialize, Serialize};
use steerage_sdk::{
    Body, Error, HeaderMap, HeaderValue, Json, Params, Request, Response, Result, Router,
    StatusCode, get, handler, outbound, post, query, variable,
};

static ROUTES: Router = Router::new(&[
    post("/echo", echo),
    post("/upper", upper),
    get("/stream", stream),
    get("/cut", cut),
    post("/json", json),
    get("/env/:name", environment),
    get("/fetch", fetch),
    get("/refuse", |_, _| Err(Error::bad_request("you asked for it"))),
    get("/fail", |_, _| Err(io::Error::other("a secret of the service").into())),
    get("/forbidden-header", forbidden_header),
]);

#[derive(Deserialize, Serialize)]
struct Doubled {
    number: i64,
}

#[handler]
fn serve(request: Request) -> Result {
    ROUTES.serve(request)
}

/// The body passed on inside the host, trailers and all.
fn echo(request: Request, _params: Params) -> Result {
    Ok(Response::new(request.into_body()))
}

/// The body read and written chunk by chunk.
fn upper(request: Request, _params: Params) -> Result {
    let mut body = request.into_body();
    Ok(Response::new(Body::stream(move |sink| {
        let mut chunk = [0; 1024];
        loop {
            let n = body.read(&mut chunk)?;
            if n == 0 {
                return Ok(());
            }
            chunk[..n].make_ascii_uppercase();
            sink.write_all(&chunk[..n])?;
            sink.flush()?;
        }
    })))
}

fn stream(request: Request, _params: Params) -> Result {
    let n: u64 = query(request.uri(), "n").and_then(|n| n.parse().ok()).unwrap_or(10);
    Ok(Response::new(Body::stream(move |sink| {
        for line in 1..=n {
            writeln!(sink, "line {line}")?;
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-lines", HeaderValue::from(n));
        sink.trailers(trailers);
        Ok(())
    })))
}

fn cut(_request: Request, _params: Params) -> Result {
    Ok(Response::new(Body::stream(|sink| {
        sink.write_all(b"half of it")?;
        sink.flush()?;
        Err(io::Error::other("the other half is missing"))
    })))
}

fn json(request: Request, _params: Params) -> Result {
    let Doubled { number } = request.into_body().json()?;
    Json(Doubled { number: number * 2 }).into_response()
}

fn environment(_request: Request, params: Params) -> Result {
    let name = params.get("name").unwrap_or_default();
    let value = variable(name).ok_or_else(|| Error::not_found("no such variable"))?;
    Ok(Response::new(value.into()))
}

/// Two requests at once to `?url=`, and the answer to the second.
fn fetch(request: Request, _params: Params) -> Result {
    let url = query(request.uri(), "url").ok_or_else(|| Error::bad_request("no url"))?;
    let bad_gateway = |error| Error::from(error).with_status(StatusCode::BAD_GATEWAY);
    let start = || {
        let request = http::Request::get(url.as_ref()).body(Body::empty())?;
        outbound::start(request, outbound::Timeouts::default()).map_err(bad_gateway)
    };
    let (first, second) = (start()?, start()?);
    first.wait().map_err(bad_gateway)?;
    second.wait().map_err(bad_gateway)
}

fn forbidden_header(_request: Request, _params: Params) -> Result {
    let mut response = Response::new("sent all the same".into());
    response.headers_mut().insert("connection", HeaderValue::from_static("close"));
    Ok(response)
}
