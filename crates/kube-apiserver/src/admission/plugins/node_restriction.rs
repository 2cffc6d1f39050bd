//! `NodeRestriction`: a kubelet writes its own node, the status of its own pods, and no labels that would draw pods to it.

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use crate::admission::{Attempt, Operation, Plugin};

const PREFIX: &str = "system:node:";
const GROUP: &str = "system:nodes";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Labels by which administrators keep nodes apart.
const ISOLATION: &str = "node-restriction.kubernetes.io";
/// Labels of Kubernetes' own that a kubelet may set.
const OWN_LABELS: [&str; 14] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.kubernetes.io/zone",
    "failure-domain.kubernetes.io/region",
    "node.kubernetes.io/windows-build",
];

pub struct NodeRestriction;

impl NodeRestriction {
    pub const NAME: &str = "NodeRestriction";
}

fn node<'a>(attempt: &Attempt<'a>) -> Option<&'a str> {
    let user = &attempt.context.attributes.user;
    user.name.strip_prefix(PREFIX).filter(|_| user.groups.iter().any(|group| group == GROUP))
}

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        let resource = attempt.target.resource();
        node(attempt).is_some()
            && matches!(
                (resource.group, resource.plural),
                ("", "nodes" | "pods" | "serviceaccounts") | ("coordination.k8s.io", "leases")
            )
    }

    async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        let Some(node) = node(attempt) else { return Ok(()) };
        let refused = |why: String| Err(attempt.forbidden(meta::name(object), why));
        let sub = attempt.context.subresource();
        match (attempt.target.resource().plural, attempt.operation) {
            ("nodes", operation) => match check_node(node, operation, attempt.old, object) {
                Some(why) => refused(why),
                None => Ok(()),
            },
            ("leases", _) if meta::name(object) != node => {
                refused(format!("node {node:?} is not allowed to write the lease of another node"))
            }
            ("serviceaccounts", _) if sub == "token" => match check_token(attempt, node, object).await {
                Some(why) => refused(why),
                None => Ok(()),
            },
            ("pods", Operation::Create) => match check_mirror(node, object) {
                Some(why) => refused(why),
                None => Ok(()),
            },
            ("pods", operation) => {
                let bound = meta::text_at(attempt.old.unwrap_or(object), "spec.nodeName");
                if bound != node {
                    return refused(format!("node {node:?} can only write pods with spec.nodeName set to itself"));
                }
                if operation == Operation::Update && sub != "status" {
                    return refused(format!("node {node:?} can only update the status of pods"));
                }
                let labels = |object: &Value| object.pointer("/metadata/labels").cloned();
                if operation == Operation::Update && attempt.old.is_some_and(|old| labels(old) != labels(object)) {
                    return refused(format!("node {node:?} cannot update labels through pod status"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Why a node may not have this token: it must be for a pod of its own.
async fn check_token(attempt: &Attempt<'_>, node: &str, request: &Value) -> Option<String> {
    let bound = |field: &str| meta::text_at(request, &format!("spec.boundObjectRef.{field}"));
    if (bound("apiVersion"), bound("kind")) != ("v1", "Pod") || bound("name").is_empty() || bound("uid").is_empty() {
        return Some(format!("node {node:?} requested a token that is not bound to a pod by its name and uid"));
    }
    let namespace = &attempt.target.namespace;
    let pod = attempt.registry.target("", "v1", "pods", namespace, bound("name")).ok()?;
    let pod = attempt.registry.get(&pod).await.and_then(|entry| crate::registry::parse(&entry.bytes));
    let Ok(pod) = pod else { return Some(format!("pod {:?} of the token was not found", bound("name"))) };
    if meta::text(&pod, "uid") != bound("uid") {
        return Some("the UID in the bound object reference does not match the pod of that name".into());
    }
    let on = meta::text_at(&pod, "spec.nodeName");
    (on != node).then(|| format!("node {node:?} requested a token bound to a pod scheduled on a different node"))
}

/// Why a node's write of a node is refused.
fn check_node(node: &str, operation: Operation, old: Option<&Value>, object: &Value) -> Option<String> {
    let name = meta::name(object);
    if name != node {
        return Some(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    if operation == Operation::Delete {
        return Some(format!("node {node:?} is not allowed to delete itself"));
    }
    if let Some(old) = old
        && object.pointer("/spec/taints") != old.pointer("/spec/taints")
    {
        return Some(format!("node {node:?} is not allowed to modify taints"));
    }
    let labels = |object: &Value| object.pointer("/metadata/labels").and_then(Value::as_object).cloned();
    let (had, has) = (old.and_then(labels).unwrap_or_default(), labels(object).unwrap_or_default());
    let changed = has.iter().filter(|(key, value)| had.get(*key) != Some(*value)).map(|(key, _)| key);
    let gone = had.keys().filter(|key| !has.contains_key(*key));
    let mut kept: Vec<&str> = changed.chain(gone).map(String::as_str).filter(|key| !is_own(key)).collect();
    kept.sort_unstable();
    (!kept.is_empty()).then(|| format!("is not allowed to modify labels: {}", kept.join(", ")))
}

/// Whether a kubelet may set the label.
fn is_own(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |of: &str| domain == of || domain.ends_with(&format!(".{of}"));
    if within(ISOLATION) {
        return false;
    }
    if within("kubelet.kubernetes.io") || within("node.kubernetes.io") || OWN_LABELS.contains(&label) {
        return true;
    }
    !within("kubernetes.io") && !within("k8s.io")
}

/// A kubelet makes only copies of the pods that its host asks for.
fn check_mirror(node: &str, pod: &Value) -> Option<String> {
    if pod["metadata"]["annotations"].get(MIRROR).is_none() {
        return Some(format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"));
    }
    if meta::text_at(pod, "spec.nodeName") != node {
        return Some(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    if !meta::text_at(pod, "spec.serviceAccountName").is_empty() {
        return Some(format!("node {node:?} can not create pods that reference a service account"));
    }
    for volume in meta::at(pod, "spec.volumes").and_then(Value::as_array).into_iter().flatten() {
        for kind in ["secret", "configMap", "persistentVolumeClaim", "projected"] {
            if volume.get(kind).is_some() {
                return Some(format!("node {node:?} can not create pods that reference {kind} volumes"));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_that_draw_pods_are_kept_from_the_node() {
        for (label, own) in [
            ("kubernetes.io/hostname", true),
            ("node.kubernetes.io/anything", true),
            ("kubelet.kubernetes.io/x", true),
            ("example.com/x", true),
            ("plain", true),
            ("node-restriction.kubernetes.io/x", false),
            ("a.node-restriction.kubernetes.io/x", false),
            ("node-role.kubernetes.io/control-plane", false),
            ("k8s.io/x", false),
        ] {
            assert_eq!(is_own(label), own, "{label}");
        }
    }

    #[test]
    fn a_node_writes_itself_and_neither_taints_nor_roles() {
        let node = |name: &str, labels: Value, taints: Value| json!({"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}});
        let old = node("n", json!({"kubernetes.io/hostname": "n", "node-role.kubernetes.io/x": ""}), json!([]));
        let check = |new: &Value| check_node("n", Operation::Update, Some(&old), new);
        assert_eq!(check(&old), None);
        let mut new = old.clone();
        new["metadata"]["labels"]["kubernetes.io/hostname"] = "m".into();
        assert_eq!(check(&new), None);
        new["metadata"]["labels"] = json!({"kubernetes.io/hostname": "n"});
        assert_eq!(check(&new).as_deref(), Some("is not allowed to modify labels: node-role.kubernetes.io/x"));
        let tainted = node("n", old["metadata"]["labels"].clone(), json!([{"key": "k"}]));
        assert!(check(&tainted).is_some_and(|why| why.contains("taints")));
        assert!(check_node("n", Operation::Create, None, &node("m", json!({}), json!([]))).is_some());
        assert!(check_node("n", Operation::Delete, Some(&old), &old).is_some());
    }

    #[test]
    fn mirror_pods_refer_to_nothing() {
        let pod = |spec: Value| json!({"metadata": {"annotations": {MIRROR: "x"}}, "spec": spec});
        assert_eq!(check_mirror("n", &pod(json!({"nodeName": "n"}))), None);
        for bad in [
            json!({"nodeName": "m"}),
            json!({"nodeName": "n", "serviceAccountName": "sa"}),
            json!({"nodeName": "n", "volumes": [{"name": "v", "secret": {}}]}),
        ] {
            assert!(check_mirror("n", &pod(bad.clone())).is_some(), "{bad}");
        }
        assert!(check_mirror("n", &json!({"metadata": {}, "spec": {"nodeName": "n"}})).is_some());
    }
}
