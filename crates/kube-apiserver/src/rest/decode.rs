//! From a request's body to a document that fits its kind.

use crate::request::text_of;
use api::catalog::Served;
use api::schema::decode::{Findings, read_json};
use api::schema::protobuf::MEDIA_TYPE;
use api::schema::{TypeId, builtin};
use api::status::Status;
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

/// What becomes of fields that the kind does not have, and of fields that occur twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl FieldValidation {
    pub fn read(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            "Strict" => Ok(Self::Strict),
            other => Err(Status::bad_request(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// Group version and kind that a body must have.
pub struct Expected<'a> {
    pub api_version: String,
    pub kind: &'static str,
    pub schema: TypeId,
    /// The version that it is converted from.
    form: Option<&'a Served>,
}

impl<'a> Expected<'a> {
    pub fn for_resource(form: &'a Served) -> Self {
        Self { api_version: form.api_version(), kind: form.kind, schema: form.schema, form: Some(form) }
    }

    pub fn of(group: &str, version: &str, kind: &'static str) -> Self {
        let schema = builtin().of_kind(group, version, kind);
        let schema = schema.unwrap_or_else(|| panic!("schema/roots.rs lacks {group}/{version} {kind}"));
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Self { api_version, kind, schema, form: None }
    }
}

/// JSON, or YAML or protobuf where the content type says so. `duplicates` tells of fields that occur twice.
pub fn read(headers: &HeaderMap, body: &Bytes, duplicates: &mut Vec<String>) -> Result<Value, Status> {
    let content_type = text_of(headers, header::CONTENT_TYPE);
    let media = content_type.split(';').next().unwrap_or("").trim();
    let value = match media {
        "" | "application/json" => read_json(body, duplicates).map_err(|e| e.status("the body is not JSON"))?,
        "application/yaml" | "application/x-yaml" | "text/yaml" => {
            api::yaml::read(body, duplicates).map_err(|e| e.status("the body is not YAML"))?
        }
        MEDIA_TYPE => builtin()
            .read_protobuf(body)
            .map_err(|e| api::budget::DecodeError::from(e).status("the body is not an object in protobuf"))?,
        other => {
            return Err(Status::unsupported_media_type(format!(
                "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf; got {other:?}"
            )));
        }
    };
    if value.is_object() {
        return Ok(value);
    }
    Err(Status::bad_request("the body must be an object: it must have apiVersion, kind and metadata"))
}

/// The document as its kind, in the form in which the kind is stored, and warnings for the client.
pub fn fit(
    mut value: Value,
    expected: &Expected<'_>,
    validation: FieldValidation,
    duplicates: Vec<String>,
) -> Result<(Value, Vec<String>), Status> {
    if !value.is_object() {
        return Err(Status::bad_request(format!("a patched {} must be an object", expected.kind)));
    }
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if !api_version.is_empty() && api_version != expected.api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version
        )));
    }
    if !kind.is_empty() && kind != expected.kind {
        return Err(Status::bad_request(format!(
            "the kind in the data ({kind}) does not match the expected kind ({})",
            expected.kind
        )));
    }
    let Findings { unknown, wrong } = builtin().fit(expected.schema, &mut value);
    value["apiVersion"] = expected.api_version.as_str().into();
    value["kind"] = expected.kind.into();
    let version = expected.api_version.as_str();
    let cannot = |why: String| {
        Status::bad_request(format!(
            "{} in version {version:?} cannot be handled as a {}: {why}",
            expected.kind, expected.kind
        ))
    };
    if !wrong.is_empty() {
        let all: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        return Err(cannot(all.join(", ")));
    }
    let mut warnings: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    warnings.extend(duplicates.iter().map(|path| format!("duplicate field {path:?}")));
    let warnings = match validation {
        FieldValidation::Strict if !warnings.is_empty() => {
            Err(cannot(format!("strict decoding error: {}", warnings.join(", "))))
        }
        FieldValidation::Ignore => Ok(Vec::new()),
        _ => Ok(warnings),
    }?;
    if let Some(form) = expected.form {
        form.to_stored(&mut value).map_err(cannot)?;
    }
    Ok((value, warnings))
}
