//! `EventRateLimit`: events come in no faster than buckets of tokens fill, for the server, a namespace, a user, or one source and object.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use crate::admission::{Attempt, Operation, Plugin, aggregate};

const DEFAULT_BUCKETS: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

/// One limit, as the plugin's configuration has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    #[serde(rename = "type")]
    kind: Kind,
    qps: i32,
    burst: i32,
    #[serde(default)]
    cache_size: i32,
}

impl Limit {
    /// What is wrong with it.
    pub fn check(&self) -> Option<String> {
        let positive = |field: &str, value: i32| {
            (value <= 0).then(|| format!("{field}: Invalid value: {value}: must be positive"))
        };
        let size = self.cache_size;
        let negative = || (size < 0).then(|| format!("cacheSize: Invalid value: {size}: must not be negative"));
        positive("burst", self.burst).or_else(|| positive("qps", self.qps)).or_else(negative)
    }
}

pub struct EventRateLimit(Vec<(Limit, Mutex<Buckets>)>);

impl EventRateLimit {
    pub const NAME: &str = "EventRateLimit";

    pub fn new(limits: &[Limit]) -> Self {
        Self(limits.iter().map(|limit| (limit.clone(), Mutex::new(Buckets::new(limit)))).collect())
    }
}

#[async_trait]
impl Plugin for EventRateLimit {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.operation != Operation::Delete
            && (attempt.is_of("", "events") || attempt.is_of("events.k8s.io", "events"))
            && !attempt.context.dry_run
    }

    async fn validate(&self, attempt: &Attempt<'_>, event: &Value) -> Result<(), Status> {
        let now = Instant::now();
        let mut reached = Vec::new();
        for (limit, buckets) in &self.0 {
            let key = key(limit.kind, attempt, event);
            if !buckets.lock().unwrap_or_else(PoisonError::into_inner).take(&key, now) {
                reached.push(format!("limit reached on type {:?} for key {key}", limit.kind));
            }
        }
        if reached.is_empty() { Ok(()) } else { Err(Status::too_many_requests(&aggregate(&reached))) }
    }
}

fn key(kind: Kind, attempt: &Attempt<'_>, event: &Value) -> String {
    match kind {
        Kind::Server => String::new(),
        Kind::Namespace => attempt.target.namespace.clone(),
        Kind::User => attempt.context.attributes.user.name.clone(),
        Kind::SourceAndObject => [
            "source.component",
            "source.host",
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
        ]
        .map(|path| meta::text_at(event, path))
        .concat(),
    }
}

/// As many buckets as fit; the one that was used longest ago goes first, and is full when it comes again.
struct Buckets {
    rate: f64,
    burst: f64,
    room: usize,
    buckets: HashMap<String, Bucket>,
    /// Keys by when they were used.
    order: BTreeMap<u64, String>,
    uses: u64,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
    used: u64,
}

impl Buckets {
    fn new(limit: &Limit) -> Self {
        let room = usize::try_from(limit.cache_size).ok().filter(|size| *size > 0).unwrap_or(DEFAULT_BUCKETS);
        Self {
            rate: limit.qps.into(),
            burst: limit.burst.into(),
            room,
            buckets: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
        }
    }

    fn take(&mut self, key: &str, now: Instant) -> bool {
        self.uses += 1;
        let (uses, burst) = (self.uses, self.burst);
        if !self.buckets.contains_key(key)
            && self.buckets.len() >= self.room
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.buckets.remove(&oldest);
        }
        let bucket = self.buckets.entry(key.to_owned()).or_insert(Bucket { tokens: burst, filled: now, used: 0 });
        self.order.remove(&bucket.used);
        self.order.insert(uses, key.to_owned());
        bucket.used = uses;
        let more = now.saturating_duration_since(bucket.filled).as_secs_f64() * self.rate;
        bucket.tokens = (bucket.tokens + more).min(burst);
        bucket.filled = now;
        let some = bucket.tokens >= 1.0;
        if some {
            bucket.tokens -= 1.0;
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn buckets_fill_and_the_oldest_goes() {
        let limit = Limit { kind: Kind::Namespace, qps: 2, burst: 3, cache_size: 2 };
        let (mut buckets, start) = (Buckets::new(&limit), Instant::now());
        let mut take = |key: &str, after: u64| buckets.take(key, start + Duration::from_millis(after));
        assert_eq!([0, 0, 0, 0].map(|after| take("a", after)), [true, true, true, false]);
        assert_eq!([400, 500, 600].map(|after| take("a", after)), [false, true, false]);
        assert!(take("b", 600) && take("b", 600) && take("b", 600) && !take("b", 600));
        // There is room for two: `a` goes for `c`, and comes back full in the place of `b`.
        assert!(take("c", 600) && take("a", 600) && take("a", 600) && take("a", 600) && !take("a", 600));
        assert!(take("b", 600));
        assert_eq!(buckets.buckets.len(), buckets.order.len());
    }

    #[test]
    fn limits_are_checked() {
        let limit = Limit { kind: Kind::Server, qps: 0, burst: 1, cache_size: 0 };
        assert_eq!(limit.check().as_deref(), Some("qps: Invalid value: 0: must be positive"));
        assert_eq!(Limit { qps: 1, ..limit }.check(), None);
    }
}
