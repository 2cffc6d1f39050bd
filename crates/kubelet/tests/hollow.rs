//! A hollow node: the whole of the pod workers on the runtime in memory.

mod common;

use std::sync::Arc;

use common::{Agent, Place, Played, is_ready, pod};
use kubelet::runtime::Runtime;
use kubelet::runtime::fake::Fake;
use serde_json::json;

const PODS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pods_without_an_engine() {
    let (place, fake) = (Place::new(), Arc::new(Fake::default()));
    let (cluster, root) = (Arc::new(Played::default()), tempfile::tempdir().unwrap());
    fake.ensure_network(&place.network, &place.cidr).await.unwrap();
    let spec = json!({"containers": [{"name": "c", "image": "anything"}]});
    let pods: Vec<_> = (0..PODS).map(|number| pod(&format!("p{number}"), spec.clone())).collect();
    let agent = Agent::start(&place, fake.clone(), cluster.clone(), root.path(), pods.clone());
    for number in 0..PODS {
        cluster.until_ready(&format!("p{number}")).await;
    }
    let listed = fake.list().await.unwrap();
    assert_eq!(listed.len(), 2 * PODS);

    let one = listed.iter().find(|c| c.identity.pod.name == "p7" && c.identity.container == "c").unwrap();
    fake.exit(&one.id, 1);
    let restarted = |played: &Played| {
        played.status("p7").is_some_and(|s| is_ready(&s) && s.container_statuses.unwrap()[0].restart_count == 1)
    };
    cluster.until("a restart", restarted).await;

    for pod in pods {
        agent.gone(pod);
    }
    // Nobody waits for them in the API, so only the runtime tells.
    let empty = async {
        while !fake.list().await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, empty).await.expect("all of them go");
    assert!(cluster.deleted.lock().unwrap().is_empty(), "they were gone from the API already");
    agent.stop().await;
}
