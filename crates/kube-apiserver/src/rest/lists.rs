//! Collections: list, watch and delete-collection.

use api::columns;
use api::schema::protobuf;
use api::status::Status;
use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::codec::{self, JSON, Media, respond};
use super::negotiate::{Accepted, Form, accepted, accepted_media};
use super::objects::{delete_options, partial};
use super::{Request, Rest, options};
use crate::registry::{Context, Listed, Target, parse};
use crate::server::{Body, ListBody};

impl Rest {
    pub(super) async fn list(&self, request: &Request, target: &Target) -> Result<Response<Body>, Status> {
        let accepted = accepted(&request.headers, &request.query)?;
        let listed = self.registry.list(target, &options::of_list(request)?).await?;
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
        let listed = self.registry.delete_collection(&context, target, &options::of_list(request)?, &options).await?;
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
    let resource = target.resource();
    let metadata = list_meta(&listed);
    match &accepted.form {
        Form::Object if accepted.media == Media::Yaml => {
            let items = listed.entries.iter().map(|entry| parse(&entry.bytes)).collect::<Result<Vec<_>, _>>()?;
            let list = json!({"kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
                "metadata": metadata, "items": items});
            Ok(respond(StatusCode::OK, accepted.media.content_type(), api::yaml::render(&list).into_bytes()))
        }
        Form::Object if accepted.media == Media::Protobuf => {
            let items: Vec<Bytes> = listed.entries.iter().map(|entry| codec::message(resource.schema, entry)).collect();
            let message = protobuf::list(&metadata, items.iter().map(|item| &item[..]));
            let body = protobuf::envelope(&resource.api_version(), &format!("{}List", resource.kind), &message);
            Ok(respond(StatusCode::OK, accepted.media.content_type(), body))
        }
        Form::Object => {
            let head = format!(
                "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
                resource.kind,
                resource.api_version()
            );
            let body = ListBody::new(head.into(), listed.entries, Bytes::from_static(b"]}\n"));
            Ok(respond(StatusCode::OK, JSON, Body::List(Box::new(body))))
        }
        Form::Table { version, include } => {
            let now = Timestamp::now();
            let mut table = columns::table(resource.columns, version, metadata);
            let row = |bytes: &Bytes| Ok(columns::row(resource.columns, version, &parse(bytes)?, *include, now));
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
