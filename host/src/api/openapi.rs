//! The control API described as an OpenAPI 3.1 document, made from the table of endpoints.
//! Does not describe what the table and the schemas do not say: there is nothing to keep in step.

mod schemas;

use axum::Json;
use serde_json::{Map, Value, json};

use super::endpoints::{ENDPOINTS, Endpoint, Returned, Sent};
use super::problem::Cause;

/// Refusals that every guarded endpoint knows.
const GUARDED: [Cause; 4] =
    [Cause::Unauthorized, Cause::ForeignHost, Cause::CrossSite, Cause::Internal];

/// `GET /v1/openapi.json`.
pub(super) async fn serve() -> Json<Value> {
    Json(document())
}

fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in &ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(endpoint.method.to_owned(), operation(endpoint));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Steerage control API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Deploys apps on one host and tells how they fare. Times are \
                            milliseconds since the epoch. Refusals are problem documents \
                            (RFC 9457) with a stable `cause`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let id = format!("{:?}", endpoint.operation);
    let mut operation = json!({
        "operationId": first_lower(&id),
        "summary": endpoint.summary,
        "parameters": parameters(endpoint),
        "responses": responses(endpoint),
        // A host that was started without a token asks for none.
        "security": if endpoint.is_guarded { json!([{ "token": [] }, {}]) } else { json!([]) },
    });
    let content = match endpoint.sent {
        Sent::Nothing => return operation,
        Sent::Bytes => json!({ "application/octet-stream": {} }),
        Sent::Json(schema) => json!({ "application/json": { "schema": schemas::form(schema) } }),
    };
    if let Value::Object(operation) = &mut operation {
        let body = json!({ "required": true, "content": content });
        operation.insert("requestBody".to_owned(), body);
    }
    operation
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let in_path = names_in(endpoint.path).map(|name| {
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "schema": { "type": "string" },
            "description": match name {
                "digest" => "`sha256:` and 64 hexadecimal digits",
                "label" => "the label of the store or the database",
                "name" => "the secret's name: a-z, 0-9 and _, starting with a letter",
                "id" => "how the call's id begins: 4 to 32 hexadecimal digits",
                _ => "the app's name",
            },
        })
    });
    let in_query = endpoint.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "schema": schemas::form(parameter.form),
            "description": parameter.meaning,
        })
    });
    in_path.chain(in_query).collect()
}

/// The names in braces.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn responses(endpoint: &Endpoint) -> Value {
    let mut responses = Map::new();
    for (status, meaning) in endpoint.success {
        let mut response = json!({ "description": meaning });
        if let (Value::Object(response), Some(content)) =
            (&mut response, content(endpoint.returned))
        {
            response.insert("content".to_owned(), content);
        }
        responses.insert((*status).to_owned(), response);
    }
    let guard = if endpoint.is_guarded { GUARDED.as_slice() } else { &[] };
    let causes: Vec<Cause> = guard.iter().chain(endpoint.causes).copied().collect();
    for cause in &causes {
        let status = cause.status();
        let same = causes.iter().filter(|other| other.status() == status);
        let codes: Vec<&str> = same.map(|cause| cause.code()).collect();
        let problem = json!({ "schema": schemas::form("Problem") });
        let response = json!({
            "description": format!("Refused: {}", codes.join(", ")),
            "content": { "application/problem+json": problem },
        });
        responses.insert(status.as_str().to_owned(), response);
    }
    Value::Object(responses)
}

fn content(returned: Returned) -> Option<Value> {
    let json_of = |schema| json!({ "schema": schemas::form(schema) });
    Some(match returned {
        Returned::Nothing => return None,
        Returned::Text(form) => json!({ form: { "schema": { "type": "string" } } }),
        Returned::Bytes(form) => json!({ form: {} }),
        Returned::Json(schema) => json!({ "application/json": json_of(schema) }),
        Returned::Lines(whole, line) => json!({
            "application/json": json_of(whole),
            "application/x-ndjson": json_of(line),
        }),
        Returned::AnyJson => json!({ "application/json": {} }),
    })
}

fn first_lower(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_endpoint_is_documented_and_nothing_else() {
        let document = document();
        let mut documented = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                documented.insert((path.clone(), method.clone()));
            }
        }
        let served: BTreeSet<_> = ENDPOINTS
            .iter()
            .map(|endpoint| (endpoint.path.to_owned(), endpoint.method.to_owned()))
            .collect();
        assert_eq!(documented, served);
        assert_eq!(served.len(), ENDPOINTS.len(), "an endpoint is there twice");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let references = text.split("\"$ref\":\"#/components/schemas/").skip(1);
        let names: BTreeSet<&str> =
            references.map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_declare_what_their_path_holds() {
        let ids: BTreeSet<String> =
            ENDPOINTS.iter().map(|endpoint| format!("{:?}", endpoint.operation)).collect();
        assert_eq!(ids.len(), ENDPOINTS.len());
        let show = &document()["paths"]["/v1/apps/{app}"]["get"];
        assert_eq!(show["operationId"], "showApp");
        assert_eq!(show["parameters"][0]["name"], "app");
        assert_eq!(show["responses"]["404"]["description"], "Refused: not_found");
        let deploy = &document()["paths"]["/v1/apps/{app}/deployments"]["post"];
        let refused = "Refused: bad_component, compile_timed_out, compile_failed, memory_limit";
        assert_eq!(deploy["responses"]["422"]["description"], refused);
    }
}
