//! Secrets that are planted in all places where clients put them are found nowhere afterwards.

use proptest::prelude::*;

use super::*;

/// The parts of a capsule, as whoever makes one hands them over.
#[derive(Clone, Debug, Default)]
struct Parts {
    headers: Vec<(String, Vec<u8>)>,
    query: Vec<u8>,
    bodies: Vec<Vec<u8>>,
}

impl Parts {
    fn redact(&mut self, redaction: &Redaction) -> usize {
        let mut redactor = Redactor::new(redaction);
        for (name, value) in &mut self.headers {
            redactor.header(name, value);
        }
        redactor.query(&mut self.query);
        for body in &mut self.bodies {
            redactor.body(body);
        }
        for part in self.each() {
            redactor.everywhere(part);
        }
        redactor.finish().unwrap()
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        let headers = self.headers.iter_mut().map(|(_, value)| value);
        headers.chain([&mut self.query]).chain(&mut self.bodies)
    }

    fn lengths(&mut self) -> Vec<usize> {
        self.each().map(|part| part.len()).collect()
    }
}

fn redaction() -> Redaction {
    Redaction::new(["X-Api-Key", "password", "card_number"])
}

fn body(text: &str) -> String {
    let mut body = text.as_bytes().to_vec();
    Redactor::new(&redaction()).body(&mut body);
    String::from_utf8(body).unwrap()
}

#[test]
fn json_stays_json_of_the_same_length() {
    let text = r#"{"user": "ann", "password" : "pa\"ss word", "n":1, "card-number":[4111, -1.5e3, null],
        "deep": {"x_api_key": {"a": "secret", "b": [true, "more"]}}, "last": "kept"}"#;
    let redacted = body(text);
    assert_eq!(redacted.len(), text.len());
    for kept in [r#""user": "ann""#, r#""n":1"#, r#""last": "kept""#, "null", "true"] {
        assert!(redacted.contains(kept), "{kept} in {redacted}");
    }
    for gone in ["pa\\\"ss", "ss word", "4111", "1.5", "secret", "more"] {
        assert!(!redacted.contains(gone), "{gone} in {redacted}");
    }
    assert!(redacted.contains("[1111, -1.1e1, null]"), "{redacted}");
}

#[test]
fn fields_are_found_however_they_are_written() {
    for (text, redacted) in [
        ("a=1&password=hunter2&b=2", "a=1&password=xxxxxxx&b=2"),
        // As clients send it that encode nothing.
        ("password=correct horse;\"staple\"", "password=xxxxxxxxxxxxxxxxxxxxxx"),
        ("pass%77ord=hunter2", "pass%77ord=xxxxxxx"),
        ("{\"pass\\u0077ord\":\"hunter2\"}", "{\"pass\\u0077ord\":\"xxxxxxx\"}"),
        ("PASSWORD=hunter2", "PASSWORD=xxxxxxx"),
        // Cut off.
        ("{\"password\":\"hunt", "{\"password\":\"xxxx"),
        ("{\"password\":", "{\"password\":"),
        ("not json \" {\"password\": \"hunter2\"}", "not json \" {\"password\": \"xxxxxxx\"}"),
        ("{\"u\":\"/a?password=abc&b=c\",\"n\":1}", "{\"u\":\"/a?password=xxx&b=c\",\"n\":1}"),
        ("passwords=hunter2&password2=a", "passwords=hunter2&password2=a"),
    ] {
        assert_eq!(body(text), redacted, "{text}");
    }
    let multipart =
        "--b\r\ncontent-disposition: form-data; name=\"password\"\r\n\r\nhun\r\nter2\r\n--b--";
    let expected =
        "--b\r\ncontent-disposition: form-data; name=\"password\"\r\n\r\nxxxxxxxxx\r\n--b--";
    assert_eq!(body(multipart), expected);
}

