//! Questions that are answered at once: whose token is it, who am I, who may do what.

use std::sync::Arc;

use api::catalog::{Review, Served};
use api::field::{Errors, Path};
use api::meta;
use api::status::Status;
use bytes::Bytes;
use http::{Response, StatusCode};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes as AskedResource, SubjectAccessReviewSpec,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::objects::decode;
use super::{Expected, Request, Rest, with_warnings};
use crate::attributes::{Attributes, ResourceAttributes, User};
use crate::authorization::Decision;
use crate::rest::negotiate::accepted_for_answer;
use crate::server::Body;

impl Rest {
    pub(super) async fn review(
        &self,
        request: &Request,
        resource: &Served,
        review: Review,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let media = accepted_for_answer(request)?;
        let (mut object, warnings) = decode(request, &Expected::for_resource(resource), &body)?;
        request.query.dry_run("CreateOptions")?;
        let user = &request.attributes.user;
        let namespace = request.attributes.resource.as_ref().map_or("", |about| about.namespace.as_str());
        let mut errors = Errors::default();
        let status = match review {
            Review::SelfSubject => json!({"userInfo": user.to_json()}),
            Review::Token => self.whose_token(&object, &mut errors).await,
            Review::SelfSubjectRules => self.rules(user, &object, &mut errors).await,
            Review::SelfSubjectAccess => self.access(&object, Some(user), "", &mut errors).await,
            Review::SubjectAccess => self.access(&object, None, "", &mut errors).await,
            Review::LocalSubjectAccess => self.access(&object, None, namespace, &mut errors).await,
            Review::Binding | Review::ComponentStatus => return Err(Status::no_such_resource()),
        };
        if !errors.is_empty() {
            return Err(Status::invalid(resource.group, resource.kind, meta::name(&object), &errors));
        }
        object["status"] = status;
        let kind = (resource.group, resource.version, resource.kind);
        let response = media.document(StatusCode::CREATED, kind, &object);
        Ok(with_warnings(response, &warnings))
    }

    async fn whose_token(&self, object: &Value, errors: &mut Errors) -> Value {
        let token = meta::text_at(object, "spec.token");
        if token.is_empty() {
            errors.required(&Path::new("spec").child("token"), "");
            return Value::Null;
        }
        let audiences = object.pointer("/spec/audiences").and_then(Value::as_array).into_iter().flatten();
        let audiences: Vec<String> = audiences.filter_map(Value::as_str).map(str::to_owned).collect();
        match self.authentication.of_token(token, &audiences).await {
            Ok((user, meant)) if meant.is_empty() => json!({"authenticated": true, "user": user.to_json()}),
            Ok((user, meant)) => json!({"authenticated": true, "user": user.to_json(), "audiences": meant}),
            Err(refused) if refused.is_empty() => json!({"error": "the token is nobody's"}),
            Err(refused) => json!({"error": refused.join(", ")}),
        }
    }

    /// `asker`: who is asked about, where it is not written in the question. `namespace`: the only one that is asked about.
    async fn access(&self, object: &Value, asker: Option<&Arc<User>>, namespace: &str, errors: &mut Errors) -> Value {
        let path = Path::new("spec");
        let spec = object.get("spec").cloned().unwrap_or_default();
        let spec = SubjectAccessReviewSpec::deserialize(spec).unwrap_or_default();
        let asked = (spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref());
        match asked {
            (Some(_), Some(_)) => {
                let why = "cannot be specified in combination with resourceAttributes";
                errors.invalid(&path.child("nonResourceAttributes"), Value::Null, why);
            }
            (None, None) => {
                let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
                errors.invalid(&path.child("resourceAttributes"), Value::Null, why);
            }
            _ => {}
        }
        let named = spec.user.as_deref().is_some_and(|user| !user.is_empty());
        if asker.is_none() && !named && spec.groups.as_ref().is_none_or(Vec::is_empty) {
            errors.invalid(&path.child("user"), "", "at least one of user or group must be specified");
        }
        if !namespace.is_empty() {
            let own = asked.0.and_then(|asked| asked.namespace.as_deref()).unwrap_or("");
            if own != namespace {
                let resource = path.child("resourceAttributes");
                errors.invalid(
                    &resource.child("namespace"),
                    own,
                    format!("must match metadata.namespace: {namespace}"),
                );
            }
            if asked.1.is_some() {
                errors.invalid(&path.child("nonResourceAttributes"), Value::Null, "disallowed on this kind of request");
            }
        }
        if !errors.is_empty() {
            return Value::Null;
        }
        let user = asker.cloned().unwrap_or_else(|| {
            Arc::new(User {
                name: spec.user.clone().unwrap_or_default(),
                uid: spec.uid.clone().unwrap_or_default(),
                groups: spec.groups.clone().unwrap_or_default(),
                extra: spec.extra.clone().unwrap_or_default(),
            })
        });
        match self.authorization.decide(&attributes(user, asked)).await {
            Decision::Allow => json!({"allowed": true}),
            Decision::Deny(reason) => json!({"allowed": false, "denied": true, "reason": reason}),
            Decision::NoOpinion(reason) if reason.is_empty() => json!({"allowed": false}),
            Decision::NoOpinion(reason) => json!({"allowed": false, "reason": reason}),
        }
    }

    async fn rules(&self, user: &Arc<User>, object: &Value, errors: &mut Errors) -> Value {
        let namespace = meta::text_at(object, "spec.namespace");
        if namespace.is_empty() {
            errors.required(&Path::new("spec").child("namespace"), "");
        }
        let (rules, incomplete) = self.authorization.rules(user, namespace);
        let (mut resources, mut others) = (Vec::new(), Vec::new());
        for rule in rules {
            match rule.non_resource_urls.as_ref().filter(|urls| !urls.is_empty()) {
                Some(urls) => others.push(json!({"verbs": rule.verbs, "nonResourceURLs": urls})),
                None => {
                    let mut told =
                        json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
                    if let Some(names) = rule.resource_names.filter(|names| !names.is_empty()) {
                        told["resourceNames"] = json!(names);
                    }
                    resources.push(told);
                }
            }
        }
        let mut status =
            json!({"resourceRules": resources, "nonResourceRules": others, "incomplete": !incomplete.is_empty()});
        if !incomplete.is_empty() {
            status["evaluationError"] = incomplete.join(", ").into();
        }
        status
    }
}

fn attributes(user: Arc<User>, asked: (Option<&AskedResource>, Option<&NonResourceAttributes>)) -> Attributes {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    if let (_, Some(asked)) = asked {
        return Attributes { user, verb: text(&asked.verb).into(), path: text(&asked.path), ..Attributes::default() };
    }
    let asked = asked.0.cloned().unwrap_or_default();
    let resource = ResourceAttributes {
        group: text(&asked.group),
        version: text(&asked.version),
        resource: text(&asked.resource),
        namespace: text(&asked.namespace),
        name: text(&asked.name),
        subresource: text(&asked.subresource),
        rest: String::new(),
    };
    Attributes::question(user, text(&asked.verb), resource)
}
