//! `pods/log`: passed on from the kubelet of the pod's node.

use api::meta;
use api::status::Status;
use bytes::Bytes;
use futures::StreamExt;
use http::{Response, StatusCode};
use rpc::kubelet::LogsRequest;
use serde_json::Value;

use super::codec::respond;
use super::{Request, Rest};
use crate::registry::{Target, parse};
use crate::server::Body;

impl Rest {
    pub(super) async fn logs(&self, request: &Request, target: &Target) -> Result<Response<Body>, Status> {
        let pod = parse(&self.registry.get(target).await?.bytes)?;
        let query = &request.query;
        let container = container(&pod, query.text("container"))?;
        let node = meta::text_at(&pod, "spec.nodeName");
        if node.is_empty() {
            let name = &target.name;
            return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
        }
        let logs = LogsRequest {
            namespace: target.namespace.clone(),
            pod: target.name.clone(),
            uid: meta::text(&pod, "uid").to_owned(),
            container,
            follow: query.flag("follow"),
            previous: query.flag("previous"),
            timestamps: query.flag("timestamps"),
            tail_lines: query.number("tailLines")?,
            limit_bytes: query.number("limitBytes")?,
            since_seconds: query.number("sinceSeconds")?,
            since_time: Some(query.text("sinceTime").to_owned()).filter(|time| !time.is_empty()),
        };
        let node = self.registry.target("", "v1", "nodes", "", node)?;
        let node = parse(&self.registry.get(&node).await?.bytes)?;
        let mut client = self.kubelets.client(&node)?;
        let stream = client.logs(logs).await.map_err(|status| from_kubelet(&node, &status))?.into_inner();
        // An error after the first bytes can only be told in the text.
        let bytes = stream.map(|chunk| match chunk {
            Ok(chunk) => chunk.data,
            Err(status) => Bytes::from(format!("\nthe log ended early: {}\n", status.message())),
        });
        Ok(respond(StatusCode::OK, "text/plain", Body::Stream(Box::pin(bytes))))
    }
}

fn container(pod: &Value, asked: &str) -> Result<String, Status> {
    let name = meta::name(pod);
    let of = |list: &str| -> Vec<String> {
        let containers = pod["spec"].get(list).and_then(Value::as_array).into_iter().flatten();
        containers.filter_map(|c| c["name"].as_str()).map(str::to_owned).collect()
    };
    let (containers, init) = (of("containers"), of("initContainers"));
    if !asked.is_empty() {
        if containers.iter().chain(&init).any(|name| name == asked) {
            return Ok(asked.to_owned());
        }
        return Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    match containers.as_slice() {
        [only] if init.is_empty() => Ok(only.clone()),
        [first, ..] if pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == *first => {
            Ok(first.clone())
        }
        _ => {
            let init = if init.is_empty() {
                String::new()
            } else {
                format!(" or one of the init containers: [{}]", init.join(" "))
            };
            let choices = containers.join(" ");
            let text = format!("a container name must be specified for pod {name}, choose one of: [{choices}]{init}");
            Err(Status::bad_request(text))
        }
    }
}

/// What the kubelet says, as a Status of the API.
fn from_kubelet(node: &Value, status: &tonic::Status) -> Status {
    let message = status.message();
    match status.code() {
        tonic::Code::NotFound | tonic::Code::InvalidArgument | tonic::Code::FailedPrecondition => {
            Status::bad_request(message)
        }
        tonic::Code::Unavailable => {
            let name = meta::name(node);
            Status::unavailable(format!("the kubelet of node {name} cannot be reached: {message}"))
        }
        _ => Status::internal(message),
    }
}
