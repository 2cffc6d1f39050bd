//! Connections to the kubelets, one per address, made when first needed.

use std::collections::HashMap;
use std::sync::Mutex;

use api::status::Status;
use daemon::tls::{ClientTls, Connector};
use rpc::kubelet::kubelet_client::KubeletClient;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};

pub struct Kubelets {
    tls: Option<ClientTls>,
    channels: Mutex<HashMap<String, Channel>>,
}

impl Kubelets {
    /// Without TLS settings no kubelet can be asked for anything.
    pub fn new(tls: Option<ClientTls>) -> Self {
        Self { tls, channels: Mutex::default() }
    }

    /// A client of the node's kubelet, at the node's internal address.
    pub fn client(&self, node: &Value) -> Result<KubeletClient<Channel>, Status> {
        let name = api::meta::name(node);
        let Some(tls) = &self.tls else {
            return Err(Status::unavailable(
                "this kube-apiserver has no way to the kubelets: --kubelet-client-certificate is not set",
            ));
        };
        let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
        let internal = addresses.filter(|a| a["type"] == "InternalIP").find_map(|a| a["address"].as_str());
        let address = internal.ok_or_else(|| Status::unavailable(format!("node {name} has no InternalIP address")))?;
        let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap_or(10250);
        let server = (address.to_owned(), u16::try_from(port).unwrap_or(10250));
        let url = format!("http://{address}:{port}");
        let mut channels = self.channels.lock().expect("no holder panics");
        if let Some(channel) = channels.get(&url) {
            return Ok(KubeletClient::new(channel.clone()));
        }
        let endpoint = Endpoint::from_shared(url.clone()).map_err(Status::internal)?;
        let endpoint = endpoint.connect_timeout(std::time::Duration::from_secs(5));
        let channel = endpoint.connect_with_connector_lazy(Connector::new(
            format!("kubelet of {name}"),
            vec![server],
            tls.clone(),
        ));
        channels.insert(url, channel.clone());
        Ok(KubeletClient::new(channel))
    }
}
