//! `PodTolerationRestriction`: a namespace's annotations say what its pods tolerate by default, and what they may tolerate at all.

use api::meta;
use api::status::Status;
use api::tolerations::{includes, merge};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Toleration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::{Attempt, Operation, Plugin};

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";
const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";

/// What holds where a namespace says nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodTolerationRestriction {
    default: Option<Vec<Toleration>>,
    whitelist: Option<Vec<Toleration>>,
}

impl PodTolerationRestriction {
    pub const NAME: &str = "PodTolerationRestriction";
}

#[async_trait]
impl Plugin for PodTolerationRestriction {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Create, "pods") || attempt.is(Operation::Update, "pods")
    }

    async fn admit(&self, attempt: &Attempt<'_>, pod: &mut Value) -> Result<(), Status> {
        let mut more = Vec::new();
        if attempt.operation == Operation::Create {
            let own = of_namespace(attempt, pod, DEFAULTS).await?;
            more = own.or_else(|| self.default.clone()).unwrap_or_default();
        }
        if api::strategy::qos_class(&pod["spec"]) != "BestEffort" {
            let operator = Some("Exists".to_owned());
            let effect = Some("NoSchedule".to_owned());
            more.push(Toleration { key: Some(MEMORY_PRESSURE.into()), operator, effect, ..Toleration::default() });
        }
        if !more.is_empty() {
            let merged = merge(&tolerations(pod), &more);
            meta::object_mut(pod, "spec").insert("tolerations".into(), json!(merged));
        }
        Ok(())
    }

    async fn validate(&self, attempt: &Attempt<'_>, pod: &Value) -> Result<(), Status> {
        let tolerations = tolerations(pod);
        if tolerations.is_empty() {
            return Ok(());
        }
        let own = of_namespace(attempt, pod, ALLOWED).await?;
        let scope = if own.is_some() { "namespace" } else { "cluster" };
        let allowed = own.or_else(|| self.whitelist.clone()).unwrap_or_default();
        if allowed.is_empty() || tolerations.iter().all(|one| allowed.iter().any(|wider| includes(wider, one))) {
            return Ok(());
        }
        let why = format!(
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
        );
        Err(attempt.forbidden(meta::name(pod), why))
    }
}

fn tolerations(pod: &Value) -> Vec<Toleration> {
    let list = meta::at(pod, "spec.tolerations").and_then(|list| Deserialize::deserialize(list).ok());
    list.unwrap_or_default()
}

/// What an annotation of the namespace lists; `None`: it has none.
async fn of_namespace(attempt: &Attempt<'_>, pod: &Value, annotation: &str) -> Result<Option<Vec<Toleration>>, Status> {
    let name = &attempt.target.namespace;
    let Some(namespace) = attempt.other("", "v1", "namespaces", "", name).await? else { return Ok(None) };
    let text = meta::metadata(&namespace, "annotations").and_then(|all| all.get(annotation)).and_then(Value::as_str);
    match text {
        None => Ok(None),
        Some("") => Ok(Some(Vec::new())),
        Some(text) => serde_json::from_str(text).map(Some).map_err(|e| {
            attempt.forbidden(meta::name(pod), format!("annotation {annotation} of namespace {name} is no list: {e}"))
        }),
    }
}
