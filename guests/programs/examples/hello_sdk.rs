//! The answer of `hello`, written on the SDK. A test compares the two.

use steerage_sdk::handler;

#[handler]
fn hello() -> &'static str {
    "Hello, world!\n"
}
