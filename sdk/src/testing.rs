//! What stands in for the host where handlers are tested as ordinary functions.
//!
//! It exists elsewhere than on WebAssembly only, and knows nothing of limits: how a service behaves
//! under those is seen with `steerage up`.

use std::{cell::RefCell, marker::PhantomData};

use crate::{
    Request, Response,
    outbound::{ErrorCode, OutboundError, Timeouts},
};

type Answer = Box<dyn FnMut(Request) -> Result<Response, OutboundError>>;

thread_local! {
    /// Those that are in force, the innermost last. Tests run beside each other on threads of their
    /// own, and a handler runs on that of its test.
    static ANSWERS: RefCell<Vec<Answer>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the answers of a test in force until it is dropped.
#[derive(Debug)]
#[must_use = "the answers end when this is dropped: give it a name, as in `let _answers = …`"]
pub struct Answers {
    /// It belongs to the thread that made it.
    here: PhantomData<*const ()>,
}

/// Has every outbound request of this thread answered by a function, in place of the network.
///
/// ```
/// use steerage_sdk::{Request, Response, Result, outbound, testing};
///
/// fn weather() -> Result<String> {
///     let request = http::Request::get("https://api.example/weather").body(().into())?;
///     outbound::send(request)?.into_body().text()
/// }
///
/// let answers = testing::answer_outbound(|request: Request| {
///     assert_eq!(request.uri().host(), Some("api.example"));
///     Ok(Response::new("rain".into()))
/// });
/// assert_eq!(weather().unwrap(), "rain");
/// drop(answers);
/// assert!(weather().unwrap_err().to_string().contains("testing::answer_outbound"));
/// ```
///
/// A failure is made of the host's code for it:
///
/// ```
/// use steerage_sdk::{outbound::{self, ErrorCode}, testing};
///
/// let _answers = testing::answer_outbound(|_| Err(ErrorCode::HttpRequestDenied.into()));
/// let request = http::Request::get("https://api.example/").body(().into()).unwrap();
/// let error = outbound::send(request).unwrap_err();
/// assert!(error.is_denied());
/// assert!(error.to_string().contains("add \"https://api.example\" to allowed_outbound_hosts"));
/// ```
pub fn answer_outbound(
    answer: impl FnMut(Request) -> Result<Response, OutboundError> + 'static,
) -> Answers {
    ANSWERS.with_borrow_mut(|answers| answers.push(Box::new(answer)));
    Answers { here: PhantomData }
}

impl Drop for Answers {
    fn drop(&mut self) {
        ANSWERS.with_borrow_mut(Vec::pop);
    }
}

/// A request whose answer is there already.
#[derive(Debug)]
pub(crate) struct Sent(Result<Response, ErrorCode>);

pub(crate) fn start(request: Request, _timeouts: Timeouts) -> Result<Sent, ErrorCode> {
    // Taken out while it runs: it may send requests itself, which the next one answers.
    let Some(mut answer) = ANSWERS.with_borrow_mut(Vec::pop) else {
        return Err(ErrorCode::InternalError(Some(
            "there is no host here; a test answers with steerage_sdk::testing::answer_outbound"
                .to_owned(),
        )));
    };
    let result = answer(request).map_err(|error| error.code().clone());
    ANSWERS.with_borrow_mut(|answers| answers.push(answer));
    Ok(Sent(result))
}

impl Sent {
    pub(crate) fn wait(self) -> Result<Response, ErrorCode> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outbound, variable};

    fn get(uri: &str) -> Request {
        http::Request::get(uri).body(().into()).unwrap()
    }

    #[test]
    fn without_an_answer_a_request_fails_and_nothing_aborts() {
        let error = outbound::send(get("https://user:pw@api.example/x?y")).unwrap_err();
        assert!(!error.is_denied());
        let text = error.to_string();
        assert!(text.starts_with("outbound request to https://api.example failed: "), "{text}");
        assert!(text.contains("testing::answer_outbound"), "{text}");
    }

    #[test]
    fn several_requests_can_be_under_way() {
        let mut n_asked = 0;
        let _answers = answer_outbound(move |request| {
            n_asked += 1;
            Ok(Response::new(format!("{n_asked} {}", request.uri().path()).into()))
        });
        let start = |uri| outbound::start(get(uri), Timeouts::default()).unwrap();
        let (first, second) = (start("http://a/one"), start("http://a/two"));
        let text = |pending: outbound::Pending| pending.wait().unwrap().into_body().text().unwrap();
        assert_eq!((text(second), text(first)), ("2 /two".to_owned(), "1 /one".to_owned()));
    }

    #[test]
    fn variables_are_those_of_the_process() {
        assert_eq!(variable("CARGO_PKG_NAME").as_deref(), option_env!("CARGO_PKG_NAME"));
        assert_eq!(variable("STEERAGE_NO_SUCH_VARIABLE"), None);
    }
}
