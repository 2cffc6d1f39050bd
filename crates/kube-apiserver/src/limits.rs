//! `--max-requests-inflight` and `--max-mutating-requests-inflight`: how many requests are worked on at a time. Who comes when there are so
//! many already is told to come again; nobody waits in a queue.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::attributes::Attributes;
use crate::metrics::{collect, family};

pub const READ_ONLY: &str = "readOnly";
pub const MUTATING: &str = "mutating";
/// Whoever is in it is always answered: he is the one who helps a server that is overrun.
const PRIVILEGED: &str = "system:masters";
/// What the others are told (upstream's words).
pub const TOO_MANY: &str = "Too many requests, please try again later.";

/// Those that change nothing, and those that do, each counted by itself.
#[derive(Clone)]
pub struct Limits {
    lanes: [Arc<Lane>; 2],
}

pub struct Lane {
    pub kind: &'static str,
    /// 0: no limit.
    max: usize,
    now: AtomicUsize,
    pub dropped: Counter,
}

impl Lane {
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }
}

/// All places are taken.
#[derive(Debug)]
pub struct TooMany;

/// Given back when the answer is sent.
pub struct Permit(Arc<Lane>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limits {
    pub const READS: usize = 400;
    pub const WRITES: usize = 200;

    pub fn new(reads: usize, writes: usize) -> Self {
        let lane = |kind, max| Arc::new(Lane { kind, max, now: AtomicUsize::new(0), dropped: Counter::default() });
        Self { lanes: [lane(READ_ONLY, reads), lane(MUTATING, writes)] }
    }

    pub fn register(&self, metrics: &mut Registry) {
        let limits = self.clone();
        collect(metrics, move |encoder| limits.encode(encoder));
    }

    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let lanes = || self.lanes.iter().map(|lane| ([("request_kind", lane.kind)], lane));
        let help = "Number of requests that are worked on now, per request kind";
        let now = lanes().map(|(labels, lane)| (labels, ConstGauge::new(lane.now() as i64)));
        family(&mut encoder, ("apiserver_current_inflight_requests", help, MetricType::Gauge), now)?;
        let help = "Number of requests rejected with 'Try again later' response";
        let dropped = lanes().map(|(labels, lane)| (labels, ConstCounter::new(lane.dropped.get())));
        family(&mut encoder, ("apiserver_dropped_requests", help, MetricType::Counter), dropped)
    }

    pub fn lanes(&self) -> &[Arc<Lane>] {
        &self.lanes
    }

    /// `Ok(None)`: not counted.
    pub fn admit(&self, attributes: &Attributes) -> Result<Option<Permit>, TooMany> {
        let lane = &self.lanes[usize::from(attributes.is_mutating())];
        let before = lane.now.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(lane.clone());
        if lane.max == 0 || before < lane.max {
            return Ok(Some(permit));
        }
        drop(permit);
        if attributes.user.groups.iter().any(|group| group == PRIVILEGED) {
            return Ok(None);
        }
        lane.dropped.inc();
        Err(TooMany)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(Self::READS, Self::WRITES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::User;

    fn asks(verb: &'static str, group: &str) -> Attributes {
        let user = Arc::new(User { groups: vec![group.to_owned()], ..User::default() });
        Attributes { user, verb: verb.into(), ..Attributes::default() }
    }

    #[test]
    fn so_many_at_a_time_and_each_kind_by_itself() {
        let limits = Limits::new(2, 1);
        let first = limits.admit(&asks("get", "")).ok().unwrap();
        let second = limits.admit(&asks("list", "")).ok().unwrap();
        assert!(first.is_some() && second.is_some());
        assert!(limits.admit(&asks("get", "")).is_err());
        assert!(limits.admit(&asks("get", PRIVILEGED)).is_ok_and(|permit| permit.is_none()));
        let write = limits.admit(&asks("create", "")).ok().unwrap();
        assert!(limits.admit(&asks("post", "")).is_err());
        drop((first, write));
        assert!(limits.admit(&asks("get", "")).is_ok_and(|permit| permit.is_some()));
        assert!(limits.admit(&asks("delete", "")).is_ok_and(|permit| permit.is_some()));
        drop(second);
        assert_eq!(limits.lanes().iter().map(|lane| (lane.now(), lane.dropped.get())).collect::<Vec<_>>(), [(0, 1); 2]);
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = Limits::new(0, 0);
        let permits: Vec<_> = (0..1000).map(|_| limits.admit(&asks("get", "")).ok().flatten()).collect();
        assert_eq!(limits.lanes()[0].now(), 1000);
        assert!(permits.iter().all(Option::is_some));
    }
}
