//! The hostile apps: what each does, who calls it, and how its calls may end.
//! Those that need nothing but memory, tables and loops are core modules, written here.

use std::collections::BTreeMap;

use steerage_guests as guests;

use crate::clients::Client;
use crate::harness::wat;
use crate::read;

/// Endings that any app may have that asks for too much at once.
const REFUSED: [&str; 3] = ["app_busy", "too_late", "host_memory"];

/// A hostile app and its clients.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: &'static str,
    pub(crate) wasm: Vec<u8>,
    pub(crate) more: String,
    pub(crate) client: Client,
    pub(crate) n_clients: usize,
    query: String,
    /// How some of its calls must end, and how others may.
    must: &'static [&'static str],
    may: &'static [&'static str],
}

impl App {
    pub(crate) fn path(&self) -> String {
        format!("/{}{}", self.name, self.query)
    }

    /// Fails unless the app's calls have ended as they should.
    pub(crate) fn check(&self, ended: &BTreeMap<String, u64>) {
        let Self { name, must, may, .. } = self;
        let has = |cause: &&str| ended.contains_key(*cause);
        assert!(must.iter().any(has), "{name}: nothing has {must:?}: {ended:?}");
        for cause in ended.keys().map(String::as_str) {
            let is_right =
                must.contains(&cause) || may.contains(&cause) || REFUSED.contains(&cause);
            assert!(is_right, "{name} has {cause}: {ended:?}");
        }
    }

    /// Whether its calls end by a limit while the machine is its own, but may run out of time when
    /// it shares it: it is called alone first, so that the limit has its turn.
    pub(crate) fn needs_time(&self) -> bool {
        self.may.contains(&"timed_out") && !self.must.contains(&"app_busy")
    }

    fn limits(mut self, limits: &str) -> Self {
        self.more = format!("[limits]\nconcurrency = 16\nqueue = 8\n{limits}\n");
        self
    }

    fn query(mut self, query: &str) -> Self {
        self.query = query.to_owned();
        self
    }

    fn called_by(mut self, n_clients: usize, client: Client) -> Self {
        (self.n_clients, self.client) = (n_clients, client);
        self
    }

    fn may(mut self, may: &'static [&'static str]) -> Self {
        self.may = may;
        self
    }
}

fn app(name: &'static str, wasm: Vec<u8>, must: &'static [&'static str]) -> App {
    let (more, query) = (String::new(), String::new());
    let app = App { name, wasm, more, client: Client::Asks, n_clients: 2, query, must, may: &[] };
    app.limits(ENDLESS)
}

/// Only the clock stops these.
const ENDLESS: &str = "fuel = \"100000B\"\ntimeout = \"1s\"\nmemory = \"64MiB\"";

/// All of them, for a host that listens there.
pub(crate) fn hostile(listen: &str) -> Vec<App> {
    let mut apps = vec![fork(listen)];
    apps.extend(greedy());
    apps.extend(endless());
    apps.extend(asking());
    apps.extend(broken());
    apps.extend(clients());
    apps
}

/// Calls itself, and what comes of that calls itself.
fn fork(listen: &str) -> App {
    let port = listen.rsplit(':').next().unwrap();
    let mut fork = app("fork", read(guests::FORK), &["app_busy", "too_late"])
        .limits("timeout = \"2s\"")
        .query(&format!("?port={port}"))
        .may(&["answered", "timed_out", "client_gone"]);
    fork.more = format!("allowed_outbound_hosts = [\"http://127.0.0.1:{port}\"]\n{}", fork.more);
    fork
}

/// What takes memory, of the guest's own or of the host's.
fn greedy() -> Vec<App> {
    vec![
        app("memory-bomb", read(guests::HOG), &["out_of_memory"])
            .limits("memory = \"32MiB\"\ntimeout = \"2s\"")
            .called_by(4, Client::Asks)
            .may(&["timed_out"]),
        app("memory-holder", holder(), &["timed_out"])
            .limits("fuel = \"100000B\"\ntimeout = \"2s\"\nmemory = \"64MiB\"")
            .called_by(16, Client::Asks),
        app("table-bomb", tables(), &["out_of_memory"])
            .limits("memory = \"1MiB\"\ntimeout = \"2s\"")
            .may(&["timed_out"]),
        app("grow-loop", looping("(drop (memory.grow (i32.const 1)))"), &["timed_out"]),
        app("hoard", read(guests::HOARD), &["trapped"])
            .limits("timeout = \"2s\"")
            .may(&["timed_out"]),
        app("log-flood", read(guests::LOGGER), &["answered", "timed_out"])
            .query("?n=2000&width=200"),
    ]
}

/// What never ends.
fn endless() -> Vec<App> {
    let copies = "(memory.copy (i32.const 0x1000000) (i32.const 0) (i32.const 0x1000000))";
    vec![
        app("spin", read(guests::SPIN), &["timed_out"]).called_by(8, Client::Asks),
        app("burner", read(guests::SPIN), &["out_of_fuel"])
            .limits("fuel = \"50M\"\ntimeout = \"2s\"")
            .may(&["timed_out"]),
        app("copies", looping(copies), &["timed_out"]),
        app(
            "start-loop",
            wat("(module (func $start (loop br 0)) (start $start) (func (export \"_start\")))"),
            &["timed_out"],
        ),
        app("flood", read(guests::FLOOD), &["response_too_large"])
            .limits("response_body = \"4MiB\"\ntimeout = \"2s\"")
            .may(&["timed_out"]),
    ]
}

/// What has the host work for it, which costs no fuel.
fn asking() -> Vec<App> {
    let old = |name, query| app(name, read(guests::WORST), &["timed_out"]).query(query);
    let new = |name, query| app(name, read(guests::P3_WORST), &["timed_out"]).query(query);
    vec![
        app("lines", asks("fd_write", "i32 i32 i32 i32", "2 1024 1 0"), &["timed_out"]),
        app("random", asks("random_get", "i32 i32", "65536 65536"), &["timed_out"]),
        app(
            "events",
            asks("poll_oneoff", "i32 i32 i32 i32", "17000000 17100000 1024 0"),
            &["timed_out", "trapped"],
        ),
        old("fields", "?what=clone"),
        old("lists", "?what=list&n=500"),
        old("words", "?what=path"),
        old("trickle", "?what=tiny&size=1").may(&["client_gone"]),
        new("streams", "?what=pipe&size=1"),
        new("moments", "?what=moment&n=5000"),
        new("yields", "?what=yield"),
        app("ends", read(guests::P3_WORST), &["out_of_memory", "trapped"])
            .query("?what=streams&n=9000")
            .limits("memory = \"4MiB\"\ntimeout = \"2s\"")
            .may(&["timed_out"]),
    ]
}

/// Calls this function of preview 1 again and again. From 64 KiB on there are 16 MiB of line ends, and
/// at 1 KiB a buffer of 15 MiB of them.
fn asks(function: &str, types: &str, arguments: &str) -> Vec<u8> {
    let arguments: Vec<_> = arguments.split(' ').map(|it| format!("(i32.const {it})")).collect();
    wat(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "{function}" (func $f (param {types}) (result i32)))
            (memory (export "memory") 300)
            (data (i32.const 1024) "\00\00\01\00\00\00\f0\00")
            (func (export "_start")
                (memory.fill (i32.const 65536) (i32.const 10) (i32.const 16777216))
                (loop $again (drop (call $f {})) (br $again))))"#,
        arguments.join(" ")
    ))
}

