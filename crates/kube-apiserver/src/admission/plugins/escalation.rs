//! Nobody gives rights that he has not: the check of roles and bindings that comes with RBAC and can't be turned off.

use api::meta;
use api::status::Status;
use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef};
use serde::Deserialize;
use serde_json::Value;

use crate::admission::{Attempt, Operation, Plugin};
use crate::attributes::{Attributes, ResourceAttributes};
use crate::authorization::rbac::covers;
use crate::authorization::{Authorization, Decision, Rbac};
use crate::registry::parse;

const GROUP: &str = "rbac.authorization.k8s.io";

pub struct Escalation {
    pub authorization: Authorization,
    pub rbac: Rbac,
}

#[async_trait]
impl Plugin for Escalation {
    fn name(&self) -> &'static str {
        "RBACEscalation"
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        attempt.target.resource().group == GROUP && attempt.operation != Operation::Delete
    }

    async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        let changed = |field: &str| attempt.old.is_none_or(|old| old.get(field) != object.get(field));
        let namespace = meta::namespace(object);
        if let Some(rules) = object.get("rules").filter(|_| changed("rules")) {
            let rules = Vec::<PolicyRule>::deserialize(rules).unwrap_or_default();
            let plural = attempt.target.resource().plural;
            return self.check(attempt, object, Ok(rules), ("escalate", plural, meta::name(object))).await;
        }
        let Some(role) = object.get("roleRef").filter(|_| changed("roleRef") || changed("subjects")) else {
            return Ok(());
        };
        let role = RoleRef::deserialize(role).unwrap_or_default();
        let (plural, of) = if role.kind == "Role" { ("roles", namespace) } else { ("clusterroles", "") };
        // As it is now: a role that the policy has not heard of yet would seem to give nothing.
        let rules = async {
            let target = attempt.registry.target(GROUP, "v1", plural, of, &role.name)?;
            let role = parse(&attempt.registry.get(&target).await?.bytes)?;
            Ok(role.get("rules").and_then(|rules| Deserialize::deserialize(rules).ok()).unwrap_or_default())
        };
        let rules: Result<Vec<PolicyRule>, Status> = rules.await;
        self.check(attempt, object, rules, ("bind", plural, &role.name)).await
    }
}

impl Escalation {
    /// The user has the rules, or the right to give what he has not.
    async fn check(
        &self,
        attempt: &Attempt<'_>,
        object: &Value,
        rules: Result<Vec<PolicyRule>, Status>,
        (verb, plural, name): (&'static str, &str, &str),
    ) -> Result<(), Status> {
        let user = &attempt.context.attributes.user;
        let namespace = meta::namespace(object);
        let resource = ResourceAttributes {
            group: GROUP.into(),
            version: "v1".into(),
            resource: plural.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..ResourceAttributes::default()
        };
        let asked = Attributes::question(user.clone(), verb, resource);
        if self.authorization.decide(&asked).await == Decision::Allow {
            return Ok(());
        }
        // Only who may bind any role may bind one that is not there.
        let missing = covers(&self.rbac.rules_for(user, namespace), &rules?);
        if missing.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = missing.iter().map(told).collect();
        let why = format!(
            "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            user.groups,
            list.join("\n")
        );
        Err(attempt.forbidden(meta::name(object), why))
    }
}

fn told(rule: &PolicyRule) -> String {
    let mut parts = Vec::new();
    let lists = [
        ("APIGroups", rule.api_groups.as_ref()),
        ("Resources", rule.resources.as_ref()),
        ("ResourceNames", rule.resource_names.as_ref()),
        ("NonResourceURLs", rule.non_resource_urls.as_ref()),
        ("Verbs", Some(&rule.verbs)),
    ];
    for (name, list) in lists.into_iter().filter_map(|(name, list)| Some((name, list?))) {
        parts.push(format!("{name}:{list:?}"));
    }
    format!("{{{}}}", parts.join(", "))
}
