//! Admission plugins over REST, each with what it reads.

use std::sync::Arc;

use serde_json::{Value, json};
use testapi::WITHOUT_CONTROLLERS;

use crate::common::Api;

pub const PODS: &str = "/api/v1/namespaces/default/pods";

/// Makes an object, and waits until the cache has it.
pub async fn made(api: &Api, collection: &str, object: Value) -> Value {
    let (code, made) = api.json("POST", collection, &object).await;
    assert_eq!(code, 201, "{collection}: {made}");
    let name = made["metadata"]["name"].as_str().unwrap();
    assert_eq!(api.json("GET", &format!("{collection}/{name}"), &Value::Null).await.0, 200);
    made
}

/// The message of an answer of this code.
pub async fn told(api: &Api, code: u16, method: &str, path: &str, object: Value) -> String {
    let (is, said) = api.json(method, path, &object).await;
    assert_eq!(is, code, "{method} {path}: {said}");
    said["message"].as_str().unwrap_or_default().to_owned()
}

pub fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

fn with_resources(name: &str, resources: Value) -> Value {
    pod(name, json!({"containers": [{"name": "c", "image": "i:1", "resources": resources}]}))
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_there_and_stay() {
    let config = |name: &str| json!({"metadata": {"name": name}});
    let api = Api::start().await;
    let missing = "/api/v1/namespaces/nope/configmaps";
    assert_eq!(told(&api, 404, "POST", missing, config("a")).await, "namespaces \"nope\" not found");
    let why = told(&api, 403, "DELETE", "/api/v1/namespaces/kube-system", Value::Null).await;
    assert_eq!(why, "namespaces \"kube-system\" is forbidden: this namespace may not be deleted");
    // By flag, as upstream.
    let api = Api::start_plugins(&[], &["NamespaceLifecycle", "ServiceAccount"]).await;
    assert_eq!(api.json("POST", missing, &config("a")).await.0, 201);
    assert_eq!(api.json("DELETE", "/api/v1/namespaces/kube-public", &Value::Null).await.0, 200);
    let api = Api::start_plugins(&["NamespaceExists"], &["NamespaceLifecycle", "ServiceAccount"]).await;
    assert_eq!(told(&api, 404, "POST", missing, config("a")).await, "namespaces \"nope\" not found");
    let api = Api::start_plugins(&["NamespaceAutoProvision"], WITHOUT_CONTROLLERS).await;
    assert_eq!(api.json("POST", &format!("{missing}?dryRun=All"), &config("a")).await.0, 404);
    assert_eq!(api.json("POST", missing, &config("a")).await.0, 201);
    assert_eq!(api.json("GET", "/api/v1/namespaces/nope", &Value::Null).await.1["status"]["phase"], "Active");
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_ranges_set_and_bound() {
    let api = Api::start().await;
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}});
    made(&api, "/api/v1/namespaces/default/limitranges", range).await;
    let made = made(&api, PODS, pod("p", json!({}))).await;
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}})
    );
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let big = with_resources("q", json!({"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}));
    assert_eq!(
        told(&api, 403, "POST", PODS, big).await,
        "pods \"q\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"
    );
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(
        told(&api, 403, "POST", "/api/v1/namespaces/default/persistentvolumeclaims", claim).await,
        "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"
    );
    // Of other namespaces it says nothing, and a resize is held to it.
    let other = "/api/v1/namespaces/kube-system/pods";
    assert_eq!(api.json("POST", other, &with_resources("q", json!({"limits": {"cpu": "2"}}))).await.0, 201);
    let resize = json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "3"}}}]}}).to_string();
    let media = "application/strategic-merge-patch+json";
    assert_eq!(api.call("PATCH", &format!("{PODS}/p/resize"), media, resize.as_bytes()).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_run_as_an_account() {
    let api = Api::start_plugins(&[], &[]).await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    assert_eq!(
        told(&api, 403, "POST", PODS, pod("p", json!({"serviceAccountName": "nope"}))).await,
        "pods \"p\" is forbidden: error looking up service account default/nope: serviceaccount \"nope\" not found"
    );
    // The controller makes the default account soon after the namespace: a pod waits for it.
    let early = pod("early", json!({}));
    let (waited, _) = tokio::join!(api.json("POST", PODS, &early), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let account = json!({"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "pull"}]});
        made(&api, accounts, account).await
    });
    let (code, made_pod) = waited;
    assert_eq!(code, 201, "{made_pod}");
    let spec = &made_pod["spec"];
    assert_eq!((&spec["serviceAccountName"], &spec["serviceAccount"]), (&json!("default"), &json!("default")));
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
    let name = spec["volumes"][0]["name"].as_str().unwrap();
    assert!(name.starts_with("kube-api-access-"), "{name}");
    assert_eq!(
        spec["volumes"][0]["projected"],
        json!({"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]})
    );
    assert_eq!(
        spec["containers"][0]["volumeMounts"],
        json!([{"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}])
    );
    let without = made(&api, PODS, pod("without", json!({"automountServiceAccountToken": false}))).await;
    assert_eq!(without["spec"].get("volumes"), None);
    let strict = json!({"metadata": {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
        "automountServiceAccountToken": false, "secrets": [{"name": "own"}]});
    made(&api, accounts, strict).await;
    let with_secret = |secret: &str| json!({"serviceAccountName": "strict", "volumes": [{"name": "v", "secret": {"secretName": secret}}]});
    made(&api, PODS, pod("own", with_secret("own"))).await;
    let why = told(&api, 403, "POST", PODS, pod("other", with_secret("other"))).await;
    assert!(why.ends_with("because service account strict does not reference that secret"), "{why}");
    let mut mirror = pod("mirror", json!({"nodeName": "n"}));
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    assert_eq!(made(&api, PODS, mirror.clone()).await["spec"].get("serviceAccountName"), None);
    mirror["metadata"]["name"] = "mirror-2".into();
    mirror["spec"]["serviceAccountName"] = "default".into();
    let why = told(&api, 403, "POST", PODS, mirror).await;
    assert_eq!(why, "pods \"mirror-2\" is forbidden: a mirror pod may not reference service accounts");
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_give_priorities() {
    let api = Api::start().await;
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let plain = made(&api, PODS, pod("plain", json!({}))).await;
    assert_eq!(
        (&plain["spec"]["priority"], &plain["spec"]["preemptionPolicy"]),
        (&json!(0), &json!("PreemptLowerPriority"))
    );
    assert_eq!(plain["spec"].get("priorityClassName"), None);
    let high = json!({"metadata": {"name": "high"}, "value": 1000, "globalDefault": true, "preemptionPolicy": "Never"});
    made(&api, classes, high.clone()).await;
    let by_default = made(&api, PODS, pod("default", json!({}))).await;
    let spec = &by_default["spec"];
    assert_eq!(
        (&spec["priorityClassName"], &spec["priority"], &spec["preemptionPolicy"]),
        (&json!("high"), &json!(1000), &json!("Never"))
    );
    let why = told(&api, 403, "POST", PODS, pod("p", json!({"priorityClassName": "nope"}))).await;
    assert_eq!(why, "pods \"p\" is forbidden: no PriorityClass with name nope was found");
    let why = told(&api, 403, "POST", PODS, pod("p", json!({"priority": 7}))).await;
    assert!(why.contains("the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 1000"), "{why}");
    let mut other = high.clone();
    other["metadata"]["name"] = "other".into();
    let why = told(&api, 403, "POST", classes, other).await;
    assert!(why.ends_with("PriorityClass high is already marked as default. Only one default can exist"), "{why}");
    assert_eq!(api.json("PUT", &format!("{classes}/high"), &high).await.0, 200);
    // A pod that comes back without its priority keeps it.
    let mut back = by_default.clone();
    back["spec"].as_object_mut().unwrap().retain(|field, _| !["priority", "preemptionPolicy"].contains(&&**field));
    let (code, kept) = api.json("PUT", &format!("{PODS}/default"), &back).await;
    assert_eq!((code, &kept["spec"]["priority"]), (200, &json!(1000)), "{kept}");
    let system = json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000});
    made(&api, classes, system).await;
    let why = told(&api, 403, "DELETE", &format!("{classes}/system-node-critical"), Value::Null).await;
    assert!(why.ends_with("this is a system priority class and cannot be deleted"), "{why}");
}

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

/// A quota as its controller would have it: nothing is used yet.
async fn quota(api: &Api, name: &str, spec: Value) {
    let mut quota = made(api, QUOTAS, json!({"metadata": {"name": name}, "spec": spec})).await;
    let hard = quota["spec"]["hard"].as_object().unwrap().clone();
    let used: serde_json::Map<String, Value> = hard.keys().map(|name| (name.clone(), json!("0"))).collect();
    quota["status"] = json!({"hard": hard, "used": used});
    let path = format!("{QUOTAS}/{name}");
    let (code, said) = api.json("PUT", &format!("{path}/status"), &quota).await;
    assert_eq!(code, 200, "{said}");
    assert_eq!(api.json("GET", &path, &Value::Null).await.0, 200);
}

async fn used(api: &Api, name: &str) -> Value {
    api.json("GET", &format!("{QUOTAS}/{name}"), &Value::Null).await.1["status"]["used"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_kept_and_counted_with_the_write() {
    let api = Api::start().await;
    // A quota that its controller has not seen yet holds nobody.
    made(&api, QUOTAS, json!({"metadata": {"name": "new"}, "spec": {"hard": {"pods": "0"}}})).await;
    quota(
        &api,
        "q",
        json!({"hard": {"pods": "2", "requests.cpu": "1", "count/configmaps": "1", "services.nodeports": "1",
        "requests.storage": "2Gi"}}),
    )
    .await;
    assert_eq!(
        told(&api, 403, "POST", PODS, pod("p", json!({}))).await,
        "pods \"p\" is forbidden: failed quota: q: must specify requests.cpu for: c"
    );
    let small = |name: &str| with_resources(name, json!({"requests": {"cpu": "600m"}}));
    assert_eq!(api.json("POST", &format!("{PODS}?dryRun=All"), &small("p")).await.0, 201);
    assert_eq!(used(&api, "q").await["pods"], "0");
    made(&api, PODS, small("p")).await;
    let after = used(&api, "q").await;
    assert_eq!((&after["pods"], &after["requests.cpu"]), (&json!("1"), &json!("600m")), "{after}");
    let why = "pods \"r\" is forbidden: exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1";
    assert_eq!(told(&api, 403, "POST", PODS, small("r")).await, why);
    assert_eq!(told(&api, 403, "POST", &format!("{PODS}?dryRun=All"), small("r")).await, why);
    // A write that fails uses nothing.
    assert_eq!(api.json("POST", PODS, &with_resources("p", json!({"requests": {"cpu": "1m"}}))).await.0, 409);
    assert_eq!(used(&api, "q").await, after);
    let maps = "/api/v1/namespaces/default/configmaps";
    made(&api, maps, json!({"metadata": {"name": "a"}})).await;
    let why = told(&api, 403, "POST", maps, json!({"metadata": {"name": "b"}})).await;
    assert!(
        why.ends_with(
            "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1"
        ),
        "{why}"
    );
    let services = "/api/v1/namespaces/default/services";
    let mut service =
        made(&api, services, json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1, "name": "a"}]}})).await;
    service["spec"]["type"] = "NodePort".into();
    let (code, service) = api.json("PUT", &format!("{services}/s"), &service).await;
    assert_eq!((code, used(&api, "q").await["services.nodeports"].clone()), (200, json!("1")), "{service}");
    let mut more = service.clone();
    more["spec"]["ports"] = json!([{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]);
    let why = told(&api, 403, "PUT", &format!("{services}/s"), more).await;
    assert!(why.contains("exceeded quota: q, requested: services.nodeports=1"), "{why}");
    let claim = |storage: &str| {
        json!({"metadata": {"name": storage.to_lowercase()}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage}}}})
    };
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    made(&api, claims, claim("1500Mi")).await;
    let why = told(&api, 403, "POST", claims, claim("1Gi")).await;
    assert!(why.ends_with("exceeded quota: q, requested: requests.storage=1Gi, used: requests.storage=1500Mi, limited: requests.storage=2Gi"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_say_which_pods_a_quota_is_about() {
    let api = Api::start().await;
    quota(&api, "best-effort", json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]})).await;
    let high = json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]});
    quota(&api, "high", json!({"hard": {"pods": "0"}, "scopeSelector": high})).await;
    quota(&api, "ends", json!({"hard": {"pods": "0"}, "scopes": ["Terminating"]})).await;
    made(&api, "/apis/scheduling.k8s.io/v1/priorityclasses", json!({"metadata": {"name": "high"}, "value": 5})).await;
    made(&api, PODS, pod("a", json!({}))).await;
    let why = told(&api, 403, "POST", PODS, pod("b", json!({}))).await;
    assert!(why.contains("exceeded quota: best-effort, requested: pods=1, used: pods=1, limited: pods=1"), "{why}");
    let burstable = made(&api, PODS, with_resources("c", json!({"requests": {"cpu": "1"}}))).await;
    let mut important = with_resources("d", json!({"requests": {"cpu": "1"}}));
    important["spec"]["priorityClassName"] = "high".into();
    let why = told(&api, 403, "POST", PODS, important).await;
    assert!(why.contains("exceeded quota: high"), "{why}");
    // A change can bring a pod under a quota.
    let mut ends = burstable;
    ends["spec"]["activeDeadlineSeconds"] = 60.into();
    let why = told(&api, 403, "PUT", &format!("{PODS}/c"), ends).await;
    assert!(why.contains("exceeded quota: ends"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_neither_exceed_nor_lose_a_quota() {
    let api = Arc::new(Api::start().await);
    quota(&api, "q", json!({"hard": {"count/secrets": "20"}})).await;
    let write = |n: usize| {
        let api = api.clone();
        let secret = json!({"metadata": {"name": format!("s-{n}")}});
        tokio::spawn(async move { api.json("POST", "/api/v1/namespaces/default/secrets", &secret).await.0 })
    };
    let writes: Vec<_> = (0..60).map(write).collect();
    let mut made = 0;
    for write in writes {
        match write.await.unwrap() {
            201 => made += 1,
            code => assert_eq!(code, 403),
        }
    }
    assert_eq!((made, used(&api, "q").await["count/secrets"].clone()), (20, json!("20")));
}
