//! The objects that are made for measuring: as large as those of real clusters.

use serde_json::{Value, json};

pub const NAMESPACE: &str = "/api/v1/namespaces/default";

pub fn pod_name(number: usize) -> String {
    format!("pod-{number:06}")
}

/// About 2 KB once it is stored, as pods with probes, resources and a few variables are.
pub fn pod(name: &str) -> Value {
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "default",
            "labels": {"app": "frontend", "tier": "web", "release": "stable", "pod-template-hash": "5d4f8c7b9d"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080",
                "example.com/owner": "the team that looks after the front end"},
        },
        "spec": {
            "containers": [{
                "name": "main", "image": "registry.example.com/frontend/server:v1.24.3",
                "args": ["--listen=0.0.0.0:8080", "--backend=backend.default.svc:9090", "--verbosity=2"],
                "env": [variable("GET_HOSTS_FROM", "env"), variable("REDIS_MASTER", "redis-master.default.svc:6379"),
                    variable("REDIS_SLAVES", "redis-slave.default.svc:6379"), variable("LOG_FORMAT", "json"),
                    variable("CACHE_SIZE", "268435456"), variable("FEATURES", "fast-start,graceful-end,tracing")],
                "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9100}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 10},
                "livenessProbe": {"httpGet": {"path": "/alive", "port": 8080}, "initialDelaySeconds": 15},
            }],
        },
    })
}

/// A pod that runs on the real engine.
pub fn running_pod() -> Value {
    json!({
        "metadata": {"labels": {"app": "bench"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [running_container()]},
    })
}

fn running_container() -> Value {
    json!({"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "1000000"]})
}

pub fn controller(name: &str, replicas: usize, template: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ReplicationController",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": template["metadata"]["labels"], "template": template},
    })
}

/// A node that nobody runs: for the scheduler only.
pub fn node(number: usize) -> Value {
    let amounts = json!({"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "500Gi"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": format!("node-{number:05}"), "labels": {"kubernetes.io/hostname": format!("node-{number:05}")}},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
                "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    })
}
