//! The rules of a kind that its schema cannot tell: defaults that depend on other fields, what a client may not
//! set, validation, what a deletion waits for. One file per kind or family of kinds; pure functions on documents.

mod admissionpolicy;
mod autoscaler;
mod certificates;
mod configdata;
mod controllerrevision;
mod cronjob;
mod csi;
mod daemonset;
mod deployment;
mod device;
mod disruption;
mod endpoints;
mod endpointslice;
mod event;
mod flowcontrol;
mod ingress;
mod ingressclass;
mod ipaddress;
mod job;
mod lease;
mod limitrange;
mod migration;
mod namespace;
mod networkpolicy;
mod node;
mod persistentvolume;
mod persistentvolumeclaim;
mod pod;
mod priorityclass;
mod rbac;
mod replicaset;
mod replicationcontroller;
mod resourcequota;
mod runtimeclass;
mod service;
mod serviceaccount;
mod statefulset;
mod storageclass;
mod template;
#[cfg(test)]
mod testing;
mod volumeattachment;
mod webhook;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::field::{Errors, Path};
use crate::validation::{meta, names};

pub use admissionpolicy::{AdmissionPolicyBindings, MutatingAdmissionPolicies, ValidatingAdmissionPolicies};
pub use autoscaler::HorizontalPodAutoscalers;
pub(crate) use certificates::signer;
pub use certificates::{
    CertificateSigningRequests, ClusterTrustBundles, PodCertificateRequests, keep_approval, validate_approval,
    with_approval,
};
pub use configdata::{ConfigMaps, Secrets};
pub use controllerrevision::ControllerRevisions;
pub use cronjob::CronJobs;
pub use csi::{CsiDrivers, CsiNodes, CsiStorageCapacities};
pub use daemonset::DaemonSets;
pub use deployment::Deployments;
pub use device::{DeviceClasses, DeviceTaintRules, ResourceClaimTemplates, ResourceClaims, ResourceSlices};
pub use disruption::PodDisruptionBudgets;
pub use endpoints::EndpointsRules;
pub use endpointslice::EndpointSlices;
pub use event::Events;
pub use flowcontrol::{FlowSchemas, PriorityLevelConfigurations};
pub use ingress::Ingresses;
pub use ingressclass::IngressClasses;
pub use ipaddress::{IpAddresses, ServiceCidrs};
pub use job::Jobs;
pub use lease::{LeaseCandidates, Leases};
pub use limitrange::LimitRanges;
pub use migration::StorageVersionMigrations;
pub use namespace::{Namespaces, SYSTEM_NAMESPACES};
pub use networkpolicy::NetworkPolicies;
pub use node::Nodes;
pub use persistentvolume::PersistentVolumes;
pub use persistentvolumeclaim::PersistentVolumeClaims;
pub use pod::{Pods, bind, qos_class, validate_ephemeral_containers, validate_resize};
pub use priorityclass::{PriorityClasses, SYSTEM_PRIORITY_CLASSES};
pub use rbac::{RoleBindings, Roles};
pub use replicaset::ReplicaSets;
pub use replicationcontroller::ReplicationControllers;
pub use resourcequota::ResourceQuotas;
pub use runtimeclass::RuntimeClasses;
pub use service::Services;
pub use serviceaccount::ServiceAccounts;
pub use statefulset::StatefulSets;
pub use storageclass::{StorageClasses, VolumeAttributesClasses};
pub use template::PodTemplates;
pub use volumeattachment::VolumeAttachments;
pub use webhook::WebhookConfigurations;

/// The hooks that the generic registry calls, in the order in which they stand here.
pub trait Strategy: Send + Sync {
    fn name_rule(&self) -> fn(&str) -> Vec<String> {
        names::dns_subdomain
    }
    /// Defaults that the schema cannot express. Also runs after a patch, so it must be idempotent.
    fn default(&self, _object: &mut Value) {}
    /// Fields of the metadata whose change counts as a new generation.
    fn counts(&self) -> &'static [&'static str] {
        &[]
    }
    /// Drops what a client may not decide.
    fn prepare_for_create(&self, _object: &mut Value) {}
    /// Writes down who made the object, where that is a part of it. `requester` makes `username`, `uid`, `groups` and `extra`.
    fn set_requester(&self, _object: &mut Value, _requester: &dyn Fn() -> Value) {}
    fn prepare_for_update(&self, _object: &mut Value, _old: &Value) {}
    fn validate(&self, _object: &Value, _errors: &mut Errors) {}
    /// What only holds of new objects.
    fn validate_create(&self, _object: &Value, _errors: &mut Errors) {}
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

/// All that must hold of a new object. `any_case`: capital letters in its name count as small ones.
pub fn validate_create(strategy: &dyn Strategy, object: &Value, namespaced: bool, any_case: bool) -> Errors {
    let mut errors = Errors::default();
    let rule = strategy.name_rule();
    let name = |name: &str| if any_case { rule(&name.to_ascii_lowercase()) } else { rule(name) };
    meta::validate(object, namespaced, name, &mut errors);
    strategy.validate(object, &mut errors);
    strategy.validate_create(object, &mut errors);
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

/// The status is not the client's to begin with.
fn begin(object: &mut Value, status: Value) {
    crate::meta::fields_mut(object).insert("status".into(), status);
}

/// The fields of a part of the object, where it is there.
fn part_mut<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(name).and_then(Value::as_object_mut)
}

/// The objects of a list.
fn items_mut<'a>(object: &'a mut Map<String, Value>, list: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let items = object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
    items.filter_map(Value::as_object_mut)
}

/// Refuses a change of a field.
fn immutable(object: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let dotted = path.to_string();
    let (new, was) = (crate::meta::at(object, &dotted), crate::meta::at(old, &dotted));
    if new != was {
        errors.invalid(path, new.cloned().unwrap_or_default(), "field is immutable");
    }
}
