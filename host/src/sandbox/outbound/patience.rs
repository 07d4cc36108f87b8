//! How long a request of a guest's may take, as the guest says and the host bounds it. Waits for nothing.

use std::time::Duration;

use tokio::time::Instant;
use wasmtime_wasi_http::RequestOptions;

use super::app_egress::CONNECT_TIMEOUT;

/// Longest wait for a response, or for more of it, unless the guest says otherwise. The call's own
/// timeout is most often shorter.
const READ_TIMEOUT: Duration = Duration::from_secs(600);

/// What a guest says about its patience.
pub(super) struct Patience {
    /// Until when there must be a connection.
    pub(super) connect_until: Instant,
    pub(super) first_byte: Duration,
    pub(super) between_bytes: Duration,
}

impl Patience {
    pub(super) fn of(options: &RequestOptions) -> Self {
        // What a guest asks for beyond this is as long as any call may take.
        let within = |asked: Option<Duration>, default| asked.unwrap_or(default).min(READ_TIMEOUT);
        Self {
            connect_until: Instant::now() + within(options.connect_timeout, CONNECT_TIMEOUT),
            first_byte: within(options.first_byte_timeout, READ_TIMEOUT),
            between_bytes: within(options.between_bytes_timeout, READ_TIMEOUT),
        }
    }
}
