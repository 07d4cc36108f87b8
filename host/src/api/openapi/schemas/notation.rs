//! From the short notation of schemas to what OpenAPI has of them. Names no schema.

use serde_json::{Map, Value, json};

/// The schema of an object that has these keys.
pub(super) fn object(keys: &[(&str, &str)]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (key, notation) in keys {
        let name = key.strip_suffix('-').unwrap_or(key);
        properties.insert(name.to_owned(), form(notation));
        if name == *key {
            required.push(name);
        }
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The schema that a notation stands for.
pub(in crate::api) fn form(notation: &str) -> Value {
    let inside = |open, close| notation.strip_prefix(open)?.strip_suffix(close);
    if let Some(base) = notation.strip_suffix('?') {
        return match base {
            "string" | "integer" | "number" | "boolean" => json!({ "type": [base, "null"] }),
            name => json!({ "anyOf": [form(name), { "type": "null" }] }),
        };
    }
    if let Some(item) = inside('[', ']') {
        return json!({ "type": "array", "items": form(item) });
    }
    if let Some(value) = inside('{', '}') {
        return json!({ "type": "object", "additionalProperties": form(value) });
    }
    if notation.contains('|') {
        let values: Vec<&str> = notation.split('|').collect();
        return json!({ "type": "string", "enum": values });
    }
    match notation {
        "string" | "integer" | "number" | "boolean" | "object" => json!({ "type": notation }),
        "time" => json!({ "type": "string", "format": "date-time" }),
        "any" => json!({}),
        name => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}
