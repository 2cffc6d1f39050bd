//! The node authorizer: a kubelet may read what the pods of its own node refer to, and write what is of its own node. What every kubelet
//! may do is the role `system:node`, asked here too, so that no binding is needed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use api::selector::{FieldSelector, Selector};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::api::rbac::v1::PolicyRule;
use tokio_util::sync::CancellationToken;

use super::{Authorizer, Decision, rbac};
use crate::attributes::{Attributes, ResourceAttributes, User};
use crate::registry::{Observed, Registry};

const GROUP: &str = "system:nodes";
const PREFIX: &str = "system:node:";
const LEASES: &str = "kube-node-lease";

/// Resource, namespace and name of what a pod refers to.
type Reference = (&'static str, String, String);

/// What the pods of each node refer to.
#[derive(Default)]
struct Graph {
    pods: HashMap<String, (String, HashSet<Reference>)>,
    /// By node: how many of its pods refer to it.
    nodes: HashMap<String, HashMap<Reference, usize>>,
}

impl Graph {
    fn set(&mut self, key: String, pod: Option<(String, HashSet<Reference>)>) {
        if let Some((node, references)) = self.pods.remove(&key)
            && let Some(counts) = self.nodes.get_mut(&node)
        {
            for reference in references {
                if let Some(count) = counts.get_mut(&reference) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&reference);
                    }
                }
            }
            if counts.is_empty() {
                self.nodes.remove(&node);
            }
        }
        let Some((node, references)) = pod else { return };
        let counts = self.nodes.entry(node.clone()).or_default();
        for reference in &references {
            *counts.entry(reference.clone()).or_default() += 1;
        }
        self.pods.insert(key, (node, references));
    }

    fn refers(&self, node: &str, resource: &'static str, namespace: &str, name: &str) -> bool {
        let reference = (resource, namespace.to_owned(), name.to_owned());
        self.nodes.get(node).is_some_and(|counts| counts.contains_key(&reference))
    }
}

#[derive(Clone, Default)]
pub struct Nodes(Arc<RwLock<Graph>>);

#[async_trait]
impl Authorizer for Nodes {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        let user = &attributes.user;
        let node = user.name.strip_prefix(PREFIX).filter(|node| !node.is_empty());
        let Some(node) = node.filter(|_| user.groups.iter().any(|group| group == GROUP)) else {
            return Decision::NoOpinion(String::new());
        };
        match self.decide(node, attributes) {
            Ok(()) => Decision::Allow,
            Err(why) => Decision::NoOpinion(why),
        }
    }

    fn rules(&self, _: &User, _: &str) -> Result<Vec<PolicyRule>, String> {
        Err("node authorizer does not support user rule resolution".into())
    }
}

impl Nodes {
    fn decide(&self, node: &str, attributes: &Attributes) -> Result<(), String> {
        let by_role = || {
            static RULES: LazyLock<Vec<PolicyRule>> = LazyLock::new(|| rbac::defaults::rules_of("system:node"));
            if RULES.iter().any(|rule| rbac::permits(rule, attributes)) { Ok(()) } else { Err(String::new()) }
        };
        let Some(about) = &attributes.resource else { return by_role() };
        let ResourceAttributes { group, resource, namespace, name, subresource, .. } = about;
        let verb = attributes.verb.as_ref();
        match (group.as_str(), resource.as_str(), subresource.as_str()) {
            ("", "secrets", "") => self.read(node, "secrets", about, verb),
            ("", "configmaps", "") => self.read(node, "configmaps", about, verb),
            ("", "persistentvolumeclaims", "") => self.read(node, "persistentvolumeclaims", about, verb),
            ("", "serviceaccounts", "token") => {
                if verb != "create" {
                    return Err("can only create tokens of service accounts".into());
                }
                self.related(node, "serviceaccounts", namespace, name)
            }
            ("coordination.k8s.io", "leases", "") => match verb {
                _ if namespace != LEASES => Err(format!("can only access leases in the {LEASES:?} system namespace")),
                // The name of what is made is in the body, which nobody has read yet.
                "create" => Ok(()),
                "get" | "update" | "patch" | "delete" if name == node => Ok(()),
                "get" | "update" | "patch" | "delete" => Err("can only access the lease of its own node".into()),
                verb => Err(format!("can not {verb} leases")),
            },
            _ => by_role(),
        }
    }

