//! Encoding of answers by media type. JSON is what is stored and cached; the others are made of it, and kept with the entry of the cache
//! where there is one.

use std::sync::Arc;

use api::catalog::Served;
use api::columns::{self, IncludeObject};
use api::schema::builtin;
use api::schema::protobuf::{self, MEDIA_TYPE};
use api::status::Status;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
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

    /// An object as the cache or a write has it, in the version of the request; `entry`: the cache's.
    pub fn object(
        self,
        code: StatusCode,
        form: &Served,
        json: Bytes,
        entry: Option<&Arc<Entry>>,
    ) -> Result<Response<Body>, Status> {
        let body = match self {
            Self::Json => in_version(form, json, entry),
            Self::Yaml => api::yaml::render(&shown(form, parse(&json)?)).into(),
            Self::Protobuf => protobuf::envelope(&form.api_version(), form.kind, &message(form, &json, entry)).into(),
        };
        Ok(respond(code, self.content_type(), body))
    }
}

/// A stored document in another version.
pub fn shown(form: &Served, mut document: Value) -> Value {
    form.from_stored(&mut document);
    document
}

/// The JSON of an object in the version of the request: what is cached where that is the stored one, and else made once for an entry.
pub fn in_version(form: &Served, json: Bytes, entry: Option<&Arc<Entry>>) -> Bytes {
    if form.is_stored() {
        return json;
    }
    let convert = |json: &[u8]| Bytes::from(shown(form, parse(json).unwrap_or_default()).to_string());
    match entry {
        Some(entry) => entry.other(slot(form, Media::Json), convert),
        None => convert(&json),
    }
}

/// The protobuf message of an object, made once for an entry.
pub fn message(form: &Served, json: &[u8], entry: Option<&Arc<Entry>>) -> Bytes {
    let encode = |json: &[u8]| -> Bytes {
        let document = parse(json).map(|document| shown(form, document));
        document.map(|document| builtin().write_protobuf(form.schema, &document)).unwrap_or_default().into()
    };
    match entry {
        Some(entry) => entry.other(slot(form, Media::Protobuf), encode),
        None => encode(json),
    }
}

/// The number of an encoding in a version among an entry's others.
fn slot(form: &Served, media: Media) -> usize {
    form.place * 2 + usize::from(media == Media::Protobuf)
}

/// A row of a table. Cells are made of what is stored, whichever version is shown.
pub fn row(form: &Served, version: &str, document: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let mut row = columns::row(form.own_columns(), version, document, include, now);
    if include == IncludeObject::Object && !form.is_stored() {
        row["object"] = shown(form, row["object"].take());
    }
    row
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
