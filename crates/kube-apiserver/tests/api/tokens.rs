//! Tokens of service accounts and of machines that join: made, recognized, and refused when they no longer count.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::common::{Api, ISSUER};
use crate::users;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

async fn token(api: &Api, account: &str, spec: Value) -> (u16, Value) {
    api.json("POST", &format!("{ACCOUNTS}/{account}/token"), &json!({"spec": spec})).await
}

async fn review(api: &Api, token: &str, audiences: &[&str]) -> Value {
    let (code, told) = api.json("POST", REVIEWS, &json!({"spec": {"token": token, "audiences": audiences}})).await;
    assert_eq!(code, 201, "{told}");
    told["status"].clone()
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

async fn account() -> Api {
    let api = Api::start().await;
    assert_eq!(api.json("POST", ACCOUNTS, &json!({"metadata": {"name": "sa"}})).await.0, 201);
    api
}

fn pod(name: &str, account: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"serviceAccountName": account, "nodeName": "n1",
        "containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_its_accounts_until_the_account_goes() {
    let api = account().await;
    let (code, made) = token(&api, "sa", json!({})).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!((&made["kind"], &made["spec"]["expirationSeconds"]), (&json!("TokenRequest"), &json!(3600)));
    assert_eq!(made["spec"]["audiences"], json!([ISSUER]));
    let issued = text(&made["status"]["token"]);
    let says = claims(&issued);
    assert_eq!((&says["iss"], &says["sub"]), (&json!(ISSUER), &json!("system:serviceaccount:default:sa")));
    let status = review(&api, &issued, &[]).await;
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:sa", "{status}");
    assert_eq!(
        status["user"]["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
    );
    let id = format!("JTI={}", text(&says["jti"]));
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/credential-id"], json!([id]));
    assert_eq!(status["audiences"], json!([ISSUER]));
    // Another part of the same token, and another key.
    let (head, signature) = issued.rsplit_once('.').unwrap();
    let mut other = claims(&issued);
    other["sub"] = "system:serviceaccount:kube-system:root".into();
    let forged =
        format!("{}.{}.{signature}", head.split('.').next().unwrap(), URL_SAFE_NO_PAD.encode(other.to_string()));
    assert_eq!(review(&api, &forged, &[]).await["error"], "InvalidSignature");
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), head.split('.').nth(1).unwrap());
    assert!(review(&api, &none, &[]).await.get("authenticated").is_none());
    // Another account of that name is another one. The first answer is remembered for some seconds; a fresh token is not.
    let (_, fresh) = token(&api, "sa", json!({})).await;
    api.json("DELETE", &format!("{ACCOUNTS}/sa"), &Value::Null).await;
    let status = review(&api, &text(&fresh["status"]["token"]), &[]).await;
    assert_eq!(status["error"], "service account sa has been deleted");
    api.json("POST", ACCOUNTS, &json!({"metadata": {"name": "sa"}})).await;
    let status = review(&api, &text(&fresh["status"]["token"]), &[]).await;
    assert!(text(&status["error"]).contains("does not match"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_for_those_that_they_name() {
    let api = account().await;
    let (_, made) = token(&api, "sa", json!({"audiences": ["vault", "other"]})).await;
    let issued = text(&made["status"]["token"]);
    assert_eq!(review(&api, &issued, &["vault", "nobody"]).await["audiences"], json!(["vault"]));
    let status = review(&api, &issued, &[]).await;
    assert!(text(&status["error"]).contains("is invalid for the target audiences"), "{status}");
    // Tokens of the static file are for the API server alone.
    assert_eq!(review(&api, "secret", &[]).await["authenticated"], true);
    assert!(review(&api, "secret", &["vault"]).await.get("authenticated").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_issued_is_refused() {
    let api = account().await;
    for (spec, code, message) in [
        (json!({"expirationSeconds": 5}), 422, "may not specify a duration less than 10 minutes"),
        (json!({"expirationSeconds": 1_i64 << 33}), 422, "may not specify a duration larger than 2^32 seconds"),
        (json!({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "x"}}), 400, "cannot bind token"),
        (json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "x"}}), 404, "pods \"x\" not found"),
    ] {
        let (got, status) = token(&api, "sa", spec.clone()).await;
        assert_eq!(got, code, "{spec}: {status}");
        assert!(text(&status["message"]).contains(message), "{spec}: {status}");
    }
    assert_eq!(token(&api, "nobody", json!({})).await.0, 404);
    assert_eq!(api.json("POST", PODS, &pod("p", "another")).await.0, 201);
    let bound = json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}});
    let (code, status) = token(&api, "sa", bound).await;
    assert!(code == 400 && text(&status["message"]).contains("running with different serviceaccount name"), "{status}");
    api.json("POST", PODS, &pod("own", "sa")).await;
    let bound = json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "own", "uid": "other"}});
    assert_eq!(token(&api, "sa", bound).await.0, 409);
    let (code, _) = api.json("GET", &format!("{ACCOUNTS}/sa/token"), &Value::Null).await;
    assert_eq!(code, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_pod_ends_with_it_and_lasts_for_those_who_do_not_renew() {
    let api = account().await;
    let (_, made) = api.json("POST", PODS, &pod("p", "sa")).await;
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]});
    let (code, issued) = token(&api, "sa", json!({"boundObjectRef": bound, "expirationSeconds": 3607})).await;
    assert_eq!((code, &issued["spec"]["expirationSeconds"]), (201, &json!(3607)));
    let issued = text(&issued["status"]["token"]);
    let says = claims(&issued);
    let seconds = |field: &str| says[field].as_i64().unwrap();
    assert_eq!(seconds("exp") - seconds("iat"), 365 * 24 * 3600);
    assert_eq!(says["kubernetes.io"]["warnafter"].as_i64().unwrap() - seconds("iat"), 3607);
    assert_eq!(says["kubernetes.io"]["node"]["name"], "n1");
    let (_, second) = token(&api, "sa", json!({"boundObjectRef": bound})).await;
    let status = review(&api, &issued, &[]).await;
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]), "{status}");
    api.json("DELETE", &format!("{PODS}/p?gracePeriodSeconds=0"), &Value::Null).await;
    let status = review(&api, &text(&second["status"]["token"]), &[]).await;
    assert_eq!(status["error"], "pod p has been deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_gets_tokens_for_its_own_pods_only() {
    let api = users::start(&["NodeRestriction"]).await;
    api.json("POST", ACCOUNTS, &json!({"metadata": {"name": "sa"}})).await;
    let (_, made) = api.json("POST", PODS, &pod("p", "sa")).await;
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]});
    // In system:masters beside, so that only admission can refuse.
    for (node, spec, expected) in [
        ("n1", json!({"boundObjectRef": bound}), 201),
        ("n2", json!({"boundObjectRef": bound}), 403),
        ("n1", json!({}), 403),
        ("n1", json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}), 403),
    ] {
        let kubelet = api.by(&format!("system:node:{node}"), &["system:nodes", "system:masters"]);
        let (code, told) = token(&kubelet, "sa", spec.clone()).await;
        assert_eq!(code, expected, "{node} {spec}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_published() {
    let api = account().await;
    let (code, configuration) = api.json("GET", "/.well-known/openid-configuration", &Value::Null).await;
    assert_eq!((code, &configuration["issuer"]), (200, &json!(ISSUER)));
    assert_eq!(configuration["id_token_signing_alg_values_supported"], json!(["ES256"]));
    assert_eq!(configuration["jwks_uri"], "https://127.0.0.1:6443/openid/v1/jwks");
    let (code, body) = api.call_for("GET", "/openid/v1/jwks", ("", "application/jwk-set+json"), b"").await;
    let keys: Value = serde_json::from_slice(&body).unwrap();
    let (_, made) = token(&api, "sa", json!({})).await;
    let issued = text(&made["status"]["token"]);
    let head: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(issued.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!((code, &keys["keys"][0]["kid"], &keys["keys"][0]["kty"]), (200, &head["kid"], &json!("EC")));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_bootstrap_tokens_are_users() {
    let api = Api::start().await;
    let encode = |text: &str| STANDARD.encode(text);
    let secret = json!({"metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token", "data": {
        "token-id": encode("abcdef"), "token-secret": encode("0123456789abcdef"),
        "usage-bootstrap-authentication": encode("true")}});
    let (code, made) = api.json("POST", "/api/v1/namespaces/kube-system/secrets", &secret).await;
    assert_eq!(code, 201, "{made}");
    let status = review(&api, "abcdef.0123456789abcdef", &[]).await;
    assert_eq!(status["user"]["username"], "system:bootstrap:abcdef", "{status}");
    assert_eq!(status["user"]["groups"], json!(["system:bootstrappers", "system:authenticated"]));
    assert!(review(&api, "abcdef.0123456789abcdee", &[]).await.get("authenticated").is_none());
}
