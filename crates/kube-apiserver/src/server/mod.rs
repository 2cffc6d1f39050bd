//! The listener: TLS, who is calling, and whether it is REST or gRPC. Both live on the same port.

mod body;

use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use daemon::tls::{Identity, ServerTls, peer_identity};
use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rpc::resource::resources_server::ResourcesServer;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::grpc::Grpc;
use crate::rest::{Rest, failure};

pub use body::{Body, ListBody};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a client may send as one header block, and how many requests it may have open on one connection.
const MAX_HEADERS: u32 = 64 * 1024;
const MAX_STREAMS: u32 = 250;
/// Requests that run get this long when the daemon is asked to end. Watches and logs are simply cut.
const GRACE: Duration = Duration::from_secs(2);
/// Paths that answer everybody: what probes and version checks ask.
const OPEN: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

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

    async fn connection(&self, stream: TcpStream, token: CancellationToken) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("no TCP_NODELAY: {error}");
        }
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.tls.acceptor().accept(stream)).await;
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!("TLS handshake: {error}"),
            Err(_) => return tracing::debug!("TLS handshake: too slow"),
        };
        let identity = peer_identity(stream.get_ref().1.peer_certificates()).map(Arc::new);
        let rest = self.rest.clone();
        let grpc = ResourcesServer::new(Grpc::new(rest.registry.clone()))
            .max_decoding_message_size(4 * 1024 * 1024)
            .max_encoding_message_size(usize::MAX);
        let service = service_fn(move |request: Request<Incoming>| {
            let (rest, mut grpc, identity) = (rest.clone(), grpc.clone(), identity.clone());
            async move { Ok::<_, std::convert::Infallible>(answer(&rest, &mut grpc, identity.as_deref(), request).await) }
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
}

async fn answer(
    rest: &Rest,
    grpc: &mut ResourcesServer<Grpc>,
    identity: Option<&Identity>,
    request: Request<Incoming>,
) -> Response<Body> {
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let is_grpc = content_type.starts_with(b"application/grpc");
    if identity.is_none() && !OPEN.iter().any(|open| request.uri().path().starts_with(open)) {
        if is_grpc {
            let status = tonic::Status::unauthenticated("a client certificate of --client-ca-file is required");
            return status.into_http::<tonic::body::Body>().map(Body::Grpc);
        }
        return failure(&Status::unauthorized());
    }
    if is_grpc {
        let what = request.uri().path().to_owned();
        return match rest.guarded(&what, grpc.call(request)).await {
            Ok(Ok(response)) => response.map(Body::Grpc),
            Ok(Err(never)) => match never {},
            Err(status) => tonic::Status::internal(status.message).into_http::<tonic::body::Body>().map(Body::Grpc),
        };
    }
    rest.handle(request).await
}
