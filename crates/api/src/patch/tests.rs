//! Patches of all three kinds, and what must not be done with them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

fn patched(media: &str, document: Value, patch: &str) -> Result<Value, Status> {
    let pod = builtin().of_kind("", "v1", "Pod").unwrap();
    Patch::read(media, patch.as_bytes())?.apply(pod, document)
}

fn refusal(media: &str, document: Value, patch: &str) -> (u16, String) {
    let status = patched(media, document, patch).expect_err(patch);
    (status.code, status.message)
}

#[test]
fn json_patches() {
    let document = json!({"a": {"b": [1, 2, 3]}, "x/y": 1, "m~n": 2});
    for (patch, result) in [
        (r#"[]"#, json!({"a": {"b": [1, 2, 3]}, "x/y": 1, "m~n": 2})),
        (r#"[{"op":"add","path":"/a/b/1","value":9}]"#, json!({"a": {"b": [1, 9, 2, 3]}, "x/y": 1, "m~n": 2})),
        (r#"[{"op":"add","path":"/a/b/-","value":9}]"#, json!({"a": {"b": [1, 2, 3, 9]}, "x/y": 1, "m~n": 2})),
        (
            r#"[{"op":"remove","path":"/x~1y"},{"op":"replace","path":"/m~0n","value":null}]"#,
            json!({"a": {"b": [1, 2, 3]}, "m~n": null}),
        ),
        (r#"[{"op":"move","from":"/a/b","path":"/c"}]"#, json!({"a": {}, "c": [1, 2, 3], "x/y": 1, "m~n": 2})),
        (r#"[{"op":"copy","from":"/a/b/0","path":"/a/b/0"}]"#, json!({"a": {"b": [1, 1, 2, 3]}, "x/y": 1, "m~n": 2})),
        (
            r#"[{"op":"test","path":"/a/b/0","value":1.0},{"op":"test","path":"/nope","value":null},{"op":"replace","path":"","value":{"z":1}}]"#,
            json!({"z": 1}),
        ),
    ] {
        assert_eq!(patched(JSON, document.clone(), patch), Ok(result), "{patch}");
    }
}

#[test]
fn json_patches_that_do_not_go_with_the_object() {
    let document = json!({"a": [1]});
    for (patch, code, why) in [
        (r#"[{"op":"replace","path":"","value":1}]"#, 422, "leaves no object"),
        (r#"[{"op":"remove","path":""}]"#, 422, "leaves no object"),
        (
            r#"[{"op":"remove","path":"/b"}]"#,
            422,
            "error in remove for path: '/b': Unable to remove nonexistent key: b: missing value",
        ),
        (r#"[{"op":"replace","path":"/b","value":1}]"#, 422, "replace operation does not apply"),
        (r#"[{"op":"add","path":"/b/c","value":1}]"#, 422, "add operation does not apply"),
        (r#"[{"op":"add","path":"/a/7","value":1}]"#, 422, "add operation does not apply"),
        (r#"[{"op":"add","path":"/a/99999999999999999999999","value":1}]"#, 422, "add operation does not apply"),
        (r#"[{"op":"remove","path":"/a/-"}]"#, 422, "error in remove for path"),
        (r#"[{"op":"remove","path":"/a/1"}]"#, 422, "error in remove for path"),
        (r#"[{"op":"test","path":"/a","value":[2]}]"#, 422, "testing value /a failed: test failed"),
        (r#"[{"op":"move","from":"/a","path":"/a/0"}]"#, 422, "into itself"),
        (r#"[{"op":"copy","from":"/b","path":"/c"}]"#, 422, "copy operation does not apply"),
        (r#"{"op":"remove"}"#, 400, "is a list of operations"),
        (r#"[{"op":"delete","path":"/a"}]"#, 400, "\"delete\" is not known"),
        (r#"[{"op":"add","path":"a","value":1}]"#, 400, "begin with /"),
        (r#"[{"op":"add","path":"/a"}]"#, 400, "lacks `value`"),
        (r#"[1]"#, 400, "must be an object"),
        (r#"[{"op":"remove","path":7}]"#, 400, "`path` must be a string"),
        (r#"nonsense"#, 400, "the patch is not JSON"),
    ] {
        let (was, message) = refusal(JSON, document.clone(), patch);
        assert!(was == code && message.contains(why), "{patch}: {was} {message}");
    }
    assert_eq!(refusal("text/plain", json!({}), "{}").0, 415);
    assert_eq!(refusal(MERGE, json!({}), "1").0, 400);
    assert_eq!(refusal(STRATEGIC, json!({}), "[]").0, 400);
}

#[test]
fn too_many_operations_are_counted() {
    let patch = format!("[{}]", vec![r#"{"op":"remove","path":"/a"}"#; 10_001].join(","));
    let (code, message) = refusal(JSON, json!({}), &patch);
    assert_eq!((code, message.as_str()), (413, "The allowed maximum operations in a JSON patch is 10000, got 10001"));
}

/// Each of these made memory or time grow beyond what the patch's size lets expect.
#[test]
fn work_and_growth_are_bounded() {
    let copy = r#"{"op":"copy","from":"/a","path":"/a/-"}"#;
    let doubling = format!("[{}]", vec![copy; 100].join(","));
    let deep: Vec<String> = (0..120)
        .map(|_| r#"{"op":"move","from":"/a","path":"/b"},{"op":"add","path":"/a","value":{}},{"op":"move","from":"/b","path":"/a/a"}"#.into())
        .collect();
    let deep = format!("[{}]", deep.join(","));
    let long = json!({"l": vec![0; 300_000], "a": []});
    let shifts = format!("[{}]", vec![r#"{"op":"remove","path":"/l/0"}"#; 9_999].join(","));
    let moves = format!("[{}]", vec![r#"{"op":"move","from":"/l","path":"/l"}"#; 9_999].join(","));
    for (name, document, patch) in [
        ("doubling", json!({"a": ["x"]}), doubling),
        ("depth", json!({"a": {}}), deep),
        ("shifts", long.clone(), shifts),
        ("moves", long, moves),
    ] {
        let start = Instant::now();
        assert_eq!(refusal(JSON, document, &patch).0, 413, "{name}");
        assert!(start.elapsed() < Duration::from_secs(5), "{name}: {:?}", start.elapsed());
    }
    let nested = format!("{}1{}", "{\"a\":".repeat(101), "}".repeat(101));
    assert_eq!(refusal(MERGE, json!({}), &nested).0, 413);
    assert_eq!(refusal(STRATEGIC, json!({}), &nested).0, 413);
}

#[test]
fn merge_patches() {
    for (document, patch, result) in [
        (json!({"a": 1, "b": {"c": 2}}), r#"{"a":null,"b":{"d":3}}"#, json!({"b": {"c": 2, "d": 3}})),
        (json!({"a": [1]}), r#"{"a":{"b":null,"c":1}}"#, json!({"a": {"c": 1}})),
        (json!({"a": {"b": 1}}), r#"{"a":[2]}"#, json!({"a": [2]})),
    ] {
        assert_eq!(patched(MERGE, document, patch), Ok(result), "{patch}");
    }
}

#[test]
fn strategic_garbage_is_refused() {
    let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "tolerations": [1]}, "metadata": {"finalizers": ["x"]}});
    for patch in [
        r#"{"$patch":1}"#,
        r#"{"$patch":"other"}"#,
        r#"{"$patch":"delete"}"#,
        r#"{"spec":{"$retainKeys":1}}"#,
        r#"{"spec":{"$retainKeys":["containers"],"volumes":[]}}"#,
        r#"{"spec":{"containers":[1]}}"#,
        r#"{"spec":{"containers":[{"$patch":"sometimes","name":"a"}]}}"#,
        r#"{"spec":{"containers":[{"$patch":"delete"}]}}"#,
        r#"{"spec":{"$setElementOrder/containers":7}}"#,
        r#"{"spec":{"$setElementOrder/containers":[7]}}"#,
        r#"{"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"b"},{"nam":"a"}]}}"#,
        r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":"x"}}"#,
        r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["x",{}],"$setElementOrder/finalizers":["y"]}}"#,
        r#"{"metadata":{"$deleteFromPrimitiveList/":["x"]}}"#,
        r#"{"spec":{"containers":[{"name":{"x":1}},{"name":null}]}}"#,
    ] {
        if let Err(status) = patched(STRATEGIC, pod.clone(), patch) {
            assert!([400, 422].contains(&status.code), "{patch}: {status:?}");
        }
    }
}

#[test]
fn long_merged_lists_take_no_quadratic_time() {
    let items =
        |image: &str| -> Vec<Value> { (0..20_000).map(|i| json!({"name": format!("c{i}"), "image": image})).collect() };
    let order: Vec<Value> = (0..20_000).rev().map(|i| json!({"name": format!("c{i}")})).collect();
    let finalizers: Vec<String> = (0..20_000).map(|i| format!("f{i}")).collect();
    let pod = json!({"spec": {"containers": items("1")}, "metadata": {"finalizers": finalizers}});
    let patch = json!({"spec": {"containers": items("2"), "$setElementOrder/containers": order},
        "metadata": {"finalizers": finalizers, "$deleteFromPrimitiveList/finalizers": finalizers[..10_000]}});
    let start = Instant::now();
    let result = patched(STRATEGIC, pod, &patch.to_string()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(result["spec"]["containers"][0], json!({"name": "c19999", "image": "2"}));
}
