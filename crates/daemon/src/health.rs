//! The small plain HTTP listener of a daemon: `/healthz`, `/livez`, `/readyz`, `/metrics`, and what the daemon adds.
//!
//! It has no authentication, therefore its default address is loopback.
use std::{collections::BTreeMap, convert::Infallible, fmt, future::Future, pin::Pin, sync::Arc};

use http_body_util::Full;
pub use hyper::StatusCode;
use hyper::{Method, Request, Response, body::Bytes, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{FlagError, flags::ListenFlag};

pub type Reply = Response<Full<Bytes>>;
/// Answers a request to a route; it is given the query string.
pub type Route = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;
/// `Err` says why the daemon is not ready.
pub type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

pub struct Health {
    listener: Option<std::net::TcpListener>,
    ready: Vec<(&'static str, Check)>,
    live: Vec<(&'static str, Check)>,
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
        Self { listener: None, ready: Vec::new(), live: Vec::new(), routes: BTreeMap::new(), registry }
    }

    /// The daemon's metrics are registered here.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Adds a condition of `/readyz`.
    pub fn ready_when(&mut self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.ready.push((name, Box::new(check)));
    }

    /// Adds a condition of `/healthz` and `/livez`.
    pub fn live_when(&mut self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.live.push((name, Box::new(check)));
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
            "/healthz" | "/livez" => verdict("healthz", &self.live, query),
            "/readyz" => verdict("readyz", &self.ready, query),
            "/metrics" => self.metrics(),
            path => match self.routes.get(path) {
                Some(route) => route(query.to_owned()).await,
                None => text(StatusCode::NOT_FOUND, "404 page not found\n"),
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

/// `ok`, or the list of checks with the failed ones, as upstream prints it.
fn verdict(name: &str, checks: &[(&'static str, Check)], query: &str) -> Reply {
    let results: Vec<_> = checks.iter().map(|(check, run)| (*check, run())).collect();
    let failed = results.iter().any(|(_, result)| result.is_err());
    if !failed && !query.split('&').any(|part| part == "verbose" || part.starts_with("verbose=")) {
        return text(StatusCode::OK, "ok");
    }
    let mut body = String::new();
    for (check, result) in &results {
        match result {
            Ok(()) => body += &format!("[+]{check} ok\n"),
            Err(reason) => body += &format!("[-]{check} failed: {reason}\n"),
        }
    }
    body += &format!("{name} check {}\n", if failed { "failed" } else { "passed" });
    text(if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }, body)
}

/// What the kernel knows of this process.
#[derive(Debug)]
struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_whitespace().next()?.parse::<i64>().ok()
        };
        let open = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as i64).ok();
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory size in bytes", field("VmRSS").map(|kib| kib * 1024)),
            ("process_virtual_memory_bytes", "Virtual memory size in bytes", field("VmSize").map(|kib| kib * 1024)),
            ("process_threads", "Number of threads", field("Threads")),
            ("process_open_fds", "Number of open file descriptors", open),
        ] {
            let Some(value) = value else { continue };
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
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
    async fn readiness_names_what_is_missing() {
        let mut health = health();
        health.ready_when("ping", || Ok(()));
        assert_eq!(body(verdict("readyz", &health.ready, "")).await, "ok");
        health.ready_when("nodes", || Err("not listed yet".to_owned()));
        let reply = verdict("readyz", &health.ready, "");
        assert_eq!(reply.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body(reply).await, "[+]ping ok\n[-]nodes failed: not listed yet\nreadyz check failed\n");
    }
}
