//! What all pod workers of a node have in common: how the node is set up, and whom they talk to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use api::quantity::Quantity;
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::environment::fields::NodeFacts;
use crate::images::Images;
use crate::runtime::Runtime;

#[derive(Clone, Debug)]
pub struct Settings {
    pub node_name: String,
    pub node_address: String,
    pub root: PathBuf,
    pub pause_image: String,
    /// The Docker network that pods join, and the name of its bridge.
    pub network: String,
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    pub allocatable: BTreeMap<String, Quantity>,
}

impl Settings {
    pub fn facts(&self, pod_ip: Option<String>) -> NodeFacts {
        NodeFacts {
            name: self.node_name.clone(),
            address: self.node_address.clone(),
            pod_ip,
            allocatable: self.allocatable.clone(),
        }
    }
}

pub struct Shared {
    pub settings: Settings,
    pub runtime: Arc<dyn Runtime>,
    pub cluster: Arc<dyn Cluster>,
    pub images: Images,
    /// None: pods can get addresses. Otherwise why they can't.
    pub no_network: watch::Receiver<Option<String>>,
}
