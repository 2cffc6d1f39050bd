//! Connections to the kubelets, one per node, made when first needed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use api::status::Status;
use daemon::tls::{ClientTls, Connector};
use rpc::kubelet::kubelet_client::KubeletClient;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};

const DEFAULT_PORT: u16 = 10250;

pub struct Kubelets {
    tls: Option<ClientTls>,
    /// Where this server itself is reached.
    own: IpAddr,
    /// By node. A node that moves gets a new one in the place of the old one.
    channels: Mutex<HashMap<String, (SocketAddr, Channel)>>,
}

impl Kubelets {
    /// Without TLS settings no kubelet can be asked for anything.
    pub fn new(tls: Option<ClientTls>, own: IpAddr) -> Self {
        Self { tls, own, channels: Mutex::default() }
    }

    /// A client of the node's kubelet, at the node's internal address.
    pub fn client(&self, node: &Value) -> Result<KubeletClient<Channel>, Status> {
        let name = api::meta::name(node);
        let Some(tls) = &self.tls else {
            return Err(Status::unavailable(
                "this kube-apiserver has no way to the kubelets: --kubelet-client-certificate is not set",
            ));
        };
        let server = address(node, self.own).map_err(|why| Status::unavailable(format!("node {name}: {why}")))?;
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, channel)) = channels.get(name)
            && *at == server
        {
            return Ok(KubeletClient::new(channel.clone()));
        }
        let endpoint = Endpoint::from_shared(format!("http://{server}")).map_err(Status::internal)?;
        let endpoint = endpoint.connect_timeout(std::time::Duration::from_secs(5));
        let channel = endpoint.connect_with_connector_lazy(Connector::new(
            format!("kubelet of {name}"),
            vec![(server.ip().to_string(), server.port())],
            tls.clone(),
        ));
        channels.insert(name.to_owned(), (server, channel.clone()));
        Ok(KubeletClient::new(channel))
    }
}

/// Where a kubelet says that it is. Who may write a node's status must not make this server talk to whatever it likes, so only
/// addresses that a node can have are dialled; loopback is one of them only where this server is itself reached there.
fn address(node: &Value, own: IpAddr) -> Result<SocketAddr, String> {
    let status = node.get("status").unwrap_or(&Value::Null);
    let addresses = status.get("addresses").and_then(Value::as_array).into_iter().flatten();
    let mut internal = addresses.filter(|a| a["type"] == "InternalIP").filter_map(|a| a["address"].as_str());
    let text = internal.next().ok_or("it has no InternalIP address")?;
    let ip: IpAddr = text.parse().map_err(|_| format!("its InternalIP {text:?} is no address"))?;
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if ip.is_unspecified() || ip.is_multicast() || link_local || (ip.is_loopback() && !own.is_loopback()) {
        return Err(format!("its InternalIP {ip} is not an address that a kubelet is reached at"));
    }
    let port = match status.pointer("/daemonEndpoints/kubeletEndpoint/Port") {
        None => DEFAULT_PORT,
        Some(port) => {
            let number = port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
            number.ok_or_else(|| format!("its kubelet's port {port} is no port"))?
        }
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_addresses_that_a_node_can_have_are_dialled() {
        let node = |ip: &str, port: i64| {
            json!({"status": {"addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": ip}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}})
        };
        let own: IpAddr = "192.168.0.7".parse().unwrap();
        for (ip, port, expected) in [
            ("192.168.0.3", 10250, Some("192.168.0.3:10250")),
            ("fd00::3", 10250, Some("[fd00::3]:10250")),
            ("127.0.0.1", 10250, None),
            ("::1", 10250, None),
            ("::ffff:127.0.0.1", 10250, None),
            ("0.0.0.0", 10250, None),
            ("169.254.169.254", 80, None),
            ("fe80::1", 10250, None),
            ("224.0.0.1", 10250, None),
            ("255.255.255.255", 10250, None),
            ("evil.example", 10250, None),
            ("192.168.0.3", 0, None),
            ("192.168.0.3", 65536, None),
            ("192.168.0.3", -1, None),
        ] {
            let found = address(&node(ip, port), own).map(|at| at.to_string()).ok();
            assert_eq!(found.as_deref(), expected, "{ip} {port}");
        }
        assert!(address(&node("127.0.0.1", 10250), "127.0.0.1".parse().unwrap()).is_ok());
        assert_eq!(address(&json!({}), own), Err("it has no InternalIP address".to_owned()));
        let plain = json!({"status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.3"}]}});
        assert_eq!(address(&plain, own).map(|at| at.port()), Ok(DEFAULT_PORT));
    }
}
