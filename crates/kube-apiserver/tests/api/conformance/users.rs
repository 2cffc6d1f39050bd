//! Accounts, their tokens, and questions about what they may do.

use serde_json::{Value, json};

use super::{MERGE, get, patch, post, put, there};
use crate::common::Api;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

/// Conformance: "ServiceAccount, create and review token"
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_account_is_his() {
    let api = Api::start().await;
    post(&api, ACCOUNTS, json!({"metadata": {"name": "bot"}})).await;
    let request = json!({"spec": {"expirationSeconds": 3600}});
    let made = post(&api, &format!("{ACCOUNTS}/bot/token"), request).await;
    let token = made["status"]["token"].as_str().unwrap();
    assert!(!token.is_empty());
    let review = post(&api, "/apis/authentication.k8s.io/v1/tokenreviews", json!({"spec": {"token": token}})).await;
    assert_eq!(review["status"]["authenticated"], true, "{review}");
    assert_eq!(review["status"].get("error"), None, "{review}");
    assert_eq!(review["status"]["user"]["username"], "system:serviceaccount:default:bot");
}

/// Conformance: "ServiceAccount, update a ServiceAccount"
#[tokio::test(flavor = "multi_thread")]
async fn an_account_says_whether_its_token_is_mounted() {
    let api = Api::start().await;
    let mut account =
        post(&api, ACCOUNTS, json!({"metadata": {"name": "bot"}, "automountServiceAccountToken": false})).await;
    account["automountServiceAccountToken"] = true.into();
    put(&api, &format!("{ACCOUNTS}/bot"), &account).await;
    assert_eq!(there(get(&api, &format!("{ACCOUNTS}/bot")).await)["automountServiceAccountToken"], true);
    let patched = patch(&api, &format!("{ACCOUNTS}/bot"), MERGE, json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(patched["automountServiceAccountToken"], true);
}

/// Conformance: "SubjectReview, API Operations"
///
/// What the reviews say of an account is what happens when somebody acts as it.
#[tokio::test(flavor = "multi_thread")]
async fn reviews_say_what_an_account_may_and_so_it_is() {
    let (library, rbac) = testapi::Library::under_rbac(&testapi::plugins(&[], testapi::WITHOUT_CONTROLLERS)).await;
    let api = Api::over(library);
    let follower = tokio::spawn(rbac.run(api.registry.clone(), tokio_util::sync::CancellationToken::new()));
    post(&api, ACCOUNTS, json!({"metadata": {"name": "bot"}})).await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    post(&api, &format!("{roles}/roles"), json!({"metadata": {"name": "lister"}, "rules": rules})).await;
    let subject = json!({"kind": "ServiceAccount", "name": "bot", "namespace": "default"});
    let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lister"});
    post(
        &api,
        &format!("{roles}/rolebindings"),
        json!({"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]}),
    )
    .await;

    let user = "system:serviceaccount:default:bot";
    let asked = async |path: &str, resource: &str| -> Value {
        let attributes = json!({"verb": "list", "namespace": "default", "resource": resource});
        let spec = json!({"user": user, "resourceAttributes": attributes});
        post(
            &api,
            path,
            json!({"metadata": {"namespace": if path.contains("default") { "default" } else { "" }}, "spec": spec}),
        )
        .await["status"]["allowed"]
            .take()
    };
    let base = "/apis/authorization.k8s.io/v1";
    let local = format!("{base}/namespaces/default/localsubjectaccessreviews");
    let act = async |resource: &str| {
        let headers = [("impersonate-user", user)];
        api.json_with("GET", &format!("/api/v1/namespaces/default/{resource}"), &headers, &Value::Null).await.0
    };
    // Policies are followed, so they hold a moment later.
    while act("configmaps").await != 200 {
        tokio::task::yield_now().await;
    }
    for (resource, allowed) in [("configmaps", true), ("secrets", false)] {
        assert_eq!(asked(&format!("{base}/subjectaccessreviews"), resource).await, allowed, "{resource}");
        assert_eq!(asked(&local, resource).await, allowed, "{resource}");
        assert_eq!(act(resource).await, if allowed { 200 } else { 403 }, "{resource}");
    }
    follower.abort();
}
