//! One object: get, create, replace, patch, delete, and its subresources.

use api::catalog::{Rules, Served, Subresource, View};
use api::columns;
use api::meta;
use api::schema::protobuf;
use api::status::Status;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::codec::{self, Media};
use super::negotiate::{Accepted, Form, accepted, accepted_media};
use super::{Expected, FieldValidation, Patch, Request, Rest, fit, read, with_warnings};
use crate::attributes::Attributes;
use crate::registry::{Context, DeleteOptions, Deletion, Object, Target, parse};
use crate::server::Body;

impl Rest {
    pub(super) async fn get(
        &self,
        request: &Request,
        target: &Target,
        sub: Option<(&Subresource, &View)>,
    ) -> Result<Response<Body>, Status> {
        let accepted = accepted(&request.headers, &request.query)?;
        let object = match request.query.number("resourceVersion")? {
            Some(version) => self.registry.get_cached(target, version).await?,
            None => self.registry.get(target).await?,
        };
        viewed(target.resource(), sub, object.bytes.clone(), Some(&object), &accepted)
    }

    pub(super) async fn create(
        &self,
        request: &Request,
        target: &Target,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let accepted = accepted(&request.headers, &request.query)?;
        let (object, warnings) = decode(request, &Expected::for_resource(target.resource()), &body)?;
        let context = request.context("CreateOptions", warnings)?;
        let bytes = self.registry.create(&context, target, object).await?;
        let response = shown(target.resource(), StatusCode::CREATED, bytes, None, &accepted)?;
        Ok(with_warnings(response, &context.warnings()))
    }

    pub(super) async fn bind(&self, request: &Request, target: &Target, body: Bytes) -> Result<Response<Body>, Status> {
        let (binding, warnings) = decode(request, &Expected::of("", "v1", "Binding"), &body)?;
        let node = meta::text_at(&binding, "target.name");
        if node.is_empty() {
            return Err(Status::bad_request("target.name: Required value: the node to bind the pod to"));
        }
        let annotations = meta::at(&binding, "metadata.annotations").and_then(Value::as_object);
        let uid = meta::text(&binding, "uid");
        let context = request.context("CreateOptions", warnings)?;
        self.registry.bind(&context, target, node, uid, annotations).await?;
        let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(with_warnings(
            accepted_media(&request.headers).document(StatusCode::CREATED, ("", "v1", "Status"), &done),
            &context.warnings(),
        ))
    }

    /// A token for a service account. Admission sees the request, as its kind.
    pub(super) async fn token(
        &self,
        request: &Request,
        target: &Target,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        const KIND: (&str, &str, &str) = ("authentication.k8s.io", "v1", "TokenRequest");
        let issuer = self.issuer.as_ref().ok_or_else(|| {
            Status::unavailable(
                "this server makes no tokens: it was started without --service-account-signing-key-file",
            )
        })?;
        let (mut asked, warnings) = decode(request, &Expected::of(KIND.0, KIND.1, KIND.2), &body)?;
        let context = request.context("CreateOptions", warnings)?;
        self.registry.admit_part(&context, target, &asked).await?;
        issuer.answer(&self.registry, target, &mut asked).await?;
        let response = accepted_media(&request.headers).document(StatusCode::CREATED, KIND, &asked);
        Ok(with_warnings(response, &context.warnings()))
    }

    pub(super) async fn replace(
        &self,
        request: &Request,
        target: &Target,
        sub: Option<(&Subresource, &View)>,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let accepted = accepted(&request.headers, &request.query)?;
        let (sent, warnings) = decode(request, &expected(target.resource(), sub), &body)?;
        let change = |current: &Value| Ok(sub.map_or_else(|| sent.clone(), |(_, view)| view.take(current, &sent)));
        let context = request.context("UpdateOptions", warnings)?;
        let resource = target.resource();
        let updated = self.registry.update(&context, target, rules(sub), &change).await;
        let absent = |status: &Status| status.reason == "NotFound" && sub.is_none() && resource.creates_on_update;
        let (code, bytes) = match updated {
            Err(status) if absent(&status) => {
                (StatusCode::CREATED, self.create_missing(&context, target, sent.clone()).await?)
            }
            updated => (StatusCode::OK, updated?),
        };
        let mut response = viewed(resource, sub, bytes, None, &accepted)?;
        *response.status_mut() = code;
        Ok(with_warnings(response, &context.warnings()))
    }