#[test]
fn a_secret_is_taken_out_wherever_else_it_stands_and_nothing_like_it() {
    let mut parts = Parts {
        headers: vec![
            ("authorization".to_owned(), b"Bearer tok-12345".to_vec()),
            ("cookie".to_owned(), b"session=abcdefgh; theme=dark".to_vec()),
            ("set-cookie".to_owned(), b"id=ijklmnop; Path=/account".to_vec()),
            ("referer".to_owned(), b"https://a.example/?x-api-key=qrstuvwx&b=c".to_vec()),
        ],
        query: b"/account/tok-12345?session=abcdefgh&mode=dark&Bearer=1".to_vec(),
        bodies: vec![b"echo tok-12345 qrstuvwx ijklmnop".to_vec()],
    };
    assert!(parts.redact(&redaction()) > 0);
    let query = String::from_utf8(parts.query).unwrap();
    assert_eq!(query, "/account/xxxxxxxxx?session=xxxxxxxx&mode=dark&Bearer=1");
    assert_eq!(parts.bodies, [b"echo xxxxxxxxx xxxxxxxx xxxxxxxx".to_vec()]);
    let (_, referer) = parts.headers.last().unwrap();
    assert_eq!(referer, b"https://a.example/?x-api-key=xxxxxxxx&b=c");
}

/// A secret that shares no text with what is there besides.
fn secret() -> impl Strategy<Value = String> {
    "[A-Z0-9]{4}[A-Za-z0-9_.~-]{4,30}"
}

/// Where it is planted, as each kind of client writes it.
fn plant(parts: &mut Parts, place: usize, secret: &str) {
    let json = |name: &str| format!("{{\"n\":1,\"{name}\": \"{secret}\",\"m\":[2]}}").into_bytes();
    let form = |name: &str| format!("a=b&{name}={secret}&c=d").into_bytes();
    match place % 23 {
        0 => parts.headers.push(("Authorization".to_owned(), format!("Bearer {secret}").into())),
        1 => parts.headers.push(("cookie".to_owned(), format!("a={secret}; b=c").into())),
        2 => parts.headers.push(("set-cookie".to_owned(), format!("a={secret}; Path=/").into())),
        3 => parts.headers.push(("proxy-authorization".to_owned(), secret.into())),
        4 => parts.headers.push(("x-api-key".to_owned(), secret.into())),
        5 => parts.query.extend(form("Password")),
        6 => parts.query.extend(form("x_api_key")),
        7 => parts.bodies.push(json("password")),
        8 => parts.bodies.push(json("CARD_NUMBER")),
        9 => parts.bodies.push(form("password")),
        10 => parts.bodies.push(format!("{{\"password\":{{\"deep\":[\"{secret}\"]}}}}").into()),
        11 => {
            let head = "--b\r\ncontent-disposition: form-data; name=\"password\"\r\n\r\n";
            parts.bodies.push(format!("{head}{secret}\r\n--b--\r\n").into());
        }
        12 => parts.bodies.push(format!("a=b&user[password]={secret}&c=d").into()),
        13 => parts.bodies.push(format!("user.password={secret}&c=d").into()),
        14 => parts.query.extend(format!("user%5Bpassword%5D[]={secret}").into_bytes()),
        // JSON in a string of JSON, and once more.
        15 => parts.bodies.push(in_json(in_json(json("password")))),
        16 => parts.bodies.push(in_json(in_json(in_json(json("card_number"))))),
        17 | 18 => {
            let name = if place % 23 == 17 { "name=password" } else { "Name=\"password\"" };
            let head = format!("--b\r\nContent-Disposition: form-data; {name}\r\n\r\n");
            parts.bodies.push(format!("{head}{secret}\r\n--b--\r\n").into());
        }
        19 => parts.headers.push(("x-context".to_owned(), json("password"))),
        20 => parts.query.extend(percent(&json("password"), b"d=")),
        21 => parts.bodies.push(percent(&form("password"), b"next=/cb%3F")),
        _ => {
            let at = format!("https://a.example/cb?password={secret}&x=y");
            parts.headers.push(("referer".to_owned(), at.into()));
        }
    }
}

