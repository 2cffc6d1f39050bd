//! Answers for people: JSON with a line for each field.

use api::status::Status;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::BodyExt;
use serde_json::Value;

use super::Request;
use super::codec::{JSON, Media};
use super::negotiate::failure;
use crate::request::text_of;
use crate::server::Body;

/// What is larger is not read by people, and would have to be held in memory.
const LIMIT: u64 = 4 * 1024 * 1024;

/// As upstream: where the client asks for it, or is one that people sit at.
pub(super) fn wanted(request: &Request) -> bool {
    match request.query.text("pretty") {
        // A line for each event.
        _ if request.attributes.verb == "watch" => false,
        // Documents of machines, sent as they are kept.
        _ if request.attributes.path.starts_with("/openapi/") => false,
        "" => by_hand(&request.headers),
        _ => request.query.flag("pretty"),
    }
}

fn by_hand(headers: &HeaderMap) -> bool {
    let agent = text_of(headers, header::USER_AGENT);
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|name| agent.starts_with(name))
}

pub(super) async fn print(response: Response<Body>) -> Response<Body> {
    let is_json = response.headers().get(header::CONTENT_TYPE) == Some(&HeaderValue::from_static(JSON));
    let size = http_body::Body::size_hint(response.body()).exact();
    if !is_json || size.is_none_or(|size| size > LIMIT) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return failure(&Status::internal(error), Media::Json),
    };
    let document: Option<Value> = serde_json::from_slice(&bytes).ok();
    let text = document.and_then(|document| serde_json::to_vec_pretty(&document).ok());
    let printed = text.map_or(bytes, |mut text| {
        text.push(b'\n');
        Bytes::from(text)
    });
    Response::from_parts(parts, printed.into())
}
