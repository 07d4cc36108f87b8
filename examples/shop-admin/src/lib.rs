//! The staff's half of a shop, under `/admin` of the host name that `shop-front` serves.
//!
//! Each of its pages takes a [`Staff`], so none can forget to ask who is there.

use steerage_sdk::{Argument, Error, Incoming, Result, StatusCode, Uri, handler, variable};

/// Proof that the caller is one of the staff.
struct Staff;

impl Argument for Staff {
    fn take(incoming: &Incoming) -> Result<Self> {
        let token =
            variable("ADMIN_TOKEN").ok_or_else(|| Error::internal("ADMIN_TOKEN is not set"))?;
        let sent = incoming.header("authorization");
        let sent = sent.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if sent.is_some_and(|sent| is_same(sent.as_bytes(), token.as_bytes())) {
            Ok(Self)
        } else {
            Err(Error::new(StatusCode::UNAUTHORIZED, "this is for the staff\n"))
        }
    }
}

/// Compares without stopping at the first difference, whose place would tell a guesser how far he is.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[handler]
fn serve(_staff: Staff, uri: Uri) -> Result<&'static str> {
    match uri.path() {
        "/admin" => Ok("orders: /admin/orders\nstock: /admin/stock\n"),
        "/admin/orders" => Ok("1 kettle, 2 lamps\n"),
        "/admin/stock" => Ok("12 kettles, 3 lamps, no stools\n"),
        path => Err(Error::not_found(format!("there is no page {path}\n"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staff_see_the_stock() {
        let page = serve(Staff, Uri::from_static("/admin/stock")).unwrap();
        assert!(page.contains("no stools"), "{page}");
        assert_eq!(serve(Staff, Uri::from_static("/admin/x")).unwrap_err().status(), 404);
    }

    #[test]
    fn only_the_same_token_is_the_same() {
        assert!(is_same(b"staff", b"staff"));
        assert!(!is_same(b"staff", b"stafF"));
        assert!(!is_same(b"staff", b"staffs"));
    }
}
