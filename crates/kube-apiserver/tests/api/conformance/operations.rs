//! What upstream asks of most kinds: they are in discovery, and their objects can be made, read, listed, watched, patched,
//! replaced and deleted, one at a time and all of a label.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{MERGE, delete, get, names, patch, post, put, there, watched};
use crate::common::Api;
use crate::samples::{collection, name_of, object, stored};

/// `discovered`: what upstream finds in discovery first. It must name the group, the version and the resources.
async fn discovered(api: &Api, api_version: &str, resources: &[&str]) {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if !group.is_empty() {
        let groups = there(get(api, "/apis").await);
        let named = |list: &Value, field: &str, name: &str| {
            list.as_array().is_some_and(|list| list.iter().any(|item| item[field] == name))
        };
        assert!(named(&groups["groups"], "name", group), "{group} in /apis");
        let own = there(get(api, &format!("/apis/{group}")).await);
        assert!(named(&own["versions"], "version", version), "{version} in /apis/{group}");
    }
    let base = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
    let list = there(get(api, &format!("{base}/{version}")).await);
    for resource in resources {
        let found = list["resources"].as_array().unwrap().iter().any(|item| item["name"] == *resource);
        assert!(found, "{resource} in {base}/{version}");
    }
}

/// A kind with the verbs and, where there is one, a status that somebody writes.
pub async fn run(testname: &str, api: &Api, api_version: &str, plural: &str, status: &Value) {
    let is = |served: &&Arc<api::catalog::Served>| served.api_version() == api_version && served.path_name() == plural;
    let kinds = stored();
    let resource = kinds.iter().find(is).unwrap_or_else(|| panic!("{testname}: no {plural} in {api_version}"));
    let parts = format!("{plural}/status");
    let resources: &[&str] = if status.is_null() { &[plural] } else { &[plural, &parts] };
    discovered(api, api_version, resources).await;

    let all = collection(resource);
    let selected = format!("{all}?labelSelector=conformance%3D{plural}");
    let before = there(get(api, &all).await)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut made = Vec::new();
    for name in ["c", "cc", "ccc"] {
        let mut fresh = object(resource, name);
        fresh["metadata"]["labels"]["conformance"] = plural.into();
        made.push(post(api, &all, fresh).await);
    }
    let listed = names(api, &selected).await;
    assert_eq!(listed.len(), 3, "{testname}: {listed:?}");
    if resource.namespaced {
        let everywhere = selected.replace("/namespaces/default", "");
        assert_eq!(names(api, &everywhere).await, listed, "{testname}");
    }

    let one = format!("{all}/{}", name_of(resource, "c"));
    let got = there(get(api, &one).await);
    assert_eq!(got, made[0], "{testname}");
    let patched = patch(api, &one, MERGE, json!({"metadata": {"annotations": {"patched": "true"}}})).await;
    assert_eq!(patched["metadata"]["annotations"]["patched"], "true", "{testname}");
    let mut changed = patched;
    changed["metadata"]["annotations"]["updated"] = "true".into();
    changed["metadata"]["labels"]["again"] = plural.into();
    let updated = put(api, &one, &changed).await;
    for annotation in ["patched", "updated"] {
        assert_eq!(updated["metadata"]["annotations"][annotation], "true", "{testname}");
    }
    assert_eq!(names(api, &format!("{all}?labelSelector=again%3D{plural}")).await, [name_of(resource, "c")]);

    if !status.is_null() {
        let part = format!("{one}/status");
        let told = patch(api, &part, MERGE, json!({"status": status})).await;
        for (field, value) in status.as_object().unwrap() {
            assert_eq!(&told["status"][field], value, "{testname}: {told}");
        }
        let read = there(get(api, &part).await);
        assert_eq!(read["status"], told["status"], "{testname}");
        let put = put(api, &part, &read).await;
        assert_eq!(put["status"], told["status"], "{testname}");
        assert_eq!(there(get(api, &one).await)["status"], told["status"], "{testname}");
    }

    // Jobs and replication controllers would leave their pods behind, and wait for the collector to do it.
    delete(api, &format!("{one}?propagationPolicy=Background")).await;
    gone(testname, api, &one).await;
    delete(api, &format!("{selected}&propagationPolicy=Background")).await;
    for name in ["cc", "ccc"] {
        gone(testname, api, &format!("{all}/{}", name_of(resource, name))).await;
    }
    // All of that was told to whoever watched.
    let events = watched(api, &format!("{all}?watch=1&timeoutSeconds=1&resourceVersion={before}")).await;
    let of = |name: &str| -> Vec<&str> {
        let mine = events.iter().filter(|(_, object)| object["metadata"]["name"] == name_of(resource, name));
        mine.map(|(kind, _)| kind.as_str()).collect()
    };
    let first = of("c");
    assert_eq!((first[0], first[1], *first.last().unwrap()), ("ADDED", "MODIFIED", "DELETED"), "{testname}: {first:?}");
    assert_eq!((of("cc")[0], *of("ccc").last().unwrap()), ("ADDED", "DELETED"), "{testname}");
}

async fn gone(testname: &str, api: &Api, path: &str) {
    assert_eq!(get(api, path).await.0, 404, "{testname}: {path}");
}

const TIME: &str = "2026-01-02T03:04:05Z";

