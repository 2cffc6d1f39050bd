//! What a write knows beside the object.

use std::sync::{Arc, Mutex, PoisonError};

use crate::attributes::{Attributes, User};

#[derive(Debug, Default)]
pub struct Context {
    pub attributes: Attributes,
    /// Nothing is stored.
    pub dry_run: bool,
    /// Who sets the fields that this write changes.
    pub manager: String,
    /// The object already says who manages its fields: it was applied.
    pub applied: bool,
    warnings: Mutex<Vec<String>>,
}

impl Context {
    pub fn new(attributes: Attributes, dry_run: bool) -> Self {
        Self { attributes, dry_run, ..Self::default() }
    }

    pub fn managed_by(self, manager: impl Into<String>) -> Self {
        Self { manager: manager.into(), ..self }
    }

    /// Of what kube-apiserver itself writes.
    pub fn of_server() -> Self {
        let groups = vec!["system:masters".to_owned()];
        let user = Arc::new(User { name: "system:apiserver".into(), groups, ..User::default() });
        Self::new(Attributes { user, ..Attributes::default() }, false).managed_by("kube-apiserver")
    }

    /// The subresource that is written through; empty for the object itself.
    pub fn subresource(&self) -> &str {
        self.attributes.resource.as_ref().map_or("", |about| about.subresource.as_str())
    }

    /// Something that the client is told beside the answer. A write that is tried again says it once.
    pub fn warn(&self, warning: String) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
