//! A server that does nothing but HTTPS: the floor of everything that kube-apiserver serves. The same TLS, the same
//! hyper with the same settings, the same threads and allocator; it copies bytes that it was given before.
//!
//! `POST /keep/NAME` keeps a body, `GET /keep/NAME` answers with it. `GET /events` is a stream of all bodies of
//! `POST /events` from then on, each as one watch event. Runs as a process of its own and ends with its standard input.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::{BufMut, Bytes, BytesMut};
use daemon::tls::{ClientAuth, HTTP, KeyPair, ServerTls, Source};
use futures::Stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// The argument that makes this program the empty server; the folder of certificates follows.
pub const COMMAND: &str = "empty-server";

/// Events that go out together at most, as in kube-apiserver.
const BATCH: usize = 256;

/// The running process.
pub struct Empty {
    child: Child,
    pub address: SocketAddr,
}

impl Empty {
    pub fn start(pki: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(COMMAND).arg(pki).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the empty server")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output is piped")?).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("the empty server said {line:?}"))?;
        Ok(Self { child, address })
    }
}

impl Empty {
    pub fn work(&self) -> Result<Duration> {
        crate::stage::work(self.child.id())
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct State {
    kept: Mutex<HashMap<String, Bytes>>,
    streams: Mutex<Vec<mpsc::UnboundedSender<Bytes>>>,
}

pub async fn serve(pki: &Path) -> Result<()> {
    let file = |name: &str| Source::file(name, pki.join(name));
    let pair = KeyPair { cert: file("apiserver.crt"), key: file("apiserver.key") };
    let tls = ServerTls::new(pair, ClientAuth::Optional(file("ca.crt")), HTTP)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let state = Arc::new(State::default());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, tls.clone(), state.clone()));
        }
    });
    // Ends with who started it.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

async fn connection(stream: TcpStream, tls: ServerTls, state: Arc<State>) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream = tls.acceptor().accept(stream).await?;
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(&state, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(250).initial_stream_window_size(256 * 1024);
    // The client went away.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    Ok(())
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(state: &State, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let json = |body: Body| {
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        response.body(body).expect("the header is a good one")
    };
    match (request.method(), path.as_str()) {
        (&Method::GET, "/events") => {
            let (sender, receiver) = mpsc::unbounded_channel();
            state.streams.lock().expect("no holder panics").push(sender);
            json(BodyExt::boxed(StreamBody::new(events(receiver))))
        }
        (&Method::GET, _) => match state.kept.lock().expect("no holder panics").get(&path) {
            Some(kept) => json(Full::new(kept.clone()).boxed()),
            None => status(StatusCode::NOT_FOUND),
        },
        _ => {
            let Ok(body) = request.into_body().collect().await else { return status(StatusCode::BAD_REQUEST) };
            let body = body.to_bytes();
            if path != "/events" {
                state.kept.lock().expect("no holder panics").insert(path, body);
                return status(StatusCode::OK);
            }
            let mut event = BytesMut::with_capacity(body.len() + 40);
            event.put(&br#"{"type":"MODIFIED","object":"#[..]);
            event.put(&body[..]);
            event.put(&b"}\n"[..]);
            let event = event.freeze();
            state.streams.lock().expect("no holder panics").retain(|stream| stream.send(event.clone()).is_ok());
            json(Full::new(body).boxed())
        }
    }
}

/// What has come since the last time, copied into one frame.
fn events(receiver: mpsc::UnboundedReceiver<Bytes>) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    futures::stream::unfold((receiver, Vec::new()), |(mut receiver, mut events)| async move {
        let count = receiver.recv_many(&mut events, BATCH).await;
        let mut chunk = BytesMut::with_capacity(events.iter().map(Bytes::len).sum());
        events.drain(..).for_each(|event| chunk.put(event));
        (count > 0).then(|| (Ok(Frame::data(chunk.freeze())), (receiver, events)))
    })
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    *response.status_mut() = code;
    response
}
