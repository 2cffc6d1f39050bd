//! How long each plugin takes, by what is done and whether it refused.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

use super::{Operation, Plugin};
use crate::metrics::family;

/// Upstream's.
const SECONDS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
const STEPS: [&str; 2] = ["admit", "validate"];
const OPERATIONS: [&str; 3] = ["CREATE", "UPDATE", "DELETE"];
const REJECTED: [&str; 2] = ["false", "true"];

#[derive(Clone, Copy)]
pub enum Step {
    Admit,
    Validate,
}

/// A plugin with its times, by step, operation and whether it refused.
pub struct Timed {
    pub plugin: Arc<dyn Plugin>,
    seconds: [[[OnceLock<Histogram>; 2]; 3]; 2],
}

impl Timed {
    pub fn new(plugin: Arc<dyn Plugin>) -> Self {
        Self { plugin, seconds: Default::default() }
    }

    /// Notes what it took, and gives the time now, which the next plugin begins at.
    pub fn took(&self, step: Step, operation: Operation, start: Instant, rejected: bool) -> Instant {
        let now = Instant::now();
        let histogram = &self.seconds[step as usize][operation as usize][usize::from(rejected)];
        histogram.get_or_init(|| Histogram::new(SECONDS)).observe((now - start).as_secs_f64());
        now
    }
}

pub fn encode(plugins: &[Timed], mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
    let mut members = Vec::new();
    for timed in plugins {
        for (step, operations) in STEPS.iter().zip(&timed.seconds) {
            for (operation, results) in OPERATIONS.iter().zip(operations) {
                for (rejected, seconds) in REJECTED.iter().zip(results) {
                    let Some(seconds) = seconds.get() else { continue };
                    let labels = [
                        ("name", timed.plugin.name()),
                        ("type", *step),
                        ("operation", *operation),
                        ("rejected", *rejected),
                    ];
                    members.push((labels, seconds.clone()));
                }
            }
        }
    }
    let name = "apiserver_admission_controller_admission_duration_seconds";
    let help = "Admission controller latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit)";
    family(&mut encoder, (name, help, MetricType::Histogram), members)
}
