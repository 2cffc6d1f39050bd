//! What is measured. This file: the rows of a control plane with 10 000 pods.

mod etcd;
pub mod node;
mod watch;
pub mod workloads;

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use crate::empty::Empty;
use crate::load::{self, Connections, End, Get, IN_FLIGHT, Load, Post, Protocol, ROUNDS};
use crate::objects::{self, NAMESPACE, pod_name};
use crate::report::{Floor, figure, milliseconds, say};
use crate::stage::Stage;

const PODS: usize = 10_000;
const PODS_PATH: &str = "/api/v1/namespaces/default/pods";
/// Of one round.
const TIME: Duration = Duration::from_millis(1000);
/// After work or a start, until memory shows what is kept.
const SETTLE: Duration = Duration::from_secs(2);
const MANAGERS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

pub async fn objects(wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    let mut stage = Stage::with(&["etcd"])?;
    let begin = Instant::now();
    stage.start("kube-apiserver")?;
    let started = begin.elapsed();
    if wanted("start") {
        figure("start", started.as_secs_f64(), "s", Floor::None);
        idle_memory(&mut stage).await?;
    }
    if ["create", "get", "list", "watch"].into_iter().all(|row| !wanted(row)) {
        return Ok(());
    }
    let empty = Empty::start(&stage.cluster.pki.folder)?;
    for protocol in Protocol::ALL {
        let connections = stage.connect(protocol, IN_FLIGHT).await?;
        let bare = Connections::open(empty.address, &stage.cluster.pki, protocol, IN_FLIGHT).await?;
        let both = Both { protocol, stage: &stage, empty: &empty, connections: &connections, bare: &bare };
        if ["create", "get", "list"].into_iter().any(wanted) {
            both.create(wanted("create")).await?;
        }
        if wanted("get") {
            both.get().await?;
        }
        if wanted("list") {
            both.list().await?;
        }
    }
    for protocol in Protocol::ALL.into_iter().filter(|_| wanted("watch")) {
        watch::run(protocol, &stage, &empty).await?;
    }
    Ok(())
}

async fn idle_memory(stage: &mut Stage) -> Result<()> {
    for name in MANAGERS {
        stage.start(name)?;
    }
    tokio::time::sleep(SETTLE).await;
    let mut together = 0.0;
    for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        let memory = stage.memory(name)?;
        figure(&format!("idle_rss_{name}"), memory, "MB", Floor::None);
        together += memory;
    }
    figure("idle_rss_together", together, "MB", Floor::None);
    MANAGERS.into_iter().for_each(|name| stage.stop(name));
    Ok(())
}

/// kube-apiserver and the empty server, side by side over one protocol.
struct Both<'a> {
    protocol: Protocol,
    stage: &'a Stage,
    empty: &'a Empty,
    connections: &'a Connections,
    bare: &'a Connections,
}

