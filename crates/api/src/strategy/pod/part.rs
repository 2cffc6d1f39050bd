//! What may change in a pod through its subresources: more ephemeral containers, other amounts of cpu and memory.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

use super::super::typed;
use crate::field::{Errors, Path};
use crate::validation::{self, pod::Owner};

fn list<'a>(pod: &'a Value, field: &str) -> &'a [Value] {
    pod["spec"].get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn whole(pod: &Value, errors: &mut Errors) {
    let spec: PodSpec = typed(pod.get("spec"));
    validation::pod::validate(&spec, &Path::new("spec"), Owner::None, errors);
}

/// They come, and stay as they are.
pub fn validate_ephemeral_containers(pod: &Value, old: &Value, errors: &mut Errors) {
    whole(pod, errors);
    let spec = Path::new("spec");
    let path = spec.child("ephemeralContainers");
    for was in list(old, "ephemeralContainers") {
        let name = was["name"].as_str().unwrap_or("");
        match list(pod, "ephemeralContainers").iter().find(|one| one["name"] == was["name"]) {
            None => errors.forbidden(&path, format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(one) if one != was => {
                errors.forbidden(&path, format!("existing ephemeral containers {name:?} may not be changed\n"));
            }
            Some(_) => {}
        }
    }
}

const RESIZABLE: [&str; 2] = ["cpu", "memory"];

pub fn validate_resize(pod: &Value, old: &Value, errors: &mut Errors) {
    whole(pod, errors);
    let spec = Path::new("spec");
    let mut as_before = pod["spec"].clone();
    for field in ["containers", "initContainers"] {
        let path = spec.child(field);
        if list(pod, field).len() != list(old, field).len() {
            errors.forbidden(&path, "pod resize may not add or remove containers");
            return;
        }
        for (at, (now, was)) in list(pod, field).iter().zip(list(old, field)).enumerate() {
            stays_limited(now, was, &path.index(at), errors);
            if let Some(container) = as_before[field].get_mut(at).and_then(Value::as_object_mut) {
                put_back(container, was);
            }
        }
    }
    let class = super::qos_class(&pod["spec"]);
    if class != super::qos_class(&old["spec"]) {
        errors.invalid(&spec, class, "Pod QOS Class may not change as a result of resizing");
    }
    if as_before != old["spec"] {
        errors.forbidden(&spec, "only cpu and memory resources are mutable");
    }
}

/// What a container is limited to, or has asked for, can be changed and not taken back.
fn stays_limited(now: &Value, was: &Value, path: &Path<'_>, errors: &mut Errors) {
    let path = path.child("resources");
    for (field, why) in
        [("limits", "resource limits cannot be removed"), ("requests", "resource requests cannot be removed")]
    {
        let has = |container: &Value, name: &str| container["resources"].get(field).and_then(|r| r.get(name)).is_some();
        let path = path.child(field);
        for name in RESIZABLE.iter().filter(|name| has(was, name) && !has(now, name)) {
            errors.forbidden(&path.key(name), why);
        }
    }
}

/// Makes the container what it was where that may change, so that all other changes show.
fn put_back(container: &mut serde_json::Map<String, Value>, was: &Value) {
    let old = was.get("resizePolicy").cloned();
    match old {
        Some(policy) => container.insert("resizePolicy".into(), policy),
        None => container.remove("resizePolicy"),
    };
    for field in ["limits", "requests"] {
        let amounts = |container: &Value| container["resources"].get(field).and_then(Value::as_object).cloned();
        let of_now = Value::Object(container.clone());
        let (now, was) = (amounts(&of_now).unwrap_or_default(), amounts(was));
        let others = now.into_iter().filter(|(name, _)| !RESIZABLE.contains(&name.as_str()));
        let resized = was.iter().flatten().filter(|(name, _)| RESIZABLE.contains(&name.as_str()));
        let amounts: serde_json::Map<String, Value> =
            others.chain(resized.map(|(name, amount)| (name.clone(), amount.clone()))).collect();
        let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { continue };
        if amounts.is_empty() && was.is_none() {
            resources.remove(field);
        } else {
            resources.insert(field.into(), amounts.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(resources: Value) -> Value {
        json!({"spec": {"restartPolicy": "Always", "dnsPolicy": "Default",
            "containers": [{"name": "c", "image": "i", "resources": resources}]}})
    }

    fn told(rule: fn(&Value, &Value, &mut Errors), new: &Value, old: &Value) -> Vec<String> {
        let mut errors = Errors::default();
        rule(new, old, &mut errors);
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn resizing() {
        let old = pod(json!({"requests": {"cpu": "1", "example.com/x": "1"}, "limits": {"example.com/x": "1"}}));
        for (resources, wanted) in [
            (json!({"requests": {"cpu": "2", "example.com/x": "1"}, "limits": {"example.com/x": "1"}}), vec![]),
            (
                json!({"requests": {"cpu": "1", "example.com/x": "2"}, "limits": {"example.com/x": "2"}}),
                vec!["spec: Forbidden: only cpu and memory resources are mutable"],
            ),
            (
                json!({"requests": {"memory": "1", "example.com/x": "1"}, "limits": {"example.com/x": "1"}}),
                vec!["spec.containers[0].resources.requests[cpu]: Forbidden: resource requests cannot be removed"],
            ),
            (
                json!({"requests": {"cpu": "1", "memory": "1", "example.com/x": "1"},
                    "limits": {"cpu": "1", "memory": "1", "example.com/x": "1"}}),
                vec!["spec: Invalid value: \"Guaranteed\": Pod QOS Class may not change as a result of resizing"],
            ),
        ] {
            assert_eq!(told(validate_resize, &pod(resources), &old), wanted);
        }
        let mut renamed = old.clone();
        renamed["spec"]["containers"][0]["image"] = "j".into();
        assert_eq!(
            told(validate_resize, &renamed, &old),
            ["spec: Forbidden: only cpu and memory resources are mutable"]
        );
    }

    #[test]
    fn ephemeral_containers_come_and_stay() {
        let with = |containers: Value| {
            let mut pod = pod(json!({}));
            pod["spec"]["ephemeralContainers"] = containers;
            pod
        };
        let old = with(json!([{"name": "a", "image": "i"}]));
        let more = with(json!([{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]));
        assert_eq!(told(validate_ephemeral_containers, &more, &old), [""; 0]);
        for (containers, what) in [(json!([]), "removed"), (json!([{"name": "a", "image": "j"}]), "changed")] {
            let wanted =
                format!("spec.ephemeralContainers: Forbidden: existing ephemeral containers \"a\" may not be {what}\n");
            assert_eq!(told(validate_ephemeral_containers, &with(containers), &old), [wanted]);
        }
    }
}