/// An object with this text as the value of a member.
fn in_json(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = String::from_utf8_lossy(text.as_ref()).replace('\\', "\\\\").replace('"', "\\\"");
    format!("{{\"message\":\"{text}\"}}").into_bytes()
}

/// A field of a form that says so, and then this, of which each byte that is no letter and no digit is escaped.
fn percent(text: &[u8], before: &[u8]) -> Vec<u8> {
    let mut field = before.to_vec();
    for byte in text {
        match byte {
            b'_' | b'.' | b'~' | b'-' => field.push(*byte),
            byte if byte.is_ascii_alphanumeric() => field.push(*byte),
            byte => field.extend(format!("%{byte:02X}").into_bytes()),
        }
    }
    field
}

#[test]
fn a_value_of_several_lines_goes_to_the_line_that_separates_parts() {
    let pem = "-----BEGIN KEY-----\r\nc2VjcmV0\r\n-----END KEY-----";
    let head = "Content-Disposition: form-data; name=\"password\"; filename=\"key.pem\"\r\n\r\n";
    let after = "\r\n--b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nkept\r\n--b--\r\n";
    let masked = "x".repeat(pem.len());
    assert_eq!(
        body(&format!("--b\r\n{head}{pem}{after}")),
        format!("--b\r\n{head}{masked}{after}")
    );
    // Where that line is not known, anything may still be the value.
    let masked = "x".repeat(pem.len() + after.len());
    assert_eq!(
        body(&format!("a preamble\r\n--b\r\n{head}{pem}{after}")),
        format!("a preamble\r\n--b\r\n{head}{masked}")
    );
}

#[test]
fn json_in_a_string_of_json_stays_json_there() {
    let text =
        r#"{"a":"{\n \"password\" : \"pa\\\"ss\",\n \"n\":1}","b":"{\"password\":[12,\"cut"}"#;
    let expected =
        r#"{"a":"{\n \"password\" : \"xxxxxxxx\",\n \"n\":1}","b":"{\"password\":[11,\"xxx"}"#;
    assert_eq!(body(text), expected);
}

#[test]
fn a_secret_that_is_no_clients_is_taken_out_where_it_is_said() {
    let redaction = redaction();
    let mut redactor = Redactor::new(&redaction);
    redactor.secret(b"key-of-the-env");
    redactor.secret(b"short");
    let mut said = b"key-of-the-env is short".to_vec();
    redactor.body(&mut said);
    redactor.everywhere(&mut said);
    assert_eq!(String::from_utf8(said).unwrap(), "xxxxxxxxxxxxxx is short");
    assert_eq!(redactor.finish(), Ok(1));
}

/// 64 KiB of what a client repeats, and how many bytes are looked at for that.
fn n_steps(begin: &str, repeated: &str, end: &str) -> (usize, Result<usize, TooManySecrets>) {
    let n = (crate::capsule::LARGEST - begin.len() - end.len()) / repeated.len();
    let mut body = [begin, &repeated.repeat(n), end].concat().into_bytes();
    let redaction = redaction();
    let mut redactor = Redactor::new(&redaction);
    fields::steps::take();
    redactor.body(&mut body);
    redactor.everywhere(&mut body);
    (fields::steps::take(), redactor.finish())
}

#[test]
fn no_text_of_a_client_takes_more_than_a_few_steps_a_byte() {
    for (begin, repeated, end) in [
        ("\"", "\\\"", ""),
        ("", "\"", ""),
        ("", "=", ""),
        ("", "a=", ""),
        ("", "\\", "\""),
        ("{\"password\":", "\\", ""),
        ("{\"password\":[", "\\n", ""),
        ("{\"password\":\"", "\\\"", ""),
        ("", "\"a\":", ""),
        ("", "%22", ""),
        ("form-data;", "name=\"", ""),
        ("form-data;", " name=", ""),
        ("--\r\nform-data; name=password\r\n\r\n", "\n--", ""),
        ("password=", "a", "b&c=aaaaaaaaaaaaaaaaa"),
    ] {
        let (n_steps, finished) = n_steps(begin, repeated, end);
        let most = 20 * crate::capsule::LARGEST;
        assert!(n_steps <= most && finished.is_ok(), "{n_steps} steps for {begin}{repeated}…");
    }
}