    /// Only object by object, and only what a pod of the node refers to.
    fn read(&self, node: &str, resource: &'static str, about: &ResourceAttributes, verb: &str) -> Result<(), String> {
        match verb {
            "get" | "list" | "watch" if about.name.is_empty() => {
                Err(format!("no relationship found between node '{node}' and this object"))
            }
            "get" | "list" | "watch" => self.related(node, resource, &about.namespace, &about.name),
            _ => Err("can only read resources of this type".into()),
        }
    }

    fn related(&self, node: &str, resource: &'static str, namespace: &str, name: &str) -> Result<(), String> {
        let graph = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if graph.refers(node, resource, namespace, name) {
            return Ok(());
        }
        Err(format!("no relationship found between node '{node}' and this object"))
    }

    /// Follows pods until the token ends it.
    pub async fn run(self, registry: Arc<Registry>, token: CancellationToken) {
        let Ok(target) = registry.target("", "v1", "pods", "", "") else { return };
        // Most pods that come are bound later, and refer to nothing for any node before that.
        let bound = FieldSelector::unequal("spec.nodeName", "");
        let Ok(bound) = registry.filter(&target, &Selector::default(), &bound) else { return };
        let tell = |observed: Observed<'_>| {
            self.change(|graph| match observed {
                Observed::All(entries) => {
                    *graph = Graph::default();
                    entries.iter().for_each(|entry| apply(graph, &entry.bytes, true));
                }
                Observed::Changes(changes) => changes.iter().for_each(|(bytes, there)| apply(graph, bytes, *there)),
            });
        };
        registry.observe(&target, bound, &token, tell).await;
    }

    fn change(&self, change: impl FnOnce(&mut Graph)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn apply(graph: &mut Graph, bytes: &[u8], there: bool) {
    // What is stored has been validated.
    let Ok(pod) = serde_json::from_slice::<Pod>(bytes) else { return };
    let namespace = pod.metadata.namespace.unwrap_or_default();
    let key = format!("{namespace}/{}", pod.metadata.name.unwrap_or_default());
    let spec = pod.spec.unwrap_or_default();
    let node = spec.node_name.clone().filter(|node| there && !node.is_empty());
    let known = graph.pods.get(&key).is_some_and(|(at, _)| Some(at) == node.as_ref());
    // What a pod refers to never changes once it is bound, but for its ephemeral containers.
    if !(known && spec.ephemeral_containers.is_none()) {
        graph.set(key, node.map(|node| (node, references(&spec, &namespace))));
    }
}

fn references(spec: &PodSpec, namespace: &str) -> HashSet<Reference> {
    let mut found = HashSet::new();
    let mut add = |resource: &'static str, name: &str| {
        if !name.is_empty() {
            found.insert((resource, namespace.to_owned(), name.to_owned()));
        }
    };
    add("serviceaccounts", spec.service_account_name.as_deref().unwrap_or_default());
    for secret in spec.image_pull_secrets.iter().flatten() {
        add("secrets", &secret.name);
    }
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|one| Container {
        env: one.env.clone(),
        env_from: one.env_from.clone(),
        ..Container::default()
    });
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten()).cloned().chain(ephemeral);
    for container in containers {
        for source in container.env_from.into_iter().flatten() {
            source.config_map_ref.iter().for_each(|one| add("configmaps", &one.name));
            source.secret_ref.iter().for_each(|one| add("secrets", &one.name));
        }
        for source in container.env.into_iter().flatten().filter_map(|variable| variable.value_from) {
            source.config_map_key_ref.iter().for_each(|one| add("configmaps", &one.name));
            source.secret_key_ref.iter().for_each(|one| add("secrets", &one.name));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        volume.config_map.iter().for_each(|one| add("configmaps", &one.name));
        volume.secret.iter().for_each(|one| add("secrets", one.secret_name.as_deref().unwrap_or_default()));
        volume.persistent_volume_claim.iter().for_each(|one| add("persistentvolumeclaims", &one.claim_name));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            source.config_map.iter().for_each(|one| add("configmaps", &one.name));
            source.secret.iter().for_each(|one| add("secrets", &one.name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Query;
    use serde_json::{Value, json};

    fn pod(name: &str, node: &str, spec: Value) -> Vec<u8> {
        let mut pod = json!({"metadata": {"name": name, "namespace": "x"}, "spec": spec});
        pod["spec"]["nodeName"] = node.into();
        if pod["spec"].get("containers").is_none() {
            pod["spec"]["containers"] = json!([]);
        }
        pod.to_string().into_bytes()
    }

    async fn asks(nodes: &Nodes, node: &str, method: &str, target: &str) -> bool {
        let user = User { name: format!("{PREFIX}{node}"), groups: vec![GROUP.into()], ..User::default() };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (method, query) = (method.parse().unwrap(), Query::parse(Some(query)));
        nodes.authorize(&Attributes::of_request(Arc::new(user), &method, path, &query)).await == Decision::Allow
    }

    #[tokio::test]
    async fn a_node_reads_what_its_pods_refer_to() {
        let nodes = Nodes::default();
        let spec = json!({"serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "env"}}],
                "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]}],
            "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "projected"}}]}}]});
        nodes.change(|graph| {
            apply(graph, &pod("a", "n1", spec.clone()), true);
            apply(graph, &pod("b", "n1", json!({"volumes": [{"name": "v", "secret": {"secretName": "key"}}]})), true);
            apply(graph, &pod("c", "n2", json!({})), true);
        });
        let secret = |name: &str| format!("/api/v1/namespaces/x/secrets/{name}");
        for (node, method, target, allowed) in [
            ("n1", "GET", secret("pull"), true),
            ("n1", "GET", secret("projected"), true),
            ("n1", "GET", "/api/v1/namespaces/x/configmaps/env".into(), true),
            ("n1", "GET", "/api/v1/namespaces/x/secrets?fieldSelector=metadata.name%3Dkey&watch=1".into(), true),
            ("n1", "GET", "/api/v1/namespaces/x/secrets".into(), false),
            ("n1", "GET", "/api/v1/namespaces/y/secrets/pull".into(), false),
            ("n1", "PUT", secret("pull"), false),
            ("n2", "GET", secret("pull"), false),
            ("n1", "POST", "/api/v1/namespaces/x/serviceaccounts/sa/token".into(), true),
            ("n2", "POST", "/api/v1/namespaces/x/serviceaccounts/sa/token".into(), false),
            ("n1", "PUT", format!("/apis/coordination.k8s.io/v1/namespaces/{LEASES}/leases/n1"), true),
            ("n1", "PUT", format!("/apis/coordination.k8s.io/v1/namespaces/{LEASES}/leases/n2"), false),
            ("n1", "GET", "/apis/coordination.k8s.io/v1/namespaces/x/leases/n1".into(), false),
            ("n1", "GET", "/api/v1/pods?watch=1".into(), true),
            ("n1", "PATCH", "/api/v1/nodes/n1/status".into(), true),
            ("n1", "POST", "/api/v1/namespaces/x/configmaps".into(), false),
            ("n1", "DELETE", "/api/v1/namespaces/x".into(), false),
        ] {
            assert_eq!(asks(&nodes, node, method, &target).await, allowed, "{node} {method} {target}");
        }
        // One of two pods goes: what both refer to stays, what only it refers to does not.
        nodes.change(|graph| apply(graph, &pod("a", "n1", spec.clone()), false));
        assert!(asks(&nodes, "n1", "GET", &secret("key")).await && !asks(&nodes, "n1", "GET", &secret("pull")).await);
        nodes.change(|graph| apply(graph, &pod("b", "", json!({})), true));
        assert!(!asks(&nodes, "n1", "GET", &secret("key")).await);
        let stranger = Attributes {
            user: Arc::new(User { name: "system:node:n1".into(), ..User::default() }),
            ..Attributes::default()
        };
        assert_eq!(nodes.authorize(&stranger).await, Decision::NoOpinion(String::new()));
    }
}
