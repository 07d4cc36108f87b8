//! Asks for what its app is configured with under the name that `?name=` gives, in all ways there are: by
//! drafts of `wasi:config` and as a variable of Spin; answers what each says.

use guest_programs::{query, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: r#"
        package steerage:settings;

        world settings {
            import wasi:config/store@0.2.0-draft-2024-09-27;
            import wasi:config/store@0.2.0-rc.1;
            import fermyon:spin/variables@2.0.0;
        }

        package wasi:config@0.2.0-draft-2024-09-27 {
            interface store {
                variant error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
        }

        package wasi:config@0.2.0-rc.1 {
            interface store {
                variant error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
        }

        package fermyon:spin@2.0.0 {
            interface variables {
                variant error {
                    invalid-name(string),
                    undefined(string),
                    provider(string),
                    other(string),
                }
                get: func(name: string) -> result<string, error>;
            }
        }
    "#,
    generate_all,
});

use fermyon::spin::variables;
use wasi::{config0_2_0_draft_2024_09_27 as draft, config0_2_0_rc_1 as candidate};

struct Settings;

impl wasip2::exports::http::incoming_handler::Guest for Settings {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let name = query(&request, "name").unwrap_or_default();
        let said = format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n",
            draft::store::get(&name),
            candidate::store::get(&name),
            candidate::store::get_all().map(|all| all.len()),
            variables::get(&name),
        );
        reply(out, 200, &said);
    }
}

wasip2::http::proxy::export!(Settings);
