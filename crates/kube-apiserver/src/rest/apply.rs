//! Server-side apply: a configuration of what its manager wants of the object.

use api::catalog::{Subresource, View};
use api::field::{Errors, Path};
use api::managedfields::{self, ApplyError, Writer};
use api::meta;
use api::schema::builtin;
use api::status::{Cause, Status};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Value, json};

use super::negotiate::accepted_for;
use super::objects::{create_missing, expected, rules, viewed};
use super::{Expected, FieldValidation, Request, Rest, fit, with_warnings};
use crate::authorization::Authorization;
use crate::registry::{Context, Registry, Target};
use crate::request::text_of;
use crate::server::Body;

/// YAML, of which JSON is a part.
const MEDIA_TYPE: &str = "application/apply-patch+yaml";
/// As upstream bounds a manager's name.
const MAX_MANAGER: usize = 128;
/// Who deletes the object and makes it anew this often is told so.
const TRIES: usize = 8;

pub(crate) fn is_apply(headers: &HeaderMap) -> bool {
    let content_type = text_of(headers, header::CONTENT_TYPE);
    content_type.split(';').next().unwrap_or("").trim() == MEDIA_TYPE
}

/// The manager that a client is by default: the first word of its name.
pub(crate) fn manager_of(user_agent: &str) -> String {
    let word = user_agent.split('/').next().unwrap_or("");
    let mut manager = String::new();
    for c in word.chars().filter(|c| !c.is_control()) {
        if manager.len() + c.len_utf8() > MAX_MANAGER {
            break;
        }
        manager.push(c);
    }
    manager
}

