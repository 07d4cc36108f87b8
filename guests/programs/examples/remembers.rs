//! Asks a Redis server by `fermyon:spin/redis`, at `?to=` its address. Answers what it was told, a line for each question,
//! and an error by its name.
//!
//! `?size=` sets a value of so many bytes instead, and reads it.

use guest_programs::{number, query, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: r#"
        package steerage:remembers;

        world remembers { import fermyon:spin/redis@2.0.0; }

        package fermyon:spin@2.0.0 {
            interface redis {
                variant error { invalid-address, too-many-connections, type-error, other(string) }
                type payload = list<u8>;
                variant redis-parameter { int64(s64), binary(payload) }
                variant redis-result { nil, status(string), int64(s64), binary(payload) }
                resource connection {
                    open: static func(address: string) -> result<connection, error>;
                    publish: func(channel: string, payload: payload) -> result<_, error>;
                    get: func(key: string) -> result<option<payload>, error>;
                    set: func(key: string, value: payload) -> result<_, error>;
                    incr: func(key: string) -> result<s64, error>;
                    del: func(keys: list<string>) -> result<u32, error>;
                    sadd: func(key: string, values: list<string>) -> result<u32, error>;
                    smembers: func(key: string) -> result<list<string>, error>;
                    srem: func(key: string, values: list<string>) -> result<u32, error>;
                    execute: func(command: string, arguments: list<redis-parameter>)
                        -> result<list<redis-result>, error>;
                }
            }
        }
    "#,
    world: "steerage:remembers/remembers",
    generate_all,
});

use fermyon::spin::redis::{Connection, Error, RedisParameter};

guest_programs::serve!(remembers);

fn remembers(request: IncomingRequest, out: ResponseOutparam) {
    let to = query(&request, "to").expect("an address");
    let size = number(&request, "size", 0);
    let told = match Connection::open(&to) {
        Err(error) => format!("{error:?}\n"),
        Ok(server) if size > 0 => sized(&server, usize::try_from(size).expect("a size")),
        Ok(server) => asked(&server),
    };
    reply(out, 200, &told);
}

fn sized(server: &Connection, size: usize) -> String {
    let set = server.set("large", &vec![7; size]);
    let got = server.get("large").map(|value| value.map(|value| value.len()));
    format!("{set:?} {got:?} {:?}\n", server.get("none"))
}

fn asked(server: &Connection) -> String {
    let text = |value: Option<Vec<u8>>| value.map(|value| String::from_utf8(value).expect("text"));
    let keys = ["text", "number", "set"].map(str::to_owned);
    let members = ["a", "b"].map(str::to_owned);
    let push = [b"list".to_vec(), b"x".to_vec()].map(RedisParameter::Binary).to_vec();
    let push = [push, vec![RedisParameter::Int64(-7)]].concat();
    let range = [RedisParameter::Binary(b"list".to_vec()), RedisParameter::Int64(0)];
    let range = [range.to_vec(), vec![RedisParameter::Int64(-1)]].concat();
    let lines = [
        format!("{:?}", server.get("text").map(text)),
        format!("{:?}", server.set("text", b"Eureka!")),
        format!("{:?}", server.get("text").map(text)),
        format!("{:?}", server.incr("text")),
        format!("{:?} {:?}", server.incr("number"), server.incr("number")),
        format!("{:?} {:?}", server.sadd("set", &members), server.sadd("set", &members)),
        format!("{:?}", server.smembers("set").map(sorted)),
        format!("{:?}", server.srem("set", &members[..1])),
        format!("{:?}", server.get("set").map(text)),
        format!("{:?}", server.publish("channel", b"news")),
        format!("{:?} {:?}", server.execute("rpush", &push), server.execute("lrange", &range)),
        format!("{:?}", server.execute("no-such-command", &[]).map_err(of_server)),
        format!("{:?} {:?}", server.del(&keys), server.execute("flushall", &[])),
    ];
    lines.join("\n") + "\n"
}

fn sorted(mut members: Vec<String>) -> Vec<String> {
    members.sort();
    members
}

/// Versions of servers have other words for it.
fn of_server(error: Error) -> &'static str {
    match error {
        Error::Other(text) if text.starts_with("ERR unknown command") => "unknown",
        _ => "something else",
    }
}
