//! The page of the admin address: its files are in the program and are served as they are.
//! Knows nothing of what the page shows: its scripts ask the control API as any other client does.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};
use steerage_core::id::Digest;

use super::problem::{Cause, Refusal};

/// What a browser may do for the page: nothing but its own files and this host's API. So a text of a guest
/// that came to be read as HTML all the same could neither run nor tell anybody anything.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The file at `/`.
const INDEX: &str = "index.html";

/// A file in the program.
struct PageFile {
    name: &'static str,
    form: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal: $form:expr),* $(,)?) => {
        [$(PageFile {
            name: $name,
            form: $form,
            bytes: include_bytes!(concat!("../page/", $name)),
        }),*]
    };
}

/// All files of the page.
static FILES: [PageFile; 22] = files![
    "index.html": HTML,
    "style.css": STYLE,
    "main.js": SCRIPT,
    "host.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "parts.js": SCRIPT,
    "past.js": SCRIPT,
    "keys.js": SCRIPT,
    "now.js": SCRIPT,
    "hosts.js": SCRIPT,
    "apps.js": SCRIPT,
    "app.js": SCRIPT,
    "call.js": SCRIPT,
    "curves.js": SCRIPT,
    "profile.js": SCRIPT,
    "flame.js": SCRIPT,
    "stacks.js": SCRIPT,
    "bill.js": SCRIPT,
    "paid.js": SCRIPT,
    "uplot/uPlot.iife.min.js": SCRIPT,
    "uplot/uPlot.min.css": STYLE,
];

/// The digest of each file, by which a browser knows that it has it.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let digest = |bytes: &[u8]| Digest::from_bytes(Sha256::digest(bytes).into());
    FILES.iter().map(|file| format!("\"{}\"", digest(file.bytes).hex())).collect()
});

/// `GET /`.
pub(super) async fn index(headers: HeaderMap) -> Result<Response, Refusal> {
    file(INDEX, &headers)
}

/// `GET /page/{file}`.
pub(super) async fn of_name(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    file(&name, &headers)
}

fn file(name: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let found = FILES.iter().zip(&*TAGS).find(|(file, _)| file.name == name);
    let Some((file, tag)) = found else {
        let detail = format!("the page has no file {name:?}; it begins at /");
        return Err(Refusal::new(Cause::NotFound, detail));
    };
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // Kept, and asked for each time whether it is still the same: another version of the host has others.
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| is_among(known, tag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, file.form)], file.bytes).into_response()
    };
    let told = response.headers_mut();
    for (header, value) in fixed {
        told.insert(header, HeaderValue::from_static(value));
    }
    told.insert(ETAG, HeaderValue::from_str(tag).map_err(|error| Refusal::internal(&error))?);
    Ok(response)
}

/// Whether a tag is among those of an `If-None-Match`. A proxy that packs answers makes tags weak.
fn is_among(known: &HeaderValue, tag: &str) -> bool {
    let Ok(known) = known.to_str() else { return false };
    let mut each = known.split(',').map(str::trim);
    each.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use steerage_core::spent::Phase;

    use super::*;

    fn text(name: &str) -> &'static str {
        let file = FILES.iter().find(|file| file.name == name).unwrap();
        std::str::from_utf8(file.bytes).unwrap()
    }

    #[test]
    fn the_page_has_the_words_of_each_phase() {
        let words = text("call.js").split("const PHASES = {").nth(1).unwrap();
        let words = words.split("\n};").next().unwrap();
        let lines: Vec<&str> = words.lines().map(str::trim).collect();
        let words = lines.concat().replace('"', "'");
        for phase in Phase::ALL {
            let [code, meaning, remedy] = [phase.code(), phase.meaning(), phase.remedy()];
            let line = format!("{code}: ['{meaning}','{remedy}'");
            let same = |text: &str| text.replace("', '", "','").replace("','", "'\n'");
            assert!(same(&words).contains(&same(&line)), "no line {line} in {words}");
        }
    }

    #[test]
    fn tags_are_compared_as_browsers_send_them() {
        let is = |known: &'static str| is_among(&HeaderValue::from_static(known), "\"a\"");
        assert!(is("\"a\"") && is("\"b\", \"a\"") && is("W/\"a\"") && is("*"));
        assert!(!is("\"b\"") && !is("a") && !is(""));
    }

    #[test]
    fn each_file_in_the_folder_is_served_or_a_licence() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page");
        let mut there = Vec::new();
        for part in ["", "uplot/"] {
            for entry in std::fs::read_dir(folder.join(part)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    there.push(format!("{part}{}", entry.file_name().to_string_lossy()));
                }
            }
        }
        there.retain(|name| name != "uplot/LICENSE");
        there.sort();
        let mut served: Vec<_> = FILES.iter().map(|file| file.name).collect();
        served.sort_unstable();
        assert_eq!(there, served);
    }
}
