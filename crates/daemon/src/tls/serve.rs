//! Accepts TLS connections for tonic, and tells each request who its peer is.
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::{Identity, ServerTls, peer_identity};

/// A client that is slower than this to shake hands is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// In the extensions of each tonic request that came over such a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: SocketAddr,
    pub identity: Option<Identity>,
}

#[derive(Debug)]
pub struct ServerStream {
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for ServerStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// The connections of a listener, for tonic's `serve_with_incoming`. Handshakes run side by side, and the stream ends with
/// the token.
pub fn incoming(
    listener: TcpListener,
    tls: ServerTls,
    token: CancellationToken,
) -> ReceiverStream<io::Result<ServerStream>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(accept(listener, tls, token, sender));
    ReceiverStream::new(receiver)
}

async fn accept(
    listener: TcpListener,
    tls: ServerTls,
    token: CancellationToken,
    sender: mpsc::Sender<io::Result<ServerStream>>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        let (stream, address) = tokio::select! {
            _ = token.cancelled() => return,
            _ = sender.closed() => return,
            Some(_) = handshakes.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: others must end first.
                    tracing::warn!("can't accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (acceptor, sender) = (tls.acceptor(), sender.clone());
        handshakes.spawn(async move {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("{address}: {error}");
            }
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let identity = peer_identity(stream.get_ref().1.peer_certificates());
                    // Nobody serves any more when this fails.
                    let _ = sender.send(Ok(ServerStream { stream, peer: Peer { address, identity } })).await;
                }
                Ok(Err(error)) => tracing::debug!("{address}: TLS handshake: {error}"),
                Err(_) => tracing::debug!("{address}: TLS handshake took too long"),
            }
        });
    }
}

impl AsyncRead for ServerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
