//! What a pod asks for and is held to: the sums over its containers, as limit ranges and quotas count them.
//!
//! Does not own what of it may be said (`validation`), nor how a scheduler weighs it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::quantity::Quantity;

/// Amounts by the names of resources.
pub type Amounts = BTreeMap<String, Quantity>;

/// Which of the two lists of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Requests,
    Limits,
}

/// Where to look beside the containers' specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counting {
    /// What the pod's runtime takes for itself.
    pub overhead: bool,
    /// What the kubelet has given and not yet taken back while containers are resized.
    pub status: bool,
}

/// Amounts of the API; what is no amount is left out, as validation tells of it.
pub fn amounts(list: Option<&BTreeMap<String, ApiQuantity>>) -> Amounts {
    let list = list.into_iter().flatten();
    list.filter_map(|(name, amount)| Some((name.clone(), Quantity::try_from(amount).ok()?))).collect()
}

/// What a resources field of a container or of a pod says.
pub fn of_container(container: &Container, side: Side) -> Amounts {
    let resources = container.resources.as_ref();
    amounts(resources.and_then(|resources| match side {
        Side::Requests => resources.requests.as_ref(),
        Side::Limits => resources.limits.as_ref(),
    }))
}

/// What the whole pod has to have at once: all containers and side-cars together, or an init container and the side-cars that
/// start before it, whichever is more.
pub fn of_pod(pod: &Pod, side: Side, counting: Counting) -> Amounts {
    let none = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&none);
    let wanted = sum(spec, |container| of_container(container, side));
    let mut total = if counting.status { with_status(pod, spec, side, wanted) } else { wanted };
    for (name, amount) in of_pod_itself(spec, side) {
        total.insert(name, amount);
    }
    if counting.overhead {
        for (name, amount) in amounts(spec.overhead.as_ref()) {
            match side {
                Side::Requests => *total.entry(name).or_default() += amount,
                // No limit is no limit with an overhead, too.
                Side::Limits => {
                    if let Some(limit) = total.get_mut(&name).filter(|limit| !limit.is_zero()) {
                        *limit += amount;
                    }
                }
            }
        }
    }
    total
}

/// Whether the pod as a whole says what it needs, so that its containers need not.
pub fn pod_level(spec: &PodSpec) -> bool {
    [Side::Requests, Side::Limits].iter().any(|side| !of_pod_itself(spec, *side).is_empty())
}

fn of_pod_itself(spec: &PodSpec, side: Side) -> Amounts {
    let resources = spec.resources.as_ref();
    let mut own = amounts(resources.and_then(|resources| match side {
        Side::Requests => resources.requests.as_ref(),
        Side::Limits => resources.limits.as_ref(),
    }));
    own.retain(|name, _| name == "cpu" || name == "memory" || name.starts_with("hugepages-"));
    own
}

fn sum(spec: &PodSpec, of: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut total = Amounts::new();
    for container in &spec.containers {
        add(&mut total, &of(container));
    }
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut own = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            raise(&mut most, &sidecars);
        } else {
            add(&mut own, &sidecars);
            raise(&mut most, &own);
        }
    }
    raise(&mut total, &most);
    total
}

