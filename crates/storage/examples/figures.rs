//! What the parts of the cache cost: `cargo run --release -p storage --example figures [http://etcd:2379]`.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use storage::{Backend, Cache, Etcd, EtcdOptions, Filter, Kind, Memory, Op, Store};

const WATCHERS: usize = 200;
const KUBELETS: usize = 5000;
const WRITERS: usize = 16;
const FOR: Duration = Duration::from_secs(3);

fn pod(name: &str, node: usize) -> Op {
    let environment = r#"{"name":"VARIABLE","value":"some value that is as long as such values are"},"#.repeat(20);
    let text = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"default","labels":{{"app":"x","tier":"y"}}}},"spec":{{"containers":[{{"name":"c","image":"i","env":[{}]}}],"nodeName":"n{node}","restartPolicy":"Always"}},"status":{{"phase":"Running","podIP":"10.0.0.1"}}}}"#,
        environment.trim_end_matches(',')
    );
    Op::Put { key: format!("/registry/pods/default/{name}"), value: text.into(), time_to_live: None }
}

fn each(what: &str, times: usize, mut work: impl FnMut()) {
    let start = Instant::now();
    (0..times).for_each(|_| work());
    println!("{what}: {:?}", start.elapsed() / times as u32);
}

async fn catching_up(store: &Store, readers: usize) {
    let (count, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..readers)
        .map(|_| {
            let (store, count) = (store.clone(), count.clone());
            tokio::spawn(async move {
                while start.elapsed() < FOR {
                    store.catch_up().await.expect("the store answers");
                    black_box(store.get("default/p0"));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no reader panics");
    }
    println!("{readers} linearizable readers: {} /s", count.load(Ordering::Relaxed) / FOR.as_secs());
}

async fn telling(backend: &Arc<dyn Backend>, store: &Store, what: &str, filters: Vec<Filter>) {
    let (told, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let watchers: Vec<_> = filters
        .into_iter()
        .map(|filter| {
            let (mut watcher, told) = (store.list_and_watch(filter).1, told.clone());
            tokio::spawn(async move {
                while let Ok(seen) = watcher.next(256).await {
                    let bytes: usize = seen.iter().map(|(kind, event)| event.frame(*kind).len()).sum();
                    black_box(bytes);
                    told.fetch_add(seen.len() as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let backend = backend.clone();
            tokio::spawn(async move {
                let mut written = 0_u64;
                while start.elapsed() < FOR {
                    backend.commit(&[], vec![pod(&format!("p{writer}"), writer)]).await.expect("the store answers");
                    written += 1;
                    tokio::task::yield_now().await;
                }
                written
            })
        })
        .collect();
    let mut written = 0;
    for writer in writers {
        written += writer.await.expect("no writer panics");
    }
    let seconds = start.elapsed().as_secs_f64();
    let ended = watchers.iter().filter(|watcher| watcher.is_finished()).count();
    watchers.iter().for_each(|watcher| watcher.abort());
    println!(
        "{what}: {:.0} writes/s, {:.0} deliveries/s, {ended} overtaken",
        written as f64 / seconds,
        told.load(Ordering::Relaxed) as f64 / seconds
    );
}

#[tokio::main]
async fn main() {
    let etcd = std::env::args().nth(1);
    let backend: Arc<dyn Backend> = match etcd {
        Some(endpoint) => {
            let options = EtcdOptions { endpoints: vec![endpoint], ..EtcdOptions::default() };
            Etcd::new(options).await.expect("an endpoint of etcd")
        }
        None => Memory::new(),
    };
    let selectable = ["spec.nodeName", "status.phase", "status.nominatedNodeName"].map(Into::into).to_vec();
    let cache = Cache::start(backend.clone());
    let store = cache.add(&Kind { prefix: "/registry/pods/".into(), selectable });
    store.ready().await;
    for n in 0..1000 {
        backend.commit(&[], vec![pod(&format!("p{n}"), n)]).await.expect("the store answers");
    }
    store.catch_up().await.expect("the store answers");
    if let Op::Put { value, .. } = pod("p", 1) {
        each(&format!("an entry of {} bytes", value.len()), 100_000, || drop(black_box(store.entry("p", &value, 7))));
    }
    each("a get from the cache", 1_000_000, || drop(black_box(store.get("default/p500"))));
    catching_up(&store, 1).await;
    catching_up(&store, 64).await;
    telling(&backend, &store, "nobody watches", Vec::new()).await;
    let all = (0..WATCHERS).map(|_| Filter::default()).collect();
    telling(&backend, &store, "200 watchers of everything", all).await;
    let by_node = |node| Filter { fields: vec![(0, format!("n{node}"), true)], ..Filter::default() };
    telling(&backend, &store, "5000 watchers of a node each", (0..KUBELETS).map(by_node).collect()).await;
}
