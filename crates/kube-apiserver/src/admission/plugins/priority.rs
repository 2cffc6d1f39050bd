//! `Priority`: a pod's priority comes from its class, and one class at most is the default.

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use crate::admission::{Attempt, Operation, Plugin, mentions};
use crate::registry::parse;

const GROUP: &str = "scheduling.k8s.io";

pub struct Priority;

impl Priority {
    pub const NAME: &str = "Priority";
}

#[async_trait]
impl Plugin for Priority {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        (attempt.is_of("", "pods") || attempt.is_of(GROUP, "priorityclasses"))
            && attempt.operation != Operation::Delete
            && attempt.context.subresource().is_empty()
    }

    async fn admit(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<(), Status> {
        match (attempt.target.resource().plural, attempt.old) {
            ("pods", None) => set(attempt, object).await,
            ("pods", Some(old)) => {
                keep(object, old);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        if attempt.target.resource().plural != "priorityclasses" || !is_default(object) {
            return Ok(());
        }
        match default_class(attempt).await? {
            Some(other) if attempt.operation == Operation::Create || meta::name(&other) != meta::name(object) => {
                let why = format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    meta::name(&other)
                );
                Err(attempt.forbidden(meta::name(object), why))
            }
            _ => Ok(()),
        }
    }
}

async fn set(attempt: &Attempt<'_>, pod: &mut Value) -> Result<(), Status> {
    let refused = |pod: &Value, why: String| Err(attempt.forbidden(meta::name(pod), why));
    let name = meta::text_at(pod, "spec.priorityClassName");
    let class = match name {
        "" => default_class(attempt).await?,
        name => match attempt.other(GROUP, "v1", "priorityclasses", "", name).await? {
            Some(class) => Some(class),
            None => return refused(pod, format!("no PriorityClass with name {name} was found")),
        },
    };
    let priority = class.as_ref().map_or(0, value);
    let policy = match &class {
        Some(class) => class.get("preemptionPolicy").and_then(Value::as_str).unwrap_or(""),
        None => "PreemptLowerPriority",
    };
    let own = meta::at(pod, "spec.priority").and_then(Value::as_i64);
    if let Some(own) = own.filter(|own| *own != priority) {
        return refused(
            pod,
            format!(
                "the integer value of priority ({own}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
            ),
        );
    }
    let own = meta::text_at(pod, "spec.preemptionPolicy");
    if !policy.is_empty() && !own.is_empty() && own != policy {
        return refused(
            pod,
            format!(
                "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            ),
        );
    }
    let spec = meta::object_mut(pod, "spec");
    if let Some(class) = &class {
        spec.insert("priorityClassName".into(), meta::name(class).into());
    }
    spec.insert("priority".into(), priority.into());
    if !policy.is_empty() {
        spec.insert("preemptionPolicy".into(), policy.into());
    }
    Ok(())
}

/// Who sends a pod back without what was set of it means no change.
fn keep(pod: &mut Value, old: &Value) {
    let spec = meta::object_mut(pod, "spec");
    for field in ["priority", "preemptionPolicy"] {
        if let Some(was) = old["spec"].get(field) {
            spec.entry(field).or_insert_with(|| was.clone());
        }
    }
}

fn value(class: &Value) -> i64 {
    class.get("value").and_then(Value::as_i64).unwrap_or(0)
}

fn is_default(class: &Value) -> bool {
    class.get("globalDefault").and_then(Value::as_bool).unwrap_or(false)
}

/// Of several that were made at once the one that gives the least.
async fn default_class(attempt: &Attempt<'_>) -> Result<Option<Value>, Status> {
    let mut found: Option<Value> = None;
    for entry in attempt.others(GROUP, "v1", "priorityclasses", "").await? {
        if !mentions(&entry.bytes, "\"globalDefault\":true") {
            continue;
        }
        let class = parse(&entry.bytes)?;
        if is_default(&class) && found.as_ref().is_none_or(|found| value(found) > value(&class)) {
            found = Some(class);
        }
    }
    Ok(found)
}