/// What a client may say of its manager; `options`: the kind that the parameters stand for.
pub(crate) fn check_manager(manager: &str, options: &str, applies: bool, force: bool) -> Result<(), Status> {
    let (mut errors, path) = (Errors::default(), Path::new("fieldManager"));
    if manager.len() > MAX_MANAGER {
        errors.too_long(&path, MAX_MANAGER);
    }
    if manager.chars().any(char::is_control) {
        errors.invalid(&path, manager, "should only contain printable characters");
    }
    if applies && manager.is_empty() {
        errors.required(&path, "is required for apply patch");
    }
    if !applies && force {
        errors.forbidden(&Path::new("force"), "may not be specified for non-apply patch");
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", options, "", &errors)) }
}

impl Request {
    /// The manager that the client says it is, or what its name says. `options`: the kind that the parameters stand for.
    pub(super) fn manager(&self, options: &str) -> Result<String, Status> {
        let manager = self.query.text("fieldManager");
        let patches = options == "PatchOptions";
        let applies = patches && is_apply(&self.headers);
        check_manager(manager, options, applies, patches && !self.query.text("force").is_empty())?;
        if !manager.is_empty() {
            return Ok(manager.to_owned());
        }
        let user_agent = self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(manager_of(user_agent.unwrap_or("")))
    }
}

impl Rest {
    pub(super) async fn apply(
        &self,
        request: &Request,
        target: &Target,
        sub: Option<(&Subresource, &View)>,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let accepted = accepted_for(target.form(), request)?;
        let mut context = request.context("PatchOptions", Vec::new())?;
        context.applied = true;
        let validation = FieldValidation::read(request.query.text("fieldValidation"))?;
        let config = configuration(target, sub, &body, validation, &context)?;
        let applying = Applying { context: &context, target, sub, config, force: request.query.flag("force") };
        let (code, bytes) = applying.run(&self.registry, &self.authorization).await?;
        let mut response = viewed(target.form(), sub, bytes, None, &accepted)?;
        *response.status_mut() = code;
        Ok(with_warnings(response, &context.warnings()))
    }
}

/// What is applied, in the form of the object: all that it names is the manager's will.
pub(crate) fn configuration(
    target: &Target,
    sub: Option<(&Subresource, &View)>,
    body: &Bytes,
    validation: FieldValidation,
    context: &Context,
) -> Result<Value, Status> {
    let mut duplicates = Vec::new();
    let mut config = api::yaml::read(body, &mut duplicates).map_err(|e| e.status("the body is not YAML"))?;
    let expected = expected(target.form(), sub);
    let (group_version, kind) = (expected.api_version.as_str(), expected.kind);
    let subject = format!("({}/{}; {group_version}, Kind={kind})", target.namespace, target.name);
    if !config.is_object() {
        return Err(Status::bad_request(format!(
            "error decoding YAML: the configuration of {subject} must be an object"
        )));
    }
    for (field, wanted) in [("apiVersion", group_version), ("kind", kind)] {
        if config.get(field).and_then(Value::as_str) != Some(wanted) {
            return Err(Status::bad_request(format!("the {field} of an applied configuration must be {wanted:?}")));
        }
    }
    if config.pointer("/metadata/managedFields").is_some_and(|list| !list.is_null()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let duplicates = duplicates.iter().map(|path| format!("duplicate field {path:?}"));
    match validation {
        FieldValidation::Strict if duplicates.len() > 0 => {
            let all: Vec<String> = duplicates.collect();
            return Err(Status::bad_request(format!("error decoding YAML: strict decoding error: {}", all.join(", "))));
        }
        FieldValidation::Warn => duplicates.for_each(|warning| context.warn(warning)),
        _ => {}
    }
    let findings = builtin().check(expected.schema, &mut config);
    let mut wrong: Vec<String> =
        findings.unknown.iter().map(|path| format!(".{path}: field not declared in schema")).collect();
    wrong.extend(findings.wrong.iter().map(|wrong| format!(".{wrong}")));
    if !wrong.is_empty() {
        return Err(Status::bad_request(format!(
            "failed to create typed patch object {subject}: {}",
            wrong.join(", ")
        )));
    }
    // Who manages what is told of the stored form.
    if expected.schema == target.form().schema {
        let cannot = |why: String| Status::bad_request(format!("failed to create typed patch object {subject}: {why}"));
        target.form().form_to_stored(&mut config).map_err(cannot)?;
    }
    let Some((_, view)) = sub else { return Ok(config) };
    // A view takes what it may change, and makes a configuration of the object of it.
    let stored = target.resource().stored();
    Ok(view.take(&json!({"apiVersion": stored.api_version(), "kind": stored.kind}), &config))
}

/// One apply, by REST or gRPC. Its context says that the object is applied, and by which manager.
pub(crate) struct Applying<'a> {
    pub(crate) context: &'a Context,
    pub(crate) target: &'a Target,
    pub(crate) sub: Option<(&'a Subresource, &'a View)>,
    pub(crate) config: Value,
    pub(crate) force: bool,
}

impl Applying<'_> {
    /// Changes the object, or makes it where there is none.
    pub(crate) async fn run(
        &self,
        registry: &Registry,
        authorization: &Authorization,
    ) -> Result<(StatusCode, Bytes), Status> {
        let change = |current: &Value| self.applied(current);
        let rules = rules(self.sub);
        let mut last = None;
        for _ in 0..TRIES {
            match registry.update(self.context, self.target, rules, &change).await {
                Err(status) if status.reason == "NotFound" && self.sub.is_none() => {}
                updated => return updated.map(|bytes| (StatusCode::OK, bytes)),
            }
            match self.create(registry, authorization).await {
                Err(status) if status.reason == "AlreadyExists" => last = Some(status),
                created => return created.map(|bytes| (StatusCode::CREATED, bytes)),
            }
        }
        Err(last.unwrap_or_else(Status::no_such_resource))
    }

    async fn create(&self, registry: &Registry, authorization: &Authorization) -> Result<Bytes, Status> {
        let object = self.applied(&json!({"metadata": {"name": self.target.name}}))?;
        create_missing((registry, authorization), self.context, self.target, object).await
    }

    fn applied(&self, current: &Value) -> Result<Value, Status> {
        let resource = self.target.resource();
        let (api_version, time) = (resource.stored().api_version(), meta::now());
        let writer = Writer {
            manager: &self.context.manager,
            subresource: self.context.subresource(),
            api_version: &api_version,
            time: &time,
        };
        let ignored = self.target.ignored(rules(self.sub));
        let applied =
            managedfields::apply(resource.stored().schema, current, &self.config, writer, self.force, &ignored);
        let applied = applied.map_err(refused)?;
        fit(applied, &Expected::for_resource(resource), FieldValidation::Ignore, Vec::new()).map(|(fitted, _)| fitted)
    }
}

fn refused(error: ApplyError) -> Status {
    let message = error.to_string();
    let ApplyError::Conflicts(conflicts) = error else {
        return Status::bad_request(format!("failed to create typed patch object: {message}"));
    };
    let cause = |conflict: managedfields::Conflict| Cause {
        reason: "FieldManagerConflict",
        field: conflict.field,
        message: format!("conflict with {}", conflict.manager),
    };
    Status::apply_conflict(message, conflicts.into_iter().map(cause).collect())
}
