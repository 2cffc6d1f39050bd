//! Patches: from the object as it is to the object as the client wants it, under the budget of all bodies.
//!
//! Strategic merge is `schema::strategic`'s part. What comes out still has to be fitted and validated.

pub mod json;
mod pointer;

use serde_json::Value;

use crate::budget::{self, Budget, DecodeError};
use crate::schema::decode::read_json;
use crate::schema::strategic::PatchError;
use crate::schema::{TypeId, builtin};
use crate::status::Status;

#[derive(Clone, Debug)]
pub enum Patch {
    /// RFC 6902
    Json(Vec<json::Operation>),
    /// RFC 7386
    Merge(Value),
    Strategic(Value),
}

impl Patch {
    pub fn read(content_type: &str, body: &[u8]) -> Result<Self, Status> {
        let media = content_type.split(';').next().unwrap_or("").trim();
        let value = || read_json(body, &mut Vec::new()).map_err(|e| e.status("the patch is not JSON"));
        let object = || {
            let value = value()?;
            if value.is_object() { Ok(value) } else { Err(Status::bad_request("the patch must be an object")) }
        };
        match media {
            "application/json-patch+json" => json::read(value()?).map(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge(object()?)),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(object()?)),
            other => Err(Status::unsupported_media_type(format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
                 application/apply-patch+yaml; got {other:?}"
            ))),
        }
    }

    /// The result is an object within the budget.
    pub fn apply(&self, schema: TypeId, mut document: Value) -> Result<Value, Status> {
        let mut budget = Budget::holding(&document).map_err(refused)?;
        let result = match self {
            Self::Json(operations) => {
                json::apply(operations, &mut document, &mut budget)?;
                document
            }
            Self::Merge(patch) => {
                budget.take(budget::size(patch)).map_err(refused)?;
                merge(&mut document, patch);
                document
            }
            Self::Strategic(patch) => {
                budget.take(budget::size(patch)).map_err(refused)?;
                let applied = builtin().apply_strategic(schema, document, patch.clone());
                applied.map_err(|e| match e {
                    PatchError::Delete => unprocessable("the patch would delete the object as a whole"),
                    e => Status::bad_request(e.to_string()),
                })?
            }
        };
        if !result.is_object() {
            return Err(unprocessable(
                "the patch leaves no object: its result must have apiVersion, kind and metadata",
            ));
        }
        budget::check(&result).map_err(refused)?;
        Ok(result)
    }
}

fn refused(why: DecodeError) -> Status {
    why.status("the patch cannot be applied")
}

/// 422, as upstream answers a patch that does not go with the object.
fn unprocessable(why: &str) -> Status {
    let message = format!("the server rejected our request due to an error in our request: {why}");
    Status { code: 422, reason: "Invalid", message, details: None }
}

/// RFC 7386. The patch was read under the budget, so it is not deep.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
