//! The public half of a shop: what there is and what it costs.
//!
//! It shares a host name with `shop-admin`, and nothing else: no code, no memory, no fault.

use steerage_sdk::{
    Body, Error, HeaderValue, Params, Request, Response, Result, Router, get, handler, header,
    variable,
};

static ROUTES: Router = Router::new(&[get("/", list), get("/products/:id", show)]);

struct Product {
    id: &'static str,
    name: &'static str,
    cents: u32,
}

const PRODUCTS: [Product; 3] = [
    Product { id: "kettle", name: "Kettle", cents: 34_90 },
    Product { id: "lamp", name: "Lamp", cents: 59_00 },
    Product { id: "stool", name: "Stool", cents: 81_50 },
];

#[handler]
fn serve(request: Request) -> Result {
    ROUTES.serve(request)
}

/// Streams the list, as one would a catalogue that does not fit in memory.
fn list(_request: Request, _params: Params) -> Result {
    // The manifest names the shop, so the same component can be deployed as another one.
    let shop = variable("SHOP_NAME").unwrap_or_else(|| "Shop".to_owned());
    Ok(page(Body::stream(move |sink| {
        use std::io::Write as _;

        writeln!(
            sink,
            "<!doctype html><meta charset=utf-8><title>{shop}</title><h1>{shop}</h1><ul>"
        )?;
        for Product { id, name, .. } in &PRODUCTS {
            writeln!(sink, "<li><a href=\"/products/{id}\">{name}</a>")?;
        }
        writeln!(sink, "</ul><p><a href=\"/admin\">Staff</a>")
    })))
}

fn show(_request: Request, params: Params) -> Result {
    let id = params.get("id").unwrap_or_default();
    let product = PRODUCTS.iter().find(|product| product.id == id);
    let Product { name, cents, .. } =
        product.ok_or_else(|| Error::not_found(format!("there is no product {id:?}\n")))?;
    let price = format!("{}.{:02}", cents / 100, cents % 100);
    Ok(page(format!("<!doctype html><meta charset=utf-8><h1>{name}</h1><p>{price}\n").into()))
}

fn page(body: Body) -> Response {
    let mut response = Response::new(body);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_has_its_price() {
        let request = steerage_sdk::http::Request::get("/products/kettle").body(().into()).unwrap();
        let page = serve(request).unwrap().into_body().text().unwrap();
        assert!(page.contains("Kettle") && page.contains("34.90"), "{page}");
    }
}
