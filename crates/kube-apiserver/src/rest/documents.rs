//! Everything that is not a resource: discovery, version, health and metrics, and the paths of OpenAPI.

use api::catalog::Catalog;
use api::discovery;
use api::status::Status;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::codec::{self, respond};
use super::negotiate::wants_aggregated;
use super::{Request, Rest};
use crate::server::Body;

/// The release of Kubernetes whose API this is.
pub const RELEASE: &str = "v1.37.0";

/// `/version`
pub fn version() -> Value {
    let mut numbers = RELEASE.trim_start_matches('v').split('.');
    let mut next = || numbers.next().unwrap_or("0").to_owned();
    json!({
        "major": next(), "minor": next(), "gitVersion": format!("{RELEASE}+pilothouse.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }),
    })
}

impl Rest {
    pub(super) async fn document(&self, request: &Request) -> Result<Response<Body>, Status> {
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Status::no_such_resource());
        }
        let ok = |value: Value| Ok(codec::json(StatusCode::OK, &value));
        let current = self.registry.catalog();
        let catalog = &*current;
        let parts: Vec<&str> = request.attributes.path.split('/').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            [] => ok(json!({"paths": paths(catalog)})),
            ["version"] => ok(version()),
            ["api"] => match wants_aggregated(&request.headers) {
                Some(version) => Ok(aggregated(catalog, true, version)),
                None => ok(discovery::core_versions(catalog, &self.address.to_string())),
            },
            ["apis"] => match wants_aggregated(&request.headers) {
                Some(version) => Ok(aggregated(catalog, false, version)),
                None => ok(discovery::group_list(catalog)),
            },
            ["api", version] => {
                ok(discovery::resource_list(catalog, "", version).ok_or_else(Status::no_such_resource)?)
            }
            ["apis", group] => ok(discovery::group(catalog, group).ok_or_else(Status::no_such_resource)?),
            ["apis", group, version] => {
                ok(discovery::resource_list(catalog, group, version).ok_or_else(Status::no_such_resource)?)
            }
            [".well-known", "openid-configuration"] => {
                let issuer = self.issuer.as_ref().ok_or_else(Status::no_such_resource)?;
                Ok(published(codec::JSON, &issuer.configuration(&self.address.to_string())))
            }
            ["openid", "v1", "jwks"] => {
                let issuer = self.issuer.as_ref().ok_or_else(Status::no_such_resource)?;
                Ok(published("application/jwk-set+json", &issuer.keys()))
            }
            ["openapi", "v2"] => self.openapi.v2(&current, request).await,
            ["openapi", "v3"] => ok(self.openapi.v3_index(&current).await?),
            ["openapi", "v3", "api", version] => self.openapi.v3(&current, "", version, request).await,
            ["openapi", "v3", "apis", group, version] => self.openapi.v3(&current, group, version, request).await,
            ["healthz" | "livez" | "readyz", ..] | ["metrics"] => {
                let reply = self.health.respond(&request.attributes.path, &request.raw_query).await;
                let (parts, body) = reply.into_parts();
                let bytes = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
                Ok(Response::from_parts(parts, bytes.into()))
            }
            _ => Err(Status::no_such_resource()),
        }
    }
}

/// What others may keep for an hour, as upstream tells them.
fn published(content_type: &'static str, document: &Value) -> Response<Body> {
    let mut response = respond(StatusCode::OK, content_type, document.to_string().into_bytes());
    let keep = HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    response
}

fn paths(catalog: &Catalog) -> Vec<String> {
    let mut paths: Vec<String> =
        ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
            .map(str::to_owned)
            .to_vec();
    for (group, versions) in catalog.groups() {
        let base = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        if !group.is_empty() {
            paths.push(base.clone());
        }
        paths.extend(versions.iter().map(|version| format!("{base}/{version}")));
    }
    paths.sort();
    paths
}

fn aggregated(catalog: &Catalog, core: bool, version: &str) -> Response<Body> {
    let content_type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    respond(StatusCode::OK, content_type, discovery::aggregated(catalog, core, version).to_string().into_bytes())
}
