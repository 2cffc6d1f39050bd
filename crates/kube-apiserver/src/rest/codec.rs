//! Encoding of answers by media type. JSON is what is stored and cached; the others are made of it, and kept with the entry of the cache
//! where there is one.

use std::sync::Arc;

use api::catalog::Served;
use api::schema::protobuf::{self, MEDIA_TYPE};
use api::schema::{TypeId, builtin};
use api::status::Status;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;
use storage::Entry;

use crate::registry::parse;
use crate::server::Body;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    Yaml,
    Protobuf,
}

pub const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
/// The number of protobuf messages among an entry's other encodings.
const MESSAGE: usize = 0;

impl Media {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Protobuf => MEDIA_TYPE,
        }
    }

    /// Of a stream of watch events.
    pub fn stream_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => JSON,
        }
    }

    /// A document whose type the schemas know, such as a scale or a status.
    pub fn document(
        self,
        code: StatusCode,
        (group, version, kind): (&str, &str, &str),
        value: &Value,
    ) -> Response<Body> {
        let body = match self {
            Self::Json => value.to_string().into_bytes(),
            Self::Yaml => api::yaml::render(value).into_bytes(),
            Self::Protobuf => {
                let message = builtin().of_kind(group, version, kind).map(|id| builtin().write_protobuf(id, value));
                let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
                protobuf::envelope(&api_version, kind, &message.unwrap_or_default())
            }
        };
        respond(code, self.content_type(), body)
    }

    /// An object as the cache or a write has it; `entry`: the cache's.
    pub fn object(
        self,
        code: StatusCode,
        resource: &Served,
        json: Bytes,
        entry: Option<&Arc<Entry>>,
    ) -> Result<Response<Body>, Status> {
        let body = match self {
            Self::Json => json,
            Self::Yaml => api::yaml::render(&parse(&json)?).into(),
            Self::Protobuf => {
                let message = match entry {
                    Some(entry) => message(resource.schema, entry),
                    None => encode(resource.schema, &json),
                };
                protobuf::envelope(&resource.api_version(), resource.kind, &message).into()
            }
        };
        Ok(respond(code, self.content_type(), body))
    }
}

/// The message of a cached object, made once.
pub fn message(schema: TypeId, entry: &Entry) -> Bytes {
    entry.other(MESSAGE, |json| encode(schema, json))
}

/// What is stored is JSON of the schema's form.
pub fn encode(schema: TypeId, json: &[u8]) -> Bytes {
    parse(json).map(|document| builtin().write_protobuf(schema, &document)).unwrap_or_default().into()
}

pub fn respond(code: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub fn json(code: StatusCode, value: &Value) -> Response<Body> {
    respond(code, JSON, value.to_string().into_bytes())
}
