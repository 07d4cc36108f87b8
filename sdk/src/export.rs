//! What `#[handler]` expands to, and how its function is called.
//!
//! Nothing here is for authors; it is public because macros need it.

use crate::{Argument, Reply, Responder, Result, argument::Incoming};

/// Types that `__export!` names in the author's crate.
pub mod __private {
    pub use super::{Handler, call};
    pub use wasip2::{
        self,
        exports::http::incoming_handler::Guest,
        http::types::{IncomingRequest, ResponseOutparam},
    };
}

/// A function the host can call: up to four [`Argument`]s in, a [`Reply`] out.
#[diagnostic::on_unimplemented(
    message = "this function cannot be a handler",
    label = "it takes or returns something a handler does not",
    note = "a handler takes up to four values that implement `steerage_sdk::Argument`, such as \
            `Request`, `Method`, `Uri` or `Body`, and returns one that implements \
            `steerage_sdk::Reply`, such as `&'static str`, `Response` or `Result`"
)]
pub trait Handler<Arguments> {
    /// Reads the arguments, calls the function and sends what it returns.
    fn handle(self, incoming: Incoming, responder: Responder);
}

/// Serves one request with `handler`.
pub fn call<Arguments>(
    handler: impl Handler<Arguments>,
    request: __private::IncomingRequest,
    out: __private::ResponseOutparam,
) {
    handler.handle(Incoming::new(request), Responder::new(out));
}

impl<F: FnOnce() -> R, R: Reply> Handler<()> for F {
    fn handle(self, _incoming: Incoming, responder: Responder) {
        self().send(responder);
    }
}

macro_rules! handler_of {
    ($($argument:ident)+) => {
        impl<F, R, $($argument,)+> Handler<($($argument,)+)> for F
        where
            F: FnOnce($($argument),+) -> R,
            R: Reply,
            $($argument: Argument,)+
        {
            fn handle(self, incoming: Incoming, responder: Responder) {
                let reply = || -> Result<R> { Ok(self($($argument::take(&incoming)?),+)) };
                reply().send(responder);
            }
        }
    };
}

handler_of!(A);
handler_of!(A B);
handler_of!(A B C);
handler_of!(A B C D);

/// Exports a function as the service. Elsewhere than on WebAssembly it only checks its type.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($handler:ident) => {
        const _: fn($crate::__private::IncomingRequest, $crate::__private::ResponseOutparam) =
            |request, out| $crate::__private::call($handler, request, out);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Service;

            impl $crate::__private::Guest for Service {
                fn handle(
                    request: $crate::__private::IncomingRequest,
                    out: $crate::__private::ResponseOutparam,
                ) {
                    $crate::__private::call($handler, request, out)
                }
            }

            $crate::__private::wasip2::http::proxy::export!(
                Service with_types_in $crate::__private::wasip2
            );
        };
    };
}
