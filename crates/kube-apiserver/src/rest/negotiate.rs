//! Which form of an answer the client wants, and how a status becomes a response.

use api::columns::IncludeObject;
use api::status::Status;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::request::Query;
use crate::server::Body;

pub const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// How objects are shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    Object,
    /// `metav1.Table` of this version of `meta.k8s.io`.
    Table {
        version: String,
        include: IncludeObject,
    },
    /// `metav1.PartialObjectMetadata`
    Metadata {
        version: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub form: Form,
    pub yaml: bool,
}

/// The first of the client's media types that we have.
pub fn accepted(headers: &HeaderMap, query: &Query) -> Result<Accepted, Status> {
    let header = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    for range in header.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let yaml = match parts.next().unwrap_or("") {
            "*/*" | "application/*" | JSON => false,
            YAML => true,
            _ => continue,
        };
        let (mut kind, mut version, mut group) = ("", "", "");
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name {
                "as" => kind = value,
                "v" => version = value,
                "g" => group = value,
                _ => {}
            }
        }
        let known = group == "meta.k8s.io" && ["v1", "v1beta1"].contains(&version);
        let form = match kind {
            "" => Form::Object,
            "Table" if known => Form::Table { version: version.into(), include: include(query)? },
            "PartialObjectMetadata" | "PartialObjectMetadataList" if known => {
                Form::Metadata { version: version.into() }
            }
            _ => continue,
        };
        return Ok(Accepted { form, yaml });
    }
    Err(Status::not_acceptable(
        "only the following media types are accepted: application/json, application/yaml, \
         application/json;as=Table;v=v1;g=meta.k8s.io, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    ))
}

fn include(query: &Query) -> Result<IncludeObject, Status> {
    match query.text("includeObject") {
        "" | "Metadata" => Ok(IncludeObject::Metadata),
        "None" => Ok(IncludeObject::None),
        "Object" => Ok(IncludeObject::Object),
        other => Err(Status::bad_request(format!("includeObject: {other:?}: must be None, Metadata or Object"))),
    }
}

/// Of discovery: whether the client wants it all in one document, and of which version.
pub fn wants_aggregated(headers: &HeaderMap) -> Option<&'static str> {
    let header = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    for range in header.split(',') {
        if range.contains("as=APIGroupDiscoveryList") && range.contains("g=apidiscovery.k8s.io") {
            if range.contains("v=v2beta1") {
                continue;
            }
            if range.contains("v=v2") {
                return Some("v2");
            }
        } else if range.trim().starts_with(JSON) {
            return None;
        }
    }
    None
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

/// Encoded JSON in the form that the client wants.
pub fn encoded(code: StatusCode, bytes: Bytes, yaml: bool) -> Response<Body> {
    if !yaml {
        return respond(code, JSON, bytes);
    }
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) => respond(code, YAML, api::yaml::render(&value).into_bytes()),
        Err(_) => failure(&Status::internal("the object cannot be written as YAML")),
    }
}

pub fn failure(status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(code, &status.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Result<Form, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        accepted(&headers, &Query::default()).map(|a| a.form).map_err(|status| status.code)
    }

    #[test]
    fn the_first_form_that_we_have_is_taken() {
        let table = Form::Table { version: "v1".into(), include: IncludeObject::Metadata };
        for (accept, expected) in [
            ("application/json", Ok(Form::Object)),
            ("*/*", Ok(Form::Object)),
            ("application/vnd.kubernetes.protobuf,application/json", Ok(Form::Object)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Ok(table)),
            ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Ok(Form::Object)),
            ("application/vnd.kubernetes.protobuf", Err(406)),
        ] {
            assert_eq!(form(accept), expected, "{accept}");
        }
    }
}
