use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::cache::Cache;

fn node(name: &str, spec: Value, labels: Value) -> Arc<Node> {
    let allocatable =
        json!({"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi", "pods": "3", "example.com/gpu": "1"});
    let json =
        json!({"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"allocatable": allocatable}});
    Arc::new(serde_json::from_value(json).unwrap())
}

fn pod(spec: Value) -> Pod {
    let mut json = json!({"metadata": {"uid": "u", "name": "p", "namespace": "default"}, "spec": {"containers": []}});
    for (field, value) in spec.as_object().unwrap() {
        json["spec"][field] = value.clone();
    }
    serde_json::from_value(json).unwrap()
}

fn asks(requests: Value) -> Value {
    json!({"containers": [{"resources": {"requests": requests}}]})
}

/// All reasons of all filters.
fn reasons(node: Arc<Node>, on_it: &[Value], wanted: Value) -> Vec<String> {
    let mut cache = Cache::default();
    cache.set_node(node.clone());
    for (index, spec) in on_it.iter().enumerate() {
        let mut pod = pod(spec.clone());
        pod.metadata.uid = Some(index.to_string());
        cache.add_pod(Arc::new(pod), node.metadata.name.as_deref().unwrap());
    }
    let pod = pod(wanted);
    let subject = Subject { pod: &pod, groups: Vec::new() };
    let mut reasons = Vec::new();
    for filter in FILTERS {
        filter.check(&subject, &cache.nodes()[0], &node, &mut reasons);
    }
    reasons.into_iter().map(Cow::into_owned).collect()
}

#[test]
fn filters() {
    let plain = || node("n", json!({}), json!({"disk": "ssd", "cores": "8"}));
    let tainted = || node("n", json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}), json!({}));
    let cordoned = || node("n", json!({"unschedulable": true}), json!({}));
    let port = |ip: &str, port: i32| json!({"containers": [{"ports": [{"containerPort": 1, "hostPort": port, "hostIP": ip}]}]});
    let required = |operator: &str, values: Value| {
        let term = json!({"matchExpressions": [{"key": "cores", "operator": operator, "values": values}]});
        let terms = json!({"nodeSelectorTerms": [term]});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
    };
    let affinity = "node(s) didn't match Pod's node affinity/selector";
    let ports = "node(s) didn't have free ports for the requested pod ports";
    let untolerated = "node(s) had untolerated taint {k: v}";
    type Case<'a> = (Arc<Node>, Vec<Value>, Value, Vec<&'a str>);
    let cases: Vec<Case<'_>> = vec![
        (plain(), vec![], json!({}), vec![]),
        (plain(), vec![], json!({"nodeName": "m"}), vec!["node(s) didn't match the requested node name"]),
        (cordoned(), vec![], json!({}), vec!["node(s) were unschedulable"]),
        (cordoned(), vec![], json!({"tolerations": [{"operator": "Exists"}]}), vec![]),
        (tainted(), vec![], json!({}), vec![untolerated]),
        (tainted(), vec![], json!({"tolerations": [{"key": "k", "value": "v"}]}), vec![]),
        (tainted(), vec![], json!({"tolerations": [{"key": "k", "value": "w"}]}), vec![untolerated]),
        (
            tainted(),
            vec![],
            json!({"tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"}]}),
            vec![untolerated],
        ),
        (plain(), vec![], json!({"nodeSelector": {"disk": "ssd"}}), vec![]),
        (plain(), vec![], json!({"nodeSelector": {"disk": "hdd"}}), vec![affinity]),
        (plain(), vec![], required("Gt", json!(["4"])), vec![]),
        (plain(), vec![], required("In", json!(["4"])), vec![affinity]),
        (plain(), vec![port("", 80)], port("127.0.0.1", 80), vec![ports]),
        (plain(), vec![port("127.0.0.2", 80)], port("127.0.0.1", 80), vec![]),
        (plain(), vec![port("", 80)], port("", 81), vec![]),
        (plain(), vec![asks(json!({"cpu": "1500m"}))], asks(json!({"cpu": "500m"})), vec![]),
        (
            plain(),
            vec![asks(json!({"cpu": "1500m"}))],
            asks(json!({"cpu": "501m", "memory": "5Gi"})),
            vec!["Insufficient cpu", "Insufficient memory"],
        ),
        (plain(), vec![], asks(json!({"example.com/gpu": "2"})), vec!["Insufficient example.com/gpu"]),
        (plain(), vec![], asks(json!({"ephemeral-storage": "11Gi"})), vec!["Insufficient ephemeral-storage"]),
        (plain(), vec![json!({}), json!({}), json!({})], json!({}), vec!["Too many pods"]),
    ];
    for (node, on_it, wanted, expected) in cases {
        assert_eq!(reasons(node, &on_it, wanted.clone()), expected, "{wanted}");
    }
}

#[test]
fn a_pod_asks_for_the_largest_step_of_its_start() {
    let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
    let mut sidecar = container("200m");
    sidecar["restartPolicy"] = json!("Always");
    let spec = json!({"initContainers": [sidecar, container("2")], "containers": [container("500m"), container("1")],
        "overhead": {"cpu": "10m"}});
    assert_eq!(pod(spec).requests.milli_cpu, 2210);
}

#[test]
fn scales() {
    let scaled = |mut scores: Vec<i64>, reverse| {
        scale(&mut scores, reverse);
        scores
    };
    assert_eq!(scaled(vec![0, 5, 10], false), [0, 50, 100]);
    assert_eq!(scaled(vec![0, 5, 10], true), [100, 50, 0]);
    assert_eq!(scaled(vec![0, 0], true), [100, 100]);
}
