//! One of the two servers: an etcd and a kube-apiserver as processes, an administrator's connection to it, and what the script has kept of
//! its answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use daemon::tls::{ClientTls, KeyPair, Source};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use testkit::{Cluster, Daemon, Layout};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::answer::Answer;
use crate::normal::{normal, plain};
use crate::steps::Step;

/// Headers that say something about the answer, rather than about the connection.
const HEADERS: [&str; 6] = ["content-type", "warning", "location", "retry-after", "allow", "accept-patch"];
const HTTP1: &[&[u8]] = &[b"http/1.1"];
const PATIENCE: Duration = Duration::from_secs(70);
/// For the body of an answer that should end by itself.
const ENOUGH: Duration = Duration::from_secs(5);

pub struct Server {
    cluster: Cluster,
    sender: Option<SendRequest<Full<Bytes>>>,
    kept: BTreeMap<String, String>,
    // In the order in which they end.
    _apiserver: Daemon,
    _etcd: Daemon,
}

impl Server {
    /// Ours, or upstream's.
    pub fn start(folder: &Path, upstream: Option<&Path>) -> Result<Self> {
        let own = std::env::current_exe()?;
        let programs = own.parent().context("a program lies in a folder")?;
        let mut layout = Layout::beside(folder, programs, 1)?;
        // The addresses that `normal` knows.
        (layout.service_range, layout.service_ip) = ("10.99.0.0/16".into(), "10.99.0.1".into());
        let cluster = Cluster::prepare(layout)?;
        let etcd = cluster.start("etcd")?;
        let mut apiserver = match upstream {
            None => cluster.spawn("kube-apiserver")?,
            Some(program) => {
                let log = folder.join("log/kube-apiserver.log");
                Daemon::start("kube-apiserver", program, &upstream_arguments(&cluster), &log)?
            }
        };
        cluster.wait_for_apiserver(&mut apiserver)?;
        Ok(Self { cluster, sender: None, kept: BTreeMap::new(), _apiserver: apiserver, _etcd: etcd })
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.cluster.layout.address, self.cluster.layout.apiserver_port)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let file = |name: &str| Source::file(name, self.cluster.pki.path(name));
        let pair = KeyPair { cert: file("admin.crt"), key: file("admin.key") };
        let tls = ClientTls::new(file("ca.crt"), Some(pair), HTTP1)?;
        let stream = TcpStream::connect(self.address()).await?;
        let stream = tokio_rustls::TlsConnector::from(tls.config())
            .connect(ServerName::from(self.address().ip()), stream)
            .await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A text with what was kept of earlier answers.
    fn filled(&self, text: &str) -> String {
        self.kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
    }

    pub async fn ask(&mut self, step: &Step) -> Result<Answer> {
        let mut request = Request::builder().method(Method::from_bytes(step.method.as_bytes())?);
        request = request.uri(self.filled(&step.path)).header(header::HOST, self.address().to_string());
        for (name, value) in &step.headers {
            request = request.header(name, self.filled(value));
        }
        let request = request.body(Full::new(Bytes::from(self.filled(&step.body))))?;
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        sender.ready().await?;
        let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await??;
        let (answer, whole) = read(response, step).await?;
        if whole {
            self.sender = Some(sender);
        }
        self.answered(step, answer)
    }

    fn answered(&mut self, step: &Step, mut answer: Answer) -> Result<Answer> {
        for (name, path) in &step.keep {
            let found = path.split('.').try_fold(&answer.body, |value, part| match part.parse::<usize>() {
                Ok(index) => value.get(index),
                Err(_) => value.get(part),
            });
            let text = found.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            self.kept.insert(name.clone(), text.unwrap_or_else(|| "(absent)".into()));
        }
        let own = self.address().to_string();
        normal(&mut answer.body, &own);
        answer.headers.iter_mut().for_each(|(_, value)| *value = plain(value, &own));
        Ok(answer)
    }
}

/// The answer, and whether it was read to its end.
async fn read(response: Response<Incoming>, step: &Step) -> Result<(Answer, bool)> {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let all = async {
        while let Some(frame) = body.frame().await {
            bytes.extend_from_slice(frame?.data_ref().unwrap_or(&Bytes::new()));
        }
        anyhow::Ok(())
    };
    // A watch does not end by itself, nor does what one of the servers takes for a watch.
    let time = step.stop_after.unwrap_or(ENOUGH);
    let whole = tokio::time::timeout(time, all).await.map_or(Ok(false), |read| read.map(|()| true))?;
    let headers = parts.headers.iter().filter(|(name, _)| HEADERS.contains(&name.as_str()));
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let body = parsed(&bytes, step.stop_after.is_some());
    Ok((Answer { status: parts.status.as_u16(), headers: headers.collect(), body }, whole))
}

fn parsed(bytes: &[u8], lines: bool) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()));
    if lines { text.lines().map(line).collect() } else { line(&text) }
}

/// The flags of ours, which 1.20 knows too, and what it wants beside them.
fn upstream_arguments(cluster: &Cluster) -> Vec<String> {
    let mut arguments = cluster.arguments("kube-apiserver");
    arguments.extend([
        "--insecure-port=0".into(),
        format!("--service-account-key-file={}", cluster.pki.path("service-account.pub").display()),
        format!("--cert-dir={}", cluster.layout.folder.display()),
    ]);
    arguments
}
