//! How many requests are worked on at a time.

use std::sync::Arc;

use async_trait::async_trait;
use http::Request;
use http_body_util::BodyExt;
use kube_apiserver::admission::{Admission, Attempt, Plugin};
use kube_apiserver::exchange::Filters;
use kube_apiserver::limits::Limits;
use rpc::resource::Resource;
use serde_json::{Value, json};
use testapi::Library;
use tokio::sync::Notify;

use crate::common::Api;

/// Holds up what `slow` writes until it is let go.
#[derive(Default)]
struct Slow {
    begun: Notify,
    go: Notify,
}

struct Waits(Arc<Slow>);

#[async_trait]
impl Plugin for Waits {
    fn name(&self) -> &'static str {
        "Waits"
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.context.attributes.user.name == "slow"
    }

    async fn validate(&self, _: &Attempt<'_>, _: &Value) -> Result<(), api::status::Status> {
        self.0.begun.notify_one();
        self.0.go.notified().await;
        Ok(())
    }
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_is_told_to_come_again() {
    let slow = Arc::new(Slow::default());
    let admission = Admission::of(vec![Arc::new(Waits(slow.clone()))]);
    let filters = Filters { limits: Limits::new(1, 1), ..Filters::default() };
    let api = Api::filtered(Library::admitting(admission).await, filters);
    let ann = api.by("ann", &[]);
    let path = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str| json!({"metadata": {"name": name}});
    let held = tokio::spawn({
        let (slow, map) = (api.by("slow", &[]), map("slow"));
        async move { slow.json("POST", path, &map).await.0 }
    });
    // A test that hangs says nothing.
    tokio::time::timeout(std::time::Duration::from_secs(20), slow.begun.notified()).await.unwrap();
    let request = Request::builder().method("POST").uri(path).header("content-type", "application/json");
    let refused = ann.answer(request, &map("a")).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    let text = refused.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "Too many requests, please try again later.\n");
    // Reads have places of their own, and those who look after the cluster need none.
    assert_eq!(ann.json("GET", path, &Value::Null).await.0, 200);
    assert_eq!(api.json("POST", path, &map("b")).await.0, 201);
    let mut client = ann.grpc();
    let answer = client.delete(rpc::resource::DeleteRequest {
        resource: Some(Resource {
            version: "v1".into(),
            resource: "configmaps".into(),
            namespace: "default".into(),
            name: "b".into(),
            ..Resource::default()
        }),
        ..Default::default()
    });
    assert_eq!(answer.await.unwrap_err().code(), tonic::Code::ResourceExhausted);
    slow.go.notify_one();
    assert_eq!(held.await.unwrap(), 201);
    assert_eq!(ann.json("POST", path, &map("a")).await.0, 201);
}

#[tokio::test]
async fn long_requests_take_no_place_and_answers_keep_theirs_until_they_are_sent() {
    let filters = Filters { limits: Limits::new(1, 1), ..Filters::default() };
    let api = Api::filtered(Library::admitting(Admission::default()).await, filters);
    let ann = api.by("ann", &[]);
    let get = async |path: &str| ann.answer(Request::builder().uri(path), &Value::Null).await;
    let watches = [get("/api/v1/namespaces?watch=1").await, get("/api/v1/pods?watch=1").await];
    assert_eq!(watches.each_ref().map(|watch| watch.status().as_u16()), [200, 200]);
    let list = get("/api/v1/namespaces").await;
    assert_eq!(get("/api/v1/namespaces").await.status(), 429);
    list.into_body().collect().await.unwrap();
    assert_eq!(get("/api/v1/namespaces").await.status(), 200);
    drop(watches);
}
