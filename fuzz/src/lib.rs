//! The targets as functions, so that libFuzzer and plain tests call the same. Another target is a function here, a file
//! in `fuzz_targets/` and a `[[bin]]`.

use std::sync::{Arc, LazyLock};

use api::budget;
use api::catalog::Catalog;
use api::quantity::{Quantity, canonical};
use api::schema::{builtin, decode::read_json};
use api::selector::{FieldSelector, Selector};
use http::{Method, Uri};
use kube_apiserver::attributes::Attributes;
use kube_apiserver::request::Query;

#[path = "../../crates/api/tests/pipeline/mod.rs"]
pub mod pipeline;

/// A target's name, and what it does with any bytes.
pub const TARGETS: [(&str, fn(&[u8])); 5] = [
    ("decode_fit_patch", decode_fit_patch),
    ("selectors", selectors),
    ("quantities", quantities),
    ("request_line", request_line),
    ("yaml", yaml),
];

/// Kind, sort of patch and where the patch begins are the first bytes; the rest is the body, as JSON, YAML, protobuf and
/// as a recipe for a document that fits.
pub fn decode_fit_patch(bytes: &[u8]) {
    let [kind, media, at, rest @ ..] = bytes else { return };
    let resource = &pipeline::resource(*kind);
    let media = pipeline::PATCHES[usize::from(*media) % pipeline::PATCHES.len()];
    let (body, patch) = rest.split_at(rest.len() * usize::from(*at) / 256);
    let _ = builtin().read_protobuf(body);
    let read = read_json(body, &mut Vec::new()).ok();
    for document in read.into_iter().chain([pipeline::document(resource, body)]) {
        assert!(budget::check(&document).is_ok());
        pipeline::run(resource, document.clone(), media, patch);
        let fitting = pipeline::document(resource, patch).to_string();
        pipeline::run(resource, document, media, fitting.as_bytes());
    }
}

pub fn selectors(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(selector) = text.parse::<Selector>() {
        let again: Selector = selector.to_string().parse().expect("what a selector prints is a selector");
        assert_eq!(again.to_string(), selector.to_string());
        let _ = selector.matches(&[("a".to_owned(), "b".to_owned())].into());
    }
    if let Ok(selector) = text.parse::<FieldSelector>() {
        let again: FieldSelector = selector.to_string().parse().expect("what a selector prints is a selector");
        assert_eq!(again, selector);
    }
}

pub fn quantities(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(form) = canonical(text) else { return };
    assert_eq!(canonical(&form).as_ref(), Ok(&form));
    let (Ok(amount), Ok(again)) = (text.parse::<Quantity>(), form.parse::<Quantity>()) else { return };
    let _ = (amount + amount - again, -amount, amount.value(), amount.milli_value());
}

/// `METHOD TARGET`, as the first line of a request has them.
pub fn request_line(bytes: &[u8]) {
    static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(Catalog::builtin);
    let Some((method, target)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once(' ')) else { return };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), target.parse::<Uri>()) else { return };
    let query = Query::parse(uri.query());
    for name in ["limit", "timeoutSeconds", "resourceVersion", "gracePeriodSeconds"] {
        assert!(
            query.number(name).is_ok_and(|number| number.is_none_or(|number| number >= 0))
                || !query.text(name).is_empty()
        );
    }
    let _ = (query.flag("watch"), query.dry_run("CreateOptions"));
    let attributes = Attributes::of_request(Arc::default(), &method, uri.path(), &query).in_catalog(&CATALOG, &query);
    assert!(!attributes.verb.is_empty());
    let Some(about) = &attributes.resource else { return };
    assert!(!about.version.is_empty());
    let collection = about.name.is_empty();
    match &*attributes.verb {
        "deletecollection" | "list" | "watch" | "create" => {}
        "get" | "update" | "patch" | "delete" => assert!(!collection || matches!(method, Method::PUT | Method::PATCH)),
        verb => assert_eq!(verb.to_uppercase(), if matches!(method, Method::OPTIONS) { "OPTIONS" } else { "OTHER" }),
    }
    let _ = (attributes.is_long_running(), attributes.is_mutating());
}

pub fn yaml(bytes: &[u8]) {
    if let Ok(value) = api::yaml::read(bytes, &mut Vec::new()) {
        assert!(budget::check(&value).is_ok());
        let text = api::yaml::render(&value);
        let again = api::yaml::read(text.as_bytes(), &mut Vec::new());
        assert_eq!(again.map(|value| api::yaml::render(&value)), Ok(text));
    }
}
