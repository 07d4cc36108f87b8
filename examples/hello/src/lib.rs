//! The smallest service: whatever it is asked, it says hello.
//!
//! It takes nothing of the request, so nothing of it is read.

use steerage_sdk::handler;

#[handler]
fn hello() -> &'static str {
    "Hello, world!\n"
}
