//! Parts of objects with paths of their own: status and scale.

use api::catalog::Catalog;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{MERGE, get, patch, post, put, there};
use crate::common::Api;
use crate::samples::{collection, object, stored};

const TIME: &str = "2026-01-02T03:04:05Z";

fn condition(kind: &str) -> Value {
    json!({"type": kind, "status": "True", "reason": "E2E", "message": "told by a test", "lastTransitionTime": TIME})
}

/// Read, patched and replaced, the status changes and nothing else does; the object's own path leaves it alone.
async fn status_of(row: &str, api_version: &str, plural: &str, status: Value, other: Value) {
    let api = Api::start().await;
    let kinds = stored();
    let resource = kinds.iter().find(|served| served.api_version() == api_version && served.path_name() == plural);
    let resource = resource.unwrap_or_else(|| panic!("{api_version} {plural}"));
    let all = collection(resource);
    let mut whole = object(resource, "whole");
    if plural == "services" {
        // Others have no balancer to tell of.
        whole["spec"]["type"] = "LoadBalancer".into();
    }
    let made = post(&api, &all, whole).await;
    let one = format!("{all}/whole");
    let part = format!("{one}/status");
    assert_eq!(there(get(&api, &part).await), made, "{row}");

    let patched =
        patch(&api, &part, MERGE, json!({"metadata": {"annotations": {"by": "patch"}}, "status": status})).await;
    for (field, value) in status.as_object().unwrap() {
        assert_eq!(&patched["status"][field], value, "{row}: {patched}");
    }
    assert_eq!(
        (&patched["spec"], &patched["metadata"]["generation"]),
        (&made["spec"], &made["metadata"]["generation"]),
        "{row}"
    );
    let mut whole = patched;
    for (field, value) in other.as_object().unwrap() {
        whole["status"][field] = value.clone();
    }
    let replaced = put(&api, &part, &whole).await;
    for (field, value) in other.as_object().unwrap() {
        assert_eq!(&replaced["status"][field], value, "{row}: {replaced}");
    }
    assert_eq!(there(get(&api, &part).await), replaced, "{row}");
    // The status is not the object's own to write.
    let ignored = patch(&api, &one, MERGE, json!({"metadata": {"labels": {"seen": "x"}}, "status": null})).await;
    assert_eq!(
        (&ignored["status"], &ignored["metadata"]["labels"]["seen"]),
        (&replaced["status"], &json!("x")),
        "{row}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_written_by_their_own_path() {
    let conditions =
        |kinds: &[&str]| json!({"conditions": kinds.iter().map(|kind| condition(kind)).collect::<Vec<_>>()});
    let with = |mut a: Value, b: Value| {
        for (field, value) in b.as_object().unwrap() {
            a[field] = value.clone();
        }
        a
    };
    let (patched, updated) = (conditions(&["StatusPatch"]), conditions(&["StatusPatch", "StatusUpdate"]));
    let ingress = |ip: &str| json!({"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}});
    let hard = |cpu: &str| json!({"hard": {"cpu": cpu, "memory": "500Mi"}});
    let attached = |attached: bool| json!({"attached": attached});
    let pod = |message: &str| json!({"message": message, "reason": "E2E"});
    let budget = |allowed: i32| json!({"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1});
    let job = |ready: i32| json!({"startTime": TIME, "ready": ready, "active": 1});
    let rows = [
        ("DaemonSet, status sub-resource", "apps/v1", "daemonsets", patched.clone(), updated.clone()),
        ("Deployment, status sub-resource", "apps/v1", "deployments", patched.clone(), updated.clone()),
        ("ReplicaSet, status sub-resource", "apps/v1", "replicasets", patched.clone(), updated.clone()),
        (
            "StatefulSet, status sub-resource",
            "apps/v1",
            "statefulsets",
            with(patched, json!({"replicas": 0})),
            updated.clone(),
        ),
        ("Jobs, apply changes to status", "batch/v1", "jobs", job(0), job(1)),
        ("PodDisruptionBudget: update and patch status", "policy/v1", "poddisruptionbudgets", budget(0), budget(1)),
        (
            "Service, complete ServiceStatus lifecycle",
            "v1",
            "services",
            ingress("203.0.113.1"),
            with(ingress("203.0.113.2"), updated),
        ),
        ("ResourceQuota, apply changes to a ResourceQuota status", "v1", "resourcequotas", hard("1"), hard("2")),
        ("PersistentVolumes(Claims), apply changes to a pv/pvc status", "v1", "persistentvolumes", pod("a"), pod("b")),
        (
            "PersistentVolumes(Claims), apply changes to a pv/pvc status",
            "v1",
            "persistentvolumeclaims",
            conditions(&["Resizing"]),
            json!({"phase": "Pending"}),
        ),
        (
            "VolumeAttachment, apply changes to a volumeattachment status",
            "storage.k8s.io/v1",
            "volumeattachments",
            attached(true),
            attached(false),
        ),
        ("Pods, patching status", "v1", "pods", pod("patched"), pod("updated")),
    ];
    let mut running = JoinSet::new();
    for (testname, api_version, plural, status, other) in rows {
        running.spawn(status_of(testname, api_version, plural, status, other));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

/// Conformance: "Deployment, completes the scaling of a Deployment subresource"
/// Conformance: "ReplicaSet, completes the scaling of a ReplicaSet subresource"
/// Conformance: "StatefulSet resource Replica scaling"
/// Conformance: "Replication Controller, get and update ReplicationController scale"
#[tokio::test(flavor = "multi_thread")]
async fn scales_are_read_replaced_and_patched() {
    let api = Api::start().await;
    assert!(!Catalog::builtin().served().is_empty());
    for (base, plural) in [
        ("apis/apps/v1", "deployments"),
        ("apis/apps/v1", "replicasets"),
        ("apis/apps/v1", "statefulsets"),
        ("api/v1", "replicationcontrollers"),
    ] {
        let all = format!("/{base}/namespaces/default/{plural}");
        let selector =
            if plural == "replicationcontrollers" { json!({"a": "b"}) } else { json!({"matchLabels": {"a": "b"}}) };
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let object =
            json!({"metadata": {"name": "web"}, "spec": {"replicas": 1, "selector": selector, "template": template}});
        let made = post(&api, &all, object).await;
        let path = format!("{all}/web/scale");
        let mut scale = there(get(&api, &path).await);
        assert_eq!(
            (&scale["kind"], &scale["apiVersion"], &scale["spec"]["replicas"]),
            (&json!("Scale"), &json!("autoscaling/v1"), &json!(1))
        );
        assert_eq!(
            (&scale["metadata"]["uid"], &scale["status"]["selector"]),
            (&made["metadata"]["uid"], &json!("a=b")),
            "{plural}"
        );
        scale["spec"]["replicas"] = 2.into();
        assert_eq!(put(&api, &path, &scale).await["spec"]["replicas"], 2, "{plural}");
        assert_eq!(there(get(&api, &format!("{all}/web")).await)["spec"]["replicas"], 2, "{plural}");
        assert_eq!(
            patch(&api, &path, MERGE, json!({"spec": {"replicas": 4}})).await["spec"]["replicas"],
            4,
            "{plural}"
        );
        let whole = there(get(&api, &format!("{all}/web")).await);
        assert_eq!((&whole["spec"]["replicas"], &whole["metadata"]["generation"]), (&json!(4), &json!(3)), "{plural}");
        let (code, stale) = api.json("PUT", &path, &scale).await;
        assert_eq!(code, 409, "{stale}");
    }
}
