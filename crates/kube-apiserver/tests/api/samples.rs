//! A valid object of every kind, out of the API's samples.

use std::sync::{Arc, LazyLock};

use api::catalog::{Catalog, Served, Style};
use serde_json::Value;

/// The sample of a kind in a version, under a name.
pub fn object(resource: &Served, name: &str) -> Value {
    static SAMPLES: LazyLock<Vec<Value>> = LazyLock::new(|| {
        let text = include_bytes!("../../../api/schema/samples.yaml");
        api::yaml::read_documents(text).unwrap().into_iter().map(|document| document.value).collect()
    });
    let catalog = Catalog::builtin();
    let stored = catalog.stored_form(resource);
    let is = |sample: &&Value| sample["apiVersion"] == stored.api_version() && sample["kind"] == stored.kind;
    let sample = SAMPLES.iter().find(is);
    let mut object = sample.unwrap_or_else(|| panic!("api/schema/samples.yaml lacks {}", resource.kind)).clone();
    object["metadata"]["name"] = name_of(resource, name).into();
    resource.from_stored(&mut object);
    object
}

/// Objects of most kinds may have any name; addresses are their own.
pub fn name_of(resource: &Served, name: &str) -> String {
    match resource.kind {
        "IPAddress" => format!("10.9.8.{}", name.len()),
        _ => name.to_owned(),
    }
}

pub fn collection(resource: &Served) -> String {
    let base = if resource.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", resource.group) };
    // The oldest version has the namespace in the query, and `default` where it is missing.
    let scope = if resource.namespaced && resource.form.style != Style::Flat { "/namespaces/default" } else { "" };
    format!("{base}/{}{scope}/{}", resource.version, resource.path_name())
}

/// What is stored, as opposed to answered at once, in the versions in which it is stored.
pub fn stored() -> Vec<Arc<Served>> {
    let stored = |served: &&Arc<Served>| served.review.is_none() && served.is_stored();
    Catalog::builtin().served().iter().filter(stored).cloned().collect()
}

/// All other versions of what is stored.
pub fn other_versions() -> Vec<Arc<Served>> {
    let other = |served: &&Arc<Served>| {
        served.review.is_none() && !served.is_stored() && served.own_verbs().contains(&"create")
    };
    Catalog::builtin().served().iter().filter(other).cloned().collect()
}
