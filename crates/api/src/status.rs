//! `metav1.Status`: every failure of the API as upstream's clients expect it.

use serde_json::{Value, json};

use crate::field;

/// A failure. `Display` is the message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Box<Details>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    pub group: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    /// Seconds; 0: nothing is said.
    pub retry_after: u32,
    /// What a list that can not go on consistently goes on with.
    pub continued: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    pub reason: &'static str,
    pub field: String,
    pub message: String,
}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        self.details = Some(Box::new(Details {
            group: group.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..Details::default()
        }));
        self
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let subject = qualified(group, resource);
        let named = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        Self::new(403, "Forbidden", format!("{subject}{named} is forbidden: {why}")).about(group, resource, name)
    }
    /// Of a path that is of no resource.
    pub fn forbidden_path(why: &str) -> Self {
        Self::new(403, "Forbidden", format!("forbidden: {why}")).about("", "", "")
    }
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(group, resource));
        Self::new(404, "NotFound", message).about(group, resource, name)
    }
    /// No such path, or a kind that this server does not have.
    pub fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource").about("", "", "")
    }
    pub fn method_not_allowed(group: &str, resource: &str, verb: &str) -> Self {
        let subject = qualified(group, resource);
        let message = format!("{verb} is not supported on resources of kind {subject:?}");
        Self::new(405, "MethodNotAllowed", message).about(group, resource, "")
    }
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(406, "NotAcceptable", message)
    }
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(group, resource));
        Self::new(409, "AlreadyExists", message).about(group, resource, name)
    }
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let subject = qualified(group, resource);
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {subject} {name:?}: {why}"))
            .about(group, resource, name)
    }
    pub fn stale(group: &str, resource: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(group, resource, name, why)
    }
    /// Fields that are applied are managed by somebody else, with other values.
    pub fn apply_conflict(message: String, causes: Vec<Cause>) -> Self {
        let details = Some(Box::new(Details { causes, ..Details::default() }));
        Self { details, ..Self::new(409, "Conflict", message) }
    }
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }
    /// Of a later page whose history is gone.
    pub fn expired_page(continued: String) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
             results. Continuing with the provided token results in an inconsistent list - objects that were created, \
             modified, or deleted between the time the first chunk was returned and now may show up in the list.";
        let details = Some(Box::new(Details { continued, ..Details::default() }));
        Self { details, ..Self::expired(message) }
    }
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &field::Errors) -> Self {
        let list: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        let list = if list.len() == 1 { list[0].clone() } else { format!("[{}]", list.join(", ")) };
        let subject = qualified(group, kind);
        let mut status =
            Self::new(422, "Invalid", format!("{subject} {name:?} is invalid: {list}")).about(group, kind, name);
        if let Some(details) = &mut status.details {
            let cause = |e: &field::Error| Cause { reason: e.kind.reason(), field: e.path.clone(), message: e.body() };
            details.causes = errors.0.iter().map(cause).collect();
        }
        status
    }
    pub fn too_many_requests(why: &str) -> Self {
        Self::new(429, "TooManyRequests", format!("Too many requests: {why}"))
    }
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
    }
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(504, "Timeout", message)
    }

    /// A version that the cluster has not reached, as upstream's clients know it.
    pub fn version_too_large(message: impl Into<String>) -> Self {
        let cause = Cause {
            reason: "ResourceVersionTooLarge",
            field: String::new(),
            message: "Too large resource version".into(),
        };
        let details = Details { causes: vec![cause], retry_after: 1, ..Details::default() };
        Self { details: Some(Box::new(details)), ..Self::new(504, "Timeout", format!("Timeout: {}", message.into())) }
    }

    /// When the client should try again.
    pub fn retry_after(&self) -> Option<u32> {
        self.details.as_ref().map(|details| details.retry_after).filter(|seconds| *seconds > 0)
    }

    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            if !details.continued.is_empty() {
                status["metadata"]["continue"] = details.continued.as_str().into();
                return status;
            }
            let mut json = json!({});
            let mut text = |key: &str, value: &str| {
                if !value.is_empty() {
                    json[key] = value.into();
                }
            };
            text("group", &details.group);
            text("kind", &details.kind);
            text("name", &details.name);
            text("uid", &details.uid);
            if details.retry_after > 0 {
                json["retryAfterSeconds"] = details.retry_after.into();
            }
            if !details.causes.is_empty() {
                let cause = |c: &Cause| match c.field.as_str() {
                    "" => json!({"reason": c.reason, "message": c.message}),
                    field => json!({"reason": c.reason, "message": c.message, "field": field}),
                };
                json["causes"] = details.causes.iter().map(cause).collect();
            }
            status["details"] = json;
        }
        status
    }

    /// The answer to a deletion that left nothing behind.
    pub fn deleted(group: &str, resource: &str, name: &str, uid: &str) -> Value {
        let mut details = json!({"name": name, "kind": resource, "uid": uid});
        if !group.is_empty() {
            details["group"] = group.into();
        }
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
    }
}

fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
