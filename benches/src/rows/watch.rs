//! 200 watchers that all see 16 objects, each of which a writer changes as fast as it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use memchr::memmem::Finder;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::TIME;
use crate::empty::Empty;
use crate::load::{self, Client, Connections, End, Protocol, ROUNDS, Worker, middle, percentile};
use crate::objects::NAMESPACE;
use crate::report::{Floor, figure, say};
use crate::stage::Stage;

const WATCHERS: usize = 200;
const WRITERS: usize = 16;
/// After the last write, for what is still on its way.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before the digits that say when an object was written.
const MARK: &str = "\"sent\":\"";
const DIGITS: usize = 12;

struct Outcome {
    deliveries: f64,
    writes: f64,
    p99: f64,
    lost: usize,
}

pub async fn run(protocol: Protocol, stage: &Stage, empty: &Empty) -> Result<()> {
    let clock = Instant::now();
    let writers = stage.connect(protocol, WRITERS).await?;
    let bare = Connections::open(empty.address, &stage.cluster.pki, protocol, WRITERS).await?;
    let name = |number: usize| format!("watched{}-{number}", protocol.suffix().replace('_', "-"));
    let path = |number: usize| format!("{NAMESPACE}/configmaps/{}", name(number));
    for number in 0..WRITERS {
        writers.one(number).post(&format!("{NAMESPACE}/configmaps"), object(&name(number), clock)).await?;
    }
    say(format_args!("{WATCHERS} watchers, {WRITERS} writers over {protocol:?}"));
    let put = |number| Write { client: writers.one(number), path: path(number), name: name(number), clock };
    let stored = writers.one(0).get(&path(0)).await?.len();
    let push = |number| Push { client: bare.one(number), clock, size: stored };
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // A watch that is left takes its HTTP/1.1 connection with it.
        let watchers = Connections::open(empty.address, &stage.cluster.pki, protocol, WATCHERS).await?;
        floor.push(measure((0..WRITERS).map(push).collect(), &watchers, "/events", clock).await?);
        let watch = watch_from_now(&mut writers.one(0)).await?;
        let watchers = stage.connect(protocol, WATCHERS).await?;
        ours.push(measure((0..WRITERS).map(put).collect(), &watchers, &watch, clock).await?);
    }
    let lost: usize = ours.iter().map(|outcome| outcome.lost).sum();
    let (ours, floor) = (middle(ours, |o| o.deliveries), middle(floor, |o| o.deliveries));

    let named = |figure: &str| format!("{figure}{}", protocol.suffix());
    figure(&named("watch_deliveries"), ours.deliveries, "1/s", Floor::Is(floor.deliveries));
    figure(&named("watch_p99"), ours.p99, "ms", Floor::Is(floor.p99));
    figure(&named("watch_writes"), ours.writes, "1/s", Floor::Is(floor.writes));
    figure(&named("watch_lost"), lost as f64, "events", Floor::None);
    Ok(())
}

/// The path of a watch that is not told of what exists.
async fn watch_from_now(client: &mut Client) -> Result<String> {
    let list = client.get(&format!("{NAMESPACE}/configmaps?limit=1")).await?;
    let list: Value = serde_json::from_slice(&list)?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a list without a version")?;
    Ok(format!("{NAMESPACE}/configmaps?watch=true&resourceVersion={version}"))
}

async fn measure<W: Worker>(writers: Vec<W>, connections: &Connections, path: &str, clock: Instant) -> Result<Outcome> {
    let seen = Arc::new(AtomicUsize::new(0));
    let (stop, stopped) = watch::channel(());
    let mut watching = JoinSet::new();
    for mut client in connections.spread(WATCHERS) {
        let body = client.send(Method::GET, path, "").await?;
        watching.spawn(
            Reader { seen: seen.clone(), clock, late: Vec::new(), rest: Vec::new() }.read(body, stopped.clone()),
        );
    }
    let begin = Instant::now();
    let written = load::run(writers, End::After(TIME)).await?;
    let wanted = written.count * WATCHERS;
    while seen.load(Ordering::Relaxed) < wanted && begin.elapsed() < TIME + PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let arrived = seen.load(Ordering::Relaxed);
    drop(stop);
    let mut late = Vec::with_capacity(arrived);
    while let Some(reader) = watching.join_next().await {
        late.extend(reader??);
    }
    let p99 = f64::from(percentile(&mut late, 0.99)) / 1000.0;
    Ok(Outcome {
        deliveries: arrived as f64 / seconds,
        writes: written.rate,
        p99,
        lost: wanted.saturating_sub(arrived),
    })
}

/// Counts the events of one watch and notes how long each was on its way.
struct Reader {
    seen: Arc<AtomicUsize>,
    clock: Instant,
    /// In microseconds.
    late: Vec<u32>,
    /// An event whose end has not arrived.
    rest: Vec<u8>,
}

impl Reader {
    async fn read(mut self, mut body: Incoming, mut stopped: watch::Receiver<()>) -> Result<Vec<u32>> {
        let mark = Finder::new(MARK);
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                _ = stopped.changed() => return Ok(self.late),
            };
            let Some(frame) = frame else { bail!("a watch was ended by the server") };
            let Ok(data) = frame?.into_data() else { continue };
            let now = self.clock.elapsed().as_micros() as u64;
            let (mut from, before) = (0, self.late.len());
            for end in memchr::memchr_iter(b'\n', &data) {
                let line = &data[from..end];
                from = end + 1;
                if self.rest.is_empty() {
                    self.event(&mark, line, now);
                } else {
                    self.rest.extend_from_slice(line);
                    let line = std::mem::take(&mut self.rest);
                    self.event(&mark, &line, now);
                }
            }
            self.rest.extend_from_slice(&data[from..]);
            self.seen.fetch_add(self.late.len() - before, Ordering::Relaxed);
        }
    }

    fn event(&mut self, mark: &Finder<'_>, line: &[u8], now: u64) {
        let Some(at) = mark.find(line) else { return };
        let digits = line.get(at + MARK.len()..at + MARK.len() + DIGITS).unwrap_or_default();
        let sent = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit.wrapping_sub(b'0')));
        self.late.push(now.saturating_sub(sent) as u32);
    }
}

fn sent(clock: Instant) -> String {
    format!("{:0DIGITS$}", clock.elapsed().as_micros())
}

fn object(name: &str, clock: Instant) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"sent": sent(clock)}})
    .to_string()
}

struct Write {
    client: Client,
    path: String,
    name: String,
    clock: Instant,
}

impl Worker for Write {
    async fn call(&mut self, _: usize) -> Result<()> {
        self.client.call(Method::PUT, &self.path, object(&self.name, self.clock)).await.map(drop)
    }
}

/// Gives the empty server an event as large as ours.
struct Push {
    client: Client,
    clock: Instant,
    size: usize,
}

impl Worker for Push {
    async fn call(&mut self, _: usize) -> Result<()> {
        let mut event = format!("{{{MARK}{}\",\"fill\":\"", sent(self.clock));
        event.extend(std::iter::repeat_n('-', self.size.saturating_sub(event.len() + 2)));
        event.push_str("\"}");
        self.client.post("/events", event).await.map(drop)
    }
}
