//! `OwnerReferencesPermissionEnforcement`: who makes an object depend on another must be able to delete the one, and who makes it hold
//! the other back must be able to set the other's finalizers.

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use crate::admission::{Attempt, Operation, Plugin};
use crate::attributes::{Attributes, ResourceAttributes};
use crate::authorization::{Authorization, Decision};

pub struct OwnerReferencesPermissionEnforcement(pub Authorization);

impl OwnerReferencesPermissionEnforcement {
    pub const NAME: &str = "OwnerReferencesPermissionEnforcement";

    async fn may(&self, attempt: &Attempt<'_>, verb: &'static str, resource: ResourceAttributes) -> bool {
        let user = attempt.context.attributes.user.clone();
        let asked = Attributes::question(user, verb, resource);
        self.0.decide(&asked).await == Decision::Allow
    }
}

fn owners(object: &Value) -> &[Value] {
    meta::at(object, "metadata.ownerReferences").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn blocks(owner: &Value) -> bool {
    owner.get("blockOwnerDeletion").and_then(Value::as_bool).unwrap_or(false)
}

#[async_trait]
impl Plugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        // A kubelet may write no more of a pod than its status, which has no owners.
        let status_of_pod = attempt.is_of("", "pods") && attempt.context.subresource() == "status";
        attempt.operation != Operation::Delete && !status_of_pod
    }

    async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        let before = attempt.old.map_or(&[][..], owners);
        if owners(object) == before {
            return Ok(());
        }
        let name = meta::name(object);
        if let Some(about) = attempt.context.attributes.resource.as_ref().filter(|_| attempt.old.is_some())
            && !self.may(attempt, "delete", ResourceAttributes { name: name.into(), ..about.clone() }).await
        {
            let why = "cannot set an ownerRef on a resource you can't delete: , <nil>";
            return Err(attempt.forbidden(name, why));
        }
        let was_blocking = |uid: &Value| before.iter().any(|owner| owner.get("uid") == Some(uid) && blocks(owner));
        let new: Vec<&Value> = owners(object)
            .iter()
            .filter(|owner| blocks(owner) && !owner.get("uid").is_some_and(was_blocking))
            .collect();
        let anything = ResourceAttributes {
            group: "*".into(),
            version: "*".into(),
            resource: "*".into(),
            name: "*".into(),
            subresource: "finalizers".into(),
            ..ResourceAttributes::default()
        };
        if new.is_empty() || self.may(attempt, "update", anything).await {
            return Ok(());
        }
        for owner in new {
            let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or("");
            let (api_version, kind) = (text("apiVersion"), text("kind"));
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let catalog = attempt.registry.catalog();
            let found =
                catalog.served().iter().find(|one| one.group == group && one.version == version && one.kind == kind);
            let Some(served) = found else {
                let why = format!(
                    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {api_version} Kind {kind}: no matches for kind {kind:?} in version {api_version:?}"
                );
                return Err(attempt.forbidden(name, why));
            };
            let resource = ResourceAttributes {
                group: group.into(),
                version: version.into(),
                resource: served.plural.into(),
                namespace: if served.namespaced { attempt.target.namespace.clone() } else { String::new() },
                name: text("name").into(),
                subresource: "finalizers".into(),
                ..ResourceAttributes::default()
            };
            if !self.may(attempt, "update", resource).await {
                let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>";
                return Err(attempt.forbidden(name, why));
            }
        }
        Ok(())
    }
}
