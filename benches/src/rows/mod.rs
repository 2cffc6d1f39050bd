//! What is measured. This file: the rows of a control plane with 10 000 pods.

mod etcd;
pub mod node;
mod watch;
pub mod workloads;

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;

use crate::empty::Empty;
use crate::load::{self, CONNECTIONS, Connections, End, Get, IN_FLIGHT, Post, ROUNDS};
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
    let connections = stage.connect(CONNECTIONS).await?;
    let empty = Empty::start(&stage.cluster.pki.folder)?;
    let bare = Connections::open(empty.address, &stage.cluster.pki, CONNECTIONS).await?;
    if ["create", "get", "list"].into_iter().any(wanted) {
        create(&stage, &connections, wanted("create")).await?;
    }
    if wanted("get") {
        get(&connections, &bare).await?;
    }
    if wanted("list") {
        list(&connections, &bare).await?;
    }
    if wanted("watch") {
        watch::run(&connections, &bare, &stage, &empty).await?;
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

async fn create(stage: &Stage, connections: &Connections, told: bool) -> Result<()> {
    say(format_args!("creating {PODS} pods, and as many in etcd alone"));
    let body = |number| objects::pod(&pod_name(number)).to_string().into();
    let stored: Bytes = connections.one(0).post(PODS_PATH, body(PODS)).await?;
    let alone = etcd::Alone::start().await?;
    let each = PODS / ROUNDS;
    let ours = async |round: usize| {
        let post = |client| Post { client, path: PODS_PATH, first: round * each, body };
        load::run(connections.spread(IN_FLIGHT).into_iter().map(post).collect(), End::Requests(each)).await
    };
    let floor = async |round: usize| alone.guarded_puts(&stored, round * each, each).await;
    let (ours, floor) = load::by_turns(ours, floor).await?;
    if !told {
        return Ok(());
    }
    tokio::time::sleep(SETTLE).await;
    let memory = stage.memory("kube-apiserver")?;
    let all = connections.one(0).drain(&format!("{PODS_PATH}?resourceVersion=0")).await?;
    figure("create", ours.rate, "1/s", Floor::Is(floor.rate));
    figure("create_p99", milliseconds(ours.p99), "ms", Floor::Is(milliseconds(floor.p99)));
    figure("rss_10000_pods", memory, "MB", Floor::Is(all as f64 / 1e6));
    Ok(())
}

async fn get(connections: &Connections, bare: &Connections) -> Result<()> {
    let path = |number: usize| format!("{NAMESPACE}/pods/{}", pod_name(number * 7919 % PODS));
    let bytes = connections.one(0).get(&path(0)).await?;
    bare.one(0).post("/keep/pod", bytes).await?;
    say("getting pods");
    let (ours, floor) = gets(connections, path, bare, |_| "/keep/pod".to_owned(), IN_FLIGHT, End::After(TIME)).await?;
    figure("get", ours.rate, "1/s", Floor::Is(floor.rate));
    figure("get_p99", milliseconds(ours.p99), "ms", Floor::Is(milliseconds(floor.p99)));
    Ok(())
}

async fn list(connections: &Connections, bare: &Connections) -> Result<()> {
    let bytes: Bytes = connections.one(0).get(PODS_PATH).await?;
    let size = bytes.len() as f64 / 1e6;
    bare.one(0).post("/keep/list", bytes).await?;
    let (path, kept) = (|_: usize| PODS_PATH.to_owned(), |_: usize| "/keep/list".to_owned());
    for (name, clients) in [("list", 1), ("list_by_four", 4)] {
        say(format_args!("listing {PODS} pods, {clients} at a time"));
        // Lists are long, so a number of them is measured and not a time.
        let (ours, floor) = gets(connections, path, bare, kept, clients, End::Requests(clients * 8)).await?;
        figure(name, ours.rate * size, "MB/s", Floor::Is(floor.rate * size));
    }
    Ok(())
}

type PathOf = fn(usize) -> String;

async fn gets(
    connections: &Connections,
    path: PathOf,
    bare: &Connections,
    kept: PathOf,
    clients: usize,
    end: End,
) -> Result<(load::Load, load::Load)> {
    let measure = async |connections: &Connections, path: PathOf| {
        let workers = connections.spread(clients).into_iter().map(|client| Get { client, path }).collect();
        load::run(workers, end).await
    };
    load::by_turns(async |_| measure(connections, path).await, async |_| measure(bare, kept).await).await
}
