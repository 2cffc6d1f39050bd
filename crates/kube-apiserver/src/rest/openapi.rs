//! `/openapi/v2` and `/openapi/v3`: documents that are made once for a catalog, when somebody asks, and kept as they are sent, compressed. What
//! they are made of is large, and dropped at once; who takes no gzip is sent a document while it is unpacked.

use std::collections::HashMap;
use std::io::{Cursor, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use api::catalog::Catalog;
use api::schema::openapi;
use api::status::Status;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures::{Stream, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha512};
use tokio::sync::Mutex;

use super::Request;
use super::codec::{JSON, respond};
use super::documents::RELEASE;
use crate::request::text_of;
use crate::server::Body;

/// Clients ask for `…spec.v2@v1.0+protobuf`, which is no valid media type; upstream answers with this one.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// What is asked for by its hash never changes: upstream's way to say so.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);
const CHUNK: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    V2,
    V2Protobuf,
    /// Group and version.
    V3(&'static str, &'static str),
}

struct Document {
    gzip: Bytes,
    /// Of its contents, as upstream makes it.
    hash: String,
    content_type: &'static str,
}

#[derive(Default)]
struct Kept {
    of: Option<Arc<Catalog>>,
    documents: HashMap<Key, Arc<Document>>,
}

#[derive(Default)]
pub struct OpenApi(Mutex<Kept>);

impl OpenApi {
    pub async fn v2(&self, catalog: &Arc<Catalog>, request: &Request) -> Result<Response<Body>, Status> {
        let accept = text_of(&request.headers, header::ACCEPT);
        let key = if accept.contains("proto-openapi.spec.v2") { Key::V2Protobuf } else { Key::V2 };
        Ok(send(&*self.document(catalog, key).await?, request))
    }

    /// Where the documents are, each by its hash. All are made for it, as clients ask for most of them next.
    pub async fn v3_index(&self, catalog: &Arc<Catalog>) -> Result<Value, Status> {
        let mut hashes = HashMap::new();
        for (group, versions) in catalog.groups() {
            for version in versions {
                let document = self.document(catalog, Key::V3(group, version)).await?;
                hashes.insert((group, version), document.hash.clone());
            }
        }
        Ok(openapi::v3_index(catalog, |group, version| hashes.get(&(group, version)).map_or("", String::as_str)))
    }

    pub async fn v3(
        &self,
        catalog: &Arc<Catalog>,
        group: &str,
        version: &str,
        request: &Request,
    ) -> Result<Response<Body>, Status> {
        let mut versions = catalog.served().iter().map(|one| (one.group, one.version));
        let known = versions.find(|one| *one == (group, version)).ok_or_else(Status::no_such_resource)?;
        let document = self.document(catalog, Key::V3(known.0, known.1)).await?;
        let asked = request.query.text("hash");
        if asked.is_empty() {
            return Ok(send(&document, request));
        }
        if asked != document.hash {
            let mut response = respond(StatusCode::MOVED_PERMANENTLY, "text/plain; charset=utf-8", Vec::new());
            let place = format!("{}?hash={}", request.attributes.path, document.hash);
            if let Ok(place) = HeaderValue::from_str(&place) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            return Ok(response);
        }
        let mut response = send(&document, request);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let end = Timestamp::now() + SignedDuration::try_from(FOR_EVER).unwrap_or_default();
        if let Ok(end) = HeaderValue::from_str(&end.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
            headers.insert(header::EXPIRES, end);
        }
        Ok(response)
    }

    /// Made by one at a time, as it takes memory and time.
    async fn document(&self, catalog: &Arc<Catalog>, key: Key) -> Result<Arc<Document>, Status> {
        let mut kept = self.0.lock().await;
        if !kept.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, catalog)) {
            *kept = Kept { of: Some(catalog.clone()), documents: HashMap::new() };
        }
        if let Some(document) = kept.documents.get(&key) {
            return Ok(document.clone());
        }
        let (of, wanted) = (catalog.clone(), key.clone());
        let made = tokio::task::spawn_blocking(move || daemon::panics::guarded(|| make(&of, &wanted))).await;
        let failed = |why: String| Status::internal(format!("the OpenAPI document could not be made: {why}"));
        let made = made.map_err(|why| failed(why.to_string()))?.map_err(|panic| failed(panic.to_string()))?;
        let document = Arc::new(made.map_err(|why| failed(why.to_string()))?);
        kept.documents.insert(key, document.clone());
        Ok(document)
    }
}

fn make(catalog: &Catalog, key: &Key) -> std::io::Result<Document> {
    let (bytes, content_type) = match key {
        Key::V2 => (openapi::v2(catalog, RELEASE).to_string().into_bytes(), JSON),
        Key::V2Protobuf => (openapi::encode_v2(&openapi::v2(catalog, RELEASE)), V2_PROTOBUF),
        Key::V3(group, version) => {
            let document = openapi::v3(catalog, group, version, RELEASE);
            (document.unwrap_or_default().to_string().into_bytes(), JSON)
        }
    };
    let hash = Sha512::digest(&bytes).iter().map(|byte| format!("{byte:02X}")).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&bytes)?;
    let mut gzip = encoder.finish()?;
    gzip.shrink_to_fit();
    Ok(Document { gzip: gzip.into(), hash, content_type })
}

fn send(document: &Document, request: &Request) -> Response<Body> {
    let gzip = takes_gzip(&request.headers);
    let mut response = match has(&request.headers, &document.hash) {
        true => respond(StatusCode::NOT_MODIFIED, document.content_type, Vec::new()),
        false if gzip => respond(StatusCode::OK, document.content_type, document.gzip.clone()),
        false => {
            let body = Body::Stream(Box::pin(unpacked(document.gzip.clone())));
            respond(StatusCode::OK, document.content_type, body)
        }
    };
    let code = response.status();
    let headers = response.headers_mut();
    if code == StatusCode::OK && gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", document.hash)) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    response
}

/// The chunks of a document, so that whoever reads slowly holds no more of it.
fn unpacked(gzip: Bytes) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(GzDecoder::new(Cursor::new(gzip)), |mut decoder| async move {
        let mut chunk = Vec::with_capacity(CHUNK);
        // We packed it ourselves.
        decoder.by_ref().take(CHUNK as u64).read_to_end(&mut chunk).ok().filter(|read| *read > 0)?;
        Some((Bytes::from(chunk), decoder))
    })
}

/// The client has it already.
fn has(headers: &HeaderMap, hash: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|tags| tags.split(',')).map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(hash)
    })
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|codings| codings.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let refused = |q: &str| q.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        parts.next() == Some("gzip") && !parts.any(refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_and_tags_are_read_as_http_has_them() {
        for (coding, takes) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("identity", false),
            ("xgzip", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, coding.parse().unwrap())]);
            assert_eq!(takes_gzip(&headers), takes, "{coding}");
        }
        for (tags, is) in [("\"A\"", true), ("\"B\", W/\"A\"", true), ("*", true), ("A", false), ("\"AB\"", false)] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, tags.parse().unwrap())]);
            assert_eq!(has(&headers, "A"), is, "{tags}");
        }
    }
}
