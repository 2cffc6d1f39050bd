//! What is counted, by upstream's names. Labels come from the catalog and from fixed lists alone, so that clients can't make them many; counting
//! looks labels up without a lock of its own and without making texts.

mod counters;
mod list;
mod requests;
mod storage;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub use counters::{Counters, Label};
pub use list::List;
pub use requests::{DryRun, Measured, Requests};
pub use storage::{MeasuredBackend, register_cache};

/// Upstream's, of requests of clients and of those to etcd.
const SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// Metrics that are made when they are asked for.
struct Made<F>(F);

impl<F> fmt::Debug for Made<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").finish_non_exhaustive()
    }
}

impl<F> Collector for Made<F>
where
    F: Fn(DescriptorEncoder<'_>) -> fmt::Result + Send + Sync + 'static,
{
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0(encoder)
    }
}

/// Has metrics made by `encode` whenever somebody asks for them.
pub fn collect<F>(metrics: &mut Registry, encode: F)
where
    F: Fn(DescriptorEncoder<'_>) -> fmt::Result + Send + Sync + 'static,
{
    metrics.register_collector(Box::new(Made(encode)));
}

/// A family whose members are at hand only now. One without members is left out.
pub fn family<'a, M: EncodeMetric + 'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, kind): (&str, &str, MetricType),
    members: impl IntoIterator<Item = (Labels<'a, N>, M)>,
) -> fmt::Result {
    let mut members = members.into_iter().peekable();
    if members.peek().is_none() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, metric) in members {
        metric.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
