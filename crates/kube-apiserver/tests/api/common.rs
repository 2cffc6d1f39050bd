//! Requests in, answers out, no network.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use kube_apiserver::admission::Configuration;
use kube_apiserver::attributes::User;
use kube_apiserver::authentication::{
    Authentication, BootstrapTokens, Issuer, ServiceAccountTokens, SigningKey, TokenAuthenticator, TokenFile,
    VerifyingKey,
};
use kube_apiserver::exchange::Filters;
use kube_apiserver::registry::Registry;
use kube_apiserver::rest::Rest;
use kube_apiserver::server::{Body, Front};
use rpc::resource::resources_client::ResourcesClient;
use serde_json::Value;
use testapi::{Library, WITHOUT_CONTROLLERS, plugins, user};
use tower_service::Service;

pub struct Api {
    pub library: Arc<Library>,
    pub registry: Arc<Registry>,
    pub rest: Arc<Rest>,
    pub user: Arc<User>,
}

/// A connection without a network.
#[derive(Clone)]
pub struct Wire(Front);

impl Service<Request<tonic::body::Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let front = self.0.clone();
        Box::pin(async move { Ok(front.answer(request).await) })
    }
}

pub const ISSUER: &str = "https://issuer.test";

/// Status code and body.
pub type Answer = (u16, Vec<u8>);

/// What serves the library, for tokens of all kinds.
pub fn rest(library: &Library, filters: Filters) -> Rest {
    let key = include_bytes!("service-account.key");
    let audiences = vec![ISSUER.to_owned()];
    let issuer = Issuer {
        issuers: audiences.clone(),
        key: SigningKey::read(key).unwrap(),
        verifying: VerifyingKey::read(key).unwrap(),
        audiences: audiences.clone(),
        max_seconds: None,
        extend: true,
        jwks_uri: None,
    };
    let methods: Vec<Arc<dyn TokenAuthenticator>> = vec![
        Arc::new(TokenFile::parse("secret,ann,7,devs").unwrap()),
        Arc::new(ServiceAccountTokens {
            registry: library.registry.clone(),
            issuers: audiences.clone(),
            keys: issuer.verifying.clone(),
            lookup: true,
        }),
        Arc::new(BootstrapTokens { registry: library.registry.clone() }),
    ];
    library.rest((Authentication::new(methods, audiences, false), Some(issuer)), filters)
}

impl Api {
    /// Asked by somebody who may do everything, where everything is allowed, with the plugins that are on by default.
    pub async fn start() -> Self {
        Self::start_plugins(&[], WITHOUT_CONTROLLERS).await
    }

    /// With these plugins beside the ones that are on by default, and without those.
    pub async fn start_plugins(enable: &[&str], disable: &[&str]) -> Self {
        Self::start_configured(enable, disable, &Configuration::default()).await
    }

    /// With plugins that are told something.
    pub async fn start_configured(enable: &[&str], disable: &[&str], configuration: &Configuration) -> Self {
        Self::over(Library::open(&plugins(enable, disable), configuration).await)
    }

    pub fn over(library: Library) -> Self {
        Self::filtered(library, Filters::default())
    }

    /// With something else that every request passes.
    pub fn filtered(library: Library, filters: Filters) -> Self {
        let (registry, rest) = (library.registry.clone(), Arc::new(rest(&library, filters)));
        Self { registry, rest, user: user("admin", &["system:masters"]), library: Arc::new(library) }
    }

    /// The same API, asked by somebody else.
    pub fn by(&self, name: &str, groups: &[&str]) -> Self {
        let (library, registry, rest) = (self.library.clone(), self.registry.clone(), self.rest.clone());
        Self { library, registry, rest, user: user(name, groups) }
    }

    pub async fn call(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.call_for(method, path, (content_type, "application/json"), body).await
    }

    /// With the media types of the body and of the answer.
    pub async fn call_for(&self, method: &str, path: &str, (is, wants): (&str, &str), body: &[u8]) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::CONTENT_TYPE, is).header(header::ACCEPT, wants);
        let request = request.body(Full::new(Bytes::copy_from_slice(body)));
        let request = request.unwrap_or_else(|e| panic!("{path}: {e}"));
        let response = self.rest.handle(self.user.clone(), request).await;
        let (parts, body) = response.into_parts();
        if parts.status != 406 {
            let told = parts.headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap());
            assert!(told.starts_with(wants.split(';').next().unwrap()), "{method} {path}: {told}, not {wants}");
        }
        let body = body.collect().await.unwrap_or_else(|e| panic!("{method} {path}: {e}")).to_bytes();
        (parts.status.as_u16(), body.to_vec())
    }

    /// Status code, and what the client is warned of.
    pub async fn warned(&self, method: &str, path: &str, body: &Value) -> (u16, Vec<String>) {
        let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, media);
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let response = self.rest.handle(self.user.clone(), request).await;
        let warnings = response.headers().get_all("warning").iter().map(|value| value.to_str().unwrap().to_owned());
        let plain = |text: String| {
            let quoted = text.strip_prefix("299 - \"").and_then(|text| text.strip_suffix('"'));
            quoted.unwrap_or_else(|| panic!("{text}")).replace("\\\"", "\"")
        };
        (response.status().as_u16(), warnings.map(plain).collect())
    }

    /// With these headers beside the usual ones.
    pub async fn json_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &Value,
    ) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let (parts, body) = self.rest.handle(self.user.clone(), request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// The answer as it is, to a request that need not be whole.
    pub async fn answer(&self, request: http::request::Builder, body: &Value) -> http::Response<Body> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.rest.handle(self.user.clone(), request.body(Full::new(body)).unwrap()).await
    }

    /// Calls over gRPC, by a client whose certificate is this user's.
    pub fn grpc(&self) -> ResourcesClient<Wire> {
        let peer = Some(std::net::IpAddr::from([10, 0, 0, 9]));
        ResourcesClient::new(Wire(Front::new(self.rest.clone(), Some(self.user.clone()), peer)))
    }

    pub async fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (code, answer) = self.call(method, path, "application/json", &body).await;
        (code, serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }
}
