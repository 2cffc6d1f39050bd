//! The audit log: what is written of a request, and what is not.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use http::Request;
use http_body_util::{BodyExt, Full};
use kube_apiserver::admission::{Admission, Attempt, Configuration, Plugin};
use kube_apiserver::audit::{Audit, Log, Policy, Rotation};
use kube_apiserver::authorization::Authorization;
use kube_apiserver::exchange::Filters;
use rpc::resource::{PodBinding, Resource, WriteRequest};
use serde_json::{Value, json};
use testapi::{Library, WITHOUT_CONTROLLERS, plugins};

use crate::common::Api;

/// An API whose log is a file.
struct Audited {
    api: Api,
    audit: Arc<Audit>,
    folder: tempfile::TempDir,
}

/// The rules in YAML, each on a line of its own.
async fn audited(rules: &str) -> Audited {
    audited_with(rules, Library::open(&plugins(&[], WITHOUT_CONTROLLERS), &Configuration::default()).await)
}

fn audited_with(rules: &str, library: Library) -> Audited {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}")).unwrap();
    let log = Log::open(&folder.path().join("log/audit.log"), Rotation::default()).unwrap();
    let audit = Audit::new(Policy::read(&policy).unwrap(), log);
    let filters = Filters { audit: Some(audit.clone()), ..Filters::default() };
    let api = Api::filtered(library, filters);
    Audited { api, audit, folder }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

impl Audited {
    /// The events of a request.
    fn events(&self, id: &str) -> Vec<Value> {
        self.audit.flush();
        let mut events = lines(&self.folder.path().join("log/audit.log"));
        events.retain(|event| event["auditID"] == id);
        events
    }

    /// A request with this identifier, and its events.
    async fn ask(&self, api: &Api, id: &'static str, method: &str, path: &str, body: Value) -> Vec<Value> {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header("audit-id", id).header("user-agent", "test/1.0");
        let response = api.answer(request, &body).await;
        assert_eq!(response.headers()["audit-id"], id);
        response.into_body().collect().await.unwrap();
        self.events(id)
    }
}

fn stages(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["stage"].as_str().unwrap()).collect()
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}

#[tokio::test]
async fn events_say_who_asked_for_what_and_what_became_of_it() {
    let audited = audited("rules: [{level: Metadata}]").await;
    let ann = audited.api.by("ann", &["devs"]);
    let events = audited.ask(&ann, "one", "POST", CONFIG_MAPS, config_map("c")).await;
    assert_eq!(stages(&events), ["RequestReceived", "ResponseComplete"]);
    let mut last = events[1].clone();
    for time in ["requestReceivedTimestamp", "stageTimestamp"] {
        let time = last.as_object_mut().unwrap().remove(time).unwrap();
        assert!(time.as_str().unwrap().len() == "2026-11-26T09:01:14.123456Z".len(), "{time}");
    }
    let expected = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "one",
        "stage": "ResponseComplete", "requestURI": CONFIG_MAPS, "verb": "create",
        "user": {"username": "ann", "groups": ["devs"]}, "userAgent": "test/1.0",
        "objectRef": {"resource": "configmaps", "namespace": "default", "name": "c", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    });
    assert_eq!(last, expected);
    assert_eq!(events[0].get("responseStatus"), None);
    let events = audited.ask(&ann, "two", "GET", &format!("{CONFIG_MAPS}/none?x=y"), Value::Null).await;
    assert_eq!(events[1]["requestURI"], format!("{CONFIG_MAPS}/none?x=y"));
    let status = &events[1]["responseStatus"];
    assert_eq!(
        [&status["status"], &status["reason"], &status["code"]],
        [&json!("Failure"), &json!("NotFound"), &json!(404)]
    );
    assert_eq!(events[1]["objectRef"]["name"], "none");
    let events = audited.ask(&ann, "three", "GET", "/version", Value::Null).await;
    assert_eq!((stages(&events).len(), &events[1]["verb"], events[1].get("objectRef")), (2, &json!("get"), None));
}