    /// Makes an object that was to be changed, for who may make it.
    pub(super) async fn create_missing(
        &self,
        context: &Context,
        target: &Target,
        object: Value,
    ) -> Result<Bytes, Status> {
        let resource = target.resource();
        let attributes = Attributes { verb: "create".into(), ..context.attributes.clone() };
        self.authorization.check(&attributes).await?;
        let name = meta::name(&object);
        if name != target.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                target.name
            )));
        }
        // Who names one object does not mean a new one.
        for field in ["uid", "resourceVersion"] {
            let wanted = meta::text(&object, field);
            if !wanted.is_empty() {
                let why = format!(
                    "{field} mismatch: the provided object specified {field} {wanted}, and no existing object was found"
                );
                return Err(Status::conflict(resource.group, resource.plural, name, &why));
            }
        }
        self.registry.create(context, target, object).await
    }

    pub(super) async fn patch(
        &self,
        request: &Request,
        target: &Target,
        sub: Option<(&Subresource, &View)>,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let accepted = accepted(&request.headers, &request.query)?;
        let context = request.context("PatchOptions", Vec::new())?;
        let validation = FieldValidation::read(request.query.text("fieldValidation"))?;
        let content_type = request.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let patch = Patch::read(content_type, &body)?;
        let expected = expected(target.resource(), sub);
        let change = |current: &Value| {
            let shown = sub.map_or_else(|| current.clone(), |(_, view)| view.show(current));
            let (patched, told) = fit(patch.apply(expected.schema, shown)?, &expected, validation, Vec::new())?;
            told.into_iter().for_each(|warning| context.warn(warning));
            Ok(match sub {
                None => patched,
                Some((_, view)) => view.take(current, &patched),
            })
        };
        let bytes = self.registry.update(&context, target, rules(sub), &change).await?;
        Ok(with_warnings(viewed(target.resource(), sub, bytes, None, &accepted)?, &context.warnings()))
    }

    pub(super) async fn delete(
        &self,
        request: &Request,
        target: &Target,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let options = delete_options(request, &body)?;
        let context = Context::new(request.attributes.clone(), options.dry_run);
        let (bytes, deletion) = self.registry.delete(&context, target, &options).await?;
        let media = accepted_media(&request.headers);
        // As upstream, for clients that ask in the old way.
        let code = match deletion {
            Deletion::Begun if options.orphan_dependents == Some(false) => StatusCode::ACCEPTED,
            _ => StatusCode::OK,
        };
        let response = match deletion {
            Deletion::Done => media.document(code, ("", "v1", "Status"), &parse(&bytes)?),
            Deletion::Begun | Deletion::Returned => media.object(code, target.resource(), bytes, None)?,
        };
        Ok(with_warnings(response, &context.warnings()))
    }
}

/// The body of a deletion, or the query where there is none.
pub(super) fn delete_options(request: &Request, body: &Bytes) -> Result<DeleteOptions, Status> {
    let mut options = if body.is_empty() {
        DeleteOptions::default()
    } else {
        let mut duplicates = Vec::new();
        let value = read(&request.headers, body, &mut duplicates)?;
        // DeleteOptions is of every group, so only the kind can be wrong.
        let kind = value["kind"].as_str().unwrap_or("DeleteOptions");
        if kind != "DeleteOptions" {
            return Err(Status::bad_request(format!("the kind in the data ({kind}) is not DeleteOptions")));
        }
        DeleteOptions::read(&value)?
    };
    if let Some(seconds) = request.query.number("gracePeriodSeconds")? {
        options.grace_period = Some(seconds);
    }
    let propagation = request.query.text("propagationPolicy");
    if !propagation.is_empty() {
        options = DeleteOptions {
            propagation: DeleteOptions::read(&json!({"propagationPolicy": propagation}))?.propagation,
            ..options
        };
    }
    options.dry_run |= request.query.dry_run("DeleteOptions")?;
    Ok(options)
}

pub(super) fn decode(request: &Request, expected: &Expected, body: &Bytes) -> Result<(Value, Vec<String>), Status> {
    let validation = FieldValidation::read(request.query.text("fieldValidation"))?;
    let mut duplicates = Vec::new();
    let value = read(&request.headers, body, &mut duplicates)?;
    fit(value, expected, validation, duplicates)
}

/// What a body must be.
pub(super) fn expected(resource: &Served, sub: Option<(&Subresource, &View)>) -> Expected {
    match sub.and_then(|(sub, _)| sub.body) {
        Some((group, version, kind)) => Expected::of(group, version, kind),
        None => Expected::for_resource(resource),
    }
}

pub(super) fn rules(sub: Option<(&Subresource, &View)>) -> Rules {
    sub.map_or(Rules::Object, |(_, view)| view.rules)
}

/// An object, or the view of it, in the form that the client wants.
pub(super) fn viewed(
    resource: &Served,
    sub: Option<(&Subresource, &View)>,
    bytes: Bytes,
    entry: Option<&Object>,
    accepted: &Accepted,
) -> Result<Response<Body>, Status> {
    match sub {
        Some((Subresource { body: Some(kind), .. }, view)) => {
            Ok(accepted.media.document(StatusCode::OK, *kind, &view.show(&parse(&bytes)?)))
        }
        _ => shown(resource, StatusCode::OK, bytes, entry, accepted),
    }
}

/// One object in the form that the client wants; `entry`: where the cache has it.
fn shown(
    resource: &Served,
    code: StatusCode,
    bytes: Bytes,
    entry: Option<&Object>,
    accepted: &Accepted,
) -> Result<Response<Body>, Status> {
    match &accepted.form {
        Form::Object => accepted.media.object(code, resource, bytes, entry),
        Form::Table { version, include } => {
            let object = parse(&bytes)?;
            let mut table = columns::table(
                resource.columns,
                version,
                json!({"resourceVersion": meta::text(&object, "resourceVersion")}),
            );
            table["rows"] = json!([columns::row(resource.columns, version, &object, *include, Timestamp::now())]);
            Ok(codec::json(code, &table))
        }
        Form::Metadata { version } => {
            let partial = partial(&parse(&bytes)?, version);
            if accepted.media != Media::Protobuf {
                return Ok(codec::json(code, &partial));
            }
            let message = protobuf::partial(&partial["metadata"]);
            let body = protobuf::envelope(&format!("meta.k8s.io/{version}"), "PartialObjectMetadata", &message);
            Ok(codec::respond(code, accepted.media.content_type(), body))
        }
    }
}

/// `metav1.PartialObjectMetadata`
pub(super) fn partial(object: &Value, version: &str) -> Value {
    let api_version = format!("meta.k8s.io/{version}");
    json!({"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": object["metadata"]})
}
