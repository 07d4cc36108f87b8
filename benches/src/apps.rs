//! Components that the benches make: small ones, and as many distinct ones as wanted.
//! Does not deploy them.

use std::path::PathBuf;
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
        let wasm = std::fs::read(PathBuf::from(steerage_guests::HELLO))?;
        Ok(Self { wasm, start: "Hello ", text: "Hello, world!" })
    }

    /// What the copy with this number answers.
    pub(crate) fn answer(&self, number: u32) -> String {
        format!("{}{number:07}", self.start)
    }

    /// The component, or code compiled from it, with this number's text in place of its own.
    pub(crate) fn copy(&self, bytes: &[u8], number: u32) -> Result<Vec<u8>> {
        let answer = self.answer(number);
        let (text, answer) = (self.text.as_bytes(), answer.as_bytes());
        let mut copy = bytes.to_vec();
        let mut n_found = 0;
        let mut place = 0;
        while let Some(window) = copy.get_mut(place..place + text.len()) {
            if window == text {
                window.copy_from_slice(answer);
                n_found += 1;
            }
            place += 1;
        }
        if n_found == 0 {
            bail!("{:?} is nowhere in the component", self.text);
        }
        Ok(copy)
    }
}
