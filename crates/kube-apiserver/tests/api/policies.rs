//! Admission plugins that hold pods to standards, and those of storage, networks, runtimes, certificates and events.

use kube_apiserver::admission::Configuration;
use serde_json::{Value, json};
use testapi::WITHOUT_CONTROLLERS;

use crate::admission::{PODS, made, pod, told};
use crate::common::Api;
use crate::users;

const NAMESPACE: &str = "/api/v1/namespaces/default";

async fn label(api: &Api, labels: Value) -> (u16, Vec<String>) {
    let labelled = api.warned("PATCH", NAMESPACE, &json!({"metadata": {"labels": labels}})).await;
    assert_eq!(api.json("GET", NAMESPACE, &Value::Null).await.0, 200);
    labelled
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_held_to_the_standard_of_their_namespace() {
    let api = Api::start().await;
    let on_host = |name: &str| pod(name, json!({"hostNetwork": true}));
    for name in ["c", "b", "a"] {
        made(&api, PODS, on_host(name)).await;
    }
    let mut volume = pod("v", json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}));
    made(&api, PODS, volume.clone()).await;
    let enforce = "pod-security.kubernetes.io/enforce";
    let (code, warnings) = label(&api, json!({enforce: "baseline"})).await;
    assert_eq!(
        (code, warnings),
        (
            200,
            vec![
                "existing pods in namespace \"default\" violate the new PodSecurity enforce level \"baseline:latest\""
                    .to_owned(),
                "a (and 2 other pods): host namespaces".to_owned(),
                "v: hostPath volumes".to_owned(),
            ]
        )
    );
    assert_eq!(
        told(&api, 403, "POST", PODS, on_host("d")).await,
        "pods \"d\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
    );
    // What is there stays, and may get other labels, but no other image.
    let mut now = api.json("GET", &format!("{PODS}/v"), &Value::Null).await.1;
    now["metadata"]["labels"] = json!({"a": "b"});
    let (code, mut now) = api.json("PUT", &format!("{PODS}/v"), &now).await;
    assert_eq!(code, 200, "{now}");
    now["spec"]["containers"][0]["image"] = "other:1".into();
    let why = told(&api, 403, "PUT", &format!("{PODS}/v"), now).await;
    assert!(why.contains("hostPath volumes (volume \"v\")"), "{why}");
    // Templates are not refused: their makers are warned, as what is enforced is warned of at least.
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"hostPID": true, "containers": [{"name": "c", "image": "i:1"}]}});
    let deployment =
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template}});
    let (code, warnings) = api.warned("POST", "/apis/apps/v1/namespaces/default/deployments", &deployment).await;
    let expected = "would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    assert_eq!((code, warnings.iter().any(|warning| warning == expected)), (201, true), "{warnings:?}");
    let (code, _) = label(&api, json!({enforce: null, "pod-security.kubernetes.io/warn": "restricted"})).await;
    assert_eq!(code, 200);
    volume["metadata"]["name"] = "w".into();
    let (code, warnings) = api.warned("POST", PODS, &volume).await;
    assert_eq!(code, 201);
    assert!(
        warnings
            .iter()
            .any(|warning| warning
                .starts_with("would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation")),
        "{warnings:?}"
    );
    // Wrong labels are refused.
    assert_eq!(label(&api, json!({enforce: "strict"})).await.0, 422);
    let why = told(
        &api,
        422,
        "POST",
        "/api/v1/namespaces",
        json!({"metadata": {"name": "n", "labels": {enforce: "strict"}}}),
    )
    .await;
    assert_eq!(
        why,
        "Namespace \"n\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted"
    );
}

