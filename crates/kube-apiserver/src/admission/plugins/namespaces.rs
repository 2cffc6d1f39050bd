//! Namespaces that objects are made in: they must be there and stay, or are made on the way.

use api::meta;
use api::status::{Cause, Status};
use api::strategy::SYSTEM_NAMESPACES;
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::admission::{Attempt, Operation, Plugin, Terms, mentions};
use crate::registry::{Context, Target};

/// Nothing new comes into a namespace that is missing or goes, and the namespaces of the system stay.
pub struct NamespaceLifecycle;

impl NamespaceLifecycle {
    pub const NAME: &str = "NamespaceLifecycle";

    /// The revision of a namespace that takes new objects.
    async fn takes(attempt: &Attempt<'_>, name: &str, fresh: bool) -> Result<(Target, i64), Status> {
        let (registry, target) = (attempt.registry, attempt.target);
        let namespace = registry.target("", "v1", "namespaces", "", &target.namespace)?;
        // Most namespaces stay, and their bytes show it.
        if !fresh
            && let Ok(entry) = registry.get_cached(&namespace, 0).await
            && !mentions(&entry.bytes, "\"deletionTimestamp\"")
        {
            return Ok((namespace, entry.revision));
        }
        let current = registry.current(&namespace, true).await?;
        if !meta::is_deleting(&current.document) {
            return Ok((namespace, current.revision));
        }
        let of = &target.namespace;
        let why = format!("unable to create new content in namespace {of} because it is being terminated");
        let mut status = attempt.forbidden(name, why);
        if let Some(details) = &mut status.details {
            let message = format!("namespace {of} is being terminated");
            details.causes.push(Cause { reason: "NamespaceTerminating", field: "metadata.namespace".into(), message });
        }
        Err(status)
    }
}

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        match attempt.operation {
            Operation::Create => attempt.target.resource().namespaced,
            Operation::Delete => attempt.is_of("", "namespaces"),
            Operation::Update => false,
        }
    }

    async fn admit(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<(), Status> {
        Self::takes(attempt, meta::name(object), false).await.map(|_| ())
    }

    async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        let name = meta::name(object);
        if attempt.operation == Operation::Delete && SYSTEM_NAMESPACES.contains(&name) {
            return Err(attempt.forbidden(name, "this namespace may not be deleted"));
        }
        Ok(())
    }

    /// It must be the same namespace when the object is written: one that began to go meanwhile would keep the object for ever.
    async fn terms(&self, attempt: &Attempt<'_>, object: &Value, fresh: bool) -> Result<Terms, Status> {
        if attempt.operation != Operation::Create {
            return Ok(Terms::default());
        }
        let (namespace, revision) = Self::takes(attempt, meta::name(object), fresh).await?;
        Ok(Terms::unchanged(namespace.path(), revision))
    }
}

/// Whether the write is of something in a namespace, made or changed or deleted.
fn in_namespace(attempt: &Attempt<'_>) -> bool {
    attempt.target.resource().namespaced
}

/// Nothing is written where there is no namespace. What [`NamespaceLifecycle`] does and more; kept for old command lines.
pub struct NamespaceExists;

impl NamespaceExists {
    pub const NAME: &str = "NamespaceExists";
}

#[async_trait]
impl Plugin for NamespaceExists {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        in_namespace(attempt)
    }

    async fn validate(&self, attempt: &Attempt<'_>, _: &Value) -> Result<(), Status> {
        let name = &attempt.target.namespace;
        let namespace = attempt.registry.target("", "v1", "namespaces", "", name)?;
        match attempt.registry.get_cached(&namespace, 0).await {
            Ok(_) => Ok(()),
            Err(_) => attempt.registry.current(&namespace, true).await.map(|_| ()),
        }
    }
}

/// A namespace that is missing is made with the first object in it.
pub struct NamespaceAutoProvision;

impl NamespaceAutoProvision {
    pub const NAME: &str = "NamespaceAutoProvision";
}

#[async_trait]
impl Plugin for NamespaceAutoProvision {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.operation == Operation::Create && in_namespace(attempt) && !attempt.context.dry_run
    }

    async fn admit(&self, attempt: &Attempt<'_>, _: &mut Value) -> Result<(), Status> {
        let (registry, name) = (attempt.registry, &attempt.target.namespace);
        let namespace = registry.target("", "v1", "namespaces", "", name)?;
        if registry.get_cached(&namespace, 0).await.is_ok() {
            return Ok(());
        }
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        match Box::pin(registry.create(&Context::of_server(), &namespace, object)).await {
            Err(status) if status.reason != "AlreadyExists" => Err(status),
            _ => Ok(()),
        }
    }
}