#[tokio::test(flavor = "multi_thread")]
async fn kinds_have_their_verbs() {
    let condition = |kind: &str| json!({"conditions": [{"type": kind, "status": "True", "reason": "Told", "message": "m", "lastTransitionTime": TIME}]});
    let none = Value::Null;
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}});
    let cron = json!({"lastScheduleTime": TIME});
    let rows = [
        (
            "Priority and Fairness FlowSchema API",
            "flowcontrol.apiserver.k8s.io/v1",
            "flowschemas",
            condition("Dangling"),
        ),
        (
            "Priority and Fairness PriorityLevelConfiguration API",
            "flowcontrol.apiserver.k8s.io/v1",
            "prioritylevelconfigurations",
            condition("Told"),
        ),
        ("MutatingAdmissionPolicy API", "admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", none.clone()),
        (
            "MutatingAdmissionPolicyBinding API",
            "admissionregistration.k8s.io/v1",
            "mutatingadmissionpolicybindings",
            none.clone(),
        ),
        (
            "ValidatingAdmissionPolicy API",
            "admissionregistration.k8s.io/v1",
            "validatingadmissionpolicies",
            condition("Told"),
        ),
        (
            "ValidatingadmissionPolicyBinding API",
            "admissionregistration.k8s.io/v1",
            "validatingadmissionpolicybindings",
            none.clone(),
        ),
        (
            "CRUD operations for storageversionmigrations",
            "storagemigration.k8s.io/v1",
            "storageversionmigrations",
            none.clone(),
        ),
        ("ControllerRevision, resource lifecycle", "apps/v1", "controllerrevisions", none.clone()),
        ("CronJob API Operations", "batch/v1", "cronjobs", cron),
        ("Jobs, manage lifecycle", "batch/v1", "jobs", none.clone()),
        ("PodDisruptionBudget: list and delete collection", "policy/v1", "poddisruptionbudgets", none.clone()),
        (
            "PodDisruptionBudget: create, update, patch, and delete object",
            "policy/v1",
            "poddisruptionbudgets",
            none.clone(),
        ),
        ("PodCertificateRequest API operations", "certificates.k8s.io/v1", "podcertificaterequests", none.clone()),
        ("ServiceAccount lifecycle test", "v1", "serviceaccounts", none.clone()),
        ("CRUD operations for clustertrustbundles", "certificates.k8s.io/v1", "clustertrustbundles", none.clone()),
        ("Endpoint resource lifecycle", "v1", "endpoints", none.clone()),
        ("EndpointSlice API", "discovery.k8s.io/v1", "endpointslices", none.clone()),
        ("Ingress API", "networking.k8s.io/v1", "ingresses", ingress),
        ("IngressClass API", "networking.k8s.io/v1", "ingressclasses", none.clone()),
        ("IPAddress API", "networking.k8s.io/v1", "ipaddresses", none.clone()),
        ("ConfigMap lifecycle", "v1", "configmaps", none.clone()),
        ("lease API should be available", "coordination.k8s.io/v1", "leases", none.clone()),
        ("Node, resource lifecycle", "v1", "nodes", none.clone()),
        ("PodTemplate, delete a collection", "v1", "podtemplates", none.clone()),
        ("PodTemplate, replace", "v1", "podtemplates", none.clone()),
        ("PodTemplate lifecycle", "v1", "podtemplates", none.clone()),
        ("RuntimeClass API", "node.k8s.io/v1", "runtimeclasses", none.clone()),
        ("CRUD operations for deviceclasses", "resource.k8s.io/v1", "deviceclasses", none.clone()),
        ("CRUD operations for devicetaintrules", "resource.k8s.io/v1", "devicetaintrules", none.clone()),
        ("CRUD operations for resourceclaims", "resource.k8s.io/v1", "resourceclaims", none.clone()),
        ("CRUD operations for resourceclaimtemplates", "resource.k8s.io/v1", "resourceclaimtemplates", none.clone()),
        ("CRUD operations for resoureslices", "resource.k8s.io/v1", "resourceslices", none.clone()),
        ("CSIDriver, lifecycle", "storage.k8s.io/v1", "csidrivers", none.clone()),
        ("CSINode, lifecycle", "storage.k8s.io/v1", "csinodes", none.clone()),
        ("CSIStorageCapacity API", "storage.k8s.io/v1", "csistoragecapacities", none.clone()),
        ("StorageClass, lifecycle", "storage.k8s.io/v1", "storageclasses", none.clone()),
        ("VolumeAttachment, lifecycle", "storage.k8s.io/v1", "volumeattachments", none.clone()),
        ("VolumeAttributesClass, lifecycle", "storage.k8s.io/v1", "volumeattributesclasses", none.clone()),
        ("PersistentVolumes(Claims), lifecycle", "v1", "persistentvolumes", none.clone()),
        ("PersistentVolumes(Claims), lifecycle", "v1", "persistentvolumeclaims", none.clone()),
        ("ServiceCIDR API", "networking.k8s.io/v1", "servicecidrs", condition("Ready")),
        ("CertificateSigningRequest API", "certificates.k8s.io/v1", "certificatesigningrequests", none.clone()),
        ("Service, deletes a collection of services", "v1", "services", none.clone()),
        ("ResourceQuota, manage lifecycle of a ResourceQuota", "v1", "resourcequotas", none.clone()),
        ("DaemonSet, list and delete a collection of DaemonSets", "apps/v1", "daemonsets", none.clone()),
        ("ReplicaSet, list and delete a collection of ReplicaSets", "apps/v1", "replicasets", none.clone()),
        ("StatefulSet, list, patch and delete a collection of StatefulSets", "apps/v1", "statefulsets", none),
    ];
    let mut running = JoinSet::new();
    for (testname, api_version, plural, status) in rows {
        running.spawn(async move {
            // A store of its own: two rows may be about one kind.
            let api = Api::start().await;
            run(testname, &api, api_version, plural, &status).await;
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}
