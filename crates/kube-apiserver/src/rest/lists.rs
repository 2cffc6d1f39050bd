//! Collections: list, watch and delete-collection.

use api::columns;
use api::schema::protobuf;
use api::selector::{FieldSelector, Selector};
use api::status::Status;
use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::codec::{self, JSON, Media, respond};
use super::negotiate::{Accepted, Form, accepted_for, accepted_media};
use super::objects::{delete_options, partial};
use super::{Request, Rest};
use crate::registry::{Context, ListOptions, Listed, Target, VersionMatch, parse};
use crate::server::{Body, ListBody};

pub(super) fn selectors(request: &Request) -> Result<(Selector, FieldSelector), Status> {
    let labels = request.query.text("labelSelector").parse::<Selector>();
    let fields = request.query.text("fieldSelector").parse::<FieldSelector>();
    let labels = labels.map_err(|e| Status::bad_request(format!("unable to parse labelSelector: {e}")))?;
    let fields = fields.map_err(|e| Status::bad_request(format!("unable to parse fieldSelector: {e}")))?;
    Ok((labels, fields))
}

fn list_options(request: &Request) -> Result<ListOptions, Status> {
    let (labels, fields) = selectors(request)?;
    let version_match = match request.query.text("resourceVersionMatch") {
        "" | "NotOlderThan" => VersionMatch::NotOlderThan,
        "Exact" => VersionMatch::Exact,
        other => {
            return Err(Status::bad_request(format!(
                "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""
            )));
        }
    };
    Ok(ListOptions {
        labels,
        fields,
        version: request.query.number("resourceVersion")?,
        version_match,
        limit: request.query.number("limit")?.unwrap_or(0) as usize,
        continued: request.query.text("continue").to_owned(),
    })
}

impl Rest {
    pub(super) async fn list(&self, request: &Request, target: &Target) -> Result<Response<Body>, Status> {
        let accepted = accepted_for(target.form(), request)?;
        let listed = self.registry.list(target, &list_options(request)?).await?;
        list_response(target, listed, &accepted)
    }

    pub(super) async fn delete_collection(
        &self,
        request: &Request,
        target: &Target,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let options = delete_options(request, &body)?;
        let context = Context::new(request.attributes.clone(), options.dry_run);
        let listed = self.registry.delete_collection(&context, target, &list_options(request)?, &options).await?;
        list_response(target, listed, &Accepted { form: Form::Object, media: accepted_media(&request.headers) })
    }
}

fn list_meta(listed: &Listed) -> Value {
    let mut metadata = json!({"resourceVersion": listed.revision.to_string()});
    if !listed.continued.is_empty() {
        metadata["continue"] = listed.continued.as_str().into();
    }
    if let Some(remaining) = listed.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    metadata
}

fn list_response(target: &Target, listed: Listed, accepted: &Accepted) -> Result<Response<Body>, Status> {
    let form = target.form();
    let metadata = list_meta(&listed);
    match &accepted.form {
        Form::Object if accepted.media == Media::Yaml => {
            let items = listed.entries.iter().map(|entry| Ok(codec::shown(form, parse(&entry.bytes)?)));
            let items = items.collect::<Result<Vec<_>, Status>>()?;
            let list = json!({"kind": format!("{}List", form.kind), "apiVersion": form.api_version(),
                "metadata": metadata, "items": items});
            Ok(respond(StatusCode::OK, accepted.media.content_type(), api::yaml::render(&list).into_bytes()))
        }
        Form::Object if accepted.media == Media::Protobuf => {
            let items: Vec<Bytes> =
                listed.entries.iter().map(|entry| codec::message(form, &entry.bytes, Some(entry))).collect();
            let message = protobuf::list(&metadata, items.iter().map(|item| &item[..]));
            let body = protobuf::envelope(&form.api_version(), &format!("{}List", form.kind), &message);
            Ok(respond(StatusCode::OK, accepted.media.content_type(), body))
        }
        Form::Object => {
            let head = format!(
                "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
                form.kind,
                form.api_version()
            );
            let form = (!form.is_stored()).then(|| target.form_shared());
            let body = ListBody::new(head.into(), listed.entries, Bytes::from_static(b"]}\n"), form);
            Ok(respond(StatusCode::OK, JSON, Body::List(Box::new(body))))
        }
        Form::Table { version, include } => {
            let now = Timestamp::now();
            let mut table = columns::table(form.own_columns(), version, metadata);
            let row = |bytes: &Bytes| Ok(codec::row(form, version, &parse(bytes)?, *include, now));
            let rows: Result<Vec<Value>, Status> = listed.entries.iter().map(|entry| row(&entry.bytes)).collect();
            table["rows"] = rows?.into();
            Ok(codec::json(StatusCode::OK, &table))
        }
        Form::Metadata { version } => {
            let items: Result<Vec<Value>, Status> =
                listed.entries.iter().map(|entry| Ok(partial(&parse(&entry.bytes)?, version))).collect();
            let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": metadata, "items": items?});
            if accepted.media != Media::Protobuf {
                return Ok(codec::json(StatusCode::OK, &list));
            }
            let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
            let message = protobuf::partial_list(&list["metadata"], items);
            let body = protobuf::envelope(&format!("meta.k8s.io/{version}"), "PartialObjectMetadataList", &message);
            Ok(respond(StatusCode::OK, accepted.media.content_type(), body))
        }
    }
}
