//! What objects use of a namespace's quotas: which resources a kind is counted in, how much an object uses of them, and whether a
//! quota's scopes are about it. Admission and the quotas' controller count by the same functions.

mod claims;
mod pods;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuotaSpec, ScopedResourceSelectorRequirement as Scope};
use k8s_openapi::jiff;
use serde_json::Value;

use crate::meta;
use crate::quantity::{Format, Quantity};
use crate::resources::Amounts;

pub use claims::storage_class;
pub use pods::{is_extended, is_terminating};

/// How the objects of a resource are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluator {
    Pods,
    Services,
    PersistentVolumeClaims,
    ResourceClaims,
    /// By the piece, under these names.
    Count(Vec<String>),
}

impl Evaluator {
    /// `None`: objects of the resource are never counted.
    pub fn of(group: &str, plural: &str) -> Option<Self> {
        Some(match (group, plural) {
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::PersistentVolumeClaims,
            ("resource.k8s.io", "resourceclaims") => Self::ResourceClaims,
            ("" | "events.k8s.io", "events") | ("", "bindings") => return None,
            ("", "configmaps" | "resourcequotas" | "replicationcontrollers" | "secrets") => {
                Self::Count(vec![count(group, plural), plural.to_owned()])
            }
            _ => Self::Count(vec![count(group, plural)]),
        })
    }

    /// Whether objects are counted in a resource of a quota.
    pub fn tracks(&self, name: &str) -> bool {
        match self {
            Self::Pods => pods::tracks(name),
            Self::Services => {
                ["count/services", "services", "services.nodeports", "services.loadbalancers"].contains(&name)
            }
            Self::PersistentVolumeClaims => claims::tracks_volumes(name),
            Self::ResourceClaims => claims::tracks_devices(name),
            Self::Count(names) => names.iter().any(|own| own == name),
        }
    }

    /// How much the object uses.
    pub fn usage(&self, object: &Value, now: Timestamp) -> Amounts {
        match self {
            Self::Pods => pods::usage(object, now),
            Self::Services => of_service(object),
            Self::PersistentVolumeClaims => claims::of_volume(object),
            Self::ResourceClaims => claims::of_devices(object),
            Self::Count(names) => names.iter().map(|name| (name.clone(), whole(1))).collect(),
        }
    }

    /// What an object has to say so that it can be held to these resources of a quota.
    pub fn missing(&self, required: &[&str], object: &Value) -> Option<String> {
        match self {
            Self::Pods => pods::missing(required, object),
            _ => None,
        }
    }

    /// Whether the object is one of those that a scope is about.
    pub fn in_scope(&self, scope: &Scope, object: &Value) -> bool {
        match self {
            Self::Pods => pods::in_scope(scope, object),
            Self::PersistentVolumeClaims => claims::in_scope(scope, object),
            _ => false,
        }
    }
}

/// A quota's scopes, however they are written.
pub fn scopes(spec: &ResourceQuotaSpec) -> Vec<Scope> {
    let exists = |scope: &String| Scope { scope_name: scope.clone(), operator: "Exists".into(), values: None };
    let selector = spec.scope_selector.as_ref().and_then(|selector| selector.match_expressions.as_ref());
    spec.scopes.iter().flatten().map(exists).chain(selector.into_iter().flatten().cloned()).collect()
}

fn count(group: &str, plural: &str) -> String {
    if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") }
}

fn whole(number: usize) -> Quantity {
    Quantity::new(i64::try_from(number).unwrap_or(i64::MAX), Format::DecimalSI)
}

/// Whether a scope's selector takes one of the values; no value at all is one more.
fn selects(scope: &Scope, values: &[&str]) -> bool {
    let listed = |value: &&str| scope.values.iter().flatten().any(|one| one == value);
    match scope.operator.as_str() {
        "Exists" => !values.is_empty(),
        "DoesNotExist" => values.is_empty(),
        "In" => values.iter().any(listed),
        "NotIn" => values.is_empty() || values.iter().any(|value| !listed(value)),
        _ => false,
    }
}

fn of_service(service: &Value) -> Amounts {
    let ports = meta::at(service, "spec.ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let kind = meta::text_at(service, "spec.type");
    let allocates = meta::at(service, "spec.allocateLoadBalancerNodePorts").and_then(Value::as_bool).unwrap_or(true);
    let with_node_port = ports.iter().filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0).count();
    let node_ports = match kind {
        "NodePort" => ports.len(),
        "LoadBalancer" if allocates => ports.len(),
        "LoadBalancer" => with_node_port,
        _ => 0,
    };
    Amounts::from([
        ("count/services".to_owned(), whole(1)),
        ("services".to_owned(), whole(1)),
        ("services.nodeports".to_owned(), whole(node_ports)),
        ("services.loadbalancers".to_owned(), whole(usize::from(kind == "LoadBalancer"))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(super) fn told(evaluator: &Evaluator, object: &Value) -> String {
        let usage = evaluator.usage(object, "2026-11-26T00:00:00Z".parse().unwrap());
        let list: Vec<String> = usage
            .iter()
            .filter(|(_, amount)| !amount.is_zero())
            .map(|(name, amount)| format!("{name}={amount}"))
            .collect();
        list.join(",")
    }

    pub(super) fn scope(name: &str, operator: &str, values: &[&str]) -> Scope {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Scope { scope_name: name.into(), operator: operator.into(), values: Some(values) }
    }

    #[test]
    fn services_use_node_ports_by_their_type() {
        let service = |spec: Value| json!({"spec": spec});
        let ports = json!([{"port": 1, "nodePort": 30001}, {"port": 2}]);
        for (spec, expected) in [
            (json!({"ports": ports}), "count/services=1,services=1"),
            (json!({"type": "NodePort", "ports": ports}), "count/services=1,services=1,services.nodeports=2"),
            (
                json!({"type": "LoadBalancer", "ports": ports}),
                "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2",
            ),
            (
                json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": ports}),
                "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
            ),
        ] {
            assert_eq!(told(&Evaluator::Services, &service(spec.clone())), expected, "{spec}");
        }
    }

    #[test]
    fn all_else_counts_by_the_piece() {
        assert_eq!(told(&Evaluator::of("", "secrets").unwrap(), &json!({})), "count/secrets=1,secrets=1");
        assert_eq!(told(&Evaluator::of("apps", "deployments").unwrap(), &json!({})), "count/deployments.apps=1");
        assert_eq!(Evaluator::of("", "events"), None);
        let secrets = Evaluator::of("", "secrets").unwrap();
        assert!(secrets.tracks("secrets") && secrets.tracks("count/secrets") && !secrets.tracks("pods"));
        assert!(!secrets.in_scope(&scope("BestEffort", "Exists", &[]), &json!({})));
    }
}
