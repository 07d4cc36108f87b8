//! `POST` and `DELETE /v1/session`: signing in on the page, and out.
//! Keeps no session: `sessions` does.

use axum::extract::{FromRequest as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::header::{ORIGIN, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use steerage_core::sessions::LASTS;

use super::auth;
use super::problem::{Cause, Refusal};
use super::sessions::{COOKIE_NAME, SignedIn};
use super::{Sent, Shared, wire};

/// `POST /v1/session`.
pub(super) async fn sign_in(
    State(state): State<Shared>,
    request: Request,
) -> Result<Response, Refusal> {
    auth::check_sender(&request)?;
    let token = state.token.load_full();
    let Some(token) = &*token else {
        auth::check_host(&request)?;
        let detail = "this host was started without a token, so nobody has to sign in";
        return Err(Refusal::new(Cause::BadRequest, detail));
    };
    // The host speaks plain text here; where a proxy before it speaks TLS, the browser says so.
    let origin = request.headers().get(ORIGIN);
    let is_tls = origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let Sent(asked) = Sent::<wire::SessionRequest>::from_request(request, &state).await?;
    if !token.matches(asked.token.trim().as_bytes()) {
        return Err(Refusal::unauthorized("this is not the host's token"));
    }
    let opened = state.sessions.open(token.hash(), state.started_at.elapsed());
    let opened = opened.ok_or_else(|| {
        let detail = "the system gives no random bytes, so no session can be opened";
        Refusal::new(Cause::Internal, detail)
    })?;
    let set = set_cookie(&opened.cookie, LASTS.as_secs(), is_tls)?;
    let told = wire::SessionKey { key: opened.key, lasts_s: LASTS.as_secs() };
    Ok(([(SET_COOKIE, set)], Json(told)).into_response())
}

/// `DELETE /v1/session`.
pub(super) async fn sign_out(
    State(state): State<Shared>,
    signed_in: Option<Extension<SignedIn>>,
) -> Result<Response, Refusal> {
    if let Some(Extension(signed_in)) = signed_in {
        state.sessions.close(&signed_in);
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, set_cookie("", 0, false)?)]).into_response())
}

fn set_cookie(value: &str, seconds: u64, is_tls: bool) -> Result<HeaderValue, Refusal> {
    let secure = if is_tls { "; Secure" } else { "" };
    let text = format!(
        "{COOKIE_NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    );
    HeaderValue::from_str(&text).map_err(|error| Refusal::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_for_no_script_no_other_site_and_with_tls_for_nothing_else() {
        let plain = set_cookie("x", 9, false).unwrap();
        let text = "steerage-session=x; Path=/; Max-Age=9; HttpOnly; SameSite=Strict";
        assert_eq!(plain, text);
        assert_eq!(set_cookie("x", 9, true).unwrap(), format!("{text}; Secure"));
    }
}
