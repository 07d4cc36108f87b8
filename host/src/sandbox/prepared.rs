//! What is done to a binary before it is examined: it becomes one that this host can examine and compile,
//! where it was built for a step that the host takes itself. Does not judge what comes of it.
//!
//! SDKs for Rust leave a core module with a description of its interfaces, and Spin makes a component of it
//! when it loads the module. So does this host: what `wasm-tools component new` does to it.

use std::borrow::Cow;

use super::released::as_released;
use super::sections::Sections;
use super::verdict::{self, Rejection};

/// The binary to examine: a component where it is a module that was meant to become one, with the names of
/// the release where it was built for a candidate of it ([`as_released`]). What is neither stays as it is.
///
/// # Errors
/// [`Rejection::NotYetComponent`], where no component can be made of such a module.
pub fn prepared(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Rejection> {
    if !is_half_made(bytes) {
        return Ok(as_released(bytes));
    }
    match steerage_build::encode(bytes) {
        Ok(component) => Ok(Cow::Owned(as_released(&component).into_owned())),
        Err(error) => Err(Rejection::NotYetComponent { detail: error.to_string() }),
    }
}

/// Whether it is a core module that is served only after a component was made of it. One that is not
/// well-formed is left for whoever examines it.
fn is_half_made(bytes: &[u8]) -> bool {
    if verdict::is_component(bytes) != Ok(false) {
        return false;
    }
    Sections::read(bytes).is_ok_and(|sections| verdict::is_half_made(&sections))
}
