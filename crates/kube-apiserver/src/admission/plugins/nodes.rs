//! What is added to new nodes.

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::admission::{Attempt, Operation, Plugin};

/// A new node takes no pods until somebody has seen that it is ready.
pub struct TaintNodesByCondition;

impl TaintNodesByCondition {
    pub const NAME: &str = "TaintNodesByCondition";
}

#[async_trait]
impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.is(Operation::Create, "nodes")
    }

    async fn admit(&self, _: &Attempt<'_>, node: &mut Value) -> Result<(), Status> {
        let taint = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
        let taints = meta::object_mut(node, "spec").entry("taints").or_insert_with(|| json!([]));
        if let Some(list) = taints.as_array_mut()
            && !list.iter().any(|one| one["key"] == taint["key"] && one["effect"] == taint["effect"])
        {
            list.push(taint);
        }
        Ok(())
    }
}