#[tokio::test]
async fn levels_say_how_much_and_rules_of_what() {
    let audited = audited(
        "omitStages: [RequestReceived]\nomitManagedFields: true\nrules:\n\
         - {level: None, users: [eve]}\n\
         - {level: RequestResponse, resources: [{group: '', resources: [configmaps]}]}\n\
         - {level: Request, resources: [{group: '', resources: [secrets]}], omitManagedFields: false}\n",
    )
    .await;
    let ann = audited.api.by("ann", &[]);
    let events = audited.ask(&ann, "one", "POST", CONFIG_MAPS, config_map("c")).await;
    assert_eq!(stages(&events), ["ResponseComplete"]);
    assert_eq!(events[0]["requestObject"], config_map("c"));
    let answer = &events[0]["responseObject"];
    assert!(answer["metadata"]["uid"].is_string() && answer["metadata"].get("managedFields").is_none(), "{answer}");
    // Lists are made while they are sent, and told of all the same.
    let events = audited.ask(&ann, "two", "GET", CONFIG_MAPS, Value::Null).await;
    let items = events[0]["responseObject"]["items"].as_array().unwrap();
    assert!(items.len() == 1 && items[0]["metadata"].get("managedFields").is_none(), "{items:?}");
    assert_eq!(events[0]["responseStatus"]["code"], 200);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "managedFields": []}});
    let events = audited.ask(&ann, "three", "POST", "/api/v1/namespaces/default/secrets", secret.clone()).await;
    assert_eq!((&events[0]["requestObject"], events[0].get("responseObject")), (&secret, None));
    let patch = json!({"data": {"a": "c"}});
    let request = Request::builder().method("PATCH").uri(format!("{CONFIG_MAPS}/c"));
    let request = request.header("content-type", "application/merge-patch+json").header("audit-id", "four");
    drop(ann.answer(request, &patch).await);
    assert_eq!(audited.events("four")[0]["requestObject"], patch);
    assert!(audited.ask(&audited.api.by("eve", &[]), "five", "GET", CONFIG_MAPS, Value::Null).await.is_empty());
    assert!(audited.ask(&ann, "six", "GET", "/version", Value::Null).await.is_empty());
}

