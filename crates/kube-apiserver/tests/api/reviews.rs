//! Questions: whose token is it, who am I, who may do what.

use serde_json::{Value, json};

use crate::common::Api;
use crate::users::{start, until_allowed};

const AUTHENTICATION: &str = "/apis/authentication.k8s.io/v1";
const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";

async fn asks(api: &Api, path: &str, spec: Value) -> (u16, Value) {
    let (code, answer) = api.json("POST", path, &json!({"spec": spec})).await;
    (code, if code == 201 { answer["status"].clone() } else { answer["message"].clone() })
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_selves() {
    let api = Api::start().await;
    let tokens = format!("{AUTHENTICATION}/tokenreviews");
    let ann = json!({"username": "ann", "uid": "7", "groups": ["devs", "system:authenticated"]});
    assert_eq!(
        asks(&api, &tokens, json!({"token": "secret"})).await,
        (201, json!({"authenticated": true, "user": ann, "audiences": ["https://issuer.test"]}))
    );
    let (code, status) = asks(&api, &tokens, json!({"token": "other"})).await;
    assert_eq!((code, &status["authenticated"], status.get("user")), (201, &Value::Null, None));
    assert_eq!(asks(&api, &tokens, json!({})).await.0, 422);
    let me = asks(&api.by("bob", &["a"]), &format!("{AUTHENTICATION}/selfsubjectreviews"), json!({})).await;
    // A question of this kind has no spec.
    assert_eq!(me.0, 201);
    assert_eq!(me.1["userInfo"], json!({"username": "bob", "groups": ["a"]}));
    // Nothing is stored, and nothing else can be done with them.
    for (method, path) in [("GET", tokens.clone()), ("DELETE", tokens.clone()), ("GET", format!("{tokens}/x"))] {
        assert_eq!(api.json(method, &path, &Value::Null).await.0, 405, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what() {
    let admin = start(&[]).await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let rules = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]);
    let role = json!({"metadata": {"name": "reader"}, "rules": rules});
    assert_eq!(admin.json("POST", roles, &role).await.0, 201);
    let binding = json!({"metadata": {"name": "ann"}, "roleRef": {"kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "name": "ann"}]});
    assert_eq!(admin.json("POST", &roles.replace("/roles", "/rolebindings"), &binding).await.0, 201);
    let ann = admin.by("ann", &[]);
    until_allowed(&ann, "/api/v1/namespaces/default/pods").await;

    let subjects = format!("{AUTHORIZATION}/subjectaccessreviews");
    let of = |user: &str, verb: &str, namespace: &str| json!({"user": user, "resourceAttributes": {"verb": verb, "namespace": namespace, "resource": "pods"}});
    for (spec, allowed) in [
        (of("ann", "get", "default"), true),
        (of("ann", "delete", "default"), false),
        (of("ann", "get", "kube-system"), false),
        (of("bob", "get", "default"), false),
        (json!({"groups": ["system:masters"], "nonResourceAttributes": {"verb": "get", "path": "/metrics"}}), true),
        (json!({"user": "ann", "nonResourceAttributes": {"verb": "get", "path": "/metrics"}}), false),
    ] {
        let (code, status) = asks(&admin, &subjects, spec.clone()).await;
        assert_eq!((code, &status["allowed"]), (201, &json!(allowed)), "{spec}");
    }
    for (spec, message) in [
        (json!({"user": "ann"}), "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (json!({"resourceAttributes": {"verb": "get"}}), "at least one of user or group must be specified"),
    ] {
        let (code, said) = asks(&admin, &subjects, spec).await;
        assert!(code == 422 && said.as_str().is_some_and(|said| said.contains(message)), "{code} {said}");
    }
    let local = format!("{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews");
    assert_eq!(asks(&admin, &local, of("ann", "get", "default")).await.1["allowed"], true);
    assert_eq!(asks(&admin, &local, of("ann", "get", "kube-system")).await.0, 422);
    // Who asks about himself needs the right to ask, as any request does.
    let own = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
    let spec = json!({"resourceAttributes": {"verb": "list", "namespace": "default", "resource": "pods"}});
    assert_eq!(asks(&ann, &own, spec.clone()).await.0, 403);
    assert_eq!(asks(&admin, &own, spec).await, (201, json!({"allowed": true})));
    let (_, status) =
        asks(&admin, &format!("{AUTHORIZATION}/selfsubjectrulesreviews"), json!({"namespace": "default"})).await;
    assert_eq!(status["resourceRules"][0], json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
    assert_eq!(status["incomplete"], false);
}