/// What fails at once, to be called again at once.
fn broken() -> Vec<App> {
    let deep = wat(r#"(module
            (func $down (result i32) (i32.add (call $down) (i32.const 1)))
            (func (export "_start") (drop (call $down))))"#);
    vec![
        app("deep-stack", deep, &["trapped"]),
        app("start-trap", start_trap(), &["trapped"]),
        app("panic", read(guests::TRAP), &["trapped"]),
        app("no-answer", read(guests::NOANSWER), &["no_answer"]),
    ]
}

/// Where it is the client that does harm.
fn clients() -> Vec<App> {
    let reader = crate::harness::reader;
    vec![
        app("body-flood", reader(), &["request_too_large"])
            .limits("request_body = \"4MiB\"\ntimeout = \"2s\"")
            .called_by(2, Client::Floods)
            .may(&["client_gone", "timed_out"]),
        app("body-drip", reader(), &["timed_out"])
            .called_by(4, Client::Drips)
            .may(&["client_gone"]),
        app("stare", read(guests::FLOOD), &["timed_out"])
            .called_by(4, Client::Stares)
            .may(&["client_gone"]),
        app("sip", read(guests::FLOOD), &["timed_out"])
            .called_by(4, Client::Sips)
            .may(&["client_gone"]),
        app("leave", read(guests::SPIN), &["client_gone"])
            .called_by(2, Client::Leaves)
            .may(&["timed_out"]),
        app("reset", read(guests::SPIN), &["client_gone"])
            .called_by(2, Client::Resets)
            .may(&["timed_out"]),
    ]
}

/// Takes nearly all it may, writes every page of it, and keeps it until its time is over.
fn holder() -> Vec<u8> {
    wat(r#"(module
        (memory (export "memory") 1)
        (func (export "_start")
            (if (i32.eq (memory.grow (i32.const 960)) (i32.const -1)) (then unreachable))
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 62914560))
            (loop br 0)))"#)
}

/// Fills its tables until it is refused.
fn tables() -> Vec<u8> {
    wat(r#"(module
        (table $a 0 60000 funcref) (table $b 0 60000 funcref) (table $c 0 60000 funcref)
        (table $d 0 60000 funcref) (table $e 0 60000 funcref) (table $f 0 60000 funcref)
        (elem declare func $full)
        (func $full (param i32) (if (i32.eq (local.get 0) (i32.const -1)) (then unreachable)))
        (func (export "_start")
            (loop
                (call $full (table.grow $a (ref.func $full) (i32.const 1000)))
                (call $full (table.grow $b (ref.func $full) (i32.const 1000)))
                (call $full (table.grow $c (ref.func $full) (i32.const 1000)))
                (call $full (table.grow $d (ref.func $full) (i32.const 1000)))
                (call $full (table.grow $e (ref.func $full) (i32.const 1000)))
                (call $full (table.grow $f (ref.func $full) (i32.const 1000)))
                (br 0))))"#)
}

/// Does this again and again, with 32 MiB of memory.
fn looping(what: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (memory (export "memory") 512)
            (func (export "_start") (loop {what} (br 0))))"#
    ))
}

/// Traps before it could be called.
pub(crate) fn start_trap() -> Vec<u8> {
    wat(r#"(module (func $start unreachable) (start $start) (func (export "_start")))"#)
}