#[tokio::test]
async fn identifiers_are_the_clients_where_they_can_be_some() {
    let api = Api::start().await;
    let ask = async |id: &str| {
        let request = Request::builder().uri("/version").header("audit-id", id);
        api.answer(request, &Value::Null).await.headers()["audit-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(ask("my-request.1").await, "my-request.1");
    for id in ["", "two words", &"x".repeat(65)] {
        let told = ask(id).await;
        assert!(told.len() == 36 && told != id, "{id:?}: {told}");
    }
    let refused = api.answer(Request::builder().uri("/api/v1/nothing"), &Value::Null).await;
    assert!(refused.headers().contains_key("audit-id"));
}

#[tokio::test]
async fn refusals_and_impersonations_are_told() {
    let nobody = Authorization::new(Vec::new());
    let audited = audited_with("rules: [{level: Metadata}]", Library::start(nobody, Admission::default()).await);
    let eve = audited.api.by("eve", &[]);
    let events = audited.ask(&eve, "one", "GET", CONFIG_MAPS, Value::Null).await;
    assert_eq!(events[1]["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(events[1]["responseStatus"]["reason"], "Forbidden");
    let request = Request::builder().uri(CONFIG_MAPS).header("audit-id", "two").header("impersonate-user", "ann");
    assert_eq!(audited.api.answer(request, &Value::Null).await.status(), 403);
    let events = audited.events("two");
    assert_eq!(events[1]["user"]["username"], "admin");
    let of = &events[1]["impersonatedUser"];
    assert_eq!((&of["username"], &of["groups"]), (&json!("ann"), &json!(["system:authenticated"])));
    // Who may not ask as another one asks for nothing.
    let request = Request::builder().uri(CONFIG_MAPS).header("audit-id", "three").header("impersonate-user", "ann");
    assert_eq!(eve.answer(request, &Value::Null).await.status(), 403);
    let events = audited.events("three");
    assert_eq!((events.len(), events[1].get("impersonatedUser")), (2, None));
}

#[tokio::test]
async fn who_is_nobody_is_told_once() {
    let audited = audited("rules: [{level: RequestResponse}]").await;
    let request = Request::builder().uri(format!("https://server:6443{CONFIG_MAPS}?limit=1")).header("audit-id", "one");
    let request = request.header("authorization", "Bearer other");
    let request = request.header("x-forwarded-for", "10.1.2.3").body(Full::new(bytes::Bytes::new())).unwrap();
    let peer = Some("10.0.0.7".parse().unwrap());
    let response = audited.api.rest.receive(None, peer, request).await;
    assert_eq!((response.status().as_u16(), &response.headers()["audit-id"]), (401, &"one".parse().unwrap()));
    let events = audited.events("one");
    assert_eq!(stages(&events), ["ResponseStarted"]);
    assert_eq!(events[0]["responseStatus"]["message"], "Authentication failed, attempted: bearer");
    assert_eq!(events[0]["sourceIPs"], json!(["10.1.2.3", "10.0.0.7"]));
    assert_eq!(events[0]["requestURI"], format!("{CONFIG_MAPS}?limit=1"));
}

#[tokio::test]
async fn watches_are_told_when_they_begin_and_when_they_end() {
    let audited = audited("rules: [{level: Metadata}]").await;
    let request = Request::builder().uri(format!("{CONFIG_MAPS}?watch=1")).header("audit-id", "one");
    let watch = audited.api.answer(request, &Value::Null).await;
    assert_eq!(stages(&audited.events("one")), ["RequestReceived", "ResponseStarted"]);
    drop(watch);
    let events = audited.events("one");
    assert_eq!(stages(&events), ["RequestReceived", "ResponseStarted", "ResponseComplete"]);
    assert_eq!((&events[2]["verb"], &events[2]["responseStatus"]["code"]), (&json!("watch"), &json!(200)));
}

struct Panics;

#[async_trait]
impl Plugin for Panics {
    fn name(&self) -> &'static str {
        "Panics"
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.context.attributes.user.name == "mallory"
    }

    async fn validate(&self, _: &Attempt<'_>, _: &Value) -> Result<(), api::status::Status> {
        panic!("as it was asked to")
    }
}

#[tokio::test]
async fn panics_are_told() {
    let admission = Admission::of(vec![Arc::new(Panics)]);
    let audited = audited_with("rules: [{level: Metadata}]", Library::admitting(admission).await);
    let events = audited.ask(&audited.api.by("mallory", &[]), "one", "POST", CONFIG_MAPS, config_map("a")).await;
    assert_eq!(stages(&events), ["RequestReceived", "Panic"]);
    let status = &events[1]["responseStatus"];
    assert!(status["message"].as_str().unwrap().starts_with("APIServer panic'd: "), "{status}");
    assert_eq!(status["code"], 500);
    let events = audited.ask(&audited.api, "two", "POST", CONFIG_MAPS, config_map("b")).await;
    assert_eq!(stages(&events), ["RequestReceived", "ResponseComplete"]);
    let metrics = audited.api.answer(Request::builder().uri("/metrics"), &Value::Null).await;
    let metrics = metrics.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&metrics).contains("apiserver_request_panics_total 1\n"));
}

#[tokio::test]
async fn pod_security_leaves_notes() {
    let audited = audited("omitStages: [RequestReceived]\nrules: [{level: Metadata}]").await;
    let labels = json!({"pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/audit": "baseline", "pod-security.kubernetes.io/audit-version": "v1.30"});
    let namespace = json!({"metadata": {"name": "x", "labels": labels}});
    assert_eq!(audited.api.json("POST", "/api/v1/namespaces", &namespace).await.0, 201);
    let spec = json!({"hostNetwork": true, "containers": [{"name": "a", "image": "i"}]});
    let pod = json!({"metadata": {"name": "p"}, "spec": spec});
    let events = audited.ask(&audited.api, "one", "POST", "/api/v1/namespaces/x/pods", pod).await;
    let notes = &events[0]["annotations"];
    assert_eq!(
        notes["pod-security.kubernetes.io/audit-violations"],
        "would violate PodSecurity \"baseline:v1.30\": host namespaces (hostNetwork=true)"
    );
    assert_eq!(notes["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": spec});
    let controller = json!({"metadata": {"name": "c"}, "spec": {"selector": {"a": "b"}, "template": template}});
    let path = "/api/v1/namespaces/x/replicationcontrollers";
    let events = audited.ask(&audited.api, "two", "POST", path, controller).await;
    let notes = &events[0]["annotations"];
    assert!(notes["pod-security.kubernetes.io/audit-violations"].is_string(), "{notes}");
    assert_eq!(notes.get("pod-security.kubernetes.io/enforce-policy"), None);
}

#[tokio::test]
async fn calls_over_grpc_are_told_as_the_requests_that_they_stand_for() {
    let audited = audited("omitStages: [RequestReceived]\nrules: [{level: RequestResponse}]").await;
    let mut client = audited.api.grpc();
    let about = |plural: &str, name: &str| {
        let resource = Resource {
            version: "v1".into(),
            resource: plural.into(),
            namespace: "default".into(),
            name: name.into(),
            ..Resource::default()
        };
        Some(resource)
    };
    let mut write = tonic::Request::new(WriteRequest {
        resource: about("configmaps", ""),
        json: config_map("c").to_string().into(),
        ..WriteRequest::default()
    });
    write.metadata_mut().insert("audit-id", "one".parse().unwrap());
    let reply = client.create(write).await.unwrap();
    assert_eq!(reply.metadata().get("audit-id").unwrap(), "one");
    drop(reply);
    let events = audited.events("one");
    assert_eq!((stages(&events), &events[0]["verb"]), (vec!["ResponseComplete"], &json!("create")));
    assert_eq!(events[0]["objectRef"]["name"], "c");
    assert_eq!((&events[0]["user"]["username"], &events[0]["sourceIPs"]), (&json!("admin"), &json!(["10.0.0.9"])));
    assert_eq!(events[0]["requestObject"]["data"], json!({"a": "b"}));
    assert!(events[0]["responseObject"]["metadata"]["uid"].is_string());
    let mut get = tonic::Request::new(about("configmaps", "none").unwrap());
    get.metadata_mut().insert("audit-id", "two".parse().unwrap());
    assert_eq!(client.get(get).await.unwrap_err().code(), tonic::Code::NotFound);
    let events = audited.events("two");
    assert_eq!(events[0]["responseStatus"]["reason"], "NotFound");
    assert_eq!(events[0]["responseStatus"]["code"], 404);
    // Each binding of a stream is a request by itself.
    let binding = PodBinding {
        id: 1,
        namespace: "default".into(),
        pod: "none".into(),
        node: "n".into(),
        ..PodBinding::default()
    };
    let mut bind = tonic::Request::new(tokio_stream::once(binding));
    bind.metadata_mut().insert("audit-id", "three".parse().unwrap());
    let mut results = client.bind_pods(bind).await.unwrap().into_inner();
    assert!(!results.message().await.unwrap().unwrap().status_json.is_empty());
    drop(results);
    let events = audited.events("three");
    let of_pod =
        events.iter().find(|event| event["objectRef"]["name"] == "none" && event["stage"] == "ResponseComplete");
    assert_eq!(of_pod.unwrap()["responseStatus"]["code"], 404);
}
