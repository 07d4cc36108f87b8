//! What the API promises other programs about its JSON.

use serde_json::json;

use super::*;

#[test]
fn inputs_refuse_keys_they_do_not_know() {
    let body = json!({ "manifest": "", "component": "sha256:00", "force": true });
    let error = serde_json::from_value::<DeployRequest>(body).unwrap_err();
    assert!(error.to_string().contains("`force`"), "{error}");
    assert!(serde_json::from_value::<RollbackRequest>(json!({ "generation": 1 })).is_err());
    assert!(serde_json::from_value::<ValidateRequest>(json!({ "text": "" })).is_err());
}

#[test]
fn a_rollback_may_leave_out_where_to() {
    for body in [json!({}), json!({ "to": null })] {
        assert_eq!(serde_json::from_value::<RollbackRequest>(body).unwrap().to, None);
    }
    let asked: RollbackRequest = serde_json::from_value(json!({ "to": 3 })).unwrap();
    assert_eq!(asked.to, Some(3));
}

#[test]
fn an_app_in_detail_has_the_keys_of_a_summary_beside_its_own() {
    let summary = AppSummary {
        app: "shop".to_owned(),
        generation: 2,
        version: "1.0.0".to_owned(),
        kind: "http-0.2".to_owned(),
        component: "sha256:00".to_owned(),
        size_bytes: 9,
        deployed_at: 1,
        routes: vec!["/shop/...".to_owned()],
        calls: 5,
        failed: 1,
        errors: 0,
        refused: 0,
        latency: Latency::default(),
        running: 0,
        waiting: 0,
        fuel: 100,
        cpu_seconds: 0.5,
        memory_peak_bytes: 65536,
        rollout: None,
    };
    let limits = Limits {
        memory: "64KiB".to_owned(),
        memory_bytes: 65536,
        fuel: 1000,
        timeout: "1s".to_owned(),
        timeout_ms: 1000,
        concurrency: 1,
        queue: 0,
        request_body: "0".to_owned(),
        request_body_bytes: 0,
        response_body: "0".to_owned(),
        response_body_bytes: 0,
    };
    let detail = AppDetail {
        summary,
        tenant: "default".to_owned(),
        description: None,
        limits,
        reuse: 1,
        success_objective: "99.9%".to_owned(),
        latency_objective: Some("200ms at p99".to_owned()),
        not_offered: Vec::new(),
        instances: Instances::default(),
        weight: 100,
        env: vec!["TOKEN".to_owned()],
        allowed_outbound_hosts: Vec::new(),
        key_value_stores: Vec::new(),
        sqlite_databases: Vec::new(),
        manifest: String::new(),
        deployments: Vec::new(),
        canary: None,
        taken_back: None,
        watch: None,
        replicas: None,
        sources: None,
    };
    let json = serde_json::to_value(&detail).unwrap();
    assert_eq!((&json["app"], &json["reuse"]), (&json!("shop"), &json!(1)));
    assert_eq!(serde_json::from_value::<AppDetail>(json).unwrap(), detail);
}

#[test]
fn a_newer_host_may_say_more_than_a_client_knows() {
    let line = json!({
        "at": 1, "app": "shop", "generation": 1, "call": "c", "stream": "stderr", "text": "t",
        "colour": "red",
    });
    let line: LogLine = serde_json::from_value(line).unwrap();
    assert_eq!(line.stream, Stream::Stderr);
}

#[test]
fn a_problem_says_only_what_applies_and_reads_line_by_line() {
    let mut problem = Problem {
        kind: "about:blank".to_owned(),
        title: "Bad manifest".to_owned(),
        status: 400,
        detail: "the manifest has 2 mistakes".to_owned(),
        cause: "bad_manifest".to_owned(),
        mistakes: Vec::new(),
        owner: None,
        route: None,
    };
    let json = serde_json::to_value(&problem).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["cause", "detail", "status", "title", "type"]);
    assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    let mistake = |key: &str, line, column| Mistake {
        key: key.to_owned(),
        line,
        column,
        message: "expected a size".to_owned(),
    };
    problem.mistakes = vec![mistake("limits.memory", 3, 10), mistake("", 9, 1)];
    assert_eq!(
        problem.to_string(),
        "the manifest has 2 mistakes\nline 3, column 10: limits.memory: expected a size\n\
         line 9, column 1: expected a size"
    );
}
