//! Dials TLS servers for tonic: `Endpoint::connect_with_connector_lazy(Connector::new(..))`.
use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower_service::Service;

use super::ClientTls;
use crate::LogOnce;

pub type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{server}: is no host name or address")]
    Name { server: String },
    #[error("{server}: can't connect: {source}")]
    Connect { server: String, source: io::Error },
    #[error("{server}: TLS: {source}")]
    Handshake { server: String, source: io::Error },
    #[error("{server}: no connection within {TIMEOUT:?}")]
    Slow { server: String },
}

/// One of several servers that offer the same. A connection that fails is tried at the next one the next time.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    /// What the servers are, in words: `kube-apiserver`.
    what: String,
    servers: Vec<(String, u16)>,
    next: AtomicUsize,
    tls: ClientTls,
    log: LogOnce,
}

impl Connector {
    pub fn new(what: impl Into<String>, servers: Vec<(String, u16)>, tls: ClientTls) -> Self {
        Self(Arc::new(Inner { what: what.into(), servers, next: AtomicUsize::new(0), tls, log: LogOnce::new() }))
    }

    /// Connects to the server whose turn it is. A server that can't be reached is said in one log line.
    pub async fn connect(&self) -> Result<TlsStream, ConnectError> {
        let inner = &self.0;
        let turn = inner.next.load(Ordering::Relaxed);
        let (host, port) = &inner.servers[turn % inner.servers.len()];
        let server = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let dialled = tokio::time::timeout(TIMEOUT, dial(host, *port, &server, &inner.tls)).await;
        let result = dialled.unwrap_or_else(|_| Err(ConnectError::Slow { server: server.clone() }));
        match &result {
            Ok(_) => {
                inner.log.over(format_args!("{} reached at {server}", inner.what));
            }
            Err(error) => {
                inner.next.store(turn.wrapping_add(1), Ordering::Relaxed);
                inner.log.trouble(format_args!("{} is not reachable, trying again: {error}", inner.what));
            }
        }
        result
    }
}

async fn dial(host: &str, port: u16, server: &str, tls: &ClientTls) -> Result<TlsStream, ConnectError> {
    let server = || server.to_owned();
    let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Name { server: server() })?;
    let connect = async {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let stream = connect.await.map_err(|source| ConnectError::Connect { server: server(), source })?;
    let connector = tokio_rustls::TlsConnector::from(tls.config());
    connector.connect(name, stream).await.map_err(|source| ConnectError::Handshake { server: server(), source })
}

impl Service<tonic::transport::Uri> for Connector {
    type Response = TokioIo<TlsStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    /// The servers are the connector's own; the URI only names the authority of the requests.
    fn call(&mut self, _: tonic::transport::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.0.servers).finish()
    }
}
