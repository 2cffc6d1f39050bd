//! What is added to ingresses.

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use crate::admission::plugins::default_class;
use crate::admission::{Attempt, Operation, Plugin};

const GROUP: &str = "networking.k8s.io";

/// Ingresses that name no class get the default one.
pub struct DefaultIngressClass;

impl DefaultIngressClass {
    pub const NAME: &str = "DefaultIngressClass";
}

#[async_trait]
impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.operation == Operation::Create
            && attempt.is_of(GROUP, "ingresses")
            && attempt.context.subresource().is_empty()
    }

    async fn admit(&self, attempt: &Attempt<'_>, ingress: &mut Value) -> Result<(), Status> {
        let annotations = meta::metadata(ingress, "annotations");
        let named = annotations.is_some_and(|all| all.contains_key("kubernetes.io/ingress.class"));
        if named || meta::at(ingress, "spec.ingressClassName").is_some() {
            return Ok(());
        }
        let marks = ["ingressclass.kubernetes.io/is-default-class"];
        if let Some(name) = default_class(attempt, (GROUP, "ingressclasses"), &marks).await? {
            meta::object_mut(ingress, "spec").insert("ingressClassName".into(), name.into());
        }
        Ok(())
    }
}
