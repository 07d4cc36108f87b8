//! Components that the benches make: small ones, and as many distinct ones as wanted.
//! Does not deploy them.

use std::time::Duration;

use anyhow::{Result, bail};

/// A component that holds a text of its own, in whose place a copy has another.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) wasm: Vec<u8>,
    /// Begins the text; seven digits follow.
    start: &'static str,
    text: &'static str,
}

impl Template {
    /// A service of a few KiB that answers in a header; see `tiny.wat`.
    pub(crate) fn tiny(wait: Duration) -> Result<Self> {
        let text = include_str!("apps/tiny.wat");
        let wasm = wat::parse_str(text.replace("NANOSECONDS", &wait.as_nanos().to_string()))?;
        Ok(Self { wasm, start: "app-", text: "app-0000000" })
    }

    /// A service in Rust, as its author would build it, that answers in the body.
    pub(crate) fn hello() -> Result<Self> {
        let wasm = std::fs::read(steerage_guests::HELLO)?;
        Ok(Self { wasm, start: "Hello ", text: "Hello, world!" })
    }

    /// What the copy with this number answers.
    pub(crate) fn answer(&self, number: u32) -> String {
        format!("{}{number:07}", self.start)
    }

    /// The component with this number's text in place of its own.
    pub(crate) fn copy(&self, number: u32) -> Result<Vec<u8>> {
        replaced(&self.wasm, self.text, &self.answer(number))
    }

    /// Code compiled from copy 0, with the text of another.
    pub(crate) fn code(&self, of_zero: &[u8], number: u32) -> Result<Vec<u8>> {
        replaced(of_zero, &self.answer(0), &self.answer(number))
    }
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Result<Vec<u8>> {
    let mut copy = bytes.to_vec();
    let mut n_found = 0;
    let mut place = 0;
    while let Some(window) = copy.get_mut(place..place + from.len()) {
        if window == from.as_bytes() {
            window.copy_from_slice(to.as_bytes());
            n_found += 1;
        }
        place += 1;
    }
    if n_found == 0 {
        bail!("{from:?} is nowhere in the component");
    }
    Ok(copy)
}
