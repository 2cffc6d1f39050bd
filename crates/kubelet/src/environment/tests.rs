use serde_json::json;

use super::*;

fn parse<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn build_env(container: serde_json::Value) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let container: Container = parse(container);
    let pod: Pod = parse(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x"}, "annotations": {"a/b": "c"}},
        "spec": {"serviceAccountName": "sa", "containers": [container]}
    }));
    let objects = Objects {
        config_maps: [("cm".to_owned(), parse(json!({"data": {"key": "from-map", "1bad": "x", "other": "y"}})))].into(),
        secrets: [("s".to_owned(), parse(json!({"data": {"pass": "aHVudGVyMg==", "raw": "/w=="}})))].into(),
    };
    let node = NodeFacts {
        name: "node-1".into(),
        address: "192.168.0.3".into(),
        pod_ip: Some("10.1.0.2".into()),
        allocatable: [("memory".to_owned(), "1Gi".parse().unwrap()), ("cpu".to_owned(), "2".parse().unwrap())].into(),
    };
    let service: Service = parse(json!({
        "metadata": {"name": "redis", "namespace": "n"}, "spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 6379}]}
    }));
    build(&pod, &container, &[Arc::new(service)], &objects, &node).map(|list| list.into_iter().collect())
}

#[test]
fn values_from_everywhere() {
    let found = build_env(json!({
        "name": "c",
        "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi"}},
        "envFrom": [{"configMapRef": {"name": "cm"}, "prefix": "P_"}, {"configMapRef": {"name": "none", "optional": true}}],
        "env": [
            {"name": "PLAIN", "value": "v"},
            {"name": "USES", "value": "$(PLAIN)-$(REDIS_SERVICE_HOST)-$(LATER)-$$(PLAIN)"},
            {"name": "LATER", "value": "late"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MILLI", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "ASKED", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory"}}},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "key"}}},
            {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pass"}}},
            {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "pass", "optional": true}}},
            {"name": "REDIS_SERVICE_PORT", "value": "overridden"},
        ]
    }))
    .unwrap();
    for (name, value) in [
        ("USES", "v-10.0.0.9-$(LATER)-$(PLAIN)"),
        ("NAME", "p"),
        ("LABEL", "x"),
        ("NODE", "node-1"),
        ("IP", "10.1.0.2"),
        ("CPU", "2"),
        ("MILLI", "1500"),
        ("MEM", "1024"),
        ("ASKED", "67108864"),
        ("KEY", "from-map"),
        ("PASS", "hunter2"),
        ("P_key", "from-map"),
        ("P_1bad", "x"),
        ("REDIS_SERVICE_PORT", "overridden"),
        ("REDIS_PORT_6379_TCP_ADDR", "10.0.0.9"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!found.contains_key("MAYBE"));
}

#[test]
fn what_is_missing_is_named() {
    let env = |from: serde_json::Value| build_env(json!({"name": "c", "env": [{"name": "X", "valueFrom": from}]}));
    for (from, message) in [
        (json!({"configMapKeyRef": {"name": "none", "key": "k"}}), "configmap \"none\" not found"),
        (json!({"configMapKeyRef": {"name": "cm", "key": "k"}}), "couldn't find key k in ConfigMap n/cm"),
        (json!({"secretKeyRef": {"name": "none", "key": "k"}}), "secret \"none\" not found"),
        (json!({"secretKeyRef": {"name": "s", "key": "k"}}), "couldn't find key k in Secret n/s"),
        (
            json!({"secretKeyRef": {"name": "s", "key": "raw"}}),
            "key raw of Secret n/s is not text (UTF-8): an environment variable can't hold it",
        ),
        (json!({"fieldRef": {"fieldPath": "spec.nope"}}), "variable X: unsupported fieldPath: spec.nope"),
        (json!({"resourceFieldRef": {"resource": "cpu"}}), "variable X: unsupported container resource: cpu"),
    ] {
        assert_eq!(env(from).unwrap_err().to_string(), message);
    }
}
