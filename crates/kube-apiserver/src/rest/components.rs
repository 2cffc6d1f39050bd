//! `componentstatuses`: how the members of the control plane are, asked when somebody wants to know. Upstream has given this kind up, and says
//! so with each answer; old tools still ask.

use std::net::SocketAddr;
use std::time::Duration;

use api::catalog::Served;
use api::columns;
use api::schema::protobuf;
use api::status::Status;
use futures::future::join_all;
use http::{Request as HttpRequest, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::codec::{self, Media};
use super::negotiate::{Form, accepted_for};
use super::objects::partial;
use super::{Request, Rest, with_warnings};
use crate::attributes::ResourceAttributes;
use crate::server::Body;

const DEPRECATED: &str = "v1 ComponentStatus is deprecated in v1.19+";
/// As upstream waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of an answer this much is told.
const MAX_ANSWER: usize = 1024;
/// The store, whatever its number of servers.
const STORE: &str = "etcd-0";

/// Who is asked, and where its health is told.
pub(super) struct Components(Vec<(&'static str, SocketAddr)>);

impl Default for Components {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self::new(vec![("controller-manager", local(10252)), ("scheduler", local(10251))])
    }
}

impl Components {
    pub fn new(components: Vec<(&'static str, SocketAddr)>) -> Self {
        Self(components)
    }
}

impl Rest {
    pub(super) async fn component_statuses(
        &self,
        request: &Request,
        form: &Served,
        about: &ResourceAttributes,
    ) -> Result<Response<Body>, Status> {
        let accepted = accepted_for(form, request)?;
        let verb = &*request.attributes.verb;
        if !matches!(verb, "get" | "list") || !about.subresource.is_empty() {
            let method = request.method.as_str().to_lowercase();
            return Err(Status::method_not_allowed(form.group, form.plural, &method));
        }
        let wanted = |name: &str| about.name.is_empty() || about.name == name;
        let asked = self.components.0.iter().filter(|(name, _)| wanted(name)).map(|(name, address)| async {
            let answer = tokio::time::timeout(PATIENCE, ask(*address)).await;
            status_of(name, answer.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs()))))
        });
        let mut statuses = join_all(asked).await;
        if wanted(STORE) {
            statuses.push(status_of(STORE, self.registry.store_health().await));
        }
        let one = verb == "get";
        if one && statuses.is_empty() {
            return Err(Status::not_found(form.group, form.plural, &about.name));
        }
        let response = match &accepted.form {
            Form::Table { version, include } => {
                let mut table = columns::table(form.own_columns(), version, json!({}));
                let row = |status: &Value| codec::row(form, version, status, *include, Timestamp::now());
                table["rows"] = statuses.iter().map(row).collect();
                codec::json(StatusCode::OK, &table)
            }
            Form::Metadata { version } => {
                let items: Vec<Value> = statuses.iter().map(|status| partial(status, version)).collect();
                metadata_alone(accepted.media, version, one, items)
            }
            Form::Object if one => {
                let status = statuses.first().unwrap_or(&Value::Null);
                accepted.media.document(StatusCode::OK, (form.group, form.version, form.kind), status)
            }
            Form::Object => {
                let kind = "ComponentStatusList";
                let list = json!({"kind": kind, "apiVersion": form.api_version(), "metadata": {}, "items": statuses});
                accepted.media.document(StatusCode::OK, (form.group, form.version, kind), &list)
            }
        };
        Ok(with_warnings(response, &[DEPRECATED.to_owned()]))
    }
}

fn metadata_alone(media: Media, version: &str, one: bool, items: Vec<Value>) -> Response<Body> {
    let api_version = format!("meta.k8s.io/{version}");
    if one {
        let item = items.into_iter().next().unwrap_or_default();
        if media != Media::Protobuf {
            return codec::json(StatusCode::OK, &item);
        }
        let body = protobuf::envelope(&api_version, "PartialObjectMetadata", &protobuf::partial(&item["metadata"]));
        return codec::respond(StatusCode::OK, media.content_type(), body);
    }
    let kind = "PartialObjectMetadataList";
    if media != Media::Protobuf {
        let list = json!({"kind": kind, "apiVersion": api_version, "metadata": {}, "items": items});
        return codec::json(StatusCode::OK, &list);
    }
    let body = protobuf::envelope(&api_version, kind, &protobuf::partial_list(&json!({}), &items));
    codec::respond(StatusCode::OK, media.content_type(), body)
}

fn status_of(name: &str, answer: Result<String, String>) -> Value {
    let condition = match answer {
        Ok(message) => json!({"type": "Healthy", "status": "True", "message": message}),
        Err(message) => json!({"type": "Healthy", "status": "False", "message": message}),
    };
    json!({"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]})
}

/// What `/healthz` answers, and why not where it does not say that all is well.
async fn ask(address: SocketAddr) -> Result<String, String> {
    let failed = |why: String| format!("Get \"http://{address}/healthz\": {why}");
    let stream = TcpStream::connect(address).await.map_err(|e| failed(e.to_string()))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(e.to_string()))?;
    let connection = tokio::spawn(connection);
    let request = HttpRequest::get("/healthz").header(header::HOST, address.to_string());
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|e| failed(e.to_string()))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|e| failed(e.to_string()))?;
        let code = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.map_err(|e| failed(e.to_string()))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).trim().to_owned();
        if code.is_success() {
            Ok(text)
        } else {
            Err(failed(format!("HTTP probe failed with statuscode: {}: {text}", code.as_u16())))
        }
    };
    let answer = answer.await;
    connection.abort();
    answer
}
