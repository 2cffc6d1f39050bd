//! Every kind in protobuf, both ways: objects, lists, watches and refusals say the same as in JSON.

use std::sync::Arc;

use api::schema::builtin;
use api::schema::protobuf::envelope;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::common::Api;
use crate::samples::{collection, name_of, object, stored};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// As JSON has it.
pub fn read(body: &[u8]) -> Value {
    let mut value = builtin().read_protobuf(body).unwrap_or_else(|e| panic!("{e}: {body:?}"));
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let id = builtin().of_kind(group, version, &kind).unwrap_or_else(|| panic!("{api_version} {kind}"));
    let findings = builtin().fit(id, &mut value);
    assert!(
        findings.unknown.is_empty() && findings.wrong.is_empty(),
        "{kind}: {:?} {:?}",
        findings.unknown,
        findings.wrong
    );
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    value
}

/// The parts of a message of two fields of bytes, which a watch event is.
fn event(frame: &[u8]) -> (String, Value) {
    let (mut rest, mut parts) = (frame, Vec::new());
    while !rest.is_empty() {
        rest = &rest[1..];
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = rest[0];
            rest = &rest[1..];
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (part, left) = rest.split_at(length);
        parts.push(part);
        rest = left;
    }
    let raw = parts[1];
    let start = raw.windows(4).position(|window| window == b"k8s\0").expect("an envelope");
    (String::from_utf8(parts[0].to_vec()).unwrap(), read(&raw[start..]))
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_lists_and_watches_say_the_same_as_in_json() {
    let api = Arc::new(Api::start().await);
    // Each takes a second, so all of them run at the same time.
    let mut watches = JoinSet::new();
    for resource in &stored() {
        let all = collection(resource);
        let name = name_of(resource, "pb");
        let one = format!("{all}/{name}");
        let (code, made) = api.json("POST", &all, &object(resource, "pb")).await;
        assert_eq!(code, 201, "{}: {made}", resource.kind);
        let (code, got) = api.call_for("GET", &one, (PROTOBUF, PROTOBUF), b"").await;
        assert_eq!((code, read(&got)), (200, made.clone()), "{}", resource.kind);
        // What was got goes back as it is, and what it answers is the same again.
        let (code, put) = api.call_for("PUT", &one, (PROTOBUF, PROTOBUF), &got).await;
        assert_eq!((code, read(&put)), (200, made.clone()), "{}", resource.kind);

        let (_, list) = api.json("GET", &all, &Value::Null).await;
        let (code, listed) = api.call_for("GET", &all, (PROTOBUF, PROTOBUF), b"").await;
        let mut listed = read(&listed);
        // Within a list the kind of an item is that of the list.
        for item in listed["items"].as_array_mut().unwrap() {
            item["apiVersion"] = resource.api_version().into();
            item["kind"] = resource.kind.into();
        }
        assert_eq!((code, &listed["items"]), (200, &list["items"]), "{}", resource.kind);
        assert_eq!(listed["metadata"]["resourceVersion"], list["metadata"]["resourceVersion"]);

        let (api, kind) = (api.clone(), resource.kind);
        let path = format!("{all}?watch=1&timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name%3D{name}");
        watches.spawn(async move {
            let stream = format!("{PROTOBUF};stream=watch");
            let (code, frames) = api.call_for("GET", &path, (PROTOBUF, &stream), b"").await;
            assert_eq!(code, 200);
            let length = u32::from_be_bytes(frames[..4].try_into().unwrap()) as usize;
            assert_eq!(event(&frames[4..4 + length]), ("ADDED".to_owned(), made), "{kind}");
        });
    }
    while let Some(watched) = watches.join_next().await {
        watched.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_come_in_the_clients_form() {
    let api = Api::start().await;
    let (code, body) = api.call_for("GET", "/api/v1/namespaces/default/pods/nope", (PROTOBUF, PROTOBUF), b"").await;
    let status = read(&body);
    assert_eq!((code, &status["reason"], &status["code"]), (404, &json!("NotFound"), &json!(404)));
    assert_eq!(status["details"], json!({"name": "nope", "kind": "pods"}));
    let table = format!("{PROTOBUF};as=Table;v=v1;g=meta.k8s.io");
    assert_eq!(api.call_for("GET", "/api/v1/pods", (PROTOBUF, &table), b"").await.0, 406);
}

/// Typed Go clients send them under the group and version of what they delete.
#[tokio::test(flavor = "multi_thread")]
async fn options_of_a_deletion_are_of_every_group() {
    let api = Api::start().await;
    let options = |api_version: &str, options: &Value| {
        let id = builtin().of_kind("", "v1", "DeleteOptions").unwrap();
        envelope(api_version, "DeleteOptions", &builtin().write_protobuf(id, options))
    };
    for (group, all) in [
        ("v1", "/api/v1/namespaces/default/configmaps"),
        ("apps/v1", "/apis/apps/v1/namespaces/default/controllerrevisions"),
    ] {
        let one = format!("{all}/held");
        let (code, made) =
            api.json("POST", all, &json!({"metadata": {"name": "held"}, "revision": 1, "data": {"a": "b"}})).await;
        assert_eq!(code, 201, "{made}");
        let other = options(group, &json!({"preconditions": {"uid": "another"}}));
        let (code, body) = api.call_for("DELETE", &one, (PROTOBUF, PROTOBUF), &other).await;
        assert_eq!((code, &read(&body)["reason"]), (409, &json!("Conflict")), "{group}");
        let dry =
            options(group, &json!({"dryRun": ["All"], "propagationPolicy": "Foreground", "gracePeriodSeconds": 3}));
        assert_eq!(api.call_for("DELETE", &one, (PROTOBUF, PROTOBUF), &dry).await.0, 200, "{group}");
        assert_eq!(api.json("GET", &one, &Value::Null).await.0, 200, "{group}");
        let this = options(group, &json!({"preconditions": {"uid": made["metadata"]["uid"]}}));
        assert_eq!(
            api.call_for("DELETE", all, (PROTOBUF, PROTOBUF), &options(group, &json!({"dryRun": ["All"]}))).await.0,
            200
        );
        assert_eq!(api.call_for("DELETE", &one, (PROTOBUF, PROTOBUF), &this).await.0, 200, "{group}");
        assert_eq!(api.json("GET", &one, &Value::Null).await.0, 404, "{group}");
    }
}
