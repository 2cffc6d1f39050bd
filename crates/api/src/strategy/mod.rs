//! The rules of a kind that its schema cannot tell: defaults that depend on other fields, what a client may not
//! set, validation, what a deletion waits for. One file per kind or family of kinds; pure functions on documents.

mod configdata;
mod endpoints;
mod event;
mod lease;
mod namespace;
mod node;
mod pod;
mod rbac;
mod replicationcontroller;
mod service;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::field::{Errors, Path};
use crate::validation::{meta, names};

pub use configdata::{ConfigMaps, Secrets};
pub use endpoints::EndpointsRules;
pub use event::Events;
pub use lease::Leases;
pub use namespace::{Namespaces, SYSTEM_NAMESPACES};
pub use node::Nodes;
pub use pod::{Pods, bind};
pub use rbac::{RoleBindings, Roles};
pub use replicationcontroller::ReplicationControllers;
pub use service::Services;

/// The hooks that the generic registry calls, in the order in which they stand here.
pub trait Strategy: Send + Sync {
    fn name_rule(&self) -> fn(&str) -> Vec<String> {
        names::dns_subdomain
    }
    /// Defaults that the schema cannot express. Also runs after a patch, so it must be idempotent.
    fn default(&self, _object: &mut Value) {}
    /// Drops what a client may not decide.
    fn prepare_for_create(&self, _object: &mut Value) {}
    fn prepare_for_update(&self, _object: &mut Value, _old: &Value) {}
    fn validate(&self, _object: &Value, _errors: &mut Errors) {}
    fn validate_update(&self, _object: &Value, _old: &Value, _errors: &mut Errors) {}
    fn validate_status(&self, _object: &Value, _old: &Value, _errors: &mut Errors) {}
    /// Why the object can't be deleted by anybody, if so.
    fn may_delete(&self, _object: &Value) -> Result<(), String> {
        Ok(())
    }
    /// Seconds that the object stays after a deletion was asked for, until someone confirms with zero.
    fn grace_period(&self, _object: &Value, _requested: Option<i64>) -> i64 {
        0
    }
    /// What a deletion that waits for others shows at once.
    fn begin_deletion(&self, _object: &mut Value) {}
    /// Beside finalizers and the grace period: why the object must not go yet.
    fn blocks_deletion(&self, _object: &Value) -> bool {
        false
    }
    /// What becomes of dependents when the client does not say.
    fn orphans_by_default(&self) -> bool {
        false
    }
    /// Numbers and addresses that only one object may hold at a time. Kept and given up in the object's own transaction.
    fn claims(&self, _object: &Value) -> Vec<Claim> {
        Vec::new()
    }
    /// What the registry has to allocate before the object can be validated.
    fn wants(&self, _object: &Value) -> Vec<Want> {
        Vec::new()
    }
    /// Seconds after which the object goes by itself.
    fn time_to_live(&self) -> Option<i64> {
        None
    }
}

/// A thing that exists once in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    ServiceIp(String),
    NodePort(i32),
}

/// A place in the object that waits for an allocated value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    ServiceIp,
    /// Index of the port in `spec.ports`.
    NodePort(usize),
}

/// Kinds with no rules of their own.
pub struct Plain;
impl Strategy for Plain {}

/// All that must hold of a new object.
pub fn validate_create(strategy: &dyn Strategy, object: &Value, namespaced: bool) -> Errors {
    let mut errors = Errors::default();
    meta::validate(object, namespaced, strategy.name_rule(), &mut errors);
    strategy.validate(object, &mut errors);
    errors
}

/// All that must hold of a changed object. The name was checked when it was made.
pub fn validate_update(strategy: &dyn Strategy, object: &Value, old: &Value, namespaced: bool) -> Errors {
    let mut errors = Errors::default();
    meta::validate(object, namespaced, |_| Vec::new(), &mut errors);
    meta::validate_update(object, old, &mut errors);
    strategy.validate(object, &mut errors);
    strategy.validate_update(object, old, &mut errors);
    errors
}

/// The typed form of a part of a document that has been fitted to its schema.
fn typed<T: DeserializeOwned + Default>(value: Option<&Value>) -> T {
    // The schema and the struct come from the same source, so a fitted document always reads.
    value.map(|value| T::deserialize(value).unwrap_or_default()).unwrap_or_default()
}

/// `object[field] = old[field]`, absence included.
fn keep(object: &mut Value, old: &Value, field: &str) {
    let Some(fields) = object.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => fields.insert(field.to_owned(), value.clone()),
        None => fields.remove(field),
    };
}

/// Refuses a change of a field.
fn immutable(object: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let dotted = path.to_string();
    let (new, was) = (crate::meta::at(object, &dotted), crate::meta::at(old, &dotted));
    if new != was {
        errors.invalid(path, new.cloned().unwrap_or_default(), "field is immutable");
    }
}
