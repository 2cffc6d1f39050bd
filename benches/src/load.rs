//! The load: HTTP over TLS, many requests in flight, each waiting for its answer before the next. HTTP/2 shares few connections;
//! HTTP/1.1 needs one for each request in flight.
//!
//! What it costs: a request and its answer take about as long here as in the empty server of [`crate::empty`], as both
//! are hyper and rustls; so on two cores that are both busy, a floor is about half of what the server could do with a
//! generator elsewhere, and a ratio to the floor is nearer to 1 than it were without the generator. A figure that is
//! bound by etcd or the daemons is not held up by the generator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use daemon::tls::{ClientTls, HTTP2, KeyPair, Source};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::pki::Pki;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::rustls::pki_types::ServerName;

/// Requests in flight, and the connections that they share.
pub const IN_FLIGHT: usize = 64;
pub const CONNECTIONS: usize = 16;
const HTTP1: &[&[u8]] = &[b"http/1.1"];
/// How often a figure and its floor are measured.
pub const ROUNDS: usize = 5;

/// Connections to one server. Clones of their ends are [`Client`]s.
pub struct Connections(Vec<Client>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::Http2, Self::Http1];

    /// How many are needed for so many requests in flight.
    fn connections(self, in_flight: usize) -> usize {
        match self {
            Self::Http1 => in_flight,
            Self::Http2 => CONNECTIONS,
        }
    }

    /// What is added to a figure's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Http1 => "_http1",
            Self::Http2 => "",
        }
    }
}

#[derive(Clone)]
pub struct Client {
    sender: Sender,
    base: Arc<str>,
}

#[derive(Clone)]
enum Sender {
    /// Whoever has it waits until the answer before has been read.
    Http1(Arc<Mutex<http1::SendRequest<Full<Bytes>>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<http::Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

impl Connections {
    pub async fn open(address: SocketAddr, pki: &Pki, protocol: Protocol, in_flight: usize) -> Result<Self> {
        let count = protocol.connections(in_flight);
        let protocols = if protocol == Protocol::Http1 { HTTP1 } else { HTTP2 };
        let file = |name: &str| Source::file(name, pki.path(name));
        let pair = KeyPair { cert: file("admin.crt"), key: file("admin.key") };
        let tls = ClientTls::new(file("ca.crt"), Some(pair), protocols)?;
        let base: Arc<str> = format!("https://{address}").into();
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = TcpStream::connect(address).await.with_context(|| format!("{address}"))?;
            stream.set_nodelay(true)?;
            let connector = tokio_rustls::TlsConnector::from(tls.config());
            let stream = connector.connect(ServerName::from(address.ip()), stream).await?;
            let stream = TokioIo::new(stream);
            // Connections end with their last client; what goes wrong is seen by the requests.
            let sender = match protocol {
                Protocol::Http1 => {
                    let (sender, connection) = http1::handshake(stream).await?;
                    tokio::spawn(connection);
                    Sender::Http1(Arc::new(Mutex::new(sender)))
                }
                Protocol::Http2 => {
                    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                    tokio::spawn(connection);
                    Sender::Http2(sender)
                }
            };
            clients.push(Client { sender, base: base.clone() });
        }
        Ok(Self(clients))
    }

    pub fn one(&self, number: usize) -> Client {
        self.0[number % self.0.len()].clone()
    }

    /// As many clients as requests are to be in flight, spread over the connections.
    pub fn spread(&self, count: usize) -> Vec<Client> {
        (0..count).map(|number| self.one(number)).collect()
    }
}

impl Client {
    /// Sends a request and waits for the head of the answer, which must be good.
    pub async fn send(&mut self, method: Method, path: &str, body: impl Into<Bytes>) -> Result<Incoming> {
        let host = self.base.trim_start_matches("https://");
        let uri = match self.sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("{}{path}", self.base),
        };
        let mut request = Request::builder().method(&method).uri(uri);
        if matches!(self.sender, Sender::Http1(_)) {
            request = request.header(header::HOST, host);
        }
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Full::new(body.into()))?;
        let response = self.sender.send(request).await.with_context(|| format!("{method} {path}"))?;
        let status = response.status();
        if !status.is_success() {
            let body = response.into_body().collect().await?.to_bytes();
            bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(response.into_body())
    }

