//! What came of a guest's own requests, written down or said again. Sends nothing: what is said again was sent
//! by another run.

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, WasiBody};

use super::connect::Destination;
use crate::capsule::{Planned, RecordedAnswer, RecordedBody, RecordedBodyOf, Tape};
use crate::sandbox::recorded_error::{code, of_code};
use crate::sandbox::taped::{PlayedBody, TapedBody, read, written};

/// A request of a guest whose call has a tape.
#[derive(Debug)]
pub(super) struct RecordedRequest {
    tape: Tape,
    /// Which it is of those that are in the capsule.
    number: Option<usize>,
}

impl RecordedRequest {
    /// The next one of the call.
    pub(super) fn begin(tape: &Tape, request: &Request<WasiBody>) -> Self {
        // Without the path, in which a secret may stand that nobody has declared.
        let to = Destination::of(request.uri()).map(|to| {
            format!(
                "{}://{}:{}",
                request.uri().scheme_str().unwrap_or_default(),
                to.host(),
                to.port()
            )
        });
        let method = request.method().as_str();
        let number = tape.begin_exchange(method, &to.unwrap_or_default());
        Self { tape: tape.clone(), number }
    }

    /// Whether its answer is known, so that it is not sent.
    pub(super) fn is_played(&self) -> bool {
        self.tape.is_playing()
    }

    /// Writes down what came of it, and what its body brings.
    pub(super) fn note(
        self,
        sent: Result<Response<WasiBody>, Error>,
    ) -> Result<Response<WasiBody>, Error> {
        let Self { tape, number: Some(number) } = self else { return sent };
        let response = sent.inspect_err(|error| {
            tape.note_answer(number, RecordedAnswer::Failed { error: code(error) });
        })?;
        let (status, headers) = (response.status().as_u16(), written(response.headers()));
        let body = RecordedBody::default();
        tape.note_answer(number, RecordedAnswer::Answered { status, headers, body });
        Ok(response
            .map(|body| TapedBody::new(body, tape, RecordedBodyOf::Answer(number)).boxed_unsync()))
    }

    /// What came of it then.
    pub(super) async fn play(
        self,
        request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, Error> {
        // Somebody took it then.
        let mut body = request.into_body();
        tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        match self.tape.planned_answer(self.number) {
            Planned::Never => std::future::pending().await,
            Planned::Unknown => {
                Err(Error::InternalError(Some("the capsule has no answer to this".to_owned())))
            }
            Planned::Answer(RecordedAnswer::Failed { error }) => Err(of_code(&error)),
            Planned::Answer(RecordedAnswer::Answered { status, headers, body }) => {
                let mut response = Response::new(PlayedBody::new(body).boxed_unsync());
                *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
                *response.headers_mut() = read(&headers);
                Ok(response)
            }
        }
    }
}
