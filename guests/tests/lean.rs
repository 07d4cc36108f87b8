//! Holds the SDK to its promise: a small service on it is no bigger than on the bare bindings.
//!
//! The other half of the promise, fuel, is measured where there is a host to run them.

use std::fs;

#[test]
fn hello_on_the_sdk_is_no_bigger_than_on_the_bindings() {
    let size_of = |path: &str| fs::metadata(path).unwrap().len();
    let (direct, sdk) = (size_of(steerage_guests::HELLO), size_of(steerage_guests::HELLO_SDK));
    assert!(sdk * 10 <= direct * 12, "{sdk} bytes on the SDK, {direct} on the bindings");
}
