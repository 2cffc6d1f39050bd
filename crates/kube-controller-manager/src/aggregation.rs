//! Cluster roles that are the sum of others: their rules are those of the roles that their selectors match.
//!
//! The rules are applied, so that all else of the role stays whoever's it is.
use std::sync::Arc;

use api::selector::{Selector, SelectorError};
use client::{Client, Error, Next, Store, WorkQueue};
use k8s_openapi::{
    api::rbac::v1::{ClusterRole, PolicyRule},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use tokio_util::sync::CancellationToken;

use crate::model::name;

/// Who manages the rules.
const MANAGER: &str = "clusterrole-aggregation-controller";
/// Roles worked on at a time.
const WORKERS: usize = 5;

#[derive(Clone)]
pub struct Aggregation {
    client: Client,
    roles: Store<ClusterRole>,
    queue: WorkQueue<String>,
}

impl Aggregation {
    pub fn new(client: &Client, roles: &Store<ClusterRole>) -> Self {
        let this = Self { client: client.clone(), roles: roles.clone(), queue: WorkQueue::default() };
        let watcher = this.clone();
        // Any role may have been, or be from now on, a part of any sum. There are few roles.
        roles.on_change(move |_| {
            for role in watcher.roles.list().iter().filter(|role| role.aggregation_rule.is_some()) {
                watcher.queue.add(name(&role.metadata).to_owned());
            }
        });
        this
    }

    pub async fn run(self, token: CancellationToken) {
        let this = self.clone();
        let work = move |name: String| {
            let this = this.clone();
            async move { this.sync(&name).await }
        };
        self.queue.run("aggregated cluster role", WORKERS, token, work).await;
    }

    async fn sync(&self, role: &str) -> Result<Next, Error> {
        // The rules of all other roles are their own.
        let Some(role) = self.roles.get("", role).filter(|role| role.aggregation_rule.is_some()) else {
            return Ok(Next::Done);
        };
        let rules = match sum(&role, self.roles.list()) {
            Ok(rules) => rules,
            Err(error) => {
                // Validation lets none through; what is there stays until somebody changes the role.
                tracing::warn!("cluster role {}: aggregationRule: {error}", name(&role.metadata));
                return Ok(Next::Done);
            }
        };
        let there = role.rules.as_deref().unwrap_or_default();
        if rules.len() == there.len() && rules.iter().zip(there).all(|(one, other)| same(one, other)) {
            return Ok(Next::Done);
        }
        // With the uid: a role that has gone is not made anew.
        let (name, uid) = (role.metadata.name.clone(), role.metadata.uid.clone());
        let metadata = ObjectMeta { name, uid, ..Default::default() };
        let wanted = ClusterRole { metadata, rules: Some(rules), aggregation_rule: None };
        match self.client.apply(&wanted, MANAGER).await {
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(Next::Retry),
            result => result.map(|_| Next::Done),
        }
    }
}

/// The rules of an aggregated role: of each selector, those of the roles that it matches, by name; each rule once.
fn sum(role: &ClusterRole, mut all: Vec<Arc<ClusterRole>>) -> Result<Vec<PolicyRule>, SelectorError> {
    let selectors = role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    let selectors: Vec<Selector> = selectors.map(TryFrom::try_from).collect::<Result<_, _>>()?;
    all.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
    all.retain(|other| other.metadata.name != role.metadata.name);
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in &selectors {
        let parts = all.iter().filter(|other| selector.matches_option(other.metadata.labels.as_ref()));
        for rule in parts.flat_map(|part| part.rules.iter().flatten()) {
            if !rules.iter().any(|known| same(known, rule)) {
                rules.push(rule.clone());
            }
        }
    }
    Ok(rules)
}

/// A list that is not there is an empty one.
fn same(one: &PolicyRule, other: &PolicyRule) -> bool {
    let lists = |rule: &PolicyRule| -> [Vec<String>; 4] {
        [&rule.api_groups, &rule.resources, &rule.resource_names, &rule.non_resource_urls]
            .map(|list| list.clone().unwrap_or_default())
    };
    one.verbs == other.verbs && lists(one) == lists(other)
}

#[cfg(test)]
mod tests;
