//! `LimitRanger`: containers get the amounts that a namespace's limit ranges give by default, and pods and claims outside of
//! the bounds are refused.

use api::meta;
use api::quantity::Quantity;
use api::resources::{Amounts, Counting, Side, amounts, of_container, of_pod};
use api::status::Status;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod};
use serde_json::{Map, Value};

use crate::admission::{Attempt, Operation, Plugin, aggregate, typed};

pub struct LimitRanger;

/// Tells what was set by it.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

impl LimitRanger {
    pub const NAME: &str = "LimitRanger";
}

#[async_trait]
impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        if attempt.operation == Operation::Delete || attempt.old.is_some_and(meta::is_deleting) {
            return false;
        }
        let sub = attempt.context.subresource();
        match attempt.operation {
            Operation::Create => {
                (attempt.is_of("", "pods") || attempt.is_of("", "persistentvolumeclaims")) && sub.is_empty()
            }
            _ => {
                (attempt.is_of("", "pods") && sub == "resize")
                    || (attempt.is_of("", "persistentvolumeclaims") && sub.is_empty())
            }
        }
    }

    async fn admit(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<(), Status> {
        if attempt.is(Operation::Create, "pods") {
            for range in ranges(attempt).await? {
                set_defaults(&range, object);
            }
        }
        Ok(())
    }

    async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        let ranges = ranges(attempt).await?;
        if ranges.is_empty() {
            return Ok(());
        }
        let check: &(dyn Fn(&LimitRangeItem) -> Vec<String> + Sync) = match attempt.target.resource().plural {
            "pods" => {
                let pod: Pod = typed(object)?;
                &move |limit| check_pod(limit, &pod)
            }
            _ => {
                let claim: PersistentVolumeClaim = typed(object)?;
                let resources = claim.spec.and_then(|spec| spec.resources);
                let requests = amounts(resources.as_ref().and_then(|resources| resources.requests.as_ref()));
                &move |limit| check_claim(limit, &requests)
            }
        };
        for range in ranges {
            let limits = range.spec.iter().flat_map(|spec| &spec.limits);
            let wrong: Vec<String> = limits.flat_map(check).collect();
            if !wrong.is_empty() {
                return Err(attempt.forbidden(meta::name(object), aggregate(&wrong)));
            }
        }
        Ok(())
    }
}

/// Those of the namespace.
async fn ranges(attempt: &Attempt<'_>) -> Result<Vec<LimitRange>, Status> {
    let entries = attempt.others("", "v1", "limitranges", &attempt.target.namespace).await?;
    entries.iter().map(|entry| typed(&crate::registry::parse(&entry.bytes)?)).collect()
}

fn set_defaults(range: &LimitRange, pod: &mut Value) {
    let (mut requests, mut limits) = (Map::new(), Map::new());
    for limit in range.spec.iter().flat_map(|spec| &spec.limits).filter(|limit| limit.type_ == "Container") {
        for (into, from) in [(&mut requests, &limit.default_request), (&mut limits, &limit.default)] {
            into.extend(from.iter().flatten().map(|(name, amount)| (name.clone(), amount.0.as_str().into())));
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return;
    }
    let mut told = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
            let resources = meta::object_mut(container, "resources");
            for (side, defaults, word) in [("requests", &requests, "request"), ("limits", &limits, "limit")] {
                if defaults.is_empty() {
                    continue;
                }
                let own = meta::fields_mut(resources.entry(side).or_insert_with(|| Map::new().into()));
                let missing: Vec<_> = defaults.iter().filter(|(name, _)| !own.contains_key(*name)).collect();
                let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
                if !names.is_empty() {
                    told.push(format!("{} {word} for {what} {name}", names.join(", ")));
                }
                for (name, amount) in missing {
                    own.insert(name.clone(), amount.clone());
                }
            }
        }
    }
    if !told.is_empty() {
        let annotations = meta::metadata_mut(pod).entry("annotations").or_insert_with(|| Map::new().into());
        let told = format!("LimitRanger plugin set: {}", told.join("; "));
        meta::fields_mut(annotations).insert(ANNOTATION.into(), told.into());
    }
}

