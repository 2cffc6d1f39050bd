//! Properties of decoding and patching that hold for any input.

mod pipeline;

use api::schema::builtin;
use api::schema::decode::read_json;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Names that the types have, so that the walk goes deep, and some that they do not.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "metadata",
            "spec",
            "status",
            "name",
            "labels",
            "containers",
            "ports",
            "containerPort",
            "env",
            "image",
            "resources",
            "limits",
            "cpu",
            "volumes",
            "emptyDir",
            "livenessProbe",
            "httpGet",
            "port",
            "selector",
            "template",
            "finalizers",
            "$patch",
            "$retainKeys",
            "$setElementOrder/containers",
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,3}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| serde_json::Number::from_f64(n).map_or(Value::Null, Value::Number)),
        "[a-z0-9.:$()-]{0,8}".prop_map(Value::from),
        Just(Value::from("replace")),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(name(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(name(), value(), 0..6).prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    /// What fits once fits again, and fitting it again changes nothing.
    #[test]
    fn fitting_is_idempotent(document in object(), kind in prop::sample::select(vec!["Pod", "Service", "ReplicationController", "Node"])) {
        let id = builtin().of_kind("", "v1", kind).unwrap();
        let mut once = document;
        let findings = builtin().fit(id, &mut once);
        if findings.wrong.is_empty() {
            let mut twice = once.clone();
            let again = builtin().fit(id, &mut twice);
            prop_assert!(again.unknown.is_empty() && again.wrong.is_empty(), "{again:?}");
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn strategic_patches_never_panic_and_an_empty_one_changes_nothing(document in object(), patch in object()) {
        let id = builtin().of_kind("", "v1", "Pod").unwrap();
        let _ = builtin().apply_strategic(id, document.clone(), patch);
        prop_assert_eq!(builtin().apply_strategic(id, document.clone(), Value::Object(Map::new())).unwrap(), document);
    }

    /// Every kind, with documents that fit its schema more or less, and patches of both sorts.
    #[test]
    fn the_way_of_a_write_never_panics(
        at in any::<u8>(),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        media in prop::sample::select(pipeline::PATCHES.to_vec()),
        garbage in any::<bool>(),
        patch in value(),
        like in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let resource = pipeline::resource(at);
        let document = pipeline::document(&resource, &bytes);
        let patch = if garbage { patch } else { pipeline::document(&resource, &like) };
        pipeline::run(&resource, document, media, patch.to_string().as_bytes());
    }

    #[test]
    fn any_json_goes_the_way_of_a_write(at in any::<u8>(), document in value(), patch in object()) {
        pipeline::run(&pipeline::resource(at), document, pipeline::PATCHES[2], patch.to_string().as_bytes());
    }

    #[test]
    fn operations_of_any_sort_are_done_or_refused(
        document in object(),
        operations in prop::collection::vec(
            (
                prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test"]),
                "(/[a-z0-9~-]{0,3}|/spec|/metadata|/name){0,4}",
                "(/[a-z0-9~-]{0,3}|/spec|/metadata|/name){0,4}",
                value(),
            ),
            0..6,
        ),
    ) {
        let operations: Vec<Value> = operations
            .into_iter()
            .map(|(op, path, from, value)| serde_json::json!({"op": op, "path": path, "from": from, "value": value}))
            .collect();
        let patch = api::patch::Patch::read(pipeline::PATCHES[0], Value::from(operations).to_string().as_bytes());
        if let Ok(patch) = patch {
            let _ = patch.apply(pipeline::resource(5).schema, document);
        }
    }

    #[test]
    fn any_text_is_a_quantity_or_refused(text in "[+-]?[0-9.]{0,60}(e[+-]?[0-9]{0,12}|[numkKMGTPEi]{0,2})") {
        if let Ok(amount) = text.parse::<api::quantity::Quantity>() {
            let canonical = api::quantity::canonical(&text).unwrap();
            let again: api::quantity::Quantity = canonical.parse().unwrap();
            prop_assert_eq!(again.to_string(), canonical);
            let _ = (amount + amount - again, amount.value(), amount.milli_value());
        }
    }

    #[test]
    fn what_is_written_as_yaml_is_read_back(value in value()) {
        let text = api::yaml::render(&value);
        let back = api::yaml::read(text.as_bytes(), &mut Vec::new()).map_err(|e| format!("{e}\n{text}"));
        // YAML's floats are read as whole numbers where they are whole.
        if !text.contains(['.', 'e', 'E']) {
            prop_assert_eq!(back, Ok(value), "{}", text);
        }
    }

    #[test]
    fn any_text_is_yaml_or_refused(text in "[-a-z0-9 :\\[\\]{},&*!|>'\"#%?\n\t~<.]{0,80}") {
        let _ = api::yaml::read(text.as_bytes(), &mut Vec::new());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_json(&bytes, &mut Vec::new());
        let _ = builtin().read_protobuf(&bytes);
        let _ = builtin().read_protobuf(&[b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12", &bytes[..]].concat());
    }

    /// The resource version goes into the bytes and comes out again, whatever the object.
    #[test]
    fn versions_are_spliced_into_any_object(document in object(), version in 1i64..i64::MAX) {
        let mut document = document;
        document["metadata"] = serde_json::json!({"name": "x", "annotations": {"metadata": "\"metadata\":{"}});
        let served: Value = serde_json::from_slice(&api::meta::splice_version(&api::meta::encode(&document), version)).unwrap();
        prop_assert_eq!(&served["metadata"]["resourceVersion"], &Value::from(version.to_string()));
        prop_assert_eq!(&served["metadata"]["annotations"], &document["metadata"]["annotations"]);
    }
}

/// Every place of every sample, with what does not belong there.
#[test]
fn spoiled_samples_go_the_way_of_a_write() {
    let samples = api::yaml::read_documents(include_bytes!("../schema/samples.yaml")).unwrap();
    let wrong = serde_json::json!([null, true, -1, 70000, i64::MAX, "", "a", "25%", "../x", "\u{0}", [], {}, ["a"], [null], [{}], {"a": "b"}]);
    let catalog = api::catalog::Catalog::builtin();
    for sample in samples.iter().map(|document| &document.value) {
        let kind = sample["kind"].as_str().unwrap();
        let served = catalog.served().iter().find(|served| served.is_stored() && served.kind == kind).unwrap();
        let mut places = Vec::new();
        pointers(sample, String::new(), &mut places);
        for place in places {
            for value in wrong.as_array().unwrap() {
                let mut spoiled = sample.clone();
                *spoiled.pointer_mut(&place).unwrap() = value.clone();
                for form in catalog.served().iter().filter(|form| form.at == served.at) {
                    let mut spoiled = spoiled.clone();
                    form.from_stored(&mut spoiled);
                    pipeline::run(form, spoiled, pipeline::PATCHES[1], b"{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
                }
            }
        }
    }
}

fn pointers(value: &Value, path: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                pointers(value, format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), places);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                pointers(value, format!("{path}/{at}"), places);
            }
        }
        _ => {}
    }
    places.push(path);
}
