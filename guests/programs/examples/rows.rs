//! Uses SQL databases, as `?api=` says: `2` is `fermyon:spin/sqlite` 2.0.0 and `3` is `spin:sqlite/sqlite` 3.0.0.
//! Answers the rows of the last statement, each a line of values with `|` between, and an error with status 500 and
//! its name.
//!
//! Each `?sql=` is a statement, in their order and on one connection, `?database=` the label. `?size=` makes a
//! blob of so many bytes, which stands for the parameter of statements that have one. `?times=` is how often all of it
//! is done. `?counts=1` adds what was changed last and the row that was inserted last, of version 3. `?end=trap` ends
//! the guest after it.

use guest_programs::{number, query, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: r#"
        package steerage:rows;

        world rows {
            import fermyon:spin/sqlite@2.0.0;
            import spin:sqlite/sqlite@3.0.0;
        }

        package fermyon:spin@2.0.0 {
            interface sqlite {
                variant error { no-such-database, access-denied, invalid-connection, database-full, io(string) }
                variant value { integer(s64), real(f64), text(string), blob(list<u8>), null }
                record row-result { values: list<value> }
                record query-result { columns: list<string>, rows: list<row-result> }
                resource connection {
                    open: static func(database: string) -> result<connection, error>;
                    execute: func(statement: string, parameters: list<value>) -> result<query-result, error>;
                }
            }
        }

        package spin:sqlite@3.0.0 {
            interface sqlite {
                variant error { no-such-database, access-denied, invalid-connection, database-full, io(string) }
                variant value { integer(s64), real(f64), text(string), blob(list<u8>), null }
                record row-result { values: list<value> }
                record query-result { columns: list<string>, rows: list<row-result> }
                resource connection {
                    open: static func(database: string) -> result<connection, error>;
                    execute: func(statement: string, parameters: list<value>) -> result<query-result, error>;
                    last-insert-rowid: func() -> s64;
                    changes: func() -> u64;
                }
            }
        }
    "#,
    world: "steerage:rows/rows",
    generate_all,
});

use fermyon::spin::sqlite as second;
use spin::sqlite::sqlite as third;

guest_programs::serve!(rows);

/// What is asked for.
struct Asked {
    label: String,
    statements: Vec<String>,
    size: usize,
    times: u64,
    has_counts: bool,
}

fn rows(request: IncomingRequest, out: ResponseOutparam) {
    let target = request.path_with_query().unwrap_or_default();
    let pairs = target.split_once('?').map_or("", |(_, query)| query).split('&');
    let statements = pairs.filter_map(|pair| pair.strip_prefix("sql=")).map(decoded).collect();
    let asked = Asked {
        label: query(&request, "database").map_or("default".to_owned(), |label| decoded(&label)),
        statements,
        size: number(&request, "size", 0) as usize,
        times: number(&request, "times", 1),
        has_counts: number(&request, "counts", 0) > 0,
    };
    let answer = match number(&request, "api", 3) {
        2 => by_second(&asked).map_err(|error| format!("{error:?}")),
        _ => by_third(&asked).map_err(|error| format!("{error:?}")),
    };
    assert!(query(&request, "end").is_none(), "after it used a database");
    match answer {
        Ok(text) => reply(out, 200, &text),
        Err(error) => reply(out, 500, &error),
    }
}

/// What a query says, where `+` stands for a space and `%` for a byte.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut all, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let byte = match bytes[at] {
            b'+' => b' ',
            b'%' => {
                at += 2;
                u8::from_str_radix(&text[at - 1..=at], 16).expect("two hexadecimal digits")
            }
            byte => byte,
        };
        all.push(byte);
        at += 1;
    }
    String::from_utf8(all).expect("UTF-8")
}

/// Both interfaces have the same types under other names.
macro_rules! run {
    ($interface:ident, $asked:ident) => {{
        let connection = $interface::Connection::open(&$asked.label)?;
        let mut lines = Vec::new();
        for _ in 0..$asked.times {
            for statement in &$asked.statements {
                let blob = || $interface::Value::Blob(vec![7; $asked.size]);
                let parameters: Vec<_> = statement.matches('?').map(|_| blob()).collect();
                let answer = connection.execute(statement, &parameters)?;
                lines.clear();
                for row in answer.rows {
                    assert_eq!(row.values.len(), answer.columns.len());
                    let shown = row.values.iter().map(|value| match value {
                        $interface::Value::Integer(number) => number.to_string(),
                        $interface::Value::Real(number) => format!("{number:?}"),
                        $interface::Value::Text(text) => text.clone(),
                        $interface::Value::Blob(bytes) => format!("{} bytes", bytes.len()),
                        $interface::Value::Null => "nothing".to_owned(),
                    });
                    lines.push(shown.collect::<Vec<_>>().join("|"));
                }
            }
        }
        (connection, lines)
    }};
}

fn by_second(asked: &Asked) -> Result<String, second::Error> {
    let (_, lines) = run!(second, asked);
    Ok(lines.join("\n"))
}

fn by_third(asked: &Asked) -> Result<String, third::Error> {
    let (connection, mut lines) = run!(third, asked);
    if asked.has_counts {
        lines.push(format!("{} {}", connection.changes(), connection.last_insert_rowid()));
    }
    Ok(lines.join("\n"))
}