/// What a limit is held against.
struct Usage {
    requests: Amounts,
    limits: Amounts,
}

fn check_pod(limit: &LimitRangeItem, pod: &Pod) -> Vec<String> {
    match (limit.type_.as_str(), &pod.spec) {
        ("Container", Some(spec)) => {
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            let usage = containers.map(|container| Usage {
                requests: of_container(container, Side::Requests),
                limits: of_container(container, Side::Limits),
            });
            usage.flat_map(|usage| check(limit, &usage)).collect()
        }
        ("Pod", Some(_)) => {
            let of = |side| of_pod(pod, side, Counting::default());
            check(limit, &Usage { requests: of(Side::Requests), limits: of(Side::Limits) })
        }
        _ => Vec::new(),
    }
}

fn check_claim(limit: &LimitRangeItem, requests: &Amounts) -> Vec<String> {
    if limit.type_ != "PersistentVolumeClaim" {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (name, min) in amounts(limit.min.as_ref()) {
        wrong.extend(below(&limit.type_, &name, min, requests.get(&name), None));
    }
    for (name, max) in amounts(limit.max.as_ref()) {
        let request = requests.get(&name);
        let most = format!("maximum {name} usage per {} is {max}", limit.type_);
        match request {
            None => wrong.push(format!("{most}.  No request is specified")),
            Some(request) if *request > max => wrong.push(format!("{most}, but request is {request}")),
            Some(_) => {}
        }
    }
    wrong
}

fn check(limit: &LimitRangeItem, usage: &Usage) -> Vec<String> {
    let (kind, mut wrong) = (&*limit.type_, Vec::new());
    let both = |name: &str| (usage.requests.get(name), usage.limits.get(name));
    for (name, min) in amounts(limit.min.as_ref()) {
        let (request, limit) = both(&name);
        wrong.extend(below(kind, &name, min, request, limit));
    }
    for (name, max) in amounts(limit.max.as_ref()) {
        let (request, limit) = both(&name);
        wrong.extend(above(kind, &name, max, request, limit));
    }
    for (name, most) in amounts(limit.max_limit_request_ratio.as_ref()) {
        let (request, limit) = both(&name);
        wrong.extend(beyond_ratio(kind, &name, most, request, limit));
    }
    wrong
}

fn below(
    kind: &str,
    name: &str,
    min: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let least = format!("minimum {name} usage per {kind} is {min}");
    match (request, limit) {
        (None, _) => Some(format!("{least}.  No request is specified")),
        (Some(request), _) if *request < min => Some(format!("{least}, but request is {request}")),
        (_, Some(limit)) if *limit < min => Some(format!("{least}, but limit is {limit}")),
        _ => None,
    }
}

fn above(
    kind: &str,
    name: &str,
    max: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let most = format!("maximum {name} usage per {kind} is {max}");
    match (request, limit) {
        (_, None) => Some(format!("{most}.  No limit is specified")),
        (_, Some(limit)) if *limit > max => Some(format!("{most}, but limit is {limit}")),
        (Some(request), _) if *request > max => Some(format!("{most}, but request is {request}")),
        _ => None,
    }
}

fn beyond_ratio(
    kind: &str,
    name: &str,
    most: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let ratio = format!("{name} max limit to request ratio per {kind} is {most}");
    let some = |amount: Option<&Quantity>| amount.copied().filter(|amount| !amount.is_zero());
    let Some(request) = some(request) else {
        return Some(format!("{ratio}, but no request is specified or request is 0"));
    };
    let Some(limit) = some(limit) else {
        return Some(format!("{ratio}, but no limit is specified or limit is 0"));
    };
    let provided = limit.nano_value() as f64 / request.nano_value() as f64;
    let exceeds = provided * 1000.0 > most.milli_value() as f64;
    exceeds.then(|| format!("{ratio}, but provided ratio is {provided:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    fn range(limits: Value) -> LimitRange {
        LimitRange::deserialize(json!({"metadata": {}, "spec": {"limits": limits}})).unwrap()
    }

    #[test]
    fn defaults_fill_what_is_missing_and_are_told() {
        let range = range(
            json!([{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}},
            {"type": "Pod", "max": {"cpu": "9"}}]),
        );
        let mut pod = json!({"metadata": {}, "spec": {
            "containers": [{"name": "a"}, {"name": "b", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}],
            "initContainers": [{"name": "i", "resources": {"limits": {"memory": "1Mi"}}}]}});
        set_defaults(&range, &mut pod);
        let of = |list: &str, at: usize| pod["spec"][list][at]["resources"].clone();
        assert_eq!(of("containers", 0), json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi"}}));
        assert_eq!(of("containers", 1), json!({"requests": {"cpu": "2"}, "limits": {"cpu": "2", "memory": "1Gi"}}));
        assert_eq!(
            of("initContainers", 0),
            json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Mi"}})
        );
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a; memory limit for container b; \
             cpu request for init container i; cpu limit for init container i"
        );
        let before = pod.clone();
        set_defaults(&range, &mut pod);
        assert_eq!(pod, before);
    }

    #[test]
    fn bounds_of_containers_and_pods() {
        let one = |resources: Value| json!({"containers": [{"name": "c", "resources": resources}]});
        let two = json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}},
            {"name": "b", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}]});
        for (limit, spec, expected) in [
            (
                json!({"type": "Container", "min": {"cpu": "1"}}),
                one(json!({})),
                vec!["minimum cpu usage per Container is 1.  No request is specified"],
            ),
            (
                json!({"type": "Container", "min": {"cpu": "1"}}),
                one(json!({"requests": {"cpu": "500m"}})),
                vec!["minimum cpu usage per Container is 1, but request is 500m"],
            ),
            (
                json!({"type": "Container", "min": {"cpu": "1"}}),
                one(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "0"}})),
                vec!["minimum cpu usage per Container is 1, but limit is 0"],
            ),
            (
                json!({"type": "Container", "max": {"cpu": "1"}}),
                one(json!({"requests": {"cpu": "1"}})),
                vec!["maximum cpu usage per Container is 1.  No limit is specified"],
            ),
            (
                json!({"type": "Container", "max": {"cpu": "1"}}),
                one(json!({"limits": {"cpu": "2"}})),
                vec!["maximum cpu usage per Container is 1, but limit is 2"],
            ),
            (
                json!({"type": "Container", "max": {"cpu": "1"}}),
                one(json!({"requests": {"cpu": "3"}, "limits": {"cpu": "1"}})),
                vec!["maximum cpu usage per Container is 1, but request is 3"],
            ),
            (json!({"type": "Container", "max": {"cpu": "2"}}), two.clone(), vec![]),
            (
                json!({"type": "Pod", "max": {"cpu": "3"}}),
                two.clone(),
                vec!["maximum cpu usage per Pod is 3, but limit is 4"],
            ),
            (json!({"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "4"}}), two.clone(), vec![]),
            (
                json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "1500m"}}),
                two.clone(),
                vec!["cpu max limit to request ratio per Pod is 1500m, but provided ratio is 2.000000"],
            ),
            (json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "2"}}), two.clone(), vec![]),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}),
                one(json!({"requests": {"cpu": "1"}})),
                vec!["cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"],
            ),
            (
                json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}),
                one(json!({})),
                vec!["cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"],
            ),
            (json!({"type": "PersistentVolumeClaim", "max": {"cpu": "0"}}), two, vec![]),
        ] {
            let item = LimitRangeItem::deserialize(&limit).unwrap();
            let pod = Pod::deserialize(json!({"metadata": {}, "spec": spec})).unwrap();
            assert_eq!(check_pod(&item, &pod), expected, "{limit}");
        }
    }

    #[test]
    fn bounds_of_claims() {
        let item = LimitRangeItem::deserialize(
            json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}),
        );
        let item = item.unwrap();
        let of = |amount: &str| check_claim(&item, &Amounts::from([("storage".to_owned(), amount.parse().unwrap())]));
        assert_eq!(of("1Gi"), [""; 0]);
        assert_eq!(of("3Gi"), ["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"]);
        assert_eq!(of("1Mi"), ["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]);
    }
}
