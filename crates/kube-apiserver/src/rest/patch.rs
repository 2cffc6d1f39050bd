//! Patches: from the object as it is to the object as the client wants it.

use api::schema::{TypeId, builtin};
use api::status::Status;
use bytes::Bytes;
use serde_json::Value;

/// More operations than any client sends, and few enough to be done with quickly.
const MAX_OPERATIONS: usize = 10_000;

/// What the copies of one JSON patch may add up to: as much as a body.
const MAX_COPIED: usize = super::MAX_BODY;
/// What copies may be nested in each other; decoding has the same limit.
const MAX_DEPTH: usize = 100;

#[derive(Clone, Debug)]
pub enum Patch {
    /// RFC 6902
    Json(json_patch::Patch),
    /// RFC 7386
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    pub fn read(content_type: &str, body: &Bytes) -> Result<Self, Status> {
        let media = content_type.split(';').next().unwrap_or("").trim();
        let value = || -> Result<Value, Status> {
            let mut duplicates = Vec::new();
            api::schema::decode::read_json(body, &mut duplicates)
                .map_err(|e| Status::bad_request(format!("the patch is not JSON: {e}")))
        };
        let object = || {
            let value = value()?;
            if value.is_object() { Ok(value) } else { Err(Status::bad_request("the patch must be an object")) }
        };
        match media {
            "application/json-patch+json" => {
                let patch: json_patch::Patch = serde_json::from_value(value()?)
                    .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
                if patch.0.len() > MAX_OPERATIONS {
                    let count = patch.0.len();
                    return Err(Status::too_large(format!(
                        "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
                    )));
                }
                Ok(Self::Json(patch))
            }
            "application/merge-patch+json" => Ok(Self::Merge(object()?)),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(object()?)),
            "application/apply-patch+yaml" => Err(Status::unsupported_media_type(
                "server-side apply is not supported by this version; use client-side apply (kubectl apply without --server-side)",
            )),
            other => Err(Status::unsupported_media_type(format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json; got {other:?}"
            ))),
        }
    }

    pub fn apply(&self, schema: TypeId, mut document: Value) -> Result<Value, Status> {
        match self {
            Self::Json(patch) => {
                let mut budget = MAX_COPIED;
                for operation in &patch.0 {
                    if let json_patch::PatchOperation::Copy(copy) = operation {
                        let source = document.pointer(copy.from.as_str());
                        let cost = source.and_then(|source| size(source, budget, MAX_DEPTH));
                        // A source that is not there is refused below, by its path.
                        if source.is_some() {
                            budget = budget.saturating_sub(cost.unwrap_or(usize::MAX));
                        }
                        if budget == 0 {
                            let text = format!("the copies of the JSON patch make more than {MAX_COPIED} bytes");
                            return Err(Status::too_large(text));
                        }
                    }
                    json_patch::patch(&mut document, std::slice::from_ref(operation)).map_err(|e| {
                        unprocessable(format!("the server rejected our request due to an error in our request: {e}"))
                    })?;
                }
                Ok(document)
            }
            Self::Merge(patch) => {
                json_patch::merge(&mut document, patch);
                Ok(document)
            }
            Self::Strategic(patch) => {
                let applied = builtin().apply_strategic(schema, document, patch.clone());
                applied.map_err(|e| Status::bad_request(e.to_string()))
            }
        }
    }
}

/// The bytes of a value, about; `None` when it has more than `limit` of them, or is nested deeper than `depth`.
fn size(value: &Value, limit: usize, depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    let mut total: usize = 8;
    match value {
        Value::String(text) => total += text.len(),
        Value::Array(items) => {
            for item in items {
                total += size(item, limit.checked_sub(total)?, depth)?;
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                total += name.len();
                total += size(value, limit.checked_sub(total)?, depth)?;
            }
        }
        _ => {}
    }
    (total <= limit).then_some(total)
}

fn unprocessable(message: String) -> Status {
    Status { code: 422, reason: "Invalid", message, details: None }
}
