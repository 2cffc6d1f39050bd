//! Connections within the process.

use std::future::Future;
use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tonic::transport::{Channel, Endpoint};

const BUFFER: usize = 1 << 20;

/// Connects by giving the other end of the stream to who serves on it.
pub(crate) fn channel<F>(endpoint: Endpoint, serve: impl Fn(DuplexStream) -> F + Send + 'static) -> Channel
where
    F: Future<Output = ()> + Send + 'static,
{
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        tokio::spawn(serve(theirs));
        std::future::ready(Ok::<_, io::Error>(TokioIo::new(ours)))
    }))
}
