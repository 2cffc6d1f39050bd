//! Admission: what is changed of a write, and what is refused of it, beyond the rules of its kind. It runs inside of the write's
//! compare-and-swap, so it runs again when somebody else was faster.

mod config;
mod plugins;
mod terms;
mod timings;

use std::sync::Arc;
use std::time::Instant;

use api::status::Status;
use async_trait::async_trait;
use prometheus_client::registry::Registry as Metrics;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::metrics::collect;
use crate::registry::{Context, Object, Registry, Target};

pub use config::{ConfigError, Configuration};
pub use plugins::{Plugins, UnknownPlugin};
pub use terms::Terms;
use timings::{Step, Timed};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
}

/// A write that wants to be admitted.
pub struct Attempt<'a> {
    pub registry: &'a Registry,
    pub context: &'a Context,
    pub target: &'a Target,
    pub operation: Operation,
    /// What is stored now.
    pub old: Option<&'a Value>,
}

impl Attempt<'_> {
    /// Whether it is a write of this operation, of a resource of the core group by its plural, of the object itself.
    fn is(&self, operation: Operation, plural: &str) -> bool {
        self.operation == operation && self.is_of("", plural) && self.context.subresource().is_empty()
    }

    /// Whether it is a write of a resource, or of a part of it.
    fn is_of(&self, group: &str, plural: &str) -> bool {
        let resource = self.target.resource();
        resource.group == group && resource.plural == plural
    }

    fn forbidden(&self, name: &str, why: impl AsRef<str>) -> Status {
        let resource = self.target.resource();
        Status::forbidden(resource.group, resource.plural, name, why.as_ref())
    }

    /// The other objects that the decision depends on, as the cache has them: no question to etcd.
    async fn others(&self, group: &str, version: &str, plural: &str, namespace: &str) -> Result<Vec<Object>, Status> {
        let target = self.registry.target(group, version, plural, namespace, "")?;
        self.registry.list_cached(&target).await
    }

    /// Another object by its name: as the cache has it, or as etcd has it where the cache has not heard of it.
    async fn other(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Status> {
        let target = self.registry.target(group, version, plural, namespace, name)?;
        match self.registry.current(&target, false).await {
            Ok(current) => Ok(Some(current.document)),
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(status),
        }
    }
}

#[async_trait]
pub trait Plugin: Send + Sync {
    /// As upstream's flags name it.
    fn name(&self) -> &'static str;

    /// Asked first, as most plugins have nothing to say of most writes.
    fn handles(&self, attempt: &Attempt<'_>) -> bool;

    /// May change the object.
    async fn admit(&self, _attempt: &Attempt<'_>, _object: &mut Value) -> Result<(), Status> {
        Ok(())
    }

    /// Sees what is to be stored; of a deletion, what is to go.
    async fn validate(&self, _attempt: &Attempt<'_>, _object: &Value) -> Result<(), Status> {
        Ok(())
    }

    /// What must hold of other objects when the write is carried out, and what is written of them with it. `fresh`: one of them was
    /// not as the cache shows it.
    async fn terms(&self, _attempt: &Attempt<'_>, _object: &Value, _fresh: bool) -> Result<Terms, Status> {
        Ok(Terms::default())
    }
}

/// The plugins that are on, in their order.
#[derive(Clone, Default)]
pub struct Admission(Arc<[Timed]>);

impl Admission {
    /// These plugins, in this order.
    pub fn of(plugins: Vec<Arc<dyn Plugin>>) -> Self {
        Self(plugins.into_iter().map(Timed::new).collect())
    }

    pub fn register(&self, metrics: &mut Metrics) {
        let plugins = self.0.clone();
        collect(metrics, move |encoder| timings::encode(&plugins, encoder));
    }

    /// Those that have something to say.
    fn handling(&self, attempt: &Attempt<'_>) -> impl Iterator<Item = &Timed> {
        self.0.iter().filter(move |timed| timed.plugin.handles(attempt))
    }

    /// `true`: some plugin has looked at the object, and may have changed it.
    pub async fn admit(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<bool, Status> {
        let mut began = None;
        for timed in self.handling(attempt) {
            let start = began.unwrap_or_else(Instant::now);
            let result = timed.plugin.admit(attempt, object).await;
            began = Some(timed.took(Step::Admit, attempt.operation, start, result.is_err()));
            result?;
        }
        Ok(began.is_some())
    }

    pub async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        let mut began = None;
        for timed in self.handling(attempt) {
            let start = began.unwrap_or_else(Instant::now);
            let result = timed.plugin.validate(attempt, object).await;
            began = Some(timed.took(Step::Validate, attempt.operation, start, result.is_err()));
            result?;
        }
        Ok(())
    }

    /// Of a new or a changed object, as it is to be stored.
    pub async fn terms(&self, attempt: &Attempt<'_>, object: &Value, fresh: bool) -> Result<Terms, Status> {
        let mut all = Terms::default();
        for timed in self.handling(attempt) {
            all.join(timed.plugin.terms(attempt, object, fresh).await?);
        }
        Ok(all)
    }
}

/// Whether encoded JSON has a word at all: a cheap first look.
fn mentions(bytes: &[u8], word: &str) -> bool {
    memchr::memmem::find(bytes, word.as_bytes()).is_some()
}

/// Several things that are wrong, as upstream says them: each once.
fn aggregate(wrong: &[String]) -> String {
    let mut list: Vec<&str> = Vec::new();
    for one in wrong {
        if !list.contains(&one.as_str()) {
            list.push(one);
        }
    }
    if list.len() == 1 { list[0].to_owned() } else { format!("[{}]", list.join(", ")) }
}

/// The typed form of an object that fits its schema.
fn typed<T: DeserializeOwned>(object: &Value) -> Result<T, Status> {
    T::deserialize(object).map_err(|e| Status::internal(format!("an object does not read as its kind: {e}")))
}
