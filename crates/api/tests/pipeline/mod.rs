//! What a body goes through on its way to etcd, as one function, for properties and for fuzzing: read, fitted, defaulted,
//! validated, shown, patched and validated again. It asserts what must hold of any input.

use std::sync::Arc;

use api::catalog::{Catalog, Served};
use api::field::Errors;
use api::patch::Patch;
use api::schema::{Shape, builtin};
use api::{budget, columns, meta, strategy, warnings};
use serde_json::{Map, Value};

pub const PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

pub fn resource(at: u8) -> Arc<Served> {
    let catalog = Catalog::builtin();
    catalog.served()[usize::from(at) % catalog.served().len()].clone()
}

/// Never panics, whatever the document and the patch.
pub fn run(resource: &Served, document: Value, media: &str, patch: &[u8]) {
    // Hooks must bear what no schema has seen: etcd may hold anything.
    hooks(resource, document.clone(), &document);
    resource.from_stored(&mut document.clone());
    let Some(document) = fitted(resource, document) else { return };
    hooks(resource, document.clone(), &document);
    let mut shown = document.clone();
    resource.from_stored(&mut shown);
    let mut fits = shown.clone();
    let findings = builtin().fit(resource.schema, &mut fits);
    let version = resource.api_version();
    assert!(
        findings.unknown.is_empty() && findings.wrong.is_empty(),
        "{version}: {findings:?} {shown} from {document}"
    );
    let Ok(patch) = Patch::read(media, patch) else { return };
    let Ok(patched) = patch.apply(resource.schema, shown) else { return };
    assert!(patched.is_object() && budget::check(&patched).is_ok());
    if let Some(patched) = fitted(resource, patched) {
        hooks(resource, patched, &document);
    }
}

fn fitted(resource: &Served, mut document: Value) -> Option<Value> {
    let findings = builtin().fit(resource.schema, &mut document);
    assert!(findings.unknown.len() <= 100 && findings.wrong.len() <= 100);
    if !findings.wrong.is_empty() || !document.is_object() {
        return None;
    }
    resource.to_stored(&mut document).ok()?;
    let mut again = document.clone();
    let findings = builtin().fit(resource.resource().stored().schema, &mut again);
    assert!(findings.unknown.is_empty() && findings.wrong.is_empty(), "{}: {findings:?}", resource.api_version());
    Some(document)
}

fn hooks(resource: &Served, mut object: Value, old: &Value) {
    let rules = resource.strategy;
    rules.default(&mut object);
    let once = object.clone();
    rules.default(&mut object);
    assert_eq!(once, object, "defaults are idempotent");
    let mut created = object.clone();
    rules.prepare_for_create(&mut created);
    shown(resource, &created);
    told(strategy::validate_create(rules, &created, resource.namespaced, false));
    rules.prepare_for_update(&mut object, old);
    told(strategy::validate_update(rules, &object, old, resource.namespaced));
    let mut errors = Errors::default();
    rules.validate_status(&object, old, &mut errors);
    told(errors);
    for requested in [None, Some(0), Some(i64::MAX), Some(i64::MIN)] {
        meta::time_after(jiff::Timestamp::UNIX_EPOCH, rules.grace_period(&object, requested));
    }
    let _ = (rules.blocks_deletion(&object), rules.claims(&object), rules.wants(&object));
    rules.begin_deletion(&mut object);
    let _ = strategy::bind(&mut object, "node", Some(&Map::new()), "2020-01-01T00:00:00Z");
    shown(resource, &object);
}

fn shown(resource: &Served, object: &Value) {
    let _ = warnings::for_object(resource.kind, object);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let _ = columns::row(resource.columns, "v1", object, columns::IncludeObject::Metadata, now);
    let stored = meta::encode(object);
    if object.is_object() {
        let served: Value =
            serde_json::from_slice(&meta::splice_version(&stored, 7)).expect("encoded objects are JSON");
        assert_eq!(served["metadata"]["resourceVersion"], "7");
    }
}

fn told(errors: Errors) {
    assert!(errors.0.len() <= 500);
    let status = api::status::Status::invalid("", "Kind", "name", &errors);
    let _ = status.to_json();
}

/// A document of a kind out of any bytes: mostly of the right types, so that it goes deep, and often hostile.
pub fn document(resource: &Served, bytes: &[u8]) -> Value {
    value(&Shape::Object(resource.schema), &mut Bytes(bytes), 0)
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }
}

const TEXTS: [&str; 48] = [
    "",
    "a",
    "v1",
    "TCP",
    "None",
    "10.0.0.1",
    "169.254.169.254",
    "../../x",
    "Always",
    "100m",
    "1Gi",
    "1e3",
    "-1",
    "1e99",
    "2026-11-20T17:10:44Z",
    "eA==",
    "Localhost",
    "ClientIP",
    "ExternalName",
    "NodePort",
    "LoadBalancer",
    "Exists",
    "In",
    "kubernetes.io/dockerconfigjson",
    "metadata.name",
    "metadata.labels['x']",
    "limits.cpu",
    "a.b/c",
    "\u{0}ü\u{feff}",
    "hugepages-2Mi",
    "10.0.0.0/33",
    "NoExecute",
    "25%",
    "RollingUpdate",
    "OnDelete",
    "Indexed",
    "* * * * *",
    "https://host/path",
    "10.0.0.0/8",
    "IPv4",
    "Container",
    "Resource",
    "Utilization",
    "Approved",
    "Limited",
    "Queue",
    "ExactCount",
    "example.com/signer",
];
const NUMBERS: [i64; 8] = [0, 1, -1, 80, 70_000, i32::MAX as i64, i64::MAX, i64::MIN];

fn text(bytes: &mut Bytes<'_>) -> Value {
    TEXTS[usize::from(bytes.next()) % TEXTS.len()].into()
}

fn value(shape: &Shape, bytes: &mut Bytes<'_>, depth: usize) -> Value {
    if bytes.0.is_empty() || depth > 12 {
        return Value::Null;
    }
    match (bytes.next() % 32, shape) {
        (0, _) => Value::Null,
        (1, _) => text(bytes),
        (2, _) => NUMBERS[usize::from(bytes.next()) % NUMBERS.len()].into(),
        (3, _) => Value::Array(vec![text(bytes)]),
        (_, Shape::Object(id)) => {
            let fields = &builtin().get(*id).fields;
            let mut object = Map::new();
            for _ in 0..bytes.next() % 8 {
                let field = &fields[usize::from(bytes.next()) % fields.len().max(1)];
                object.insert(field.name.to_owned(), value(&field.shape, bytes, depth + 1));
            }
            Value::Object(object)
        }
        (_, Shape::Array(item)) => (0..bytes.next() % 4).map(|_| value(item, bytes, depth + 1)).collect(),
        (_, Shape::Map(item)) => {
            let entry = |bytes: &mut Bytes<'_>| {
                let name = TEXTS[usize::from(bytes.next()) % TEXTS.len()].to_owned();
                (name, value(item, bytes, depth + 1))
            };
            Value::Object((0..bytes.next() % 4).map(|_| entry(bytes)).collect())
        }
        (_, Shape::Int32 | Shape::Int64 | Shape::Double) => NUMBERS[usize::from(bytes.next()) % NUMBERS.len()].into(),
        (_, Shape::Bool) => (bytes.next() < 128).into(),
        (_, Shape::Raw | Shape::Json) => Value::Object(Map::new()),
        (_, _) => text(bytes),
    }
}
