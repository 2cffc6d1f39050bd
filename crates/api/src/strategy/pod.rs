//! Pods, and what their templates share with them.

mod part;
mod update;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Map, Value, json};

use super::{Strategy, keep, typed};
use crate::field::{Errors, Path};
use crate::meta::{self, object_mut};
use crate::quantity::Quantity;
use crate::status::Status;
use crate::validation::{self, pod::Owner};

pub use part::{validate_ephemeral_containers, validate_resize};

pub struct Pods;

impl Strategy for Pods {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec") else { return };
        default_spec(spec);
        if let Some(fields) = spec.as_object_mut() {
            fields.entry("enableServiceLinks").or_insert(Value::Bool(true));
            for list in ["containers", "initContainers"] {
                for container in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                    limits_are_requests(container);
                }
            }
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        let class = qos_class(&object["spec"]);
        meta::fields_mut(object).insert("status".into(), json!({"phase": "Pending", "qosClass": class}));
    }

    fn prepare_for_update(&self, object: &mut Value, old: &Value) {
        keep(object, old, "status");
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let spec: PodSpec = typed(object.get("spec"));
        validation::pod::validate(&spec, &Path::new("spec"), Owner::None, errors);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        if object["spec"].get("ephemeralContainers").is_some() {
            errors.forbidden(&Path::new("spec").child("ephemeralContainers"), "cannot be set on create");
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        update::validate(&object["spec"], &old["spec"], errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let path = Path::new("status");
        let old_node = meta::text_at(old, "spec.nodeName");
        if meta::text_at(object, "spec.nodeName") != old_node {
            errors.forbidden(&Path::new("spec").child("nodeName"), "may not be changed directly");
        }
        let phase = meta::text_at(object, "status.phase");
        if !["", "Pending", "Running", "Succeeded", "Failed", "Unknown"].contains(&phase) {
            let phases = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];
            errors.not_supported(&path.child("phase"), phase, &phases);
        }
    }

    /// A pod that no node has, or that is over, goes at once; others wait for their kubelet.
    fn grace_period(&self, object: &Value, requested: Option<i64>) -> i64 {
        let over = ["Succeeded", "Failed"].contains(&meta::text_at(object, "status.phase"));
        if over || meta::text_at(object, "spec.nodeName").is_empty() {
            return 0;
        }
        let own = meta::at(object, "spec.terminationGracePeriodSeconds").and_then(Value::as_i64);
        requested.or(own).unwrap_or(30).max(0)
    }
}

/// Assigns a pod to a node, as the `binding` subresource does.
pub fn bind(pod: &mut Value, node: &str, annotations: Option<&Map<String, Value>>, now: &str) -> Result<(), Status> {
    let name = meta::name(pod).to_owned();
    let conflict = |why: String| Err(Status::conflict("", "pods/binding", &name, &why));
    if meta::is_deleting(pod) {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let taken = meta::text_at(pod, "spec.nodeName");
    if !taken.is_empty() {
        return conflict(format!("pod {name} is already assigned to node {taken:?}"));
    }
    if meta::at(pod, "spec.schedulingGates").and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    object_mut(pod, "spec").insert("nodeName".into(), node.into());
    if let Some(annotations) = annotations {
        let own = meta::metadata_mut(pod).entry("annotations").or_insert_with(|| json!({}));
        meta::fields_mut(own).extend(annotations.clone());
    }
    let status = object_mut(pod, "status");
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|c| c["type"] != "PodScheduled");
        list.push(json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now}));
    }
    Ok(())
}

/// The defaults of a pod's spec that depend on other fields; for templates as well.
pub(super) fn default_spec(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else { return };
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        spec.entry("serviceAccount").or_insert(account);
    } else if let Some(account) = spec.get("serviceAccount").cloned() {
        spec.insert("serviceAccountName".into(), account);
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            if !container.contains_key("imagePullPolicy") {
                let image = container.get("image").and_then(Value::as_str).unwrap_or("");
                let policy = if is_latest(image) { "Always" } else { "IfNotPresent" };
                container.insert("imagePullPolicy".into(), policy.into());
            }
            if host_network {
                let ports = container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten();
                for port in ports.filter_map(Value::as_object_mut) {
                    if let (Some(number), None) = (port.get("containerPort").cloned(), port.get("hostPort")) {
                        port.insert("hostPort".into(), number);
                    }
                }
            }
        }
    }
}

/// No tag, or the tag `latest`, and no digest.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn limits_are_requests(container: &mut Value) {
    let Some(resources) = container.get_mut("resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = object_mut(resources, "requests");
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

/// Guaranteed: every container limits cpu and memory and asks for as much. BestEffort: none asks for anything.
pub fn qos_class(spec: &Value) -> &'static str {
    let amount = |container: &Value, which: &str, name: &str| {
        let text = container["resources"].get(which).and_then(|r| r.get(name)).and_then(Value::as_str);
        text.and_then(|text| text.parse::<Quantity>().ok()).filter(|q| !q.is_zero())
    };
    let lists = ["containers", "initContainers"];
    let containers: Vec<&Value> =
        lists.iter().filter_map(|l| spec.get(*l).and_then(Value::as_array)).flatten().collect();
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        for name in ["cpu", "memory"] {
            let (request, limit) = (amount(container, "requests", name), amount(container, "limits", name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policy_follows_the_tag() {
        for (image, latest) in [
            ("redis", true),
            ("redis:latest", true),
            ("redis:7", false),
            ("localhost:5000/redis", true),
            ("localhost:5000/redis:7", false),
            ("redis@sha256:abc", false),
        ] {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }

    #[test]
    fn quality_of_service() {
        let class = |resources: Value| qos_class(&json!({"containers": [{"resources": resources}]}));
        assert_eq!(class(json!({})), "BestEffort");
        assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(class(json!({"requests": both, "limits": both})), "Guaranteed");
    }

    #[test]
    fn binding_twice_is_a_conflict() {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {}});
        bind(&mut pod, "n1", None, "2020-01-01T00:00:00Z").unwrap();
        let error = bind(&mut pod, "n2", None, "2020-01-01T00:00:00Z").unwrap_err();
        assert_eq!(error.code, 409);
        assert!(error.message.contains("already assigned to node \"n1\""), "{error}");
    }
}
