//! The listener: connections, TLS, and whose certificate it is. What is asked for over a connection goes to its [`Front`].

mod body;
mod front;
mod gather;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use daemon::tls::{ServerTls, peer_identity};
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authentication::Authentication;
use crate::rest::Rest;

pub use body::{Body, ListBody};
pub use front::Front;
use gather::Gather;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a client may send as one header block, and how many requests it may have open on one connection.
const MAX_HEADERS: u32 = 64 * 1024;
const MAX_STREAMS: u32 = 250;
/// Requests that run get this long when the daemon is asked to end. Watches and logs are simply cut.
const GRACE: Duration = Duration::from_secs(2);
pub struct Server {
    pub rest: Arc<Rest>,
    pub tls: ServerTls,
}

impl Server {
    pub async fn serve(self, listener: std::net::TcpListener, token: CancellationToken) -> std::io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let server = Arc::new(self);
        let connections = TaskTracker::new();
        loop {
            let stream = tokio::select! {
                () = token.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors, most likely: others must end first.
                        tracing::warn!("--secure-port: a connection could not be accepted: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let (server, token) = (server.clone(), token.clone());
            connections.spawn(async move { server.connection(stream, token).await });
        }
        drop(listener);
        connections.close();
        let _ = tokio::time::timeout(GRACE, connections.wait()).await;
        Ok(())
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, token: CancellationToken) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("no TCP_NODELAY: {error}");
        }
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.tls.acceptor().accept(stream)).await;
        let stream = match handshake.unwrap_or_else(|_| Err(std::io::Error::other("too slow"))) {
            Ok(stream) => stream,
            Err(error) => {
                self.rest.tls_errors.inc();
                return tracing::debug!("TLS handshake: {error}");
            }
        };
        let certificate = peer_identity(stream.get_ref().1.peer_certificates()).map(Authentication::of_certificate);
        let peer = stream.get_ref().0.peer_addr().ok().map(|address| address.ip());
        let front = Front::new(self.rest.clone(), certificate, peer);
        // Each connection of HTTP/1.1 has one answer at a time.
        let shared = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = if shared { Either::Left(Gather::new(stream)) } else { Either::Right(stream) };
        serve_connection(front, stream, token).await;
    }
}

/// Answers the requests of one connection until it ends or the token ends it. Whether the stream is encrypted is its maker's matter, and so
/// is what its certificate says of who calls.
pub async fn serve_connection<S>(front: Front, stream: S, token: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .initial_stream_window_size(256 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!("connection: {error}");
            }
            return;
        }
        () = token.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // What still runs after the grace period is cut when the task is dropped.
    let _ = tokio::time::timeout(GRACE, connection).await;
}