fn configuration(text: &str) -> Configuration {
    let file = tempfile::NamedTempFile::new().unwrap();
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";
    std::fs::write(file.path(), format!("{head}{text}")).unwrap();
    Configuration::read(file.path()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_told_by_a_file() {
    let told_so = configuration(
        "- name: PodSecurity\n  configuration:\n    apiVersion: pod-security.admission.config.k8s.io/v1\n    kind: PodSecurityConfiguration\n    defaults: {enforce: baseline}\n    exemptions: {namespaces: [kube-system]}\n\
         - name: ResourceQuota\n  configuration:\n    apiVersion: apiserver.config.k8s.io/v1\n    kind: ResourceQuotaConfiguration\n    limitedResources: [{resource: persistentvolumeclaims, matchContains: [gold.storageclass]}]\n\
         - name: EventRateLimit\n  configuration:\n    apiVersion: eventratelimit.admission.k8s.io/v1alpha1\n    kind: Configuration\n    limits: [{type: Namespace, qps: 1, burst: 2}, {type: Server, qps: 1000, burst: 1000}]\n",
    );
    let api = Api::start_configured(&["EventRateLimit"], WITHOUT_CONTROLLERS, &told_so).await;
    let on_host = pod("d", json!({"hostNetwork": true}));
    let why = told(&api, 403, "POST", PODS, on_host.clone()).await;
    assert!(why.contains("violates PodSecurity \"baseline:latest\""), "{why}");
    made(&api, "/api/v1/namespaces/kube-system/pods", on_host).await;
    let claim = |name: &str, class: &str| {
        json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"],
        "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}})
    };
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    made(&api, claims, claim("a", "silver")).await;
    let why = told(&api, 403, "POST", claims, claim("b", "gold")).await;
    assert!(why.ends_with("insufficient quota to consume: gold.storageclass.storage.k8s.io/persistentvolumeclaims,gold.storageclass.storage.k8s.io/requests.storage"), "{why}");
    let event = |namespace: &str, name: &str| {
        json!({"metadata": {"name": name}, "reason": "R", "message": "m", "type": "Normal",
        "involvedObject": {"kind": "Pod", "namespace": namespace, "name": "p"}})
    };
    let events = |namespace: &str| format!("/api/v1/namespaces/{namespace}/events");
    for name in ["a", "b"] {
        made(&api, &events("default"), event("default", name)).await;
    }
    let why = told(&api, 429, "POST", &events("default"), event("default", "c")).await;
    assert_eq!(why, "Too many requests: limit reached on type Namespace for key default");
    made(&api, &events("kube-system"), event("kube-system", "c")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_gets_classes_protection_and_bounds() {
    let api = Api::start_plugins(&[], &["ServiceAccount"]).await;
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = |name: &str| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let without = made(&api, claims, claim("without")).await;
    assert_eq!(without["spec"].get("storageClassName"), None);
    assert_eq!(without["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let classes = "/apis/storage.k8s.io/v1/storageclasses";
    let class = |name: &str, default: &str, grows: bool| {
        json!({"metadata": {"name": name,
        "annotations": {"storageclass.kubernetes.io/is-default-class": default}}, "provisioner": "p", "allowVolumeExpansion": grows})
    };
    made(&api, classes, class("other", "false", false)).await;
    made(&api, classes, class("standard", "true", true)).await;
    let bound = made(&api, claims, claim("c")).await;
    assert_eq!(bound["spec"]["storageClassName"], "standard");
    let mut empty = claim("empty");
    empty["spec"]["storageClassName"] = "".into();
    assert_eq!(made(&api, claims, empty).await["spec"]["storageClassName"], "");
    let mut fixed = claim("fixed");
    fixed["spec"]["storageClassName"] = "other".into();
    let grow = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    for (claim, expected) in [(bound, 200), (made(&api, claims, fixed).await, 403)] {
        let path = format!("{claims}/{}", claim["metadata"]["name"].as_str().unwrap());
        let mut status = claim;
        status["spec"]["volumeName"] = "v".into();
        let (code, mut status) = api.json("PUT", &path, &status).await;
        assert_eq!(code, 200, "{status}");
        status["status"] = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
        assert_eq!(api.json("PUT", &format!("{path}/status"), &status).await.0, 200);
        let (code, answer) =
            api.call("PATCH", &path, "application/merge-patch+json", grow.to_string().as_bytes()).await;
        let said = String::from_utf8_lossy(&answer);
        let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        assert_eq!((code, said.contains(why)), (expected, expected == 403), "{said}");
    }
    let volume = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/v"}}});
    assert_eq!(
        made(&api, "/api/v1/persistentvolumes", volume).await["metadata"]["finalizers"],
        json!(["kubernetes.io/pv-protection"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ingresses_and_runtimes_have_classes() {
    let api = Api::start().await;
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let ingress = |name: &str| json!({"metadata": {"name": name}, "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}});
    assert_eq!(made(&api, ingresses, ingress("a")).await["spec"].get("ingressClassName"), None);
    let class = json!({"metadata": {"name": "nginx", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}, "spec": {"controller": "example.com/c"}});
    made(&api, "/apis/networking.k8s.io/v1/ingressclasses", class).await;
    assert_eq!(made(&api, ingresses, ingress("b")).await["spec"]["ingressClassName"], "nginx");

    let why = told(&api, 403, "POST", PODS, pod("p", json!({"runtimeClassName": "vm"}))).await;
    assert_eq!(why, "pods \"p\" is forbidden: pod rejected: RuntimeClass \"vm\" not found");
    let why = told(&api, 403, "POST", PODS, pod("p", json!({"overhead": {"cpu": "1"}}))).await;
    assert!(
        why.ends_with("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        "{why}"
    );
    let vm = json!({"metadata": {"name": "vm"}, "handler": "vm", "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}});
    made(&api, "/apis/node.k8s.io/v1/runtimeclasses", vm).await;
    let inside = made(&api, PODS, pod("p", json!({"runtimeClassName": "vm"}))).await;
    assert_eq!(
        (&inside["spec"]["overhead"]["cpu"], &inside["spec"]["nodeSelector"]),
        (&json!("250m"), &json!({"vm": "yes"}))
    );
    assert!(inside["spec"]["tolerations"].as_array().unwrap().iter().any(|one| one["key"] == "vm"), "{inside}");
    let why =
        told(&api, 403, "POST", PODS, pod("q", json!({"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}}))).await;
    assert!(
        why.ends_with("conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no"),
        "{why}"
    );
    let why =
        told(&api, 403, "POST", PODS, pod("q", json!({"runtimeClassName": "vm", "overhead": {"cpu": "1"}}))).await;
    assert!(why.ends_with("Pod's Overhead doesn't match RuntimeClass's defined Overhead"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_tolerated_and_pods_keep_away_from_nodes_only() {
    let api =
        Api::start_plugins(&["ExtendedResourceToleration", "LimitPodHardAntiAffinityTopology"], WITHOUT_CONTROLLERS)
            .await;
    let device =
        json!({"containers": [{"name": "c", "image": "i:1", "resources": {"limits": {"example.com/gpu": "1"}}}]});
    let with = made(&api, PODS, pod("p", device)).await;
    let toleration = json!({"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"});
    assert!(with["spec"]["tolerations"].as_array().unwrap().contains(&toleration), "{with}");
    let away = |key: &str| json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": key, "labelSelector": {}}]}}});
    made(&api, PODS, pod("near", away("kubernetes.io/hostname"))).await;
    let why = told(&api, 403, "POST", PODS, pod("far", away("zone"))).await;
    assert!(why.ends_with("has TopologyKey zone but only key kubernetes.io/hostname is allowed"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_say_what_their_pods_tolerate() {
    let told_so = configuration(
        "- name: PodTolerationRestriction\n  configuration:\n    apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1\n    kind: Configuration\n    default: [{key: cluster, operator: Exists}]\n",
    );
    let api = Api::start_configured(&["PodTolerationRestriction"], WITHOUT_CONTROLLERS, &told_so).await;
    let keys = |pod: &Value| -> Vec<String> {
        let list = pod["spec"]["tolerations"].as_array().unwrap();
        list.iter().filter_map(|one| one["key"].as_str().map(str::to_owned)).collect()
    };
    assert!(keys(&made(&api, PODS, pod("a", json!({}))).await).contains(&"cluster".to_owned()));
    let annotation = |name: &str| format!("scheduler.alpha.kubernetes.io/{name}");
    let namespace = json!({"metadata": {"annotations": {
        annotation("defaultTolerations"): "[{\"key\":\"own\",\"operator\":\"Exists\"}]",
        annotation("tolerationsWhitelist"): "[{\"key\":\"own\",\"operator\":\"Exists\"},{\"operator\":\"Exists\",\"effect\":\"NoExecute\"},{\"key\":\"node.kubernetes.io/memory-pressure\",\"operator\":\"Exists\"}]"}}});
    assert_eq!(api.warned("PATCH", NAMESPACE, &namespace).await.0, 200);
    assert_eq!(api.json("GET", NAMESPACE, &Value::Null).await.0, 200);
    let burstable = json!({"containers": [{"name": "c", "image": "i:1", "resources": {"requests": {"cpu": "1"}}}]});
    let own = keys(&made(&api, PODS, pod("b", burstable)).await);
    assert!(
        own.contains(&"own".to_owned()) && own.contains(&"node.kubernetes.io/memory-pressure".to_owned()),
        "{own:?}"
    );
    assert!(!own.contains(&"cluster".to_owned()), "{own:?}");
    let why =
        told(&api, 403, "POST", PODS, pod("c", json!({"tolerations": [{"key": "x", "operator": "Exists"}]}))).await;
    assert!(why.ends_with("conflict with its namespace whitelist"), "{why}");
}

const CSR: &str = include_str!("masters.csr");

#[tokio::test(flavor = "multi_thread")]
async fn signers_are_asked_about() {
    use base64::Engine;
    let admin = users::start(&["OwnerReferencesPermissionEnforcement"]).await;
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let encoded = base64::engine::general_purpose::STANDARD.encode(CSR);
    let request = |name: &str, signer: &str| {
        json!({"metadata": {"name": name},
        "spec": {"request": encoded, "signerName": signer, "usages": ["client auth"]}})
    };
    let why = told(&admin, 403, "POST", requests, request("m", "kubernetes.io/kube-apiserver-client")).await;
    assert!(
        why.ends_with("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"),
        "{why}"
    );
    let role = json!({"metadata": {"name": "approver"}, "rules": [
        {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"], "verbs": ["get", "update", "create"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["example.com/*"], "verbs": ["approve"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "update"]}]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    made(&admin, &format!("{rbac}/clusterroles"), role).await;
    let binding = json!({"metadata": {"name": "approver"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "approver"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}]});
    made(&admin, &format!("{rbac}/clusterrolebindings"), binding).await;
    let ann = admin.by("ann", &[]);
    users::until_allowed(&ann, "/api/v1/namespaces/default/configmaps").await;
    let approved = json!([{"type": "Approved", "status": "True", "reason": "R"}]);
    let mut fine = made(&admin, requests, request("fine", "example.com/a")).await;
    let mut other = made(&admin, requests, request("other", "example.org/a")).await;
    for object in [&mut fine, &mut other] {
        object["status"]["conditions"] = approved.clone();
    }
    let (code, said) = ann.json("PUT", &format!("{requests}/fine/approval"), &fine).await;
    assert_eq!(code, 200, "{said}");
    let why = told(&ann, 403, "PUT", &format!("{requests}/other/approval"), other).await;
    assert!(why.ends_with("user not permitted to approve requests with signerName \"example.org/a\""), "{why}");
    let mut signed = said;
    signed["status"]["certificate"] = "eA==".into();
    let why = told(&ann, 403, "PUT", &format!("{requests}/fine/status"), signed.clone()).await;
    assert!(why.ends_with("user not permitted to sign requests with signerName \"example.com/a\""), "{why}");
    let (code, said) = admin.json("PUT", &format!("{requests}/fine/status"), &signed).await;
    assert_eq!(code, 200, "{said}");

    // Who makes an object hold back its owner must be able to do so himself.
    let maps = "/api/v1/namespaces/default/configmaps";
    let owner = json!({"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "u"});
    let mut owned = json!({"metadata": {"name": "m", "ownerReferences": [owner]}});
    let mut map = made(&ann, maps, owned.clone()).await;
    owned["metadata"]["name"] = "n".into();
    owned["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = true.into();
    let why = told(&ann, 403, "POST", maps, owned.clone()).await;
    assert!(
        why.contains(
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
        ),
        "{why}"
    );
    map["metadata"]["ownerReferences"] = json!([]);
    let why = told(&ann, 403, "PUT", &format!("{maps}/m"), map).await;
    assert!(why.contains("cannot set an ownerRef on a resource you can't delete"), "{why}");
    made(&admin, maps, owned).await;
}
