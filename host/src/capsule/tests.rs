//! What is written down is read again, without what was secret.

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

fn bytes(text: &str) -> CapsuleBytes {
    CapsuleBytes::from(text)
}

/// A capsule in each part of which something can stand.
fn capsule() -> Capsule {
    let headers = || vec![("accept".to_owned(), bytes("*/*"))];
    let body = |text: &str| RecordedBody {
        bytes: bytes(text),
        pieces: vec![1, text.len().saturating_sub(1)],
        trailers: headers(),
        end: BodyEnd::Whole,
    };
    Capsule {
        version: VERSION,
        steerage: "0.1.0".to_owned(),
        call: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        app: "shop".to_owned(),
        generation: 3,
        component: format!("sha256:{}", "0".repeat(64)),
        at_ms: 1_790_000_000_000,
        limits: CapsuleLimits {
            memory: 1 << 26,
            fuel: 1 << 30,
            timeout_ms: 5000,
            request_body: 1 << 20,
            response_body: 1 << 20,
        },
        env: vec![EnvName { name: "MODE".to_owned(), value_bytes: 4 }],
        request: CapsuleRequest {
            method: "POST".to_owned(),
            uri: bytes("/pay?"),
            protocol: "HTTP/1.1".to_owned(),
            headers: headers(),
            https: false,
            remote: "10.0.0.7".to_owned(),
            port: 80,
            script_name: bytes("/pay"),
            path_info: bytes(""),
        },
        recording: Recording {
            seed: CapsuleBytes(vec![0xff; 32]),
            wall_ns: vec![1_790_000_000_000_000_000],
            monotonic_ns: vec![5],
            polls: vec![vec![0]],
            readiness_checks: vec![1, 2],
            write_permits: vec![65_536],
            span_context: Some(
                "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01".to_owned(),
            ),
            body: body("a=b"),
            outbound: vec![
                Exchange {
                    method: "GET".to_owned(),
                    to: "http://b:80".to_owned(),
                    answer: Some(RecordedAnswer::Answered {
                        status: 200,
                        headers: headers(),
                        body: body("{}"),
                    }),
                },
                Exchange { method: "GET".to_owned(), to: "http://c:80".to_owned(), answer: None },
            ],
        },
        ending: CapsuleEnding {
            cause: "trapped".to_owned(),
            status: 0,
            frames: vec!["pay".to_owned()],
            fuel: 41_000,
        },
        redacted: 0,
    }
}

#[test]
fn what_was_sealed_is_opened_and_is_the_same_where_nothing_is_secret() {
    let sealed = capsule().seal(&Redaction::new(["x-api-key"]), []).unwrap();
    assert_eq!(Capsule::open(&sealed).unwrap(), capsule());
}

#[test]
fn whoever_changes_the_form_of_capsules_counts_up_their_version() {
    let sealed = capsule().seal(&Redaction::default(), []).unwrap();
    let digest = Sha256::digest(&sealed);
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let said = String::from_utf8(sealed).unwrap();
    assert_eq!((VERSION, &*digest), (2, "1b03d1578f60c92a"), "another form: {said}");
}

#[test]
fn another_version_and_what_is_no_capsule_are_refused_by_name() {
    let later = serde_json::to_vec(&Capsule { version: VERSION + 1, ..capsule() }).unwrap();
    let error = Capsule::open(&later).unwrap_err().to_string();
    assert_eq!(
        error,
        "the capsule is of version 3, and this steerage replays version 2: use the steerage that made it"
    );
    let error = Capsule::open(b"{\"version\":2}").unwrap_err().to_string();
    assert!(error.starts_with("this is no capsule: missing field"), "{error}");
}

#[test]
fn what_is_too_large_is_not_sealed() {
    let mut large = capsule();
    large.recording.body.bytes.0 = vec![b'"'; LARGEST / 2];
    // Each quote is two bytes as JSON, so what fits the tape may not fit here.
    assert_eq!(large.seal(&Redaction::new([""; 0]), []), Err(TooLarge.into()));
}