    pub async fn call(&mut self, method: Method, path: &str, body: impl Into<Bytes>) -> Result<Bytes> {
        Ok(self.send(method, path, body).await?.collect().await?.to_bytes())
    }

    pub async fn get(&mut self, path: &str) -> Result<Bytes> {
        self.call(Method::GET, path, "").await
    }

    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Result<Bytes> {
        self.call(Method::POST, path, body).await
    }

    /// Reads an answer without keeping it; its size.
    pub async fn drain(&mut self, path: &str) -> Result<usize> {
        let mut body = self.send(Method::GET, path, "").await?;
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            size += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(size)
    }
}

/// Someone who sends one request at a time.
pub trait Worker: Send + 'static {
    fn call(&mut self, number: usize) -> impl Future<Output = Result<()>> + Send;
}

/// When it is enough.
#[derive(Clone, Copy)]
pub enum End {
    Requests(usize),
    After(Duration),
}

#[derive(Clone, Copy)]
pub struct Load {
    /// Requests a second.
    pub rate: f64,
    pub p99: Duration,
    pub count: usize,
}

/// Lets all workers send until the end; each request has its own number.
pub async fn run<W: Worker>(workers: Vec<W>, end: End) -> Result<Load> {
    let next = Arc::new(AtomicUsize::new(0));
    let begin = Instant::now();
    let tasks: Vec<_> = workers
        .into_iter()
        .map(|mut worker| {
            let next = next.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let over = match end {
                        End::Requests(count) => number >= count,
                        End::After(time) => begin.elapsed() >= time,
                    };
                    if over {
                        return Ok::<_, anyhow::Error>(took);
                    }
                    let sent = Instant::now();
                    worker.call(number).await?;
                    took.push(sent.elapsed());
                }
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let count = took.len();
    Ok(Load { rate: count as f64 / seconds, p99: percentile(&mut took, 0.99), count })
}

/// The value below which this part of all lies.
pub fn percentile<T: Ord + Copy + Default>(all: &mut [T], part: f64) -> T {
    if all.is_empty() {
        return T::default();
    }
    let at = ((all.len() as f64 * part) as usize).min(all.len() - 1);
    *all.select_nth_unstable(at).1
}

/// Two loads by turns, several times, as the machine is not equally fast all the time: of each the round with the
/// middle rate.
pub async fn by_turns(
    mut ours: impl AsyncFnMut(usize) -> Result<Load>,
    mut floor: impl AsyncFnMut(usize) -> Result<Load>,
) -> Result<(Load, Load)> {
    let (mut of_ours, mut of_floor) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        of_floor.push(floor(round).await?);
        of_ours.push(ours(round).await?);
    }
    Ok((middle(of_ours, |load| load.rate), middle(of_floor, |load| load.rate)))
}

pub fn middle<T>(mut all: Vec<T>, of: impl Fn(&T) -> f64) -> T {
    all.sort_by(|a, b| of(a).total_cmp(&of(b)));
    all.swap_remove(all.len() / 2)
}

/// Makes objects; the number of the first one is given, as names are used once.
pub struct Post {
    pub client: Client,
    pub path: &'static str,
    pub first: usize,
    pub body: fn(usize) -> Vec<u8>,
}

impl Worker for Post {
    async fn call(&mut self, number: usize) -> Result<()> {
        self.client.post(self.path, (self.body)(self.first + number)).await.map(drop)
    }
}

pub struct Get {
    pub client: Client,
    pub path: fn(usize) -> String,
}

impl Worker for Get {
    async fn call(&mut self, number: usize) -> Result<()> {
        self.client.drain(&(self.path)(number)).await.map(drop)
    }
}
