//! Returns without an answer, which a handler must not.
//!
//! It drops the out-parameter, so that the host sees that none can come any more.

use wasip2::http::types::{IncomingRequest, ResponseOutparam};

guest_programs::serve!(noanswer);

fn noanswer(_request: IncomingRequest, _out: ResponseOutparam) {}
