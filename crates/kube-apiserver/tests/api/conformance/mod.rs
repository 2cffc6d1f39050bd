//! Upstream's conformance list, as far as it is about the API server alone: a test of ours for each description, in our words.
//!
//! `list.tsv` has every row of `test/conformance/testdata/conformance.yaml` of v1.37.2, with the test here that covers it, or
//! with what a test of it would need. Tests name the rows that they cover by upstream's `testname`.

mod discovery;
mod list;
mod lists;
mod namespaces;
mod objects;
mod operations;
mod parts;
mod users;
mod validation;
mod watches;

use serde_json::Value;

use crate::common::Api;

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

async fn get(api: &Api, path: &str) -> (u16, Value) {
    api.json("GET", path, &Value::Null).await
}

/// What is there.
#[track_caller]
fn there((code, object): (u16, Value)) -> Value {
    assert!((200..300).contains(&code), "{code} {object}");
    object
}

async fn post(api: &Api, path: &str, object: Value) -> Value {
    let (code, made) = api.json("POST", path, &object).await;
    assert!((200..300).contains(&code), "POST {path}: {code} {made}");
    made
}

async fn put(api: &Api, path: &str, object: &Value) -> Value {
    let (code, now) = api.json("PUT", path, object).await;
    assert_eq!(code, 200, "PUT {path}: {now}");
    now
}

async fn patch(api: &Api, path: &str, kind: &str, patch: Value) -> Value {
    let (code, now) = api.call("PATCH", path, kind, patch.to_string().as_bytes()).await;
    let now = serde_json::from_slice(&now).unwrap_or(Value::Null);
    assert_eq!(code, 200, "PATCH {path}: {now}");
    now
}

async fn delete(api: &Api, path: &str) -> Value {
    let (code, said) = api.json("DELETE", path, &Value::Null).await;
    assert!((200..300).contains(&code), "DELETE {path}: {code} {said}");
    said
}

/// Names of a list.
async fn names(api: &Api, path: &str) -> Vec<String> {
    let list = there(get(api, path).await);
    let items = list["items"].as_array().unwrap_or_else(|| panic!("{path}: {list}"));
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The lines of a watch until its time is over.
async fn watched(api: &Api, path: &str) -> Vec<(String, Value)> {
    let (code, body) = api.call("GET", path, "", b"").await;
    assert_eq!(code, 200, "{path}: {}", String::from_utf8_lossy(&body));
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let event = |line| {
        let mut event: Value = serde_json::from_slice(line).unwrap_or_else(|e| panic!("{path}: {e}"));
        (event["type"].as_str().unwrap_or_default().to_owned(), event["object"].take())
    };
    lines.map(event).collect()
}

/// What is told of objects by their names.
fn by_name(events: &[(String, Value)]) -> Vec<(&str, &str)> {
    events.iter().map(|(kind, object)| (kind.as_str(), object["metadata"]["name"].as_str().unwrap_or("?"))).collect()
}
