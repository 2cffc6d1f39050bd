//! Gives each node a range of pod addresses out of `--cluster-cidr`.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client::{Change, Client, Error, EventRecorder, Next, Patch, Store, WorkQueue};
use daemon::FlagError;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::cidr::{Cidr, CidrSet};
use crate::model::name;

#[derive(Clone)]
pub struct Ipam {
    client: Client,
    nodes: Store<Node>,
    /// One for IPv4 and one for IPv6, in the order of the flag.
    ranges: Arc<Mutex<Vec<CidrSet>>>,
    events: EventRecorder,
    queue: WorkQueue<String>,
}

/// What the flags say.
pub fn ranges(cluster_cidr: &str, mask: u8) -> Result<Vec<CidrSet>, FlagError> {
    let wrong = |reason: String| FlagError::new("cluster-cidr", cluster_cidr, reason);
    let wholes: Result<Vec<Cidr>, _> = cluster_cidr.split(',').map(str::parse).collect();
    let wholes = wholes.map_err(wrong)?;
    if wholes.len() > 2 || (wholes.len() == 2 && wholes[0].is_v6() == wholes[1].is_v6()) {
        return Err(wrong("must be one range, or one of IPv4 and one of IPv6".to_owned()));
    }
    let several = wholes.len() > 1;
    let set = |whole: Cidr| {
        let size = match (whole.is_v6(), mask) {
            (false, 0) => 24,
            (true, 0) => 64,
            // The flag is of IPv4 where there are both.
            (true, _) if several => 64,
            (_, mask) => mask,
        };
        CidrSet::new(whole, size).map_err(|reason| FlagError::new("node-cidr-mask-size", size, reason))
    };
    wholes.into_iter().map(set).collect()
}

fn ranges_of(node: &Node) -> Vec<Cidr> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let all = spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr);
    all.filter_map(|range| range.parse().ok()).collect()
}

impl Ipam {
    pub fn new(client: &Client, nodes: &Store<Node>, events: EventRecorder, ranges: Vec<CidrSet>) -> Self {
        let this = Self {
            client: client.clone(),
            nodes: nodes.clone(),
            ranges: Arc::new(Mutex::new(ranges)),
            events,
            queue: WorkQueue::default(),
        };
        let watcher = this.clone();
        nodes.on_change(move |change| watcher.changed(change));
        this
    }

    fn ranges(&self) -> MutexGuard<'_, Vec<CidrSet>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, change: &Change<Node>) {
        let node = change.object();
        let theirs = ranges_of(node);
        for set in self.ranges().iter_mut() {
            match change {
                Change::Deleted(_) => theirs.iter().for_each(|range| set.give_back(*range)),
                _ => theirs.iter().for_each(|range| set.take(*range)),
            }
        }
        if theirs.is_empty() && !matches!(change, Change::Deleted(_)) {
            self.queue.add(name(&node.metadata).to_owned());
        }
    }

    /// One at a time: each takes from the same ranges.
    pub async fn run(self, token: CancellationToken) {
        let this = self.clone();
        let work = move |name: String| {
            let this = this.clone();
            async move { this.sync(&name).await }
        };
        self.queue.run("pod addresses of node", 1, token, work).await;
    }

    async fn sync(&self, node: &str) -> Result<Next, Error> {
        let Some(node) = self.nodes.get("", node) else { return Ok(Next::Done) };
        if !ranges_of(&node).is_empty() || node.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Done);
        }
        let chosen: Option<Vec<Cidr>> = {
            let mut sets = self.ranges();
            let chosen: Vec<_> = sets.iter_mut().map_while(CidrSet::allocate).collect();
            if chosen.len() == sets.len() {
                Some(chosen)
            } else {
                chosen.iter().zip(sets.iter_mut()).for_each(|(range, set)| set.give_back(*range));
                None
            }
        };
        let Some(chosen) = chosen else {
            let node_name = name(&node.metadata);
            self.events.warning(
                node.as_ref(),
                "CIDRNotAvailable",
                format!("Node {node_name} status is now: CIDRNotAvailable"),
            );
            return Ok(Next::Retry);
        };
        let texts: Vec<String> = chosen.iter().map(Cidr::to_string).collect();
        let patch = json!({"metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": texts[0], "podCIDRs": texts}});
        match self.client.patch::<Node>("", name(&node.metadata), Patch::Merge, &patch, "").await {
            Ok(_) => {
                tracing::info!("node {} has the pod addresses {}", name(&node.metadata), texts.join(","));
                Ok(Next::Done)
            }
            Err(error) => {
                // After a lost answer the node may have them: the watch takes them again then.
                chosen.iter().zip(self.ranges().iter_mut()).for_each(|(range, set)| set.give_back(*range));
                if error.is_not_found() { Ok(Next::Done) } else { Err(error) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use client::Reflector;
    use testapi::ApiServer;

    use super::*;

    #[test]
    fn flags() {
        assert_eq!(ranges("10.244.0.0/16,fd00::/56", 0).unwrap().len(), 2);
        let error = ranges("10.244.0.0/16,10.0.0.0/16", 0).unwrap_err().to_string();
        assert!(error.starts_with("--cluster-cidr=10.244.0.0/16,10.0.0.0/16: must be one range"), "{error}");
        let error = ranges("10.244.0.0/25", 0).unwrap_err().to_string();
        assert_eq!(error, "--node-cidr-mask-size=24: a range of prefix length 24 does not fit into 10.244.0.0/25");
    }

    #[tokio::test(start_paused = true)]
    async fn each_node_gets_a_range_of_its_own() {
        let server = ApiServer::start().await;
        let client = server.client("system:kube-controller-manager");
        let node = |name: &str, cidr: Option<&str>| -> Node {
            let spec = cidr.map_or(json!({}), |cidr| json!({"podCIDR": cidr, "podCIDRs": [cidr]}));
            serde_json::from_value(
                json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}),
            )
            .unwrap()
        };
        server.put(&node("a", Some("10.244.0.0/24"))).await;
        server.put(&node("b", None)).await;
        server.put(&node("c", None)).await;
        let reflector = Reflector::new(&client);
        let (events, _recording) = EventRecorder::new(&client, "cidrAllocator", None);
        let ipam = Ipam::new(&client, &reflector.store(), events, ranges("10.244.0.0/23", 24).unwrap());
        tokio::spawn(reflector.run(CancellationToken::new()));
        tokio::spawn(ipam.run(CancellationToken::new()));
        let settle = || tokio::time::sleep(Duration::from_secs(2000));
        settle().await;
        let of = async |name: &str| server.get::<Node>("", name).await.unwrap().spec.unwrap_or_default().pod_cidr;
        assert_eq!([of("b").await, of("c").await].into_iter().flatten().collect::<Vec<_>>(), ["10.244.1.0/24"]);
        server.remove::<Node>("", "a").await;
        settle().await;
        assert!(of("b").await.is_some() && of("c").await.is_some());
    }
}
