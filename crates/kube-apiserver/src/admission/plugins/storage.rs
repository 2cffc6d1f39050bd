//! What is added to and refused of claims, volumes and their classes.

use api::meta;
use api::quantity::Quantity;
use api::quota::storage_class;
use api::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::admission::plugins::default_class;
use crate::admission::{Attempt, Operation, Plugin};

const GROUP: &str = "storage.k8s.io";
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Claims that name no class get the default one.
pub struct DefaultStorageClass;

impl DefaultStorageClass {
    pub const NAME: &str = "DefaultStorageClass";
}

#[async_trait]
impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Create, "persistentvolumeclaims")
    }

    async fn admit(&self, attempt: &Attempt<'_>, claim: &mut Value) -> Result<(), Status> {
        // An empty class is one, too: that of volumes without a class.
        let named = meta::metadata(claim, "annotations").is_some_and(|all| all.contains_key(OLD_CLASS));
        if named || meta::at(claim, "spec.storageClassName").is_some() {
            return Ok(());
        }
        let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
        if let Some(name) = default_class(attempt, (GROUP, "storageclasses"), &marks).await? {
            meta::object_mut(claim, "spec").insert("storageClassName".into(), name.into());
        }
        Ok(())
    }
}

/// What is in use stays until nobody uses it: a finalizer that a controller takes away.
pub struct StorageObjectInUseProtection;

impl StorageObjectInUseProtection {
    pub const NAME: &str = "StorageObjectInUseProtection";
}

#[async_trait]
impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.operation == Operation::Create
            && attempt.context.subresource().is_empty()
            && finalizer(attempt).is_some()
    }

    async fn admit(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<(), Status> {
        let Some(finalizer) = finalizer(attempt) else { return Ok(()) };
        if !meta::finalizers(object).contains(&finalizer) {
            let list = meta::metadata_mut(object).entry("finalizers").or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(finalizer.into());
            }
        }
        Ok(())
    }
}

fn finalizer(attempt: &Attempt<'_>) -> Option<&'static str> {
    let resource = attempt.target.resource();
    match (resource.group, resource.plural) {
        ("", "persistentvolumes") => Some("kubernetes.io/pv-protection"),
        ("", "persistentvolumeclaims") => Some("kubernetes.io/pvc-protection"),
        (GROUP, "volumeattributesclasses") => Some("kubernetes.io/vac-protection"),
        _ => None,
    }
}

/// Claims only grow where their class can make volumes larger.
pub struct PersistentVolumeClaimResize;

impl PersistentVolumeClaimResize {
    pub const NAME: &str = "PersistentVolumeClaimResize";
}

#[async_trait]
impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Update, "persistentvolumeclaims")
    }

    async fn validate(&self, attempt: &Attempt<'_>, claim: &Value) -> Result<(), Status> {
        let Some(old) = attempt.old else { return Ok(()) };
        let size = |claim: &Value| -> Quantity {
            meta::text_at(claim, "spec.resources.requests.storage").parse().unwrap_or(Quantity::ZERO)
        };
        if size(claim) <= size(old) {
            return Ok(());
        }
        if meta::text_at(old, "status.phase") != "Bound" {
            return Err(attempt.forbidden(meta::name(claim), "Only bound persistent volume claims can be expanded"));
        }
        let class = storage_class(claim);
        if !class.is_empty() && class == storage_class(old) {
            let class = attempt.other(GROUP, "v1", "storageclasses", "", class).await?;
            let grows = class.and_then(|class| class.get("allowVolumeExpansion").and_then(Value::as_bool));
            if grows == Some(true) {
                return Ok(());
            }
        }
        let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        Err(attempt.forbidden(meta::name(claim), why))
    }
}
