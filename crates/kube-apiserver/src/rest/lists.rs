//! Collections: list, watch and delete-collection.

use api::catalog::{Served, Style};
use api::columns;
use api::schema::protobuf;
use api::status::Status;
use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::codec::{self, JSON, Media, respond};
use super::negotiate::{Accepted, Form, accepted_for, accepted_media};
use super::objects::{delete_options, media_for, partial};
use super::{Request, Rest, options};
use crate::registry::{Context, Listed, Target, parse};
use crate::server::{Body, ListBody};

impl Rest {
    pub(super) async fn list(&self, request: &Request, target: &Target) -> Result<Response<Body>, Status> {
        let accepted = accepted_for(target.form(), request)?;
        let listed = self.registry.list(target, &options::of_list(request, target)?).await?;
        list_response(request, target, listed, &accepted)
    }

    pub(super) async fn delete_collection(
        &self,
        request: &Request,
        target: &Target,
        body: Bytes,
    ) -> Result<Response<Body>, Status> {
        let options = delete_options(request, &body)?;
        let context = Context::new(request.attributes.clone(), options.dry_run);
        let listed =
            self.registry.delete_collection(&context, target, &options::of_list(request, target)?, &options).await?;
        let media = media_for(target, accepted_media(&request.headers));
        list_response(request, target, listed, &Accepted { form: Form::Object, media })
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

/// A list of a version, without its items.
fn envelope(request: &Request, form: &Served, mut metadata: Value) -> Value {
    if form.form.style != Style::Today {
        let namespace = request.query.text("namespace");
        let path = &request.attributes.path;
        metadata["selfLink"] = match form.form.style {
            Style::Flat if !namespace.is_empty() => format!("{path}?namespace={namespace}").into(),
            _ => path.as_str().into(),
        };
    }
    let kind = format!("{}List", form.kind);
    let mut list = json!({"kind": kind, "apiVersion": form.api_version(), "metadata": metadata, "items": []});
    form.list_from_stored(&mut list);
    list
}

fn list_response(
    request: &Request,
    target: &Target,
    listed: Listed,
    accepted: &Accepted,
) -> Result<Response<Body>, Status> {
    let form = target.form();
    let metadata = list_meta(&listed);
    match &accepted.form {
        Form::Object if accepted.media == Media::Yaml => {
            let items = listed.entries.iter().map(|entry| Ok(codec::shown(form, parse(&entry.bytes)?)));
            let items = items.collect::<Result<Vec<_>, Status>>()?;
            let mut list = envelope(request, form, metadata);
            list["items"] = items.into();
            Ok(respond(StatusCode::OK, accepted.media.content_type(), api::yaml::render(&list).into_bytes()))
        }
        Form::Object if accepted.media == Media::Protobuf => {
            let items: Vec<Bytes> =
                listed.entries.iter().map(|entry| codec::message(form, &entry.bytes, Some(entry))).collect();
            let message = protobuf::list(&metadata, items.iter().map(|item| &item[..]));
            let body = protobuf::envelope(&form.api_version(), &format!("{}List", form.kind), &message);
            Ok(respond(StatusCode::OK, accepted.media.content_type(), body))
        }
        Form::Object if form.is_stored() => {
            let head = format!(
                "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
                form.kind,
                form.api_version()
            );
            let body = ListBody::new(head.into(), listed.entries, Bytes::from_static(b"]}\n"), None);
            Ok(respond(StatusCode::OK, JSON, Body::List(Box::new(body))))
        }
        Form::Object => {
            // The items go between the brackets; a text can't hold these quotes unescaped.
            let around = envelope(request, form, metadata).to_string();
            let (head, tail) = around.split_once("\"items\":[]").unwrap_or((&around, ""));
            let (head, tail) = (format!("{head}\"items\":["), format!("]{tail}\n"));
            let body = ListBody::new(head.into(), listed.entries, tail.into(), Some(target.form_shared()));
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
