//! JSON in and out, behind the feature `json`.
//!
//! It does not look at content types: a body that parses is taken.

use http::{HeaderValue, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Argument, Body, Error, Incoming, Reply, Responder, Response, Result};

const JSON: &str = "application/json";

/// A value sent or received as JSON.
///
/// As an argument it reads the whole body, and a body that does not fit answers 400 and says where.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use steerage_sdk::{Json, handler};
///
/// #[derive(Deserialize)]
/// struct Order {
///     item: String,
///     count: u32,
/// }
///
/// #[derive(Serialize)]
/// struct Receipt {
///     item: String,
///     cents: u32,
/// }
///
/// #[handler]
/// fn order(Json(order): Json<Order>) -> Json<Receipt> {
///     Json(Receipt { item: order.item, cents: order.count * 250 })
/// }
/// # let Json(receipt) = order(Json(Order { item: "tea".into(), count: 2 }));
/// # assert_eq!((receipt.item.as_str(), receipt.cents), ("tea", 500));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> Argument for Json<T> {
    fn take(incoming: &Incoming) -> Result<Self> {
        incoming.body()?.json().map(Json)
    }
}

impl<T: Serialize> Reply for Json<T> {
    fn send(self, responder: Responder) {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => responder.send_bytes(200, JSON, &bytes),
            Err(error) => Error::from(error).send(responder),
        }
    }
}

impl<T: Serialize> Json<T> {
    /// A response, for a status or headers of its own.
    ///
    /// # Errors
    ///
    /// 500 when the value has no JSON form, as a map whose keys are not text.
    pub fn into_response(self) -> Result {
        let mut response = Response::new(serde_json::to_vec(&self.0)?.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        Ok(response)
    }
}

impl Body {
    /// All of it, as JSON (feature `json`).
    ///
    /// # Errors
    ///
    /// As [`Body::bytes`], and 400 when it is not the JSON that is wanted.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        serde_json::from_slice(&self.bytes()?)
            .map_err(|error| Error::bad_request(format!("the body is not what is wanted: {error}")))
    }
}
