//! What tables of tests share: changes of the samples, on the way that the registry takes.

use std::sync::Arc;

use serde_json::Value;

use super::{validate_create, validate_update};
use crate::catalog::{Catalog, Served};
use crate::field::Errors;
use crate::patch::Patch;
use crate::schema::builtin;
use crate::yaml::read_documents;

static SAMPLES: &str = include_str!("../../schema/samples.yaml");

fn sample(kind: &str) -> (Arc<Served>, Value) {
    let documents = read_documents(SAMPLES.as_bytes()).unwrap();
    let document = documents.into_iter().find(|document| document.value["kind"] == kind);
    let mut object = document.unwrap_or_else(|| panic!("schema/samples.yaml lacks {kind}")).value;
    let (group, version) = object["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap_or(("", "v1"));
    let catalog = Catalog::builtin();
    let served = catalog.of_version(group, version).find(|served| served.kind == kind);
    let served = served.unwrap_or_else(|| panic!("the catalog lacks {kind}")).clone();
    let metadata = crate::meta::metadata_mut(&mut object);
    metadata.entry("name").or_insert("sample".into());
    metadata.insert("uid".into(), "u-1".into());
    if served.namespaced {
        metadata.insert("namespace".into(), "default".into());
    }
    (served, object)
}

fn changed(served: &Served, object: &Value, change: &Value) -> Value {
    let patch = Patch::read("application/merge-patch+json", change.to_string().as_bytes()).unwrap();
    let mut object = patch.apply(served.schema, object.clone()).unwrap();
    let findings = builtin().fit(served.schema, &mut object);
    assert!(findings.wrong.is_empty() && findings.unknown.is_empty(), "{findings:?}");
    served.strategy.default(&mut object);
    object
}

fn texts(errors: Errors) -> Vec<String> {
    errors.0.iter().map(ToString::to_string).collect()
}

/// The sample with a change, as it is when it has been made.
pub fn made(kind: &str, change: Value) -> Value {
    let (served, object) = sample(kind);
    let mut object = changed(&served, &object, &change);
    served.strategy.prepare_for_create(&mut object);
    object
}

/// What is said of a new object: the sample with a change.
pub fn create(kind: &str, change: Value) -> Vec<String> {
    let (served, _) = sample(kind);
    texts(validate_create(served.strategy, &made(kind, change), served.namespaced, false))
}

/// The sample after an update.
pub fn updated(kind: &str, change: Value) -> Value {
    let (served, old) = (sample(kind).0, made(kind, Value::Object(Default::default())));
    let mut new = changed(&served, &old, &change);
    served.strategy.prepare_for_update(&mut new, &old);
    new
}

/// What is said of a change of the sample.
pub fn update(kind: &str, change: Value) -> Vec<String> {
    let (served, old) = (sample(kind).0, made(kind, Value::Object(Default::default())));
    texts(validate_update(served.strategy, &updated(kind, change), &old, served.namespaced))
}

/// What is said of a change of the sample's status.
pub fn status(kind: &str, change: Value) -> Vec<String> {
    let (served, old) = (sample(kind).0, made(kind, Value::Object(Default::default())));
    let mut errors = Errors::default();
    served.strategy.validate_status(&changed(&served, &old, &change), &old, &mut errors);
    texts(errors)
}

/// Every sample is good, stays the same when it is written again, and there is one for each row of the catalog.
#[test]
fn every_row_has_a_good_sample() {
    let catalog = Catalog::builtin();
    for served in catalog.served().iter().filter(|served| served.is_stored()) {
        let kind = served.kind;
        for told in [create, update, status] {
            assert_eq!(told(kind, serde_json::json!({})), [""; 0], "{kind}");
        }
        let made = made(kind, serde_json::json!({}));
        let mut again = changed(served, &made, &serde_json::json!({}));
        served.strategy.prepare_for_update(&mut again, &made);
        assert_eq!(again, made, "{kind}");
    }
}
