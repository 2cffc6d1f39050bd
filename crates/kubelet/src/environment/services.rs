//! The variables by which a container finds services: `REDIS_MASTER_SERVICE_HOST` and the older ones of Docker's links.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};

/// The service by which every pod finds the API server.
const API_SERVICE: (&str, &str) = ("default", "kubernetes");

/// Those of `services` that a pod of this namespace hears of. Without links it is the API server's alone.
pub fn visible(namespace: &str, links: bool, services: impl IntoIterator<Item = Arc<Service>>) -> Vec<Arc<Service>> {
    let mut seen: Vec<Arc<Service>> = Vec::new();
    for service in services {
        let meta = &service.metadata;
        let own = meta.namespace.as_deref().unwrap_or_default();
        let is_api = (own, meta.name.as_deref().unwrap_or_default()) == API_SERVICE;
        if !(is_api || links && own == namespace) || address(&service).is_none() {
            continue;
        }
        // A service of the pod's own namespace goes before the API server's of the same name.
        match seen.iter().position(|other| other.metadata.name == meta.name) {
            Some(at) if own == namespace => seen[at] = service,
            Some(_) => {}
            None => seen.push(service),
        }
    }
    seen.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    seen
}

fn address(service: &Service) -> Option<(&ServiceSpec, &str)> {
    let spec = service.spec.as_ref()?;
    let ip = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None")?;
    Some((spec, ip))
}

pub fn variables(services: &[Arc<Service>]) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for service in services {
        let Some((spec, ip)) = address(service) else { continue };
        let ports = spec.ports.as_deref().unwrap_or_default();
        let Some(first) = ports.first() else { continue };
        let name = upper(service.metadata.name.as_deref().unwrap_or_default());
        let mut add = |suffix: String, value: String| variables.push((format!("{name}_{suffix}"), value));
        add("SERVICE_HOST".into(), ip.to_owned());
        add("SERVICE_PORT".into(), first.port.to_string());
        for port in ports {
            if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
                add(format!("SERVICE_PORT_{}", upper(port_name)), port.port.to_string());
            }
        }
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        for (index, port) in ports.iter().enumerate() {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
            if index == 0 {
                add("PORT".into(), url.clone());
            }
            let prefix = format!("PORT_{}_{}", port.port, protocol.to_uppercase());
            add(prefix.clone(), url);
            add(format!("{prefix}_PROTO"), protocol.to_lowercase());
            add(format!("{prefix}_PORT"), port.port.to_string());
            add(format!("{prefix}_ADDR"), ip.to_owned());
        }
    }
    variables
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace(['-', '.'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(json: serde_json::Value) -> Arc<Service> {
        Arc::new(serde_json::from_value(json).unwrap())
    }

    fn redis(namespace: &str, name: &str, ip: &str) -> Arc<Service> {
        service(serde_json::json!({
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": ip, "ports": [{"port": 6379, "protocol": "TCP"}]}
        }))
    }

    #[test]
    fn a_service_of_one_port() {
        let text: Vec<_> = variables(&[redis("default", "redis-master", "10.0.0.11")])
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(
            text,
            [
                "REDIS_MASTER_SERVICE_HOST=10.0.0.11",
                "REDIS_MASTER_SERVICE_PORT=6379",
                "REDIS_MASTER_PORT=tcp://10.0.0.11:6379",
                "REDIS_MASTER_PORT_6379_TCP=tcp://10.0.0.11:6379",
                "REDIS_MASTER_PORT_6379_TCP_PROTO=tcp",
                "REDIS_MASTER_PORT_6379_TCP_PORT=6379",
                "REDIS_MASTER_PORT_6379_TCP_ADDR=10.0.0.11",
            ]
        );
    }

    #[test]
    fn named_ports() {
        let dns = service(serde_json::json!({
            "metadata": {"name": "dns", "namespace": "default"},
            "spec": {"clusterIP": "fd00::5", "ports": [{"name": "dns-udp", "port": 53, "protocol": "UDP"}, {"name": "web", "port": 80}]}
        }));
        let found: std::collections::HashMap<_, _> = variables(&[dns]).into_iter().collect();
        assert_eq!(found["DNS_SERVICE_PORT"], "53");
        assert_eq!(found["DNS_SERVICE_PORT_DNS_UDP"], "53");
        assert_eq!(found["DNS_SERVICE_PORT_WEB"], "80");
        assert_eq!(found["DNS_PORT"], "udp://[fd00::5]:53");
        assert_eq!(found["DNS_PORT_80_TCP_ADDR"], "fd00::5");
    }

    #[test]
    fn who_sees_which_service() {
        let all = || {
            vec![
                redis("default", "kubernetes", "10.0.0.1"),
                redis("default", "b", "10.0.0.2"),
                redis("default", "a", "10.0.0.3"),
                redis("other", "c", "10.0.0.4"),
                redis("default", "headless", "None"),
            ]
        };
        let names =
            |services: Vec<Arc<Service>>| services.iter().map(|s| s.metadata.name.clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(names(visible("default", true, all())), ["a", "b", "kubernetes"]);
        assert_eq!(names(visible("other", true, all())), ["c", "kubernetes"]);
        assert_eq!(names(visible("default", false, all())), ["kubernetes"]);
    }
}