#[test]
fn what_is_encoded_or_has_too_many_secrets_is_not_sealed() {
    let redaction = Redaction::new(["password"]);
    let encoding = |value: &str| ("Content-Encoding".to_owned(), bytes(value));
    for (value, is_sealed) in [("gzip", false), ("identity, br", false), (" Identity", true)] {
        let mut asked = capsule();
        asked.request.headers.push(encoding(value));
        let mut answered = capsule();
        let Some(RecordedAnswer::Answered { headers, .. }) =
            &mut answered.recording.outbound[0].answer
        else {
            panic!("an answer")
        };
        headers.push(encoding(value));
        for capsule in [asked, answered] {
            let sealed = capsule.seal(&redaction, []);
            assert_eq!(sealed.is_ok(), is_sealed, "{value}");
            assert!(is_sealed || sealed == Err(Unsealed::Encoded));
        }
    }
    let mut unread = capsule();
    unread.request.headers.push(encoding("gzip"));
    unread.recording.body = RecordedBody::default();
    assert!(unread.seal(&redaction, []).is_ok(), "nothing of it is in the capsule");
    let mut many = capsule();
    let secrets: Vec<String> = (100_000..101_000).map(|number| format!("\"{number}\"")).collect();
    many.recording.body.bytes = bytes(&format!("{{\"password\":[{}]}}", secrets.join(",")));
    assert_eq!(many.seal(&redaction, []), Err(Unsealed::TooManySecrets(TooManySecrets)));
}

proptest! {
    #[test]
    fn thirty_planted_secrets_are_found_nowhere_in_a_sealed_capsule(
        secrets in prop::collection::vec("[A-Z0-9]{4}[A-Za-z0-9_.~-]{4,30}", 30),
        echoed in prop::collection::vec(0..30_usize, 10),
    ) {
        let mut planted = capsule();
        for (place, secret) in secrets.iter().enumerate() {
            let form = format!("&x_api_key={secret}&").into_bytes();
            let json = format!("{{\"a\":{{\"password\":\"{secret}\"}}}}").into_bytes();
            let header = |name: &str| (name.to_owned(), bytes(&format!("Bearer {secret}")));
            let Recording { body, outbound, .. } = &mut planted.recording;
            let Some(RecordedAnswer::Answered { headers, body: answer, .. }) = &mut outbound[0].answer else {
                panic!("an answer")
            };
            match place % 12 {
                0 => planted.request.headers.push(header("authorization")),
                1 => planted.request.uri.0.extend(form),
                2 => body.bytes.0.extend(form),
                3 => headers.push(("set-cookie".to_owned(), bytes(&format!("id={secret}; Path=/")))),
                4 => answer.bytes.0.splice(0..0, json).for_each(drop),
                5 => body.trailers.push(header("X-API-KEY")),
                6 => planted.request.headers.push(("cookie".to_owned(), bytes(&format!("a={secret}")))),
                7 => headers.push(header("proxy-authorization")),
                8 => planted.request.path_info.0.extend(form),
                9 => planted.request.script_name.0.extend(form),
                10 => {
                    let error = format!("cannot reach http://a/?password={secret}");
                    let answer = Some(RecordedAnswer::Failed { error });
                    let (method, to) = ("GET".to_owned(), "http://d:80".to_owned());
                    outbound.push(Exchange { method, to, answer });
                }
                _ => body.bytes.0.splice(0..0, json).for_each(drop),
            }
        }
        let said = |place: usize| format!("you said {}!", secrets[echoed[place]]);
        planted.request.method = said(0);
        planted.request.path_info.0.extend(said(1).into_bytes());
        planted.recording.outbound[1].to = said(2);
        planted.request.headers.push(("x-echo".to_owned(), bytes(&said(3))));
        if let Some(RecordedAnswer::Answered { headers, body, .. }) = &mut planted.recording.outbound[0].answer {
            headers.push(("x-echo".to_owned(), bytes(&said(4))));
            body.bytes.0.extend(said(5).into_bytes());
            body.bytes.0.extend(b"and the key-of-the-env");
            body.trailers.push((said(6), bytes("")));
        }
        planted.ending.frames.push(said(7));
        planted.request.headers.push((said(8), bytes("")));
        planted.recording.body.end = BodyEnd::Broken { error: said(9) };
        let sealed = planted.seal(&Redaction::new(["X-Api-Key", "password"]), ["key-of-the-env"]).unwrap();
        let text = String::from_utf8(sealed.clone()).unwrap();
        prop_assert!(!text.contains("key-of-the-env"), "{text}");
        for secret in &secrets {
            prop_assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
        prop_assert!(Capsule::open(&sealed).unwrap().redacted >= 30);
    }
}
