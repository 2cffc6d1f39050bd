//! Which form of an answer the client wants, and how a status becomes a response.

use api::catalog::Served;
use api::columns::IncludeObject;
use api::conversion;
use api::schema::protobuf::MEDIA_TYPE;
use api::status::Status;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::Value;

use super::Request;
use super::codec::Media;
use crate::request::{Query, text_of};
use crate::server::Body;

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
    pub media: Media,
}

/// How a refusal is told: in the first media type of the client's that we have, JSON if there is none.
pub fn accepted_media(headers: &HeaderMap) -> Media {
    let header = text_of(headers, header::ACCEPT);
    let media = |range: &str| media_of(range.split(';').next().unwrap_or("").trim());
    header.split(',').find_map(media).unwrap_or(Media::Json)
}

fn media_of(range: &str) -> Option<Media> {
    match range {
        "*/*" | "application/*" | "application/json" => Some(Media::Json),
        "application/yaml" => Some(Media::Yaml),
        MEDIA_TYPE => Some(Media::Protobuf),
        _ => None,
    }
}

/// The first of the client's media types that there is of a version.
pub fn accepted_for(form: &Served, request: &Request) -> Result<Accepted, Status> {
    accepted(&request.headers, &request.query, Has { protobuf: form.form.protobuf, tables: true })
}

/// The first of the client's media types for an answer that is no object of a store: there is no table of it.
pub fn accepted_for_answer(request: &Request) -> Result<Media, Status> {
    accepted(&request.headers, &request.query, Has { protobuf: true, tables: false }).map(|accepted| accepted.media)
}

/// What there is of a kind beside JSON.
#[derive(Clone, Copy)]
struct Has {
    protobuf: bool,
    tables: bool,
}

fn accepted(headers: &HeaderMap, query: &Query, has: Has) -> Result<Accepted, Status> {
    let header = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    for range in header.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = media_of(parts.next().unwrap_or(""));
        let Some(media) = media.filter(|media| has.protobuf || *media != Media::Protobuf) else { continue };
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
            // Tables have no form in protobuf.
            "Table" if known && has.tables && media != Media::Protobuf => {
                Form::Table { version: version.into(), include: include(query)? }
            }
            "PartialObjectMetadata" | "PartialObjectMetadataList" if known && has.tables => {
                Form::Metadata { version: version.into() }
            }
            _ => continue,
        };
        return Ok(Accepted { form, media });
    }
    Err(Status::not_acceptable(
        "only the following media types are accepted: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf, \
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
    let header = text_of(headers, header::ACCEPT);
    for range in header.split(',') {
        if range.contains("as=APIGroupDiscoveryList") && range.contains("g=apidiscovery.k8s.io") {
            if range.contains("v=v2beta1") {
                continue;
            }
            if range.contains("v=v2") {
                return Some("v2");
            }
        } else if range.trim().starts_with("application/json") {
            return None;
        }
    }
    None
}

/// A refusal of a request, in the version that the request is of.
pub fn refusal(request: &Request, status: &Status) -> Response<Body> {
    refused(status, |code, json| told(request, code, json))
}

/// A status in the version that the request is of.
pub fn told(request: &Request, code: StatusCode, mut status: Value) -> Response<Body> {
    let media = accepted_media(&request.headers);
    let about = request.attributes.resource.as_ref().filter(|about| about.group.is_empty());
    match about.map(|about| about.version.as_str()) {
        Some("v1beta1") => conversion::core::status(&mut status),
        Some("v1beta3") => status["apiVersion"] = "v1beta3".into(),
        _ => return media.document(code, ("", "v1", "Status"), &status),
    }
    let media = if media == Media::Yaml { media } else { Media::Json };
    media.document(code, ("", "v1", "Status"), &status)
}

/// A refusal in the client's media type.
pub fn failure(status: &Status, media: Media) -> Response<Body> {
    refused(status, |code, json| media.document(code, ("", "v1", "Status"), &json))
}

/// With the code of the status, and when to try again.
fn refused(status: &Status, respond: impl FnOnce(StatusCode, Value) -> Response<Body>) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(code, status.to_json());
    if let Some(seconds) = status.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Result<Form, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        accepted(&headers, &Query::default(), Has { protobuf: true, tables: true })
            .map(|a| a.form)
            .map_err(|status| status.code)
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
            ("application/vnd.kubernetes.protobuf", Ok(Form::Object)),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", Err(406)),
            ("text/html", Err(406)),
        ] {
            assert_eq!(form(accept), expected, "{accept}");
        }
    }
}
