//! Uses key-value stores, as `?api=` and `?op=` say: `wasi` is `wasi:keyvalue` 0.2.0-draft2, `draft` its first draft,
//! and `spin` is `fermyon:spin/key-value`. Answers what it was told, and an error with status 500 and its name.
//!
//! `?store=` is the label, `?key=` the key, `?value=` the value; `?length=` makes a key of so many bytes and `?size=` a
//! value. `?n=` is how often something is done.

use guest_programs::{number, query, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: r#"
        package steerage:pairs;

        world pairs {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
            import fermyon:spin/key-value@2.0.0;
        }

        package wasi:keyvalue@0.2.0-draft2 {
            interface store {
                variant error { no-such-store, access-denied, other(string) }
                record key-response { keys: list<string>, cursor: option<string> }
                open: func(identifier: string) -> result<bucket, error>;
                resource bucket {
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    list-keys: func(cursor: option<string>) -> result<key-response, error>;
                }
            }

            interface atomics {
                use store.{bucket, error};
                variant cas-error { store-error(error), cas-failed(cas) }
                resource cas {
                    new: static func(bucket: borrow<bucket>, key: string) -> result<cas, error>;
                    current: func() -> result<option<list<u8>>, error>;
                }
                increment: func(bucket: borrow<bucket>, key: string, delta: s64) -> result<s64, error>;
                swap: func(cas: cas, value: list<u8>) -> result<_, cas-error>;
            }

            interface batch {
                use store.{bucket, error};
                get-many: func(bucket: borrow<bucket>, keys: list<string>)
                    -> result<list<tuple<string, option<list<u8>>>>, error>;
                set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>)
                    -> result<_, error>;
                delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
            }
        }

        package fermyon:spin@2.0.0 {
            interface key-value {
                variant error { store-table-full, no-such-store, access-denied, other(string) }
                resource store {
                    open: static func(label: string) -> result<store, error>;
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    get-keys: func() -> result<list<string>, error>;
                }
            }
        }
    "#,
    world: "steerage:pairs/pairs",
    generate_all,
});

/// The first draft has a world of its own: two versions of one package cannot be named in one.
mod draft {
    wit_bindgen::generate!({
        inline: r#"
            package steerage:drafted;

            world drafted {
                import wasi:keyvalue/store@0.2.0-draft;
                import wasi:keyvalue/atomics@0.2.0-draft;
                import wasi:keyvalue/batch@0.2.0-draft;
            }

            package wasi:keyvalue@0.2.0-draft {
                interface store {
                    variant error { no-such-store, access-denied, other(string) }
                    record key-response { keys: list<string>, cursor: option<u64> }
                    open: func(identifier: string) -> result<bucket, error>;
                    resource bucket {
                        get: func(key: string) -> result<option<list<u8>>, error>;
                        set: func(key: string, value: list<u8>) -> result<_, error>;
                        delete: func(key: string) -> result<_, error>;
                        exists: func(key: string) -> result<bool, error>;
                        list-keys: func(cursor: option<u64>) -> result<key-response, error>;
                    }
                }

                interface atomics {
                    use store.{bucket, error};
                    increment: func(bucket: borrow<bucket>, key: string, delta: u64)
                        -> result<u64, error>;
                }

                interface batch {
                    use store.{bucket, error};
                    get-many: func(bucket: borrow<bucket>, keys: list<string>)
                        -> result<list<option<tuple<string, list<u8>>>>, error>;
                    set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>)
                        -> result<_, error>;
                    delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
                }
            }
        "#,
        world: "steerage:drafted/drafted",
        generate_all,
    });
}

use draft::wasi::keyvalue as first;
use fermyon::spin::key_value as spin;
use wasi::keyvalue::{atomics, batch, store};

guest_programs::serve!(pairs);

/// What is asked for.
struct Asked {
    api: String,
    op: String,
    label: String,
    key: String,
    value: Vec<u8>,
    n: u64,
}

fn pairs(request: IncomingRequest, out: ResponseOutparam) {
    let text = |name: &str, default: &str| query(&request, name).unwrap_or(default.to_owned());
    let size = number(&request, "size", 0) as usize;
    let asked = Asked {
        api: text("api", "wasi"),
        op: text("op", "get"),
        label: text("store", "default"),
        key: match number(&request, "length", 0) {
            0 => text("key", "key"),
            length => "k".repeat(length as usize),
        },
        value: if size > 0 { vec![b'x'; size] } else { text("value", "").into_bytes() },
        n: number(&request, "n", 1),
    };
    let answer = match &*asked.api {
        "wasi" => by_wasi(&asked).map_err(|error| format!("{error:?}")),
        "draft" => by_draft(&asked).map_err(|error| format!("{error:?}")),
        _ => by_spin(&asked).map_err(|error| format!("{error:?}")),
    };
    match answer {
        Ok(text) => reply(out, 200, &text),
        Err(error) => reply(out, 500, &error),
    }
}

