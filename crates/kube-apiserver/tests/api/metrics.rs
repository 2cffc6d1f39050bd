//! Metrics: what is counted of a server that does all that can be counted.

use std::collections::BTreeMap;

use bytes::Bytes;
use daemon::tls::{ClientAuth, HTTP, KeyPair, ServerTls, Source};
use http::Request;
use http_body_util::{BodyExt, Full};
use kube_apiserver::admission::Configuration;
use kube_apiserver::audit::{Audit, Log, Policy, Rotation};
use kube_apiserver::exchange::Filters;
use kube_apiserver::limits::Limits;
use kube_apiserver::server::Server;
use serde_json::{Value, json};
use testapi::{Library, WITHOUT_CONTROLLERS, plugins};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::common::Api;

/// The families that count what goes wrong, and have tests of their own: beside the audit log, among those of audit, and below.
const OTHERWHERE: [&str; 3] = ["apiserver_audit_error", "apiserver_request_panics", "apiserver_tls_handshake_errors"];

async fn scrape(api: &Api) -> String {
    let answer = api.answer(Request::builder().uri("/metrics"), &Value::Null).await;
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Families, each with the sum of its samples.
fn families(text: &str) -> BTreeMap<String, f64> {
    let mut families = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            current = line.split(' ').next().unwrap().to_owned();
            families.insert(current.clone(), 0.0);
        } else if !line.starts_with('#') {
            let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap_or_else(|e| panic!("{line}: {e}"));
            *families.get_mut(&current).unwrap_or_else(|| panic!("{line}")) += value;
        }
    }
    families
}

#[tokio::test]
async fn every_metric_that_there_is_counts_something() {
    let folder = tempfile::tempdir().unwrap();
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]});
    let log = Log::open(&folder.path().join("audit.log"), Rotation::default()).unwrap();
    let audit = Audit::new(Policy::of(policy).unwrap(), log);
    let filters = Filters { audit: Some(audit), limits: Limits::new(1, 1), ..Filters::default() };
    let library = Library::open(&plugins(&[], WITHOUT_CONTROLLERS), &Configuration::default()).await;
    let api = Api::filtered(library, filters);
    let path = "/api/v1/namespaces/default/configmaps";
    let watch = api.answer(Request::builder().uri(format!("{path}?watch=1")), &Value::Null).await;
    let (code, _) = api.json("POST", path, &json!({"metadata": {"name": "c"}})).await;
    assert_eq!(code, 201);
    let mut events = watch.into_body();
    assert!(!events.frame().await.unwrap().unwrap().into_data().unwrap().is_empty());
    let by_token = Request::builder().uri("/version").header("authorization", "Bearer secret");
    let by_token = by_token.body(Full::new(Bytes::new())).unwrap();
    assert_eq!(api.rest.receive(None, None, by_token).await.status(), 200);
    // A list that is not read keeps its place, so another one finds none.
    let ann = api.by("ann", &[]);
    let list = ann.answer(Request::builder().uri(path), &Value::Null).await;
    assert_eq!(ann.answer(Request::builder().uri(path), &Value::Null).await.status(), 429);
    let text = scrape(&api).await;
    drop(list);
    let families = families(&text);
    let idle: Vec<_> = families.iter().filter(|(_, sum)| **sum == 0.0).map(|(name, _)| name.as_str()).collect();
    assert_eq!(idle, OTHERWHERE, "{text}");
    for name in [
        "apiserver_admission_controller_admission_duration_seconds",
        "apiserver_audit_event",
        "apiserver_current_inflight_requests",
        "apiserver_dropped_requests",
        "apiserver_longrunning_requests",
        "apiserver_request",
        "apiserver_request_duration_seconds",
        "apiserver_resource_objects",
        "apiserver_response_sizes",
        "apiserver_storage_objects",
        "apiserver_watch_cache_events_received",
        "apiserver_watch_cache_resource_version",
        "apiserver_watch_events",
        "authenticated_user_requests",
        "authentication_attempts",
        "authorization_attempts",
        "etcd_request_duration_seconds",
        "etcd_requests",
        "process_cpu_seconds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(families.contains_key(name), "{name}: {text}");
    }
    for line in [
        "apiserver_request_total{verb=\"POST\",dry_run=\"\",group=\"\",version=\"v1\",resource=\"configmaps\",subresource=\"\",scope=\"resource\",component=\"apiserver\",code=\"201\"} 1",
        "apiserver_request_total{verb=\"LIST\",dry_run=\"\",group=\"\",version=\"v1\",resource=\"configmaps\",subresource=\"\",scope=\"namespace\",component=\"apiserver\",code=\"429\"} 1",
        "apiserver_longrunning_requests{verb=\"WATCH\",group=\"\",version=\"v1\",resource=\"configmaps\",subresource=\"\",scope=\"namespace\",component=\"apiserver\"} 1",
        "apiserver_watch_events_total{group=\"\",version=\"v1\",resource=\"configmaps\"} 1",
        "apiserver_storage_objects{resource=\"configmaps\"} 1",
        "apiserver_dropped_requests_total{request_kind=\"readOnly\"} 1",
        "etcd_requests_total{operation=\"create\",group=\"\",resource=\"configmaps\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    drop(events);
    assert!(!scrape(&api).await.contains("apiserver_longrunning_requests{"));
}

#[tokio::test]
async fn calls_over_grpc_are_counted_as_requests() {
    let api = Api::start().await;
    let mut client = api.grpc();
    let about = rpc::resource::Resource {
        version: "v1".into(),
        resource: "namespaces".into(),
        name: "default".into(),
        ..Default::default()
    };
    client.get(about).await.unwrap();
    let line = "apiserver_request_total{verb=\"GET\",dry_run=\"\",group=\"\",version=\"v1\",resource=\"namespaces\",subresource=\"\",scope=\"resource\",component=\"apiserver\",code=\"200\"} 1\n";
    let text = scrape(&api).await;
    assert!(text.contains(line), "{text}");
    // Health is told to everybody, and why it is not well to those who may know.
    let (code, body) = api.call_for("GET", "/livez/ping", ("", "text/plain"), b"").await;
    assert_eq!((code, body.as_slice()), (200, &b"ok"[..]));
    assert_eq!(api.call_for("GET", "/livez/none", ("", "text/plain"), b"").await.0, 404);
}

#[tokio::test]
async fn handshakes_that_fail_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Source::file("test", path)
    };
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pair = KeyPair::new(file("crt", own.cert.pem()), file("key", own.signing_key.serialize_pem()));
    let tls = ServerTls::new(pair, ClientAuth::Optional(file("ca", own.cert.pem())), HTTP).unwrap();
    let api = Api::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (address, token) = (listener.local_addr().unwrap(), CancellationToken::new());
    let serving = tokio::spawn(Server { rest: api.rest.clone(), tls }.serve(listener, token.clone()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    // The server closes it.
    let _ = stream.read_to_end(&mut Vec::new()).await;
    let told = async {
        while !scrape(&api).await.contains("apiserver_tls_handshake_errors_total 1\n") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), told).await.unwrap();
    token.cancel();
    serving.await.unwrap().unwrap();
}
