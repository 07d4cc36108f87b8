//! Imports an interface that no host has, as toolchains do that import all they know, and answers without
//! it; with `?what=` it calls a function of it, or makes a resource of it.

use guest_programs::{query, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: r#"
        package steerage:lacking;

        world lacking {
            import shop:orders/book@1.0.0;
        }

        package shop:orders@1.0.0 {
            interface book {
                resource order {
                    constructor(name: string);
                    price: func() -> result<u64, string>;
                }
                count: func() -> u64;
            }
        }
    "#,
    generate_all,
});

use shop::orders::book;

struct Lacking;

impl wasip2::exports::http::incoming_handler::Guest for Lacking {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let said = match query(&request, "what").as_deref() {
            Some("count") => format!("{} orders", book::count()),
            Some("order") => format!("{:?}", book::Order::new("one").price()),
            _ => "it did without".to_owned(),
        };
        reply(out, 200, &said);
    }
}

wasip2::http::proxy::export!(Lacking);
