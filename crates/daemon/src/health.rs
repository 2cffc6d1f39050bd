//! The small plain HTTP listener of a daemon: `/healthz`, `/livez`, `/readyz` with each of their checks, `/metrics`, and what the daemon adds.
//!
//! It has no authentication, therefore its default address is loopback.
mod checks;
mod process;

use std::{collections::BTreeMap, convert::Infallible, fmt, future::Future, pin::Pin, sync::Arc};

use http_body_util::Full;
pub use hyper::StatusCode;
use hyper::{Method, Request, Response, body::Bytes, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use checks::Checks;
pub use checks::Probes;
use process::ProcessMetrics;

use crate::{FlagError, flags::ListenFlag};

pub type Reply = Response<Full<Bytes>>;
/// Answers a request to a route; it is given the query string.
pub type Route = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

pub struct Health {
    listener: Option<std::net::TcpListener>,
    checks: Checks,
    routes: BTreeMap<&'static str, Route>,
    registry: Registry,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Health {
    /// Takes the port; port 0 means that the daemon has no such listener.
    pub fn bind(listen: ListenFlag) -> Result<Self, FlagError> {
        let listener = if listen.address.port() == 0 { None } else { Some(listen.bind()?) };
        Ok(Self { listener, ..Self::unbound() })
    }

    /// Without a listener: the daemon asks [`Health::respond`].
    pub fn unbound() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics));
        Self { listener: None, checks: Checks::default(), routes: BTreeMap::new(), registry }
    }

    /// The daemon's metrics are registered here.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Adds a condition of `/readyz`. `Err` says why the daemon is not ready.
    pub fn ready_when(&mut self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.check(Probes::READY, name, move || std::future::ready(check()));
    }

    /// Adds a condition of some of the paths, whose answer takes a while.
    pub fn check<F>(&mut self, of: Probes, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.add(of, name, Box::new(move || Box::pin(check())));
    }

    /// Adds a path of the daemon's own.
    pub fn route<F>(&mut self, path: &'static str, handler: impl Fn(String) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        self.routes.insert(path, Arc::new(move |query| Box::pin(handler(query))));
    }

    pub async fn serve(mut self, token: CancellationToken) -> std::io::Result<()> {
        let Some(listener) = self.listener.take() else {
            token.cancelled().await;
            return Ok(());
        };
        let listener = TcpListener::from_std(listener)?;
        let health = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                _ = token.cancelled() => return Ok(()),
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors, most likely: others must end first.
                        tracing::warn!("health listener: {error}");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let health = health.clone();
            let service = service_fn(move |request| {
                let health = health.clone();
                async move { Ok::<_, Infallible>(health.answer(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            connections.spawn(connection);
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed\n");
        }
        self.respond(request.uri().path(), request.uri().query().unwrap_or_default()).await
    }

    /// What a GET of this path answers; for daemons that serve these paths on a listener of their own.
    pub async fn respond(&self, path: &str, query: &str) -> Reply {
        match path {
            "/metrics" => self.metrics(),
            path => match self.routes.get(path) {
                Some(route) => route(query.to_owned()).await,
                None => {
                    let told = self.checks.respond(path, query).await;
                    told.unwrap_or_else(|| text(StatusCode::NOT_FOUND, "404 page not found\n"))
                }
            },
        }
    }

    fn metrics(&self) -> Reply {
        let mut body = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut body, &self.registry) {
            return text(StatusCode::INTERNAL_SERVER_ERROR, format!("metrics: {error}\n"));
        }
        let mut reply = text(StatusCode::OK, body);
        let kind = header::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        reply.headers_mut().insert(header::CONTENT_TYPE, kind);
        reply
    }
}

/// A plain text reply.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http_body_util::BodyExt;

    use super::*;

    fn health() -> Health {
        Health::bind(ListenFlag::new("port", IpAddr::from([127, 0, 0, 1]), 0)).unwrap()
    }

    async fn body(reply: Reply) -> String {
        String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn metrics_hold_the_resident_memory() {
        assert!(body(health().metrics()).await.contains("process_resident_memory_bytes "));
    }

    #[tokio::test]
    async fn what_is_neither_a_check_nor_a_route_is_not_there() {
        let mut health = health();
        health.ready_when("nodes", || Err("not listed yet".to_owned()));
        for (path, code) in
            [("/readyz", 500), ("/readyz/nodes", 500), ("/livez", 200), ("/livez/nodes", 404), ("/x", 404)]
        {
            assert_eq!(health.respond(path, "").await.status().as_u16(), code, "{path}");
        }
    }
}
