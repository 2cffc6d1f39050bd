//! The listener: TLS, who is calling, and whether it is REST or gRPC. Both live on the same port.

mod body;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use daemon::tls::{ServerTls, peer_identity};
use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rpc::resource::resources_server::ResourcesServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::attributes::User;
use crate::authentication::{Authentication, impersonate};
use crate::authorization::is_open;
use crate::grpc::Grpc;
use crate::rest::{Media, Rest, failure};

pub use body::{Body, ListBody};

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
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!("TLS handshake: {error}"),
            Err(_) => return tracing::debug!("TLS handshake: too slow"),
        };
        let certificate = peer_identity(stream.get_ref().1.peer_certificates()).map(Authentication::of_certificate);
        serve_connection(self.rest.clone(), stream, certificate, token).await;
    }
}

/// Answers the requests of one connection until it ends or the token ends it. Whether the stream is encrypted is its maker's matter, and so
/// is what its certificate says of who calls.
pub async fn serve_connection<S>(rest: Arc<Rest>, stream: S, certificate: Option<Arc<User>>, token: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let grpc = ResourcesServer::new(Grpc::new(rest.registry.clone(), rest.authorization.clone()))
        .max_decoding_message_size(4 * 1024 * 1024)
        .max_encoding_message_size(usize::MAX);
    let service = service_fn(move |request: Request<Incoming>| {
        let (rest, mut grpc, certificate) = (rest.clone(), grpc.clone(), certificate.clone());
        async move { Ok::<_, Infallible>(answer(&rest, &mut grpc, certificate.as_ref(), request).await) }
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

/// Authentication is the first of the layers; the others need to know what is asked for.
async fn answer(
    rest: &Rest,
    grpc: &mut ResourcesServer<Grpc>,
    certificate: Option<&Arc<User>>,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let is_grpc = content_type.starts_with(b"application/grpc");
    let user = match rest.authentication.user(certificate, request.headers()).await {
        Ok(user) => user,
        Err(_) if !is_grpc && is_open(request.uri().path()) => Arc::default(),
        Err(_) if is_grpc => {
            let status =
                tonic::Status::unauthenticated("a client certificate of --client-ca-file or a token is required");
            return status.into_http::<tonic::body::Body>().map(Body::Grpc);
        }
        Err(status) => return failure(&status, Media::Json),
    };
    let user = match impersonate(user, request.headers(), &rest.authorization).await {
        Ok(user) => user,
        Err(status) if is_grpc => {
            return tonic::Status::permission_denied(status.message).into_http::<tonic::body::Body>().map(Body::Grpc);
        }
        Err(status) => return failure(&status, Media::Json),
    };
    if !is_grpc {
        return rest.handle(user, request).await;
    }
    let what = request.uri().path().to_owned();
    request.extensions_mut().insert(user);
    match rest.guarded(&what, grpc.call(request)).await {
        Ok(Ok(response)) => response.map(Body::Grpc),
        Ok(Err(never)) => match never {},
        Err(status) => tonic::Status::internal(status.message).into_http::<tonic::body::Body>().map(Body::Grpc),
    }
}
