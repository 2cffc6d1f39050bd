//! Requests to the API server: paths, queries, failures and warnings. Does not own what is asked for.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

use crate::error::{Error, Refusal, Result};

pub const JSON: &str = "application/json";
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const MERGE: &str = "application/merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";

pub struct Client {
    inner: kube::Client,
    /// Host and port, for messages.
    pub host: String,
    /// The server's address as it stands in the kubeconfig.
    pub server: String,
    timeout: Option<Duration>,
    warned: Mutex<HashSet<String>>,
}

/// Parameters behind the path of a request.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(&'static str, String)>);

impl Query {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// With the parameter, unless its value is empty.
    pub fn with_some(self, name: &'static str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub fn on(&self, path: &str) -> String {
        let mut text = path.to_owned();
        for (at, (name, value)) in self.0.iter().enumerate() {
            text.push(if at == 0 { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            text.push_str(&escape(value));
        }
        text
    }
}

/// Percent-encoding of all but the unreserved characters.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Client {
    pub fn new(config: kube::Config, timeout: Option<Duration>) -> Result<Self> {
        let url = config.cluster_url.clone();
        let default_port = if url.scheme_str() == Some("http") { 80 } else { 443 };
        let host = format!("{}:{}", url.host().unwrap_or(""), url.port_u16().unwrap_or(default_port));
        let server = url.to_string().trim_end_matches('/').to_owned();
        let inner = kube::Client::try_from(config).map_err(|e| Error::Message(chain(&e)))?;
        Ok(Self { inner, host, server, timeout, warned: Mutex::default() })
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.json(Method::GET, path, JSON, None).await
    }

    pub async fn get_as(&self, path: &str, accept: &str) -> Result<Value> {
        self.json(Method::GET, path, accept, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(Method::POST, path, JSON, Some((JSON, body))).await
    }

    pub async fn patch(&self, path: &str, kind: &str, body: &Value) -> Result<Value> {
        self.json(Method::PATCH, path, JSON, Some((kind, body))).await
    }

    pub async fn delete(&self, path: &str, options: &Value) -> Result<Value> {
        self.json(Method::DELETE, path, JSON, Some((JSON, options))).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(Method::PUT, path, JSON, Some((JSON, body))).await
    }

    /// The body as it comes, for logs and watches.
    pub async fn stream(&self, path: &str, accept: &str) -> Result<impl Stream<Item = Result<Bytes>> + Unpin + use<>> {
        let response = self.send(Method::GET, path, accept, None).await?;
        Ok(response.into_body().into_data_stream().map_err(|e| Error::Unreachable { why: chain(&e) }).boxed())
    }

    /// The events of a watch.
    pub async fn watch(&self, path: &str, accept: &str) -> Result<impl Stream<Item = Result<Value>> + Unpin + use<>> {
        let body = self.stream(path, accept).await?;
        let events = futures::stream::unfold((body, Vec::new()), |(mut body, mut rest)| async move {
            loop {
                if let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let event = serde_json::from_slice(&line)
                        .map_err(|e| Error::Message(format!("unable to decode an event from the watch stream: {e}")));
                    return Some((event, (body, rest)));
                }
                match body.next().await? {
                    Ok(bytes) => rest.extend_from_slice(&bytes),
                    Err(error) => return Some((Err(error), (body, Vec::new()))),
                }
            }
        });
        Ok(events.boxed())
    }

    async fn json(&self, method: Method, path: &str, accept: &str, body: Option<(&str, &Value)>) -> Result<Value> {
        let body = body.map(|(kind, value)| (kind, value.to_string().into_bytes()));
        let exchange = async {
            let response = self.send(method, path, accept, body).await?;
            let bytes =
                response.into_body().collect_bytes().await.map_err(|e| Error::Unreachable { why: chain(&e) })?;
            serde_json::from_slice(&bytes).map_err(|e| {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
                Error::Message(format!("the server answered {path} with something that is not JSON ({e}): {start}"))
            })
        };
        match self.timeout {
            None => exchange.await,
            Some(limit) => tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
                Err(Error::Unreachable { why: format!("no answer within the request timeout of {limit:?}") })
            }),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Response<Body>> {
        let mut request = Request::builder().method(method).uri(path).header("Accept", accept);
        request = request.header("User-Agent", concat!("kubectl/pilothouse-", env!("CARGO_PKG_VERSION")));
        if let Some((kind, _)) = &body {
            request = request.header("Content-Type", *kind);
        }
        let body = body.map(|(_, bytes)| bytes).unwrap_or_default();
        let request = request.body(Body::from(body)).map_err(|e| Error::Message(format!("{path}: {e}")))?;
        let response = self.inner.send(request).await.map_err(|e| self.connection_error(&e))?;
        for warning in response.headers().get_all("Warning") {
            self.warn(warning.to_str().unwrap_or(""));
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let code = response.status();
        let bytes = response.into_body().collect_bytes().await.unwrap_or_default();
        let refusal = serde_json::from_slice::<Refusal>(&bytes).ok().filter(|r| !r.message.is_empty());
        Err(Error::Refused(Box::new(refusal.unwrap_or_else(|| Refusal {
            code: code.as_u16(),
            reason: code.canonical_reason().unwrap_or("").replace(' ', ""),
            message: String::from_utf8_lossy(&bytes).trim().to_owned(),
            details: None,
        }))))
    }

    fn connection_error(&self, error: &kube::Error) -> Error {
        let mut source: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = source {
            if let Some(io) = error.downcast_ref::<std::io::Error>()
                && io.kind() == std::io::ErrorKind::ConnectionRefused
            {
                return Error::ConnectionRefused { host: self.host.clone() };
            }
            source = error.source();
        }
        Error::Unreachable { why: chain(error) }
    }

    /// `299 - "text"` is told once.
    fn warn(&self, header: &str) {
        let text = header.splitn(3, ' ').nth(2).unwrap_or(header).trim_matches('"').replace("\\\"", "\"");
        if self.warned.lock().is_ok_and(|mut warned| warned.insert(text.clone())) {
            eprintln!("Warning: {text}");
        }
    }
}

/// An error's innermost cause: the outer ones only name the layers between.
fn chain(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        let query = Query::new().with("labelSelector", "a in (b,c)").with_some("fieldSelector", "").with("limit", "5");
        assert_eq!(query.on("/api/v1/pods"), "/api/v1/pods?labelSelector=a%20in%20%28b%2Cc%29&limit=5");
    }
}