#[test]
fn so_many_secrets_are_looked_for_and_no_more() {
    let many = |n: usize| {
        let each: Vec<String> = (0..n).map(|number| format!("\"{}\"", 100_000 + number)).collect();
        let mut body = format!("{{\"password\":[{}]}}", each.join(",")).into_bytes();
        let redaction = redaction();
        let mut redactor = Redactor::new(&redaction);
        fields::steps::take();
        redactor.body(&mut body);
        redactor.everywhere(&mut body);
        (fields::steps::take() <= 20 * body.len(), redactor.finish())
    };
    assert_eq!(many(MOST_SECRETS).1, Ok(MOST_SECRETS));
    assert_eq!(many(MOST_SECRETS + 1), (true, Err(TooManySecrets)));
    assert_eq!(many(7000), (true, Err(TooManySecrets)));
    // Values of the environment are bounded as well, and by themselves.
    let redaction = redaction();
    for (n_known, is_enough) in [(MOST_SECRETS, false), (MOST_SECRETS + 1, true)] {
        let mut redactor = Redactor::new(&redaction);
        (0..n_known).for_each(|number| redactor.secret(format!("value-{number}").as_bytes()));
        redactor.body(&mut b"password=hunter2-hunter2".to_vec());
        assert_eq!(redactor.finish().is_err(), is_enough, "{n_known}");
    }
}

proptest! {
    #[test]
    fn thirty_planted_secrets_are_found_nowhere(
        secrets in prop::collection::vec(secret(), 30),
        echoes in prop::collection::vec((0..30_usize, any::<bool>()), 0..10),
        first in 0..23_usize,
    ) {
        let mut parts = Parts { query: b"/pay?q=1&".to_vec(), ..Parts::default() };
        for (place, secret) in secrets.iter().enumerate() {
            plant(&mut parts, first + place, secret);
            parts.query.push(b'&');
        }
        // What is said again where nobody would look for it.
        for (place, in_body) in echoes {
            let said = format!("you sent {} to us", secrets[place]).into_bytes();
            if in_body {
                parts.bodies.push(said);
            } else {
                parts.headers.push(("x-trace".to_owned(), said));
            }
        }
        let lengths = parts.lengths();
        let n_redacted = parts.redact(&redaction());
        prop_assert!(n_redacted >= 30, "{n_redacted}");
        prop_assert_eq!(parts.lengths(), lengths);
        for part in parts.each() {
            for secret in &secrets {
                let text = String::from_utf8_lossy(part);
                prop_assert!(!text.contains(secret.as_str()), "{secret} in {text}");
            }
        }
    }

    #[test]
    fn no_text_is_too_odd_and_what_names_no_secret_stays(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut body = text.clone();
        let redaction = Redaction::new(["\u{1}never"]);
        Redactor::new(&redaction).body(&mut body);
        let lower = String::from_utf8_lossy(&text).to_ascii_lowercase();
        if !redaction.names.iter().any(|name| lower.contains(name.get(..3).unwrap())) {
            prop_assert_eq!(body, text);
        } else {
            prop_assert_eq!(body.len(), text.len());
        }
    }

    #[test]
    fn json_of_any_kind_stays_json(
        value in r#"(true|null|-?[1-9][0-9]{0,9}(\.[0-9]{1,3})?|"([a-z ]|\\[n"\\]){0,9}")"#,
        depth in 0..4_usize,
    ) {
        let value = format!("{}{value}{}", "[".repeat(depth), "]".repeat(depth));
        let text = format!("{{\"a\":1,\"password\":{value},\"b\":\"kept\"}}");
        let redacted = body(&text);
        prop_assert_eq!(redacted.len(), text.len());
        prop_assert!(redacted.ends_with(",\"b\":\"kept\"}"), "{redacted}");
    }
}
