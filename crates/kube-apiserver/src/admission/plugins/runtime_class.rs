//! `RuntimeClass`: a pod costs what its runtime takes for itself, and runs where that runtime is.

use api::meta;
use api::resources::{Amounts, amounts};
use api::status::Status;
use api::tolerations;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::api::node::v1::RuntimeClass as Class;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::{Attempt, Operation, Plugin, typed};

pub struct RuntimeClass;

impl RuntimeClass {
    pub const NAME: &str = "RuntimeClass";
}

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

#[async_trait]
impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Create, "pods")
    }

    async fn admit(&self, attempt: &Attempt<'_>, pod: &mut Value) -> Result<(), Status> {
        let Some(class) = class(attempt, pod).await? else { return Ok(()) };
        if let Some(overhead) = class.overhead.and_then(|overhead| overhead.pod_fixed) {
            let own = overhead_of(pod);
            if !own.is_empty() && own != amounts(Some(&overhead)) {
                return Err(attempt.forbidden(meta::name(pod), MISMATCH));
            }
            meta::object_mut(pod, "spec").insert("overhead".into(), json!(overhead));
        }
        let Some(scheduling) = class.scheduling else { return Ok(()) };
        for (key, value) in scheduling.node_selector.into_iter().flatten() {
            let spec = meta::object_mut(pod, "spec");
            let selector = meta::fields_mut(spec.entry("nodeSelector").or_insert_with(|| json!({})));
            let own = selector.entry(key.clone()).or_insert_with(|| value.as_str().into());
            if *own != value.as_str() {
                let own = own.as_str().unwrap_or("").to_owned();
                let why = format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
                );
                return Err(attempt.forbidden(meta::name(pod), why));
            }
        }
        let more = scheduling.tolerations.unwrap_or_default();
        if !more.is_empty() {
            let own = meta::at(pod, "spec.tolerations").and_then(|list| Vec::<Toleration>::deserialize(list).ok());
            let merged = tolerations::merge(&own.unwrap_or_default(), &more);
            meta::object_mut(pod, "spec").insert("tolerations".into(), json!(merged));
        }
        Ok(())
    }

    async fn validate(&self, attempt: &Attempt<'_>, pod: &Value) -> Result<(), Status> {
        if meta::at(pod, "spec.runtimeClassName").is_none() && meta::at(pod, "spec.overhead").is_none() {
            return Ok(());
        }
        let overhead = class(attempt, pod).await?.and_then(|class| class.overhead);
        match overhead {
            Some(overhead) if overhead_of(pod) != amounts(overhead.pod_fixed.as_ref()) => {
                Err(attempt.forbidden(meta::name(pod), MISMATCH))
            }
            None if meta::at(pod, "spec.overhead").is_some() => {
                let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
                Err(attempt.forbidden(meta::name(pod), why))
            }
            _ => Ok(()),
        }
    }
}

fn overhead_of(pod: &Value) -> Amounts {
    let overhead = meta::at(pod, "spec.overhead").and_then(|overhead| Deserialize::deserialize(overhead).ok());
    amounts(overhead.as_ref())
}

/// The class that the pod names.
async fn class(attempt: &Attempt<'_>, pod: &Value) -> Result<Option<Class>, Status> {
    let Some(name) = meta::at(pod, "spec.runtimeClassName").and_then(Value::as_str) else { return Ok(None) };
    match attempt.other("node.k8s.io", "v1", "runtimeclasses", "", name).await? {
        Some(class) => typed(&class).map(Some),
        None => Err(attempt.forbidden(meta::name(pod), format!("pod rejected: RuntimeClass {name:?} not found"))),
    }
}
