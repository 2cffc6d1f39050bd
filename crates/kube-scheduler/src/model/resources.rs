//! Amounts as plain integers: milli-CPUs, and whole units of all else.
use std::collections::BTreeMap;

use api::quantity::{ParseError, Quantity};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// A container that asks for nothing still counts for something when nodes are compared.
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 << 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Extended resources and huge pages, by name.
    pub other: BTreeMap<String, i64>,
    /// CPU and memory with the defaults for containers that ask for none; of a node, the same as above.
    pub scored_milli_cpu: i64,
    pub scored_memory: i64,
}

impl Resources {
    /// Of a list as the API writes it; the number of pods is not among them.
    pub fn parse(list: &BTreeMap<String, ApiQuantity>) -> Result<Self, ParseError> {
        let mut resources = Self::default();
        for (name, quantity) in list {
            let quantity = Quantity::try_from(quantity)?;
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity.value(),
                "pods" => {}
                _ => {
                    resources.other.insert(name.clone(), quantity.value());
                }
            }
        }
        resources.scored_milli_cpu = resources.milli_cpu;
        resources.scored_memory = resources.memory;
        Ok(resources)
    }

    /// The requests of one container.
    pub fn of_container(list: &BTreeMap<String, ApiQuantity>) -> Result<Self, ParseError> {
        let mut resources = Self::parse(list)?;
        if !list.contains_key("cpu") {
            resources.scored_milli_cpu = DEFAULT_MILLI_CPU;
        }
        if !list.contains_key("memory") {
            resources.scored_memory = DEFAULT_MEMORY;
        }
        Ok(resources)
    }

    pub fn add(&mut self, more: &Resources) {
        self.combine(more, |a, b| a.saturating_add(b));
    }

    pub fn subtract(&mut self, less: &Resources) {
        self.combine(less, |a, b| a.saturating_sub(b));
        self.other.retain(|_, amount| *amount != 0);
    }

    /// The larger of both, for each resource.
    pub fn raise(&mut self, to: &Resources) {
        self.combine(to, i64::max);
    }

    fn combine(&mut self, with: &Resources, by: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = by(self.milli_cpu, with.milli_cpu);
        self.memory = by(self.memory, with.memory);
        self.ephemeral_storage = by(self.ephemeral_storage, with.ephemeral_storage);
        self.scored_milli_cpu = by(self.scored_milli_cpu, with.scored_milli_cpu);
        self.scored_memory = by(self.scored_memory, with.scored_memory);
        for (name, amount) in &with.other {
            match self.other.get_mut(name) {
                Some(mine) => *mine = by(*mine, *amount),
                None => {
                    self.other.insert(name.clone(), by(0, *amount));
                }
            }
        }
    }
}