impl Both<'_> {
    fn name(&self, figure: &str) -> String {
        format!("{figure}{}", self.protocol.suffix())
    }

    /// CPU time of kube-apiserver for one operation, and of the empty server.
    fn tell_work(&self, name: &str, ours: &Cell<(Duration, usize)>, floor: Option<&Cell<(Duration, usize)>>) {
        let each = |work: &Cell<(Duration, usize)>| work.get().0.as_secs_f64() * 1e6 / work.get().1.max(1) as f64;
        let floor = floor.map_or(Floor::None, |floor| Floor::Is(each(floor)));
        figure(&self.name(&format!("{name}_cpu")), each(ours), "us", floor);
    }

    async fn create(&self, told: bool) -> Result<()> {
        let (stage, connections) = (self.stage, self.connections);
        say(format_args!("creating {PODS} pods over {:?}, and as many in etcd alone", self.protocol));
        let body = |number| objects::pod(&pod_name(number)).to_string().into();
        // Pods of the second protocol take the numbers after those of the first one.
        let offset = if self.protocol == Protocol::Http1 { PODS + 1 } else { 0 };
        let stored: Bytes = connections.one(0).post(PODS_PATH, body(offset + PODS)).await?;
        let alone = etcd::Alone::start().await?;
        let each = PODS / ROUNDS;
        let work = Cell::default();
        let ours = async |round: usize| {
            let post = |client| Post { client, path: PODS_PATH, first: offset + round * each, body };
            let workers = connections.spread(IN_FLIGHT).into_iter().map(post).collect();
            measured(&work, || stage.work("kube-apiserver"), load::run(workers, End::Requests(each))).await
        };
        let floor = async |round: usize| alone.guarded_puts(&stored, round * each, each).await;
        let (ours, floor) = load::by_turns(ours, floor).await?;
        if told {
            figure(&self.name("create"), ours.rate, "1/s", Floor::Is(floor.rate));
            figure(&self.name("create_p99"), milliseconds(ours.p99), "ms", Floor::Is(milliseconds(floor.p99)));
            self.tell_work("create", &work, None);
        }
        if self.protocol == Protocol::Http2 {
            tokio::time::sleep(SETTLE).await;
            let memory = stage.memory("kube-apiserver")?;
            let all = connections.one(0).drain(&format!("{PODS_PATH}?resourceVersion=0")).await?;
            if told {
                figure("rss_10000_pods", memory, "MB", Floor::Is(all as f64 / 1e6));
            }
        }
        Ok(())
    }

    async fn get(&self) -> Result<()> {
        let path = |number: usize| format!("{NAMESPACE}/pods/{}", pod_name(number * 7919 % PODS));
        let bytes = self.connections.one(0).get(&path(0)).await?;
        self.bare.one(0).post("/keep/pod", bytes).await?;
        say(format_args!("getting pods over {:?}", self.protocol));
        let kept = |_: usize| "/keep/pod".to_owned();
        let (ours, floor) = self.gets("get", path, kept, IN_FLIGHT, End::After(TIME)).await?;
        figure(&self.name("get"), ours.rate, "1/s", Floor::Is(floor.rate));
        figure(&self.name("get_p99"), milliseconds(ours.p99), "ms", Floor::Is(milliseconds(floor.p99)));
        Ok(())
    }

    async fn list(&self) -> Result<()> {
        let bytes: Bytes = self.connections.one(0).get(PODS_PATH).await?;
        let size = bytes.len() as f64 / 1e6;
        self.bare.one(0).post("/keep/list", bytes).await?;
        let (path, kept) = (|_: usize| PODS_PATH.to_owned(), |_: usize| "/keep/list".to_owned());
        for (name, clients) in [("list", 1), ("list_by_four", 4)] {
            say(format_args!("listing all pods over {:?}, {clients} at a time", self.protocol));
            // Lists are long, so a number of them is measured and not a time.
            let (ours, floor) = self.gets(name, path, kept, clients, End::Requests(clients * 8)).await?;
            figure(&self.name(name), ours.rate * size, "MB/s", Floor::Is(floor.rate * size));
        }
        Ok(())
    }

    async fn gets(&self, name: &str, path: PathOf, kept: PathOf, clients: usize, end: End) -> Result<(Load, Load)> {
        let workers = |connections: &Connections, path: PathOf| {
            connections.spread(clients).into_iter().map(|client| Get { client, path }).collect()
        };
        let (of_ours, of_floor) = (Cell::default(), Cell::default());
        let ours = async |_| {
            let load = load::run(workers(self.connections, path), end);
            measured(&of_ours, || self.stage.work("kube-apiserver"), load).await
        };
        let floor = async |_| {
            let load = load::run(workers(self.bare, kept), end);
            measured(&of_floor, || self.empty.work(), load).await
        };
        let loads = load::by_turns(ours, floor).await?;
        self.tell_work(name, &of_ours, Some(&of_floor));
        Ok(loads)
    }
}

/// Adds what a server worked meanwhile, and for how many operations.
async fn measured(
    sum: &Cell<(Duration, usize)>,
    work: impl Fn() -> Result<Duration>,
    load: impl Future<Output = Result<Load>>,
) -> Result<Load> {
    let before = work()?;
    let load = load.await?;
    let (worked, count) = sum.get();
    sum.set((worked + work()?.saturating_sub(before), count + load.count));
    Ok(load)
}

type PathOf = fn(usize) -> String;
