//! The controller against kube-apiserver with the roles that every cluster has.
use std::time::Duration;

use client::{Client, Reflector};
use k8s_openapi::api::{core::v1::ConfigMap, rbac::v1::RoleBinding};
use serde_json::{Value, json};
use testapi::ApiServer;

use super::*;

const LABEL: &str = "example.com/part";

fn start(client: &Client) {
    let token = CancellationToken::new();
    let roles = Reflector::new(client);
    let aggregation = Aggregation::new(client, &roles.store());
    tokio::spawn(roles.run(token.clone()));
    tokio::spawn(aggregation.run(token));
}

fn controller_of(server: &ApiServer) -> Client {
    server.client("system:kube-controller-manager")
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(20)).await;
}

fn role(name: &str, more: Value) -> ClusterRole {
    let mut role = json!({"metadata": {"name": name}});
    role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    role["metadata"]["name"] = name.into();
    serde_json::from_value(role).unwrap()
}

fn part(name: &str, resources: &[&str]) -> ClusterRole {
    let rules: Vec<Value> = resources.iter().map(|one| rule(one)).collect();
    role(name, json!({"metadata": {"labels": {LABEL: "true"}}, "rules": rules}))
}

fn rule(resource: &str) -> Value {
    json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]})
}

fn whole() -> ClusterRole {
    let selectors =
        json!([{"matchLabels": {LABEL: "true"}}, {"matchExpressions": [{"key": LABEL, "operator": "Exists"}]}]);
    role("whole", json!({"aggregationRule": {"clusterRoleSelectors": selectors}}))
}

async fn get(server: &ApiServer, name: &str) -> ClusterRole {
    server.get("", name).await.unwrap()
}

/// The resources of the first rule, of the second, …
async fn resources(server: &ApiServer, name: &str) -> Vec<String> {
    let rules = get(server, name).await.rules.unwrap_or_default();
    rules.into_iter().map(|rule| rule.resources.unwrap_or_default().join(",")).collect()
}

#[tokio::test(start_paused = true)]
async fn admin_edit_and_view_are_what_upstreams_are() {
    let server = ApiServer::start().await;
    assert_eq!(get(&server, "admin").await.rules.unwrap_or_default(), []);
    start(&controller_of(&server));
    settle().await;
    let mut all = Vec::new();
    // Each is a part of the next.
    for (name, own) in [
        ("view", "system:aggregate-to-view"),
        ("edit", "system:aggregate-to-edit"),
        ("admin", "system:aggregate-to-admin"),
    ] {
        let own = get(&server, own).await.rules.unwrap();
        assert!(own.len() > 1);
        all.extend(own);
        let rules = get(&server, name).await.rules.unwrap();
        assert!(all.iter().all(|rule| rules.contains(rule)), "{name}");
        assert_eq!(rules.len(), all.len(), "{name}: each rule once");
    }
    let admin = get(&server, "admin").await;
    assert!(admin.aggregation_rule.is_some());
    let managers = admin.metadata.managed_fields.unwrap();
    let manager = managers.iter().find(|entry| entry.manager.as_deref() == Some(MANAGER)).unwrap();
    assert_eq!(manager.operation.as_deref(), Some("Apply"));
    assert_eq!(serde_json::to_value(&manager.fields_v1).unwrap(), json!({"f:rules": {}}));

    // And they count.
    let binding = json!({"metadata": {"name": "ann", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}]});
    server.put::<RoleBinding>(&serde_json::from_value(binding).unwrap()).await;
    settle().await;
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "m", "namespace": "default"}})).unwrap();
    server.client("ann").create(&map).await.unwrap();
    assert_eq!(server.client("bob").get::<ConfigMap>("default", "m").await.unwrap_err().code(), Some(403));
}

#[tokio::test(start_paused = true)]
async fn a_sum_follows_its_parts() {
    let server = ApiServer::start().await;
    server.put(&whole()).await;
    server.put(&part("b", &["pods", "secrets"])).await;
    server.put(&part("a", &["pods", "services"])).await;
    server.put(&role("other", json!({"rules": [rule("nodes")]}))).await;
    start(&controller_of(&server));
    settle().await;
    assert_eq!(resources(&server, "whole").await, ["pods", "services", "secrets"], "by name, each once");
    let writes = |server: &ApiServer| server.calls().iter().filter(|call| call.ends_with("/whole")).count();
    let before = writes(&server);
    assert_eq!(before, 1);
    server.put(&part("b", &["endpoints"])).await;
    settle().await;
    assert_eq!(resources(&server, "whole").await, ["pods", "services", "endpoints"]);
    server.remove::<ClusterRole>("", "a").await;
    settle().await;
    assert_eq!(resources(&server, "whole").await, ["endpoints"]);
    // What somebody else writes there does not stay.
    let mut changed = whole();
    changed.rules = Some(vec![serde_json::from_value(rule("nodes")).unwrap()]);
    server.put(&changed).await;
    settle().await;
    assert_eq!(resources(&server, "whole").await, ["endpoints"]);
    server.put(&role("b", json!({"rules": [rule("endpoints")]}))).await;
    settle().await;
    assert_eq!(resources(&server, "whole").await, Vec::<String>::new(), "without its label it is no part any more");
    let writes_then = writes(&server);
    server.put(&role("other", json!({"rules": [rule("pods")]}))).await;
    settle().await;
    assert_eq!(writes(&server), writes_then, "nothing to do");
    // A role that is no sum any more keeps what it has.
    let own = role("whole", json!({"rules": [rule("nodes")]}));
    server.put(&own).await;
    settle().await;
    assert_eq!(resources(&server, "whole").await, ["nodes"]);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_has_gone_is_not_made_anew() {
    let server = ApiServer::start().await;
    server.put(&whole()).await;
    start(&server.admins_client());
    settle().await;
    server.lag(Duration::from_secs(5));
    server.put(&part("a", &["pods"])).await;
    server.remove::<ClusterRole>("", "whole").await;
    settle().await;
    assert!(server.calls().iter().any(|call| call == "patch clusterroles/whole"));
    assert!(server.get::<ClusterRole>("", "whole").await.is_none());
}
