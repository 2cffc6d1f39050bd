//! What a user may do. Asked before it is known whether the object exists, so that who may not ask learns nothing.

mod node;
pub mod rbac;
mod webhook;

use std::sync::Arc;

use api::status::Status;
use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::PolicyRule;
use prometheus_client::registry::Registry as Metrics;

use crate::attributes::{Attributes, ResourceAttributes, User};
use crate::metrics::Counters;

pub use node::Nodes;
pub use rbac::Rbac;
pub use webhook::WebhookAuthorizer;

/// Who is in it may do everything, whatever the mode.
const PRIVILEGED: &str = "system:masters";
/// Served to everybody: what probes and version checks ask (upstream's `--authorization-always-allow-paths`, and what every user may
/// see there). A check by its name is not, as it says why it fails.
const OPEN: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];

pub fn is_open(path: &str) -> bool {
    OPEN.contains(&path)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// Whatever others say.
    Deny(String),
    /// Somebody else may allow it.
    NoOpinion(String),
}

#[async_trait]
pub trait Authorizer: Send + Sync {
    async fn authorize(&self, attributes: &Attributes) -> Decision;

    /// What it lets a user do in a namespace, or why it cannot tell.
    fn rules(&self, _user: &User, _namespace: &str) -> Result<Vec<PolicyRule>, String> {
        Ok(Vec::new())
    }
}

fn everything() -> Vec<PolicyRule> {
    let all = || vec!["*".to_owned()];
    vec![
        PolicyRule { verbs: all(), api_groups: Some(all()), resources: Some(all()), ..PolicyRule::default() },
        PolicyRule { verbs: all(), non_resource_urls: Some(all()), ..PolicyRule::default() },
    ]
}

pub struct AlwaysAllow;

#[async_trait]
impl Authorizer for AlwaysAllow {
    async fn authorize(&self, _: &Attributes) -> Decision {
        Decision::Allow
    }

    fn rules(&self, _: &User, _: &str) -> Result<Vec<PolicyRule>, String> {
        Ok(everything())
    }
}

pub struct AlwaysDeny;

#[async_trait]
impl Authorizer for AlwaysDeny {
    async fn authorize(&self, _: &Attributes) -> Decision {
        Decision::Deny("everything is forbidden".into())
    }
}

/// The modes of `--authorization-mode`, in their order: the first that has an opinion decides.
#[derive(Clone)]
pub struct Authorization {
    authorizers: Vec<Arc<dyn Authorizer>>,
    attempts: Counters<3>,
}

impl Authorization {
    pub fn new(authorizers: Vec<Arc<dyn Authorizer>>) -> Self {
        Self { authorizers, attempts: Counters::new("result", ["allowed", "denied", "no-opinion"]) }
    }

    pub fn register(&self, metrics: &mut Metrics) {
        let help = "Counter of authorization attempts broken down by result";
        self.attempts.register(metrics, "authorization_attempts", help);
    }

    pub async fn decide(&self, attributes: &Attributes) -> Decision {
        if attributes.user.groups.iter().any(|group| group == PRIVILEGED) {
            return Decision::Allow;
        }
        let mut reasons = Vec::new();
        for authorizer in &self.authorizers {
            match authorizer.authorize(attributes).await {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join(", "))
    }

    /// What a user may do in a namespace, and why that is not all of it.
    pub fn rules(&self, user: &User, namespace: &str) -> (Vec<PolicyRule>, Vec<String>) {
        let (mut rules, mut incomplete) = (Vec::new(), Vec::new());
        if user.groups.iter().any(|group| group == PRIVILEGED) {
            rules.extend(everything());
        }
        for authorizer in &self.authorizers {
            match authorizer.rules(user, namespace) {
                Ok(more) => rules.extend(more),
                Err(why) => incomplete.push(why),
            }
        }
        (rules, incomplete)
    }

    /// 403 in upstream's words.
    pub async fn check(&self, attributes: &Attributes) -> Result<(), Status> {
        let [allowed, denied, undecided] = self.attempts.members();
        let (counter, reason) = match self.decide(attributes).await {
            Decision::Allow => {
                allowed.inc();
                attributes.trail.decision(true, "");
                return Ok(());
            }
            Decision::Deny(reason) => (denied, reason),
            Decision::NoOpinion(reason) => (undecided, reason),
        };
        counter.inc();
        attributes.trail.decision(false, &reason);
        Err(forbidden(attributes, &reason))
    }
}

fn forbidden(attributes: &Attributes, reason: &str) -> Status {
    let (user, verb) = (&attributes.user.name, &attributes.verb);
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let Some(about) = &attributes.resource else {
        return Status::forbidden_path(&format!("User {user:?} cannot {verb} path {:?}{because}", attributes.path));
    };
    let ResourceAttributes { group, resource, namespace, name, subresource, .. } = about;
    let what = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
    let place = match namespace.as_str() {
        "" => " at the cluster scope".to_owned(),
        namespace => format!(" in the namespace {namespace:?}"),
    };
    let why = format!("User {user:?} cannot {verb} resource {what:?} in API group {group:?}{place}{because}");
    Status::forbidden(group, resource, name, &why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Query;

    struct Says(Decision);

    #[async_trait]
    impl Authorizer for Says {
        async fn authorize(&self, _: &Attributes) -> Decision {
            self.0.clone()
        }
    }

    fn attributes(method: &str, path: &str) -> Attributes {
        let user = Arc::new(User { name: "eve".into(), ..User::default() });
        Attributes::of_request(user, &method.parse().unwrap(), path, &Query::default())
    }

    #[tokio::test]
    async fn the_first_opinion_decides_and_none_is_a_no() {
        let (none, deny) = (Decision::NoOpinion("n".into()), Decision::Deny("d".into()));
        let chain = |list: &[&Decision]| {
            Authorization::new(list.iter().map(|d| Arc::new(Says((*d).clone())) as Arc<dyn Authorizer>).collect())
        };
        let request = attributes("GET", "/api/v1/namespaces/x/pods");
        for (list, expected) in [
            (vec![&none, &Decision::Allow, &deny], Decision::Allow),
            (vec![&none, &deny, &Decision::Allow], deny.clone()),
            (vec![&none, &none], Decision::NoOpinion("n, n".into())),
            (vec![], Decision::NoOpinion(String::new())),
        ] {
            assert_eq!(chain(&list).decide(&request).await, expected);
        }
    }

    #[tokio::test]
    async fn refusals_in_upstreams_words() {
        let nobody = Authorization::new(Vec::new());
        for (method, path, message) in [
            (
                "GET",
                "/api/v1/pods",
                "pods is forbidden: User \"eve\" cannot list resource \"pods\" in API group \"\" at the cluster scope",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/x/deployments/d/status",
                "deployments.apps \"d\" is forbidden: User \"eve\" cannot patch resource \"deployments/status\" in API group \"apps\" in the namespace \"x\"",
            ),
            ("GET", "/metrics", "forbidden: User \"eve\" cannot get path \"/metrics\""),
        ] {
            let status = nobody.check(&attributes(method, path)).await.unwrap_err();
            assert_eq!((status.code, status.reason, status.message.as_str()), (403, "Forbidden", message));
        }
    }

    #[test]
    fn only_whole_paths_are_open() {
        for (path, open) in
            [("/healthz", true), ("/readyz/etcd", false), ("/healthzz", false), ("/versions", false), ("/api", false)]
        {
            assert_eq!(is_open(path), open, "{path}");
        }
    }
}
