//! Admission: what is changed of a write, and what is refused of it, beyond the rules of its kind. It runs inside of the write's
//! compare-and-swap, so it runs again when somebody else was faster.

mod plugins;

use std::sync::Arc;

use api::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use crate::registry::{Context, Registry, Target};

pub use plugins::{Plugins, UnknownPlugin};

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
        let resource = self.target.resource();
        self.operation == operation
            && resource.group.is_empty()
            && resource.plural == plural
            && self.context.subresource().is_empty()
    }

    fn forbidden(&self, name: &str, why: impl AsRef<str>) -> Status {
        let resource = self.target.resource();
        Status::forbidden(resource.group, resource.plural, name, why.as_ref())
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
}

/// The plugins that are on, in their order.
#[derive(Clone, Default)]
pub struct Admission(Vec<Arc<dyn Plugin>>);

impl Admission {
    /// `true`: some plugin has looked at the object, and may have changed it.
    pub async fn admit(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<bool, Status> {
        let mut handled = false;
        for plugin in self.0.iter().filter(|plugin| plugin.handles(attempt)) {
            plugin.admit(attempt, object).await?;
            handled = true;
        }
        Ok(handled)
    }

    pub async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        for plugin in self.0.iter().filter(|plugin| plugin.handles(attempt)) {
            plugin.validate(attempt, object).await?;
        }
        Ok(())
    }
}
