//! Probes: asks a container how it is, by HTTP, TCP or a command, as often as its spec says. Tells only what changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container as Spec, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::runtime::Runtime;

/// What a probe has found out, after its thresholds.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Started,
    Ready(bool),
    /// To be restarted: why, and within which time if the probe says so.
    Unhealthy(String, Option<u32>),
    /// One failure, to be told as an event.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub container_id: String,
    pub verdict: Verdict,
}

pub fn has_probes(spec: &Spec) -> bool {
    spec.liveness_probe.is_some() || spec.readiness_probe.is_some() || spec.startup_probe.is_some()
}

/// Where a container is asked.
#[derive(Clone)]
pub struct Target {
    pub runtime: Arc<dyn Runtime>,
    pub container_id: String,
    /// The pod's address, or the node's.
    pub host: String,
    pub spec: Arc<Spec>,
    pub reports: mpsc::UnboundedSender<Report>,
}

impl Target {
    /// Asks until it is aborted. Liveness and readiness have to wait until the startup probe has succeeded.
    pub async fn watch(self) {
        if let Some(probe) = &self.spec.startup_probe {
            let mut counter = Counter::new(probe, false);
            loop {
                match counter.count(self.round(probe, counter.rounds, "Startup").await) {
                    Some(true) => break,
                    Some(false) => self.unhealthy("startup", probe),
                    None => {}
                }
            }
        }
        self.tell(Verdict::Started);
        tokio::join!(self.liveness(), self.readiness());
    }

    async fn liveness(&self) {
        let Some(probe) = &self.spec.liveness_probe else { return };
        let mut counter = Counter::new(probe, true);
        loop {
            if counter.count(self.round(probe, counter.rounds, "Liveness").await) == Some(false) {
                self.unhealthy("liveness", probe);
            }
        }
    }

    async fn readiness(&self) {
        let Some(probe) = &self.spec.readiness_probe else { return };
        let mut counter = Counter::new(probe, false);
        loop {
            if let Some(ready) = counter.count(self.round(probe, counter.rounds, "Readiness").await) {
                self.tell(Verdict::Ready(ready));
            }
        }
    }

    /// Waits for the next time, and asks.
    async fn round(&self, probe: &Probe, rounds: u32, kind: &str) -> bool {
        let wait = if rounds == 0 {
            probe.initial_delay_seconds.unwrap_or(0)
        } else {
            probe.period_seconds.unwrap_or(10).max(1)
        };
        tokio::time::sleep(seconds(wait)).await;
        let asked = self.ask(probe).await;
        if let Err(message) = &asked {
            self.tell(Verdict::Failed(format!("{kind} probe failed: {message}")));
        }
        asked.is_ok()
    }

    async fn ask(&self, probe: &Probe) -> Result<(), String> {
        let time = seconds(probe.timeout_seconds.unwrap_or(1).max(1));
        if let Some(exec) = &probe.exec {
            let command = exec.command.clone().unwrap_or_default();
            let outcome =
                self.runtime.exec(&self.container_id, &command, time).await.map_err(|error| error.to_string())?;
            return if outcome.exit_code == 0 { Ok(()) } else { Err(outcome.output.trim().to_owned()) };
        }
        if let Some(get) = &probe.http_get {
            return http_get(get, &self.spec, &self.host, time).await;
        }
        if let Some(tcp) = &probe.tcp_socket {
            let host = tcp.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(&self.host);
            return connect(host, port(&tcp.port, &self.spec)?, time).await.map(drop);
        }
        Err("the probe names neither exec, httpGet nor tcpSocket (gRPC is not supported)".into())
    }

    fn unhealthy(&self, kind: &str, probe: &Probe) {
        let own = probe.termination_grace_period_seconds.and_then(|seconds| u32::try_from(seconds).ok());
        let message = format!("Container {} failed {kind} probe, will be restarted", self.spec.name);
        self.tell(Verdict::Unhealthy(message, own));
    }

    fn tell(&self, verdict: Verdict) {
        // The worker may have ended before its probes.
        let _ = self.reports.send(Report { container_id: self.container_id.clone(), verdict });
    }
}

