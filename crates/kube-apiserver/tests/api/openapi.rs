//! OpenAPI documents: made once, compressed for those who take it, and not sent to those who have them.

use std::io::Read;

use http::{Request, Response};
use http_body_util::BodyExt;
use kube_apiserver::server::Body;
use serde_json::Value;

use crate::common::Api;

async fn get(api: &Api, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let request = Request::builder().uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    api.answer(request, &Value::Null).await
}

async fn bytes(response: Response<Body>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn documents_are_sent_once_and_packed() {
    let api = Api::start().await;
    for path in ["/openapi/v2", "/openapi/v3/api/v1", "/openapi/v3/apis/apps/v1"] {
        let plain = get(&api, path, &[]).await;
        let tag = header(&plain, "etag").to_owned();
        assert!((plain.status(), tag.len()) == (http::StatusCode::OK, 130), "{path}: {tag}");
        assert_eq!((header(&plain, "vary"), header(&plain, "content-encoding")), ("Accept, Accept-Encoding", ""));
        let plain = bytes(plain).await;
        let document: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(document["info"]["title"], "Kubernetes");
        let packed = get(&api, path, &[("accept-encoding", "gzip")]).await;
        assert_eq!((header(&packed, "content-encoding"), header(&packed, "etag")), ("gzip", tag.as_str()));
        let packed = bytes(packed).await;
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain && packed.len() * 4 < plain.len(), "{path}: {} of {}", packed.len(), plain.len());
        let again = get(&api, path, &[("if-none-match", &tag), ("accept-encoding", "gzip")]).await;
        assert_eq!((again.status().as_u16(), header(&again, "etag")), (304, tag.as_str()));
        assert!(header(&again, "content-encoding").is_empty() && bytes(again).await.is_empty());
        assert_eq!(get(&api, path, &[("if-none-match", "\"other\"")]).await.status(), 200);
    }
    let protobuf = [("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")];
    let protobuf = get(&api, "/openapi/v2", &protobuf).await;
    assert_eq!(header(&protobuf, "content-type"), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert!(bytes(protobuf).await.len() > 100_000);
    assert_eq!(get(&api, "/openapi/v3/apis/nothing/v1", &[]).await.status(), 404);
}

#[tokio::test]
async fn what_is_asked_for_by_its_hash_is_kept_for_ever() {
    let api = Api::start().await;
    let (code, index) = api.json("GET", "/openapi/v3", &Value::Null).await;
    assert_eq!(code, 200);
    let url = index["paths"]["apis/batch/v1"]["serverRelativeURL"].as_str().unwrap();
    let (path, hash) = url.split_once("?hash=").unwrap();
    assert_ne!(index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap().split_once('=').unwrap().1, hash);
    let response = get(&api, url, &[]).await;
    assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (200, "public, immutable"));
    assert_eq!(header(&response, "etag"), format!("\"{hash}\""));
    assert!(header(&response, "expires").ends_with(" GMT"));
    let moved = get(&api, &format!("{path}?hash=ABC"), &[]).await;
    assert_eq!((moved.status().as_u16(), header(&moved, "location")), (301, url));
    let response = get(&api, path, &[]).await;
    assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (200, ""));
}

#[tokio::test]
async fn another_catalog_has_other_documents() {
    let api = Api::start().await;
    let tag = async || header(&get(&api, "/openapi/v2", &[]).await, "etag").to_owned();
    let before = tag().await;
    let catalog = api.registry.catalog();
    api.registry.serve(catalog.without(&[("batch", "v1")].into_iter().collect()));
    assert_ne!(tag().await, before);
    assert_eq!(get(&api, "/openapi/v3/apis/batch/v1", &[]).await.status(), 404);
    api.registry.serve(catalog);
    assert_eq!(tag().await, before);
}

/// Resident memory in kilobytes, and what is asked for: `cargo test --test api openapi_memory -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement, for itself alone"]
async fn openapi_memory() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().to_owned()
    };
    let api = Api::start().await;
    println!("at the start: {}", resident());
    for (path, accept) in [
        ("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"),
        ("/openapi/v2", "application/json"),
        ("/openapi/v3", "application/json"),
        ("/openapi/v2", "application/json"),
    ] {
        let start = std::time::Instant::now();
        let headers = [("accept", accept), ("accept-encoding", "gzip")];
        let length = bytes(get(&api, path, &headers).await).await.len();
        println!("{path} ({accept}): {length} bytes in {:?}, then {}", start.elapsed(), resident());
    }
}