fn with_status(pod: &Pod, spec: &PodSpec, side: Side, wanted: Amounts) -> Amounts {
    let status = pod.status.as_ref();
    let pending = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let pending = pending.into_iter().find(|condition| condition.type_ == "PodResizePending");
    let infeasible = pending.is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible"));
    let of = |container: &Container| -> Option<&ContainerStatus> {
        let lists = status.map(|status| [&status.container_statuses, &status.init_container_statuses]);
        lists.into_iter().flatten().flatten().flatten().find(|status| status.name == container.name)
    };
    let unknown = |container: &Container| match infeasible {
        true => Amounts::new(),
        false => of_container(container, side),
    };
    let actual = |container: &Container| {
        let resources = of(container).and_then(|status| status.resources.as_ref());
        resources.and_then(|resources| match side {
            Side::Requests => resources.requests.as_ref(),
            Side::Limits => resources.limits.as_ref(),
        })
    };
    let allocated = |container: &Container| of(container).and_then(|status| status.allocated_resources.as_ref());
    let mut total = if infeasible { Amounts::new() } else { wanted };
    let given = |container: &Container| match (actual(container), allocated(container), side) {
        (Some(actual), ..) => amounts(Some(actual)),
        (None, Some(allocated), Side::Requests) => amounts(Some(allocated)),
        _ => unknown(container),
    };
    raise(&mut total, &sum(spec, given));
    if side == Side::Requests {
        let promised = |container: &Container| match allocated(container) {
            Some(allocated) => amounts(Some(allocated)),
            None => unknown(container),
        };
        raise(&mut total, &sum(spec, promised));
    }
    total
}

pub fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *total.entry(name.clone()).or_default() += *amount;
    }
}

/// The larger of both, for each resource.
fn raise(total: &mut Amounts, to: &Amounts) {
    for (name, amount) in to {
        match total.get_mut(name) {
            Some(own) if *own >= *amount => {}
            _ => {
                total.insert(name.clone(), *amount);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(pod: Value, side: Side, counting: Counting) -> String {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let list: Vec<String> =
            of_pod(&pod, side, counting).iter().map(|(name, amount)| format!("{name}={amount}")).collect();
        list.join(",")
    }

    fn container(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
    }

    #[test]
    fn sums() {
        let spec = |extra: Value| {
            let mut pod = json!({"spec": {"containers": [container("a", "1"), container("b", "500m")]}});
            pod["spec"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            pod
        };
        let mut sidecar = container("s", "1");
        sidecar["restartPolicy"] = "Always".into();
        let overhead = Counting { overhead: true, status: false };
        for (extra, counting, requests, limits) in [
            (json!({}), Counting::default(), "cpu=1500m", "cpu=1500m"),
            (json!({"initContainers": [container("i", "1")]}), Counting::default(), "cpu=1500m", "cpu=1500m"),
            (json!({"initContainers": [container("i", "2")]}), Counting::default(), "cpu=2", "cpu=2"),
            // A side-car runs beside the containers and beside the init containers after it.
            (json!({"initContainers": [sidecar, container("i", "2")]}), Counting::default(), "cpu=3", "cpu=3"),
            (json!({"initContainers": [container("i", "2"), sidecar]}), Counting::default(), "cpu=2500m", "cpu=2500m"),
            (json!({"overhead": {"cpu": "1", "memory": "1Mi"}}), overhead, "cpu=2500m,memory=1Mi", "cpu=2500m"),
            (
                json!({"resources": {"requests": {"cpu": "4", "example.com/x": "1"}}}),
                Counting::default(),
                "cpu=4",
                "cpu=1500m",
            ),
        ] {
            assert_eq!(told(spec(extra.clone()), Side::Requests, counting), requests, "{extra}");
            assert_eq!(told(spec(extra.clone()), Side::Limits, counting), limits, "{extra}");
        }
    }

    #[test]
    fn what_was_given_counts_until_it_is_given_back() {
        let counting = Counting { overhead: true, status: true };
        let pod = |reason: &str| {
            json!({"spec": {"containers": [container("a", "1")]}, "status": {
                "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}],
                "containerStatuses": [{"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "allocatedResources": {"cpu": "500m"},
                    "resources": {"requests": {"cpu": "700m"}, "limits": {"cpu": "3"}}}]}})
        };
        for (reason, requests, limits) in [("Deferred", "cpu=1", "cpu=3"), ("Infeasible", "cpu=700m", "cpu=3")] {
            assert_eq!(told(pod(reason), Side::Requests, counting), requests, "{reason}");
            assert_eq!(told(pod(reason), Side::Limits, counting), limits, "{reason}");
        }
    }
}