/// Counts results against the thresholds.
struct Counter {
    success: u32,
    failure: u32,
    state: bool,
    streak: u32,
    rounds: u32,
    last: Option<bool>,
}

impl Counter {
    fn new(probe: &Probe, state: bool) -> Self {
        let number = |given: Option<i32>, default: i32| given.unwrap_or(default).max(1).unsigned_abs();
        let (success, failure) = (number(probe.success_threshold, 1), number(probe.failure_threshold, 3));
        Self { success, failure, state, streak: 0, rounds: 0, last: None }
    }

    /// Some: a threshold is reached: by a failure each time anew, by a success once.
    fn count(&mut self, success: bool) -> Option<bool> {
        self.rounds += 1;
        self.streak = if self.last == Some(success) { self.streak + 1 } else { 1 };
        self.last = Some(success);
        if success && self.streak >= self.success && !self.state {
            self.state = true;
            return Some(true);
        }
        if !success && self.streak >= self.failure {
            self.state = false;
            self.streak = 0;
            return Some(false);
        }
        None
    }
}

fn seconds(number: i32) -> Duration {
    Duration::from_secs(number.max(0).unsigned_abs().into())
}

fn port(port: &IntOrString, spec: &Spec) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = spec.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| format!("{port:?} is no port of the container"))
}

async fn connect(host: &str, port: u16, time: Duration) -> Result<TcpStream, String> {
    let connected = tokio::time::timeout(time, TcpStream::connect((host, port))).await;
    let connected = connected.map_err(|_| format!("dial tcp {host}:{port}: i/o timeout"))?;
    connected.map_err(|error| format!("dial tcp {host}:{port}: {error}"))
}

/// A GET that is well when the status is 200 to 399. A redirect is an answer: it is not followed.
pub async fn http_get(get: &HTTPGetAction, spec: &Spec, pod_host: &str, time: Duration) -> Result<(), String> {
    let host = get.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(pod_host);
    let port = port(&get.port, spec)?;
    if get.scheme.as_deref() == Some("HTTPS") {
        return Err("scheme HTTPS is not supported by this kubelet's probes".into());
    }
    let path = get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut headers: BTreeMap<String, String> = [
        ("host".to_owned(), format!("{host}:{port}")),
        ("user-agent".to_owned(), concat!("kube-probe/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("accept".to_owned(), "*/*".to_owned()),
        ("connection".to_owned(), "close".to_owned()),
    ]
    .into();
    headers.extend(get.http_headers.iter().flatten().map(|header| (header.name.to_lowercase(), header.value.clone())));
    let mut request = hyper::Request::get(&path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let ask = async {
        let stream = connect(host, port, time).await?;
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(|error| error.to_string())?;
        let answer = sender.send_request(request);
        // The connection is driven beside the request, and ends with it.
        tokio::select! {
            answer = answer => answer.map_err(|error| error.to_string()),
            ended = connection => Err(ended.err().map_or_else(|| "connection closed".to_owned(), |error| error.to_string())),
        }
    };
    let url = || format!("Get \"http://{host}:{port}{path}\"");
    let answer = tokio::time::timeout(time, ask).await.map_err(|_| format!("{}: timeout", url()))?;
    let status = answer.map_err(|error| format!("{}: {error}", url()))?.status();
    if status.as_u16() >= 200 && status.as_u16() < 400 {
        Ok(())
    } else {
        Err(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Default::default() };
        let mut counter = Counter::new(&probe, false);
        let results = [true, true, true, false, false, false, false, true, true];
        let told: Vec<_> = results.into_iter().map(|result| counter.count(result)).collect();
        let expected = [None, Some(true), None, None, None, Some(false), None, None, Some(true)];
        assert_eq!(told, expected);
    }

    #[test]
    fn named_ports() {
        let spec: Spec =
            serde_json::from_value(serde_json::json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}))
                .unwrap();
        assert_eq!(port(&IntOrString::Int(80), &spec), Ok(80));
        assert_eq!(port(&IntOrString::String("web".into()), &spec), Ok(8080));
        assert!(port(&IntOrString::String("nope".into()), &spec).is_err());
        assert!(port(&IntOrString::Int(70_000), &spec).is_err());
    }
}
