//! What the services of the cluster mean for this node: which addresses lead to which endpoints. Pure.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Service, ServicePort};

/// One port of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// `namespace/name`
    pub service: String,
    pub protocol: Protocol,
    pub port: u16,
    /// The service's address inside of the cluster.
    pub cluster_ip: Ipv4Addr,
    /// Addresses outside that lead here as well: external IPs and those of load balancers.
    pub external_ips: Vec<Ipv4Addr>,
    pub node_port: Option<u16>,
    /// Where connections from inside of the cluster go.
    pub internal: Vec<Endpoint>,
    /// Where connections from outside go.
    pub external: Vec<Endpoint>,
    /// Connections from outside keep their source address, as they only go to pods of this node.
    pub external_keeps_source: bool,
    /// A client's connections go to the same endpoint for so many seconds.
    pub affinity: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub ip: Ipv4Addr,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    fn read(text: Option<&str>) -> Option<Self> {
        match text.unwrap_or("TCP") {
            "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// The ports of a service, none for one without an IPv4 address of its own (headless, ExternalName).
pub fn ports(service: &Service, endpoints: Option<&Endpoints>, node: &str) -> Vec<Port> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let address = |text: &String| text.parse::<Ipv4Addr>().ok();
    let Some(cluster_ip) = spec.cluster_ip.as_ref().and_then(address) else { return Vec::new() };
    if spec.type_.as_deref() == Some("ExternalName") {
        return Vec::new();
    }
    let mut external_ips: Vec<Ipv4Addr> = spec.external_ips.iter().flatten().filter_map(address).collect();
    let balancer = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|l| l.ingress.as_ref());
    external_ips.extend(balancer.into_iter().flatten().filter_map(|ingress| ingress.ip.as_ref()).filter_map(address));
    let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let config = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref());
        config.and_then(|c| c.timeout_seconds).and_then(|s| u32::try_from(s).ok()).unwrap_or(10_800)
    });
    let internal_local = spec.internal_traffic_policy.as_deref() == Some("Local");
    let external_local = spec.external_traffic_policy.as_deref() == Some("Local");
    let metadata = &service.metadata;
    let name = format!("{}/{}", metadata.namespace.as_deref().unwrap_or(""), metadata.name.as_deref().unwrap_or(""));
    let mut ports = Vec::new();
    for port in spec.ports.iter().flatten() {
        let (Some(protocol), Ok(number)) = (Protocol::read(port.protocol.as_deref()), u16::try_from(port.port)) else {
            continue;
        };
        let all = |local: bool| endpoints.map(|e| ready(e, port, local.then_some(node))).unwrap_or_default();
        ports.push(Port {
            service: name.clone(),
            protocol,
            port: number,
            cluster_ip,
            external_ips: external_ips.clone(),
            node_port: port.node_port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0),
            internal: all(internal_local),
            external: all(external_local),
            external_keeps_source: external_local,
            affinity,
        });
    }
    ports
}

/// The ready endpoints of a port, in order; of one node only, where that is asked for.
fn ready(endpoints: &Endpoints, port: &ServicePort, node: Option<&str>) -> Vec<Endpoint> {
    let here = |address: &&EndpointAddress| node.is_none_or(|node| address.node_name.as_deref() == Some(node));
    let name = port.name.as_deref().unwrap_or("");
    let mut ready = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let same = |p: &&k8s_openapi::api::core::v1::EndpointPort| {
            p.name.as_deref().unwrap_or("") == name
                && p.protocol.as_deref().unwrap_or("TCP") == port.protocol.as_deref().unwrap_or("TCP")
        };
        let Some(number) = subset.ports.iter().flatten().find(same).and_then(|p| u16::try_from(p.port).ok()) else {
            continue;
        };
        for address in subset.addresses.iter().flatten().filter(here) {
            if let Ok(ip) = address.ip.parse() {
                ready.push(Endpoint { ip, port: number });
            }
        }
    }
    ready.sort_unstable();
    ready.dedup();
    ready
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn ports_find_their_endpoints_by_name_and_node() {
        let service: Service = read(
            r#"{"metadata":{"namespace":"d","name":"s"},"spec":{"clusterIP":"10.0.0.1","type":"NodePort",
            "externalTrafficPolicy":"Local","ports":[{"name":"a","port":80,"nodePort":30001},{"name":"b","port":81}]}}"#,
        );
        let endpoints: Endpoints = read(
            r#"{"metadata":{},"subsets":[{"addresses":[{"ip":"10.1.0.3","nodeName":"n2"},{"ip":"10.1.0.2","nodeName":"n1"}],
            "notReadyAddresses":[{"ip":"10.1.0.9"}],"ports":[{"name":"a","port":8080}]}]}"#,
        );
        let ports = ports(&service, Some(&endpoints), "n1");
        let ip = |text: &str| Endpoint { ip: text.parse().unwrap(), port: 8080 };
        assert_eq!(ports[0].internal, [ip("10.1.0.2"), ip("10.1.0.3")]);
        assert_eq!(ports[0].external, [ip("10.1.0.2")]);
        assert_eq!(ports[0].node_port, Some(30001));
        assert!(ports[1].internal.is_empty());
    }

    #[test]
    fn headless_and_external_names_have_no_ports() {
        for spec in [r#"{"clusterIP":"None","ports":[{"port":1}]}"#, r#"{"type":"ExternalName","ports":[{"port":1}]}"#]
        {
            let service: Service = read(&format!(r#"{{"metadata":{{"name":"s"}},"spec":{spec}}}"#));
            assert!(ports(&service, None, "n").is_empty(), "{spec}");
        }
    }
}
