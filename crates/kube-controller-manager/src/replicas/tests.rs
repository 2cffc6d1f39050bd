use serde_json::{Value, json};

use super::*;
use crate::model::DELETION_COST;

fn pod(name: &str, meta: Value, spec: Value, status: Value) -> Arc<Pod> {
    let mut json = json!({"metadata": meta, "spec": spec, "status": status});
    json["metadata"]["name"] = name.into();
    json["metadata"]["uid"] = name.into();
    json["metadata"]["namespace"] = "default".into();
    Arc::new(serde_json::from_value(json).unwrap())
}

fn ready(since: &str) -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]})
}

fn owner(selector: &str) -> Owner {
    Owner {
        key: Key::new("default", "rc"),
        reference: OwnerReference { uid: "rc".into(), controller: Some(true), ..Default::default() },
        object: ObjectReference::default(),
        selector: selector.parse().unwrap(),
        desired: 1,
        template: PodTemplateSpec::default(),
        deleting: false,
    }
}

#[test]
fn numbers() {
    let pods: Vec<_> = (0..3).map(|n| pod(&n.to_string(), json!({}), json!({}), json!({}))).collect();
    assert_eq!(plan(3, &pods), Plan::Nothing);
    assert_eq!(plan(5, &pods), Plan::Create(2));
    assert_eq!(plan(5000, &pods), Plan::Create(BURST));
    assert!(matches!(plan(1, &pods), Plan::Delete(gone) if gone.len() == 2));
}

#[test]
fn pods_are_named_after_their_controller_in_small_letters() {
    let mut owner = owner("app=x");
    owner.key = Key::new("default", "apacheController");
    assert_eq!(pod_of(&owner).metadata.generate_name.as_deref(), Some("apachecontroller-"));
}

#[test]
fn who_goes_first() {
    let on = |node: &str| json!({"nodeName": node});
    let created = |time: &str| json!({"creationTimestamp": time});
    let (t1, t2) = ("2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z");
    let cost = json!({"annotations": {DELETION_COST: "-5"}});
    let mut restarted = ready(t1);
    restarted["containerStatuses"] = json!([{"restartCount": 3}]);
    let expected = [
        pod("unassigned", json!({}), json!({}), json!({"phase": "Pending"})),
        pod("pending", json!({}), on("a"), json!({"phase": "Pending"})),
        pod("not-ready", json!({}), on("a"), json!({"phase": "Running"})),
        pod("cheap", cost, on("a"), ready(t1)),
        pod("crowded", json!({}), on("a"), ready(t1)),
        pod("just-ready", json!({}), on("b"), ready(t2)),
        pod("restarted", json!({}), on("c"), restarted),
        pod("young", created(t2), on("d"), ready(t1)),
        pod("old", created(t1), on("e"), ready(t1)),
    ];
    let mut shuffled = expected.to_vec();
    shuffled.reverse();
    let names = |pods: &[Arc<Pod>]| pods.iter().map(|pod| name(&pod.metadata).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&order::first_to_go(&shuffled, 9)), names(&expected));
}

#[test]
fn claiming() {
    let mine =
        json!([{"apiVersion": "v1", "kind": "ReplicationController", "name": "rc", "uid": "rc", "controller": true}]);
    let others =
        json!([{"apiVersion": "v1", "kind": "ReplicationController", "name": "x", "uid": "x", "controller": true}]);
    let fits = json!({"app": "x"});
    for (meta, expected) in [
        (json!({"ownerReferences": mine, "labels": fits}), Some(Claim::Keep)),
        (json!({"ownerReferences": mine}), Some(Claim::Release)),
        (json!({"ownerReferences": others, "labels": fits}), None),
        (json!({"labels": fits}), Some(Claim::Adopt)),
        (json!({"labels": {"app": "y"}}), None),
        (json!({"labels": fits, "deletionTimestamp": "2026-01-01T00:00:00Z"}), None),
    ] {
        let claimed = claims(&owner("app=x"), vec![pod("p", meta.clone(), json!({}), json!({}))]);
        assert_eq!(claimed.first().map(|(_, claim)| *claim), expected, "{meta}");
    }
    // An owner that is going takes nobody in, and lets the garbage collector see to the rest.
    let going = Owner { deleting: true, ..owner("app=x") };
    assert!(claims(&going, vec![pod("p", json!({"labels": fits}), json!({}), json!({}))]).is_empty());
}

#[test]
fn counting() {
    let now: jiff::Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
    let labelled = json!({"labels": {"app": "x"}});
    let pods = [
        pod("a", labelled, json!({}), ready("2026-01-01T00:00:01Z")),
        pod("b", json!({}), json!({}), ready("2026-01-01T00:00:08Z")),
        pod("c", json!({}), json!({}), json!({"phase": "Pending"})),
    ];
    let labels = BTreeMap::from([("app".to_owned(), "x".to_owned())]);
    let counts = count(&pods, &labels, Duration::from_secs(5), now);
    let next = Some(Duration::from_secs(3));
    assert_eq!(counts, Counts { replicas: 3, fully_labeled: 1, ready: 2, available: 1, next });
    assert_eq!(count(&pods, &labels, Duration::ZERO, now).available, 2);
}
