//! Counters of one name, for each value that a label has.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The only label of a metric, and its value.
pub type Label = [(&'static str, &'static str); 1];

/// With all values known beforehand, so that nothing is looked up where something is counted.
#[derive(Clone)]
pub struct Counters<const N: usize> {
    family: Family<Label, Counter>,
    members: [Counter; N],
}

impl<const N: usize> Counters<N> {
    pub fn new(label: &'static str, values: [&'static str; N]) -> Self {
        let family = Family::<Label, Counter>::default();
        let members = values.map(|value| family.get_or_create(&[(label, value)]).clone());
        Self { family, members }
    }

    pub fn register(&self, metrics: &mut Registry, name: &str, help: &str) {
        metrics.register(name, help, self.family.clone());
    }

    /// In the order of the values.
    pub fn members(&self) -> &[Counter; N] {
        &self.members
    }
}
