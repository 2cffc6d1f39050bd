//! Who may do what under RBAC, and what admission makes of a write by its user.

use std::time::Duration;

use serde_json::{Value, json};
use testapi::{Library, WITHOUT_CONTROLLERS, plugins};
use tokio_util::sync::CancellationToken;

use crate::common::Api;

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";

/// Under RBAC, with these plugins beside the ones that are on by default.
pub async fn start(more: &[&str]) -> Api {
    let (library, rbac) = Library::under_rbac(&plugins(more, WITHOUT_CONTROLLERS)).await;
    let api = Api::over(library);
    tokio::spawn(rbac.run(api.registry.clone(), CancellationToken::new()));
    api
}

fn role(name: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

fn binding(name: &str, role: &str, user: &str) -> Value {
    json!({"metadata": {"name": name}, "roleRef": {"kind": "Role", "name": role},
        "subjects": [{"kind": "User", "name": user}]})
}

/// Bindings count as soon as the policy has heard of them.
pub async fn until_allowed(api: &Api, path: &str) {
    tokio::time::timeout(Duration::from_secs(10), async {
        while api.json("GET", path, &Value::Null).await.0 == 403 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{path} stays forbidden"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_rights_that_he_has_not() {
    let admin = start(&[]).await;
    let ann = admin.by("ann", &["system:authenticated"]);
    assert_eq!(ann.json("GET", ROLES, &Value::Null).await.0, 403);
    let own = json!([
        {"verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "resourceNames": []},
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
    ]);
    // The star of verbs would hold `escalate` and `bind`.
    let mut limited = own;
    limited[0]["verbs"] = json!(["create", "get", "list", "update", "patch", "delete"]);
    assert_eq!(admin.json("POST", ROLES, &role("limited", limited)).await.0, 201);
    let secrets = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}]);
    assert_eq!(admin.json("POST", ROLES, &role("secrets", secrets.clone())).await.0, 201);
    assert_eq!(admin.json("POST", BINDINGS, &binding("ann", "limited", "ann")).await.0, 201);
    until_allowed(&ann, ROLES).await;

    let pods = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    let (code, said) = ann.json("POST", ROLES, &role("pods", pods.clone())).await;
    assert_eq!(code, 201, "{said}");
    let (code, said) = ann.json("POST", ROLES, &role("more", secrets.clone())).await;
    let message = said["message"].as_str().unwrap_or_default();
    assert_eq!(code, 403, "{said}");
    assert!(
        message.contains("user \"ann\"") && message.contains("attempting to grant RBAC permissions not currently held")
    );
    assert!(message.contains("{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"), "{message}");
    // By an update or a patch as little as by a new role, or by a binding to a role that gives more.
    assert_eq!(ann.json("PUT", &format!("{ROLES}/pods"), &role("pods", secrets.clone())).await.0, 403);
    let patch = json!({"rules": secrets}).to_string();
    let patched = ann.call("PATCH", &format!("{ROLES}/pods"), "application/merge-patch+json", patch.as_bytes()).await;
    assert_eq!(patched.0, 403);
    assert_eq!(ann.json("POST", BINDINGS, &binding("x", "secrets", "ann")).await.0, 403);
    assert_eq!(ann.json("POST", BINDINGS, &binding("x", "not-there", "ann")).await.0, 404);
    assert_eq!(ann.json("POST", BINDINGS, &binding("y", "pods", "bob")).await.0, 201);
    // What gives nothing is free to change.
    let labels = json!({"metadata": {"labels": {"a": "b"}}}).to_string();
    let labelled =
        ann.call("PATCH", &format!("{ROLES}/secrets"), "application/merge-patch+json", labels.as_bytes()).await;
    assert_eq!(labelled.0, 200);
    assert_eq!(admin.json("POST", ROLES, &role("admins", secrets)).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_changes_and_refuses_by_flag() {
    let admin = start(&["NodeRestriction", "AlwaysPullImages", "DenyServiceExternalIPs"]).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n",
        "containers": [{"name": "c", "image": "x", "imagePullPolicy": "Never"}]}});
    let (code, made) = admin.json("POST", "/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["spec"]["containers"][0]["imagePullPolicy"], "Always");
    let tolerated: Vec<&str> =
        made["spec"]["tolerations"].as_array().unwrap().iter().filter_map(|t| t["key"].as_str()).collect();
    assert_eq!(tolerated, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
    let (_, node) = admin.json("POST", "/api/v1/nodes", &json!({"metadata": {"name": "n"}})).await;
    assert_eq!(node["spec"]["taints"][0]["key"], "node.kubernetes.io/not-ready");
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]}});
    let (code, said) = admin.json("POST", "/api/v1/namespaces/default/services", &service).await;
    assert_eq!(
        (code, said["message"].as_str().unwrap_or_default().contains("external IPs is denied")),
        (403, true),
        "{said}"
    );

    // Administrators of nodes are not held to what kubelets are, even where the authorizer would let the kubelets.
    let kubelet = admin.by("system:node:other", &["system:nodes", "system:masters"]);
    let status = json!({"status": {"phase": "Running"}}).to_string();
    let patch = "application/merge-patch+json";
    let path = "/api/v1/namespaces/default/pods/p";
    assert_eq!(kubelet.call("PATCH", &format!("{path}/status"), patch, status.as_bytes()).await.0, 403);
    assert_eq!(kubelet.json("DELETE", path, &Value::Null).await.0, 403);
    assert_eq!(kubelet.json("DELETE", "/api/v1/nodes/n", &Value::Null).await.0, 403);
    let own = admin.by("system:node:n", &["system:nodes", "system:masters"]);
    assert_eq!(own.call("PATCH", &format!("{path}/status"), patch, status.as_bytes()).await.0, 200);
    assert_eq!(own.json("DELETE", &format!("{path}?gracePeriodSeconds=0"), &Value::Null).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_asked_for_by_who_asks() {
    let api = Api::start().await.by("system:node:n", &["system:nodes"]);
    let request =
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlJQgotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";
    let asked = json!({"metadata": {"name": "c"}, "spec": {"request": request, "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["client auth"], "username": "system:admin", "groups": ["system:masters"], "uid": "7"}});
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let (code, made) = api.json("POST", path, &asked).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        (&made["spec"]["username"], &made["spec"]["groups"]),
        (&json!("system:node:n"), &json!(["system:nodes"]))
    );
    assert!(made["spec"].get("uid").is_none(), "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_most_likely_not_meant_is_told_beside_the_answer() {
    use http::Request;
    use http_body_util::Full;
    let api = Api::start().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x",
        "resources": {"requests": {"memory": "128m"}}}]}});
    let request = Request::post("/api/v1/namespaces/default/pods").body(Full::from(pod.to_string())).unwrap();
    let response = api.rest.handle(api.user.clone(), request).await;
    let warnings: Vec<&str> = response.headers().get_all("warning").iter().filter_map(|w| w.to_str().ok()).collect();
    assert_eq!(response.status(), 201);
    assert!(warnings.iter().any(|warning| warning.contains("fractional byte value")), "{warnings:?}");
}
