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
use super::negotiate::{Accepted, Form, accepted_for, accepted_media, told};
use super::{Expected, FieldValidation, Patch, Request, Rest, fit, read, with_warnings};
use crate::attributes::Attributes;
use crate::authorization::Authorization;
use crate::registry::{Context, DeleteOptions, Deletion, Object, Registry, Target, parse};
use crate::request::text_of;
use crate::server::Body;

impl Rest {
    pub(super) async fn get(
        &self,
        request: &Request,
        target: &Target,
        sub: Option<(&Subresource, &View)>,
    ) -> Result<Response<Body>, Status> {
        let accepted = accepted_for(target.form(), request)?;
        let object = match request.query.number("resourceVersion")? {
            Some(version) => self.registry.get_cached(target, version).await?,
            None => self.registry.get(target).await?,
        };
        viewed(target.form(), sub, object.bytes.clone(), Some(&object), &accepted)
    }

    pub(super) async fn create(
        &self,
        request: &Request,
        target: &Target,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let accepted = accepted_for(target.form(), request)?;
        let (object, warnings) = decode(request, &Expected::for_resource(target.form()), &body)?;
        let context = request.context("CreateOptions", warnings)?;
        let bytes = self.registry.create(&context, target, object).await?;
        let response = shown(target.form(), StatusCode::CREATED, bytes, None, &accepted)?;
        Ok(with_warnings(response, &context.warnings()))
    }

    pub(super) async fn bind(&self, request: &Request, target: &Target, body: Bytes) -> Result<Response<Body>, Status> {
        let form = self.registry.catalog().find("", target.form().version, "bindings").cloned();
        let form = form.ok_or_else(Status::no_such_resource)?;
        let (binding, warnings) = decode(request, &Expected::for_resource(&form), &body)?;
        let context = request.context("CreateOptions", warnings)?;
        self.bound(request, context, target, &binding).await
    }

    /// A binding that names the pod.
    pub(super) async fn bind_named(
        &self,
        request: &Request,
        form: &Served,
        namespace: &str,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let (binding, warnings) = decode(request, &Expected::for_resource(form), &body)?;
        if namespace.is_empty() {
            return Err(Status::method_not_allowed(form.group, form.plural, "post"));
        }
        let pod = meta::name(&binding).to_owned();
        let own = meta::namespace(&binding);
        if pod.is_empty() || (!own.is_empty() && own != namespace) {
            let why = "metadata: the binding must name a pod of the namespace of the request";
            return Err(Status::bad_request(why));
        }
        let target = self.registry.target("", "v1", "pods", namespace, &pod)?;
        let mut context = request.context("CreateOptions", warnings)?;
        // From here on it is as if the pod's own subresource had been asked for.
        if let Some(about) = &mut context.attributes.resource {
            (about.resource, about.name, about.subresource) = ("pods".into(), pod, "binding".into());
        }
        self.bound(request, context, &target, &binding).await
    }

    async fn bound(
        &self,
        request: &Request,
        context: Context,
        target: &Target,
        binding: &Value,
    ) -> Result<Response<Body>, Status> {
        let node = meta::text_at(binding, "target.name");
        if node.is_empty() {
            return Err(Status::bad_request("target.name: Required value: the node to bind the pod to"));
        }
        let annotations = meta::at(binding, "metadata.annotations").and_then(Value::as_object);
        let uid = meta::text(binding, "uid");
        self.registry.bind(&context, target, node, uid, annotations).await?;
        let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(with_warnings(told(request, StatusCode::CREATED, done), &context.warnings()))
    }

