//! What each failure becomes on the wire.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use http_body_util::BodyExt;
use steerage_core::id::Digest;
use steerage_core::units::Bytes;

use super::*;
use crate::sandbox::verdict::Rejection;

fn document(error: impl Into<Refusal>) -> wire::Problem {
    error.into().document()
}

fn check(error: impl Into<Refusal>, status: u16, cause: &str, said: &str) {
    let problem = document(error);
    assert_eq!((problem.status, problem.cause.as_str()), (status, cause), "{problem}");
    assert!(problem.detail.contains(said), "{}", problem.detail);
    assert_eq!(problem.kind, format!("urn:steerage:cause:{cause}"));
}

fn digest() -> Digest {
    Digest::from_bytes([7; 32])
}

#[test]
fn every_mistake_of_a_manifest_is_listed_with_its_place() {
    let mistakes =
        crate::manifest::read("name = \"a b\"\ncolour = 1\n", &Default::default()).unwrap_err();
    let n_mistakes = mistakes.iter().count();
    let problem = document(ApplyError::Manifest(mistakes));
    assert_eq!((problem.status, problem.cause.as_str()), (400, "bad_manifest"));
    assert_eq!(problem.mistakes.len(), n_mistakes);
    let name = problem.mistakes.iter().find(|mistake| mistake.key == "name").unwrap();
    assert_eq!(name.line, 1);
}

#[test]
fn a_route_of_another_app_is_named_with_its_owner() {
    let conflict = Conflict {
        wanted: "/shop/:b".parse().unwrap(),
        route: "/shop/:a".parse().unwrap(),
        owner: "other".parse().unwrap(),
    };
    let problem = document(ApplyError::Conflict(conflict));
    assert_eq!((problem.status, problem.cause.as_str()), (409, "route_conflict"));
    assert_eq!(problem.owner.as_deref(), Some("other"));
    assert_eq!(problem.route.as_deref(), Some("/shop/:a"));
}

#[test]
fn what_is_wrong_with_a_component_is_told() {
    let rejected = |rejection| CompileError::Rejected(rejection);
    let exports = vec!["acme:tool/run@1.0.0".to_owned()];
    let wrong_world = rejected(Rejection::WrongWorld { exports, missing: Vec::new() });
    check(wrong_world, 422, "bad_component", "exports acme:tool/run@1.0.0; this host calls wasi:");
    let imports = vec!["acme:db/sql@1.0.0".to_owned()];
    let missing = LoadError::Rejected(Rejection::MissingImports { imports });
    check(missing, 422, "bad_component", "acme:db/sql@1.0.0");
    let not_wasm = rejected(Rejection::NotWasm { found: "an ELF file".to_owned() });
    check(not_wasm, 422, "bad_component", "an ELF file");
    let timed_out = CompileError::TimedOut { digest: digest(), limit: Duration::from_secs(60) };
    check(timed_out, 422, "compile_timed_out", "60s");
    let memory = LoadError::MemoryLimit { least: Bytes::mebi(2), limit: Bytes::mebi(1) };
    check(memory, 422, "memory_limit", "2MiB");
    let died = CompileError::Died {
        digest: digest(),
        status: ExitStatus::from_raw(9),
        memory: Bytes::mebi(512),
        said: "secret path".to_owned(),
    };
    check(died, 422, "compile_failed", "512MiB");
}

#[test]
fn uploads_are_refused_by_size_and_digest() {
    check(BlobError::TooLarge { limit: Bytes::mebi(1) }, 413, "too_large", "1MiB");
    let other = Digest::from_bytes([8; 32]);
    let mismatch = BlobError::Mismatch { wanted: digest(), found: other };
    check(mismatch, 400, "digest_mismatch", &other.to_string());
    let unwanted = DeployError::OtherComponent { wanted: digest(), found: other };
    check(unwanted, 400, "digest_mismatch", &digest().to_string());
    check(BlobError::Damaged { digest: digest() }, 404, "not_found", "upload it again");
    let source = io::ErrorKind::StorageFull.into();
    let full = BlobError::Full { what: "write /var/lib/part-1".to_owned(), source };
    check(full, 507, "disk_full", "make room");
    check(DeployError::NoComponent(digest()), 404, "not_found", "upload it first");
    check(DeployError::NoApp("shop".parse().unwrap()), 404, "not_found", "shop");
}

#[test]
fn the_inside_of_the_host_stays_inside() {
    let source = io::Error::other("disk on fire");
    let error = BlobError::Io { what: "read /var/lib/steerage".to_owned(), source };
    assert_eq!(chain(&error), "cannot read /var/lib/steerage: disk on fire");
    let problem = document(ApplyError::Blob(error));
    assert_eq!((problem.status, problem.cause.as_str()), (500, "internal"));
    assert!(!problem.detail.contains("steerage"), "{}", problem.detail);
}

#[tokio::test]
async fn a_refusal_is_sent_as_a_problem_document() {
    let response = Refusal::unauthorized("no").into_response();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: wire::Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem.cause, "unauthorized");
    assert!(Refusal::draining().into_response().headers().contains_key(RETRY_AFTER));
}
