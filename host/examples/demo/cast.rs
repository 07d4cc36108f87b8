//! Who appears in the demo: the example apps, what they are asked, and how the hostile one behaves.
//! Every app is a directory under `examples/`; nothing here is made up for the demo.

use super::web::Ask;

/// An app under `examples/`.
pub(crate) struct Example {
    /// Its directory, which is also its name.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) about: &'static str,
    /// What it is asked.
    pub(crate) asks: &'static [Ask],
}

/// The app that others must not suffer from.
pub(crate) const HOSTILE: &str = "hostile";
/// The app that is called while the hostile one misbehaves.
pub(crate) const VICTIM: &str = "hello";
/// What the victim is asked.
pub(crate) const VICTIM_ASK: Ask = Ask::get("/hello");
/// The hostile app's endless loop.
pub(crate) const LOOP: Ask = Ask::get("/hostile/loop");

/// All apps, in the order they are deployed.
pub(crate) const EXAMPLES: &[Example] = &[
    Example { name: VICTIM, about: "the smallest service", asks: &[VICTIM_ASK, VICTIM_ASK] },
    Example {
        name: "api",
        about: "a JSON API, its state in the URL",
        asks: &[
            Ask::get("/api/game/x---o----"),
            Ask::post("/api/game/x---o----", r#"{"square": 8}"#),
        ],
    },
    Example {
        name: "markdown",
        about: "real work: renders text",
        asks: &[Ask::post("/markdown", include_str!("../../../README.md"))],
    },
    Example {
        name: "cgi",
        about: "a plain program, run the CGI way",
        asks: &[Ask::post("/cgi", "some text to count")],
    },
    Example {
        name: "shop-front",
        about: "one of two apps behind one host name",
        asks: &[Ask::get("/").at("shop.localhost")],
    },
    Example {
        name: "shop-admin",
        about: "the other one, from /admin on",
        asks: &[Ask::get("/admin").at("shop.localhost").with_token("staff-only")],
    },
    Example { name: HOSTILE, about: "misbehaves in every way it can", asks: &[] },
];

/// What the hostile app does, path by path.
pub(crate) const CRIMES: &[(&str, Ask)] = &[
    ("loops for ever", LOOP),
    ("takes all memory", Ask::get("/hostile/memory")),
    ("runs out of stack", Ask::get("/hostile/recursion")),
    ("panics", Ask::get("/hostile/panic")),
    ("answers, then loops", Ask::get("/hostile/late-loop")),
    ("answers without end", Ask::get("/hostile/flood")),
];
