//! What the scheduler counts.
use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::queue::Depths;

#[derive(Clone, Debug)]
pub struct Metrics {
    scheduled: Counter,
    unschedulable: Counter,
    binding_failures: Counter,
    duration: Histogram,
    active: Gauge,
    backoff: Gauge,
    waiting: Gauge,
    pods: Gauge,
    nodes: Gauge,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            scheduled: Counter::default(),
            unschedulable: Counter::default(),
            binding_failures: Counter::default(),
            duration: Histogram::new([1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1]),
            active: Gauge::default(),
            backoff: Gauge::default(),
            waiting: Gauge::default(),
            pods: Gauge::default(),
            nodes: Gauge::default(),
        };
        let m = metrics.clone();
        registry.register("scheduler_pods_placed", "Decisions that found a node", m.scheduled);
        registry.register("scheduler_pods_unschedulable", "Decisions that found no node", m.unschedulable);
        registry.register("scheduler_binding_failures", "Bindings that failed", m.binding_failures);
        registry.register("scheduler_scheduling_algorithm_duration_seconds", "Time of one decision", m.duration);
        registry.register("scheduler_pending_pods_active", "Pods to be tried now", m.active);
        registry.register("scheduler_pending_pods_backoff", "Pods that back off", m.backoff);
        registry.register("scheduler_pending_pods_unschedulable", "Pods that wait for what helps", m.waiting);
        registry.register("scheduler_cache_pods", "Pods with a node, assumed ones included", m.pods);
        registry.register("scheduler_cache_nodes", "Nodes", m.nodes);
        metrics
    }

    pub fn decided(&self, placed: bool, duration: Duration) {
        if placed {
            self.scheduled.inc()
        } else {
            self.unschedulable.inc()
        };
        self.duration.observe(duration.as_secs_f64());
    }

    pub fn binding_failed(&self) {
        self.binding_failures.inc();
    }

    pub fn set_depths(&self, queue: Depths, pods: usize, nodes: usize) {
        self.active.set(queue.active as i64);
        self.backoff.set(queue.backoff as i64);
        self.waiting.set(queue.unschedulable as i64);
        self.pods.set(pods as i64);
        self.nodes.set(nodes as i64);
    }
}
