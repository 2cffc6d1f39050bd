//! The Node object as this kubelet writes it: a pure function of the machine, the runtime and what runs short.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::machine::{Machine, Pressure, architecture};
use crate::worker::status::round;

/// What does not change while the kubelet runs.
#[derive(Clone, Debug)]
pub struct Identity {
    pub name: String,
    pub address: String,
    pub port: u16,
    pub labels: BTreeMap<String, String>,
    pub machine: Machine,
    pub capacity: BTreeMap<String, Quantity>,
    pub allocatable: BTreeMap<String, Quantity>,
}

/// What does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// `docker://20.10.24`, as far as it is known.
    pub runtime_version: String,
    pub runtime_down: Option<String>,
    pub no_network: Option<String>,
    pub pressure: Pressure,
}

pub fn labels(name: &str, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), name.to_owned()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), architecture().to_owned()),
        ("beta.kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("beta.kubernetes.io/arch".to_owned(), architecture().to_owned()),
    ]);
    labels.extend(own.clone());
    labels
}

/// As it is created.
pub fn node(identity: &Identity, status: NodeStatus) -> Node {
    Node {
        metadata: ObjectMeta {
            name: Some(identity.name.clone()),
            labels: Some(identity.labels.clone()),
            ..Default::default()
        },
        spec: None,
        status: Some(status),
    }
}

pub fn status(identity: &Identity, condition: &Condition, last: &[NodeCondition], now: Timestamp) -> NodeStatus {
    let machine = &identity.machine;
    let quantities = |list: &BTreeMap<String, Quantity>| list.iter().map(|(k, v)| (k.clone(), (*v).into())).collect();
    let address = |kind: &str, address: &str| NodeAddress { type_: kind.to_owned(), address: address.to_owned() };
    let version = concat!("v", env!("CARGO_PKG_VERSION")).to_owned();
    NodeStatus {
        addresses: Some(vec![address("InternalIP", &identity.address), address("Hostname", &identity.name)]),
        capacity: Some(quantities(&identity.capacity)),
        allocatable: Some(quantities(&identity.allocatable)),
        conditions: Some(conditions(condition, last, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: identity.port.into() }),
        }),
        node_info: Some(NodeSystemInfo {
            architecture: architecture().to_owned(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: condition.runtime_version.clone(),
            kernel_version: machine.kernel.clone(),
            kube_proxy_version: version.clone(),
            kubelet_version: version,
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn conditions(condition: &Condition, last: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let pressure = |short: bool, yes: (&'static str, &str), no: (&'static str, &str)| {
        let (reason, message) = if short { yes } else { no };
        (short, reason, message.to_owned())
    };
    let ready = match (&condition.runtime_down, &condition.no_network) {
        (Some(why), _) => (false, "KubeletNotReady", format!("container runtime is down: {why}")),
        (None, Some(why)) => (false, "KubeletNotReady", format!("container runtime network not ready: {why}")),
        (None, None) => (true, "KubeletReady", "kubelet is posting ready status".to_owned()),
    };
    let memory = pressure(
        condition.pressure.memory,
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    );
    let disk = pressure(
        condition.pressure.disk,
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    );
    let pids = pressure(
        condition.pressure.pids,
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    );
    let all = [("MemoryPressure", memory), ("DiskPressure", disk), ("PIDPressure", pids), ("Ready", ready)];
    let now = Time(round(now));
    let entry = |(kind, (holds, reason, message)): (&str, (bool, &str, String))| {
        let status = if holds { "True" } else { "False" };
        let same = last.iter().find(|c| c.type_ == kind && c.status == status);
        NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: same.and_then(|c| c.last_transition_time.clone()).or_else(|| Some(now.clone())),
        }
    };
    all.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_down_makes_the_node_not_ready() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let well = conditions(&Condition::default(), &[], at(100));
        assert!(well.iter().all(|c| (c.type_ == "Ready") == (c.status == "True")), "{well:?}");
        let condition = Condition { runtime_down: Some("connection refused".into()), ..Default::default() };
        let ill = conditions(&condition, &well, at(200));
        let ready = ill.iter().find(|c| c.type_ == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("False", Some("KubeletNotReady")));
        assert_eq!(ready.message.as_deref(), Some("container runtime is down: connection refused"));
        assert_eq!(ready.last_transition_time, Some(Time(at(200))));
        assert_eq!(ill[0].last_transition_time, Some(Time(at(100))), "what has not changed keeps its time");
        assert_eq!(ill[0].last_heartbeat_time, Some(Time(at(200))));
    }
}
