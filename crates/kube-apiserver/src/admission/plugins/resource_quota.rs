//! `ResourceQuota`: what is written stays within the quotas of its namespace. What a write uses is added to the quotas in the write's
//! own transaction, so it is counted when the object is written and only then; what is given back, the quotas' controller counts.

mod check;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use api::meta;
use api::quota::{Evaluator, is_terminating};
use api::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};
use storage::{Guard, Op};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::admission::{Attempt, Operation, Plugin, Terms};
use crate::registry::Current;

pub use check::Limited;

pub struct ResourceQuota {
    /// What may not be used at all where no quota covers it.
    limited: Vec<Limited>,
    /// By namespace: writers count one after the other, as their transactions would refuse each other.
    turns: Mutex<HashMap<String, Weak<Turn<()>>>>,
}

impl ResourceQuota {
    pub const NAME: &str = "ResourceQuota";

    pub fn new(limited: Vec<Limited>) -> Self {
        Self { limited, turns: Mutex::default() }
    }

    async fn turn(&self, namespace: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            match turns.get(namespace).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    turns.retain(|_, turn| turn.strong_count() > 0);
                    let turn = Arc::new(Turn::new(()));
                    turns.insert(namespace.to_owned(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}

#[async_trait]
impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.operation != Operation::Delete && attempt.target.resource().namespaced
    }

    async fn terms(&self, attempt: &Attempt<'_>, object: &Value, fresh: bool) -> Result<Terms, Status> {
        let resource = attempt.target.resource();
        let Some(evaluator) = Evaluator::of(resource.group, resource.plural) else { return Ok(Terms::default()) };
        if !counts(&evaluator, attempt, object) {
            return Ok(Terms::default());
        }
        let quotas = attempt.registry.target("", "v1", "resourcequotas", &attempt.target.namespace, "")?;
        if attempt.registry.list_cached(&quotas).await?.is_empty() && self.limited.is_empty() {
            return Ok(Terms::default());
        }
        let mut terms = Terms::default();
        if !attempt.context.dry_run {
            terms.turn.push(self.turn(&attempt.target.namespace).await);
        }
        let mut all: Vec<Current> = Vec::new();
        for entry in attempt.registry.list_cached(&quotas).await? {
            match attempt.registry.current(&quotas.named(entry.name()), fresh).await {
                Ok(quota) => all.push(quota),
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        let documents: Vec<&Value> = all.iter().map(|quota| &quota.document).collect();
        let request = check::Request { attempt, evaluator: &evaluator, object, limited: &self.limited };
        for (at, used) in request.charge(&documents)? {
            let quota = &all[at];
            let mut document = quota.document.clone();
            let used: serde_json::Map<String, Value> =
                used.iter().map(|(name, amount)| (name.clone(), json!(amount.to_string()))).collect();
            meta::object_mut(&mut document, "status").insert("used".into(), used.into());
            let key = quotas.named(meta::name(&document)).path();
            terms.guards.push(Guard::Unchanged(key.clone(), quota.revision));
            terms.ops.push(Op::Put { key, value: meta::encode(&document).into(), time_to_live: None });
        }
        if terms.guards.is_empty() {
            terms.turn.clear();
        }
        Ok(terms)
    }
}

/// Whether the write can use more than before.
fn counts(evaluator: &Evaluator, attempt: &Attempt<'_>, object: &Value) -> bool {
    let sub = attempt.context.subresource();
    let Some(old) = attempt.old else { return sub.is_empty() };
    match evaluator {
        Evaluator::Pods => sub == "resize" || (sub.is_empty() && is_terminating(old) != is_terminating(object)),
        // What a claim has been given may be more than what it asks for.
        Evaluator::PersistentVolumeClaims => {
            let given = |claim: &Value| meta::at(claim, "status").cloned();
            sub.is_empty() || (sub == "status" && given(old) != given(object))
        }
        Evaluator::Services | Evaluator::ResourceClaims => sub.is_empty(),
        Evaluator::Count(_) => false,
    }
}
