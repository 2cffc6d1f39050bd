//! One write against the quotas of its namespace: which of them are about it, and what they show as used afterwards.

use std::collections::{BTreeMap, BTreeSet};

use api::meta;
use api::quantity::Quantity;
use api::quota::{Evaluator, scopes};
use api::resources::{Amounts, add, amounts};
use api::status::Status;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ScopedResourceSelectorRequirement as Scope};
use k8s_openapi::jiff;
use serde::Deserialize;
use serde_json::Value;

use crate::admission::{Attempt, Operation, typed};

/// A resource of which nothing may be used where no quota covers it: a part of the plugin's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limited {
    pub api_group: String,
    pub resource: String,
    pub match_contains: Vec<String>,
    pub match_scopes: Vec<Scope>,
}

pub struct Request<'a> {
    pub attempt: &'a Attempt<'a>,
    pub evaluator: &'a Evaluator,
    pub object: &'a Value,
    pub limited: &'a [Limited],
}

/// A quota that is about the object.
struct Relevant {
    /// Among all quotas.
    at: usize,
    name: String,
    hard: Amounts,
    used: Amounts,
    /// What the write adds to it.
    more: Amounts,
}

impl Request<'_> {
    /// The quotas that change by the write, by their place, and what is used of them then.
    pub fn charge(&self, quotas: &[&Value]) -> Result<Vec<(usize, Amounts)>, Status> {
        let now = Timestamp::now();
        let usage = self.evaluator.usage(self.object, now);
        let negative: Vec<&str> =
            usage.iter().filter(|(_, amount)| amount.is_negative()).map(|(name, _)| &**name).collect();
        if !negative.is_empty() {
            return Err(self.refused(format!("quota usage is negative for resource(s): {}", negative.join(","))));
        }
        let before = self.attempt.old.map(|old| self.evaluator.usage(old, now));
        let growth = before.as_ref().map_or_else(|| usage.clone(), |before| growth(&usage, before));
        let (mut relevant, mut covered, mut scoped) = (Vec::new(), BTreeSet::new(), Vec::new());
        for (at, quota) in quotas.iter().enumerate() {
            let quota: ResourceQuota = typed(quota)?;
            let (spec, status) = (quota.spec.unwrap_or_default(), quota.status.unwrap_or_default());
            let scopes = scopes(&spec);
            let within = |object: &Value| scopes.iter().all(|scope| self.evaluator.in_scope(scope, object));
            scoped.extend(scopes.iter().filter(|scope| self.evaluator.in_scope(scope, self.object)).cloned());
            let (hard, used) = (amounts(status.hard.as_ref()), amounts(status.used.as_ref()));
            let restricted: Vec<&str> =
                hard.keys().map(String::as_str).filter(|name| self.evaluator.tracks(name)).collect();
            if restricted.is_empty() || !within(self.object) {
                continue;
            }
            let name = quota.metadata.name.unwrap_or_default();
            if let Some(why) = self.evaluator.missing(&restricted, self.object) {
                return Err(self.refused(format!("failed quota: {name}: {why}")));
            }
            if !restricted.iter().all(|name| used.contains_key(*name)) {
                let list = restricted.join(",");
                return Err(self.refused(format!("status unknown for quota: {name}, resources: {list}")));
            }
            covered.extend(restricted.into_iter().map(str::to_owned));
            // Of a quota that the object was not in before, all that it uses is new.
            let counted = self.attempt.old.is_some_and(within);
            let mut more = if counted { growth.clone() } else { usage.clone() };
            more.retain(|_, amount| !amount.is_zero());
            relevant.push(Relevant { at, name, hard, used, more });
        }
        let nothing = match relevant.is_empty() {
            true => growth.values().all(|amount| amount.is_zero()),
            false => relevant.iter().all(|quota| quota.more.is_empty()),
        };
        if nothing {
            return Ok(Vec::new());
        }
        self.check_limited(&usage, &covered, &scoped)?;
        let changed = relevant.into_iter().map(|quota| Ok((quota.at, self.add(&quota)?)));
        let changed: Vec<Option<(usize, Amounts)>> =
            changed.map(|one| one.map(|(at, used)| used.map(|used| (at, used)))).collect::<Result<_, Status>>()?;
        Ok(changed.into_iter().flatten().collect())
    }

    /// What is used after the write; `None`: as much as before.
    fn add(&self, quota: &Relevant) -> Result<Option<Amounts>, Status> {
        let requested: Amounts = quota
            .more
            .iter()
            .filter(|(name, _)| quota.hard.contains_key(*name))
            .map(|(n, a)| (n.clone(), *a))
            .collect();
        if requested.is_empty() {
            return Ok(None);
        }
        let mut used = quota.used.clone();
        add(&mut used, &requested);
        let of = |amounts: &Amounts, name: &str| amounts.get(name).copied().unwrap_or(Quantity::ZERO);
        let exceeded: Vec<&str> =
            requested.keys().map(String::as_str).filter(|name| of(&used, name) > of(&quota.hard, name)).collect();
        // What has been given already is only counted.
        if exceeded.is_empty() || self.attempt.context.subresource() == "status" {
            return Ok(Some(used));
        }
        let told = |amounts: &Amounts| {
            let some = exceeded.iter().filter_map(|name| Some(format!("{name}={}", amounts.get(*name)?)));
            some.collect::<Vec<_>>().join(",")
        };
        Err(self.refused(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            quota.name,
            told(&requested),
            told(&quota.used),
            told(&quota.hard)
        )))
    }

    fn check_limited(&self, usage: &Amounts, covered: &BTreeSet<String>, scoped: &[Scope]) -> Result<(), Status> {
        let own = |limited: &&Limited| self.attempt.is_of(&limited.api_group, &limited.resource);
        let words: Vec<&String> = self.limited.iter().filter(own).flat_map(|limited| &limited.match_contains).collect();
        let used = usage.iter().filter(|(_, amount)| **amount > Quantity::ZERO).map(|(name, _)| name);
        let uncovered =
            used.filter(|name| words.iter().any(|word| name.contains(word.as_str())) && !covered.contains(*name));
        let uncovered: Vec<&str> = uncovered.map(String::as_str).collect();
        if !uncovered.is_empty() {
            return Err(self.refused(format!("insufficient quota to consume: {}", uncovered.join(","))));
        }
        let scopes = self.limited.iter().flat_map(|limited| &limited.match_scopes);
        let about = scopes.filter(|scope| self.evaluator.in_scope(scope, self.object));
        let uncovered = about.filter(|scope| !scoped.iter().any(|covered| covered.scope_name == scope.scope_name));
        let uncovered: Vec<String> = uncovered
            .map(|scope| {
                let values = scope.values.as_deref().unwrap_or_default().join(" ");
                format!("{{{} {} [{values}]}}", scope.scope_name, scope.operator)
            })
            .collect();
        if uncovered.is_empty() {
            return Ok(());
        }
        Err(self.refused(format!("insufficient quota to match these scopes: [{}]", uncovered.join(" "))))
    }

    fn refused(&self, why: String) -> Status {
        debug_assert!(self.attempt.operation != Operation::Delete);
        self.attempt.forbidden(meta::name(self.object), why)
    }
}

/// How much more is used; what is given back counts as nothing here.
fn growth(usage: &Amounts, before: &Amounts) -> Amounts {
    let more = usage.iter().map(|(name, amount)| {
        let more = *amount - before.get(name).copied().unwrap_or(Quantity::ZERO);
        (name.clone(), if more.is_negative() { Quantity::ZERO } else { more })
    });
    more.collect::<BTreeMap<_, _>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_no_growth() {
        let of = |list: &[(&str, &str)]| -> Amounts {
            list.iter().map(|(name, amount)| ((*name).to_owned(), amount.parse().unwrap())).collect()
        };
        let growth = growth(&of(&[("a", "3"), ("b", "1"), ("c", "2")]), &of(&[("a", "1"), ("b", "2"), ("d", "9")]));
        assert_eq!(growth, of(&[("a", "2"), ("b", "0"), ("c", "2")]));
    }
}