fn shown(value: Option<Vec<u8>>) -> String {
    value.map_or("nothing".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
}

fn names(n: u64) -> Vec<String> {
    (0..n).map(|n| format!("many-{n}")).collect()
}

fn by_wasi(asked: &Asked) -> Result<String, store::Error> {
    let bucket = store::open(&asked.label)?;
    let key = &asked.key;
    Ok(match &*asked.op {
        "get" => shown(bucket.get(key)?),
        "gets" => {
            for _ in 0..asked.n {
                bucket.get(key)?;
            }
            "done".to_owned()
        }
        "lists" => {
            for _ in 0..asked.n {
                bucket.list_keys(None)?;
            }
            "done".to_owned()
        }
        "finds" => {
            let names: Vec<String> = names(1_000);
            for _ in 0..asked.n {
                batch::get_many(&bucket, &names)?;
            }
            "done".to_owned()
        }
        "set" => {
            bucket.set(key, &asked.value)?;
            "set".to_owned()
        }
        "delete" => {
            bucket.delete(key)?;
            "deleted".to_owned()
        }
        "exists" => bucket.exists(key)?.to_string(),
        "list" => {
            let (mut all, mut cursor, mut n_pages) = (Vec::new(), None, 0);
            loop {
                let page = bucket.list_keys(cursor.as_deref())?;
                n_pages += 1;
                all.extend(page.keys);
                cursor = page.cursor;
                if cursor.is_none() {
                    break format!("{n_pages}: {}", all.join(" "));
                }
            }
        }
        "increment" => {
            let mut sum = 0;
            for _ in 0..asked.n {
                sum = atomics::increment(&bucket, key, 1)?;
            }
            sum.to_string()
        }
        "swap" => {
            for _ in 0..asked.n {
                add_one(&bucket, key)?;
            }
            "swapped".to_owned()
        }
        "aba" => {
            let cas = atomics::Cas::new(&bucket, key)?;
            let before = cas.current()?.unwrap_or_default();
            bucket.set(key, b"other")?;
            bucket.set(key, &before)?;
            match atomics::swap(cas, b"lost") {
                Err(atomics::CasError::CasFailed(_)) => "noticed".to_owned(),
                other => format!("{:?}", other.is_ok()),
            }
        }
        "many" => {
            let names = names(asked.n);
            let pairs: Vec<_> =
                names.iter().map(|name| (name.clone(), asked.value.clone())).collect();
            batch::set_many(&bucket, &pairs)?;
            let found = batch::get_many(&bucket, &names)?;
            let n_found = found.iter().filter(|(_, value)| value.is_some()).count();
            batch::delete_many(&bucket, &names[..names.len() / 2])?;
            let left = batch::get_many(&bucket, &names)?;
            let n_left = left.iter().filter(|(_, value)| value.is_some()).count();
            format!("{n_found} {n_left}")
        }
        "fail" => {
            bucket.get(key)?;
            panic!("after it used a store");
        }
        other => format!("no op {other}"),
    })
}

/// Reads a number and writes the next one, until nobody else has written between.
fn add_one(bucket: &store::Bucket, key: &str) -> Result<(), store::Error> {
    let mut cas = atomics::Cas::new(bucket, key)?;
    loop {
        let now = cas.current()?.map_or(0, |digits| {
            String::from_utf8_lossy(&digits).parse::<u64>().expect("a number")
        });
        match atomics::swap(cas, (now + 1).to_string().as_bytes()) {
            Ok(()) => return Ok(()),
            Err(atomics::CasError::CasFailed(fresh)) => cas = fresh,
            Err(atomics::CasError::StoreError(error)) => return Err(error),
        }
    }
}

fn by_draft(asked: &Asked) -> Result<String, first::store::Error> {
    let bucket = first::store::open(&asked.label)?;
    let key = &asked.key;
    Ok(match &*asked.op {
        "get" => shown(bucket.get(key)?),
        "set" => {
            bucket.set(key, &asked.value)?;
            "set".to_owned()
        }
        "list" => {
            let (mut n_keys, mut cursor, mut n_pages) = (0, None, 0);
            loop {
                let page = bucket.list_keys(cursor)?;
                n_pages += 1;
                n_keys += page.keys.len();
                cursor = page.cursor;
                if cursor.is_none() {
                    break format!("{n_pages}: {n_keys}");
                }
            }
        }
        "increment" => first::atomics::increment(&bucket, key, asked.n)?.to_string(),
        "many" => {
            let names = names(asked.n);
            let pairs: Vec<_> =
                names.iter().map(|name| (name.clone(), asked.value.clone())).collect();
            first::batch::set_many(&bucket, &pairs)?;
            first::batch::delete_many(&bucket, &names[..names.len() / 2])?;
            let left = first::batch::get_many(&bucket, &names)?;
            left.iter().flatten().count().to_string()
        }
        other => format!("no op {other}"),
    })
}

fn by_spin(asked: &Asked) -> Result<String, spin::Error> {
    let store = spin::Store::open(&asked.label)?;
    let key = &asked.key;
    Ok(match &*asked.op {
        "get" => shown(store.get(key)?),
        "set" => {
            store.set(key, &asked.value)?;
            "set".to_owned()
        }
        "delete" => {
            store.delete(key)?;
            "deleted".to_owned()
        }
        "exists" => store.exists(key)?.to_string(),
        "list" => store.get_keys()?.join(" "),
        other => format!("no op {other}"),
    })
}