    /// A request that changes the object, answered with whether that was done.
    pub(super) async fn ask(
        &self,
        request: &Request,
        target: &Target,
        (sub, change): (&Subresource, fn(&Value, &Value) -> Value),
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let Some((group, version, kind)) = sub.body else { return Err(Status::no_such_resource()) };
        let (asked, warnings) = decode(request, &Expected::of(group, version, kind), &body)?;
        let named = asked.get("name").and_then(Value::as_str).unwrap_or("");
        if named != target.name {
            return Err(Status::bad_request(format!(
                "name in URL does not match name in {kind} object: {named:?} is not {:?}",
                target.name
            )));
        }
        let context = request.context("CreateOptions", warnings)?;
        let change = |current: &Value| Ok(change(current, &asked));
        self.registry.update(&context, target, Rules::Object, &change).await?;
        let what = format!("{} request for {} {:?} succeeded", sub.name, target.resource().singular, target.name);
        let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "message": what, "code": 200});
        let response = told(request, StatusCode::OK, done);
        Ok(with_warnings(response, &context.warnings()))
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
        let accepted = accepted_for(target.form(), request)?;
        let (sent, warnings) = decode(request, &expected(target.form(), sub), &body)?;
        let change = |current: &Value| Ok(sub.map_or_else(|| sent.clone(), |(_, view)| view.take(current, &sent)));
        let context = request.context("UpdateOptions", warnings)?;
        let resource = target.resource();
        let updated = self.registry.update(&context, target, rules(sub), &change).await;
        let absent = |status: &Status| status.reason == "NotFound" && sub.is_none() && resource.creates_on_update;
        let (code, bytes) = match updated {
            Err(status) if absent(&status) => (
                StatusCode::CREATED,
                create_missing((&self.registry, &self.authorization), &context, target, sent.clone()).await?,
            ),
            updated => (StatusCode::OK, updated?),
        };
        let mut response = viewed(target.form(), sub, bytes, None, &accepted)?;
        *response.status_mut() = code;
        Ok(with_warnings(response, &context.warnings()))
    }

    pub(super) async fn patch(
        &self,
        request: &Request,
        target: &Target,
        sub: Option<(&Subresource, &View)>,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let accepted = accepted_for(target.form(), request)?;
        let context = request.context("PatchOptions", Vec::new())?;
        let validation = FieldValidation::read(request.query.text("fieldValidation"))?;
        let content_type = text_of(&request.headers, header::CONTENT_TYPE);
        let patch = Patch::read(content_type, &body)?;
        let expected = expected(target.form(), sub);
        let change = |current: &Value| {
            let mut shown = sub.map_or_else(|| current.clone(), |(_, view)| view.show(current));
            if sub.is_none_or(|(sub, _)| sub.body.is_none()) {
                target.form().from_stored(&mut shown);
            }
            let (patched, told) = fit(patch.apply(expected.schema, shown)?, &expected, validation, Vec::new())?;
            told.into_iter().for_each(|warning| context.warn(warning));
            Ok(match sub {
                None => patched,
                Some((_, view)) => view.take(current, &patched),
            })
        };
        let bytes = self.registry.update(&context, target, rules(sub), &change).await?;
        Ok(with_warnings(viewed(target.form(), sub, bytes, None, &accepted)?, &context.warnings()))
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
            Deletion::Done => told(request, code, parse(&bytes)?),
            Deletion::Begun | Deletion::Returned => {
                media_for(target, media).object(code, target.form(), bytes, None)?
            }
        };
        Ok(with_warnings(response, &context.warnings()))
    }
}

/// Makes an object that was to be changed, for who may make it.
pub(super) async fn create_missing(
    (registry, authorization): (&Registry, &Authorization),
    context: &Context,
    target: &Target,
    object: Value,
) -> Result<Bytes, Status> {
    let resource = target.resource();
    let attributes = Attributes { verb: "create".into(), ..context.attributes.clone() };
    authorization.check(&attributes).await?;
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
    registry.create(context, target, object).await
}

/// The client's first media type, where there is one of it in this version.
pub(super) fn media_for(target: &Target, media: Media) -> Media {
    if media == Media::Protobuf && !target.form().form.protobuf { Media::Json } else { media }
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

pub(super) fn decode(request: &Request, expected: &Expected<'_>, body: &Bytes) -> Result<(Value, Vec<String>), Status> {
    let validation = FieldValidation::read(request.query.text("fieldValidation"))?;
    let mut duplicates = Vec::new();
    let value = read(&request.headers, body, &mut duplicates)?;
    fit(value, expected, validation, duplicates)
}

/// What a body must be.
pub(super) fn expected<'a>(form: &'a Served, sub: Option<(&Subresource, &View)>) -> Expected<'a> {
    match sub.and_then(|(sub, _)| sub.body) {
        Some((group, version, kind)) => Expected::of(group, version, kind),
        None => Expected::for_resource(form),
    }
}

pub(crate) fn rules(sub: Option<(&Subresource, &View)>) -> Rules {
    sub.map_or(Rules::Object, |(_, view)| view.rules)
}

/// An object, or the view of it, in the form that the client wants.
pub(super) fn viewed(
    form: &Served,
    sub: Option<(&Subresource, &View)>,
    bytes: Bytes,
    entry: Option<&Object>,
    accepted: &Accepted,
) -> Result<Response<Body>, Status> {
    match sub {
        Some((Subresource { body: Some(kind), .. }, view)) => {
            Ok(accepted.media.document(StatusCode::OK, *kind, &view.show(&parse(&bytes)?)))
        }
        _ => shown(form, StatusCode::OK, bytes, entry, accepted),
    }
}

/// One object in the form that the client wants; `entry`: where the cache has it.
fn shown(
    form: &Served,
    code: StatusCode,
    bytes: Bytes,
    entry: Option<&Object>,
    accepted: &Accepted,
) -> Result<Response<Body>, Status> {
    match &accepted.form {
        Form::Object => accepted.media.object(code, form, bytes, entry),
        Form::Table { version, include } => {
            let object = parse(&bytes)?;
            let mut table = columns::table(
                form.own_columns(),
                version,
                json!({"resourceVersion": meta::text(&object, "resourceVersion")}),
            );
            table["rows"] = json!([codec::row(form, version, &object, *include, Timestamp::now())]);
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
