//! Who appears in the demo: the example apps with what they are asked, and two hostile ones.
//! The examples are built from source by the stage; the hostile ones are short enough to read here.

use super::web::Ask;

/// An example under `examples/`.
pub struct Example {
    /// Its directory, which is also the app's name.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    pub asks: &'static [Ask],
}

/// A hostile program, as WebAssembly text: what it does is all there is.
pub struct Villain {
    pub name: &'static str,
    pub about: &'static str,
    pub path: &'static str,
    pub wat: &'static str,
    /// The limits it is deployed with.
    pub limits: &'static str,
}

pub const EXAMPLES: &[Example] = &[Example {
    name: "hello",
    about: "a first service on the SDK",
    asks: &[Ask::get("/hello"), Ask::get("/hello")],
}];

pub const SPIN: Villain = Villain {
    name: "spin",
    path: "/spin",
    about: "loops for ever",
    wat: r#"(module (memory (export "memory") 1)
  (func (export "_start") (loop $again (br $again))))"#,
    limits: "fuel = 1_000_000_000\ntimeout = \"5s\"",
};

pub const HOG: Villain = Villain {
    name: "hog",
    path: "/hog",
    about: "takes memory until there is none, then crashes",
    wat: r#"(module (memory (export "memory") 1)
  (func (export "_start")
    (loop $more
      (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (unreachable)))"#,
    limits: "memory = \"32MiB\"",
};

pub const STALL: Villain = Villain {
    name: "stall",
    path: "/stall",
    about: "loops for ever, with all the fuel it could ask for",
    wat: SPIN.wat,
    limits: "fuel = 100_000_000_000_000\ntimeout = \"1s\"",
};
