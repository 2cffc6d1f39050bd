//! Roles and bindings, compiled so that a request looks only at the bindings of its user. Pure.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef, Subject as ApiSubject};

use crate::attributes::{Attributes, ResourceAttributes, User};

/// Namespace and name; without a namespace of a cluster role or binding.
pub type Key = (String, String);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(String),
    Group(String),
}

/// What one subject of a binding is given.
#[derive(Debug)]
pub struct Binding {
    key: Key,
    role: Key,
    /// The subject as upstream describes it.
    to: String,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((namespace, name), (of, role)) = (&self.key, &self.role);
        let kind = if of.is_empty() { "ClusterRole" } else { "Role" };
        match namespace.as_str() {
            "" => write!(f, "ClusterRoleBinding {name:?} of {kind} {role:?} to {}", self.to),
            namespace => write!(f, "RoleBinding {:?} of {kind} {role:?} to {}", format!("{name}/{namespace}"), self.to),
        }
    }
}

#[derive(Default)]
pub struct Policy {
    roles: HashMap<Key, Arc<[PolicyRule]>>,
    by_subject: HashMap<Subject, Vec<Binding>>,
    subjects_of: HashMap<Key, Vec<Subject>>,
    /// The kinds that were listed once, a bit each.
    listed: u8,
}

impl Policy {
    /// `None`: the role is gone.
    pub fn set_role(&mut self, key: Key, rules: Option<Vec<PolicyRule>>) {
        match rules {
            Some(rules) => self.roles.insert(key, rules.into()),
            None => self.roles.remove(&key),
        };
    }

    /// `None`: the binding is gone.
    pub fn set_binding(&mut self, key: Key, binding: Option<(&RoleRef, &[ApiSubject])>) {
        for subject in self.subjects_of.remove(&key).unwrap_or_default() {
            if let Some(bindings) = self.by_subject.get_mut(&subject) {
                bindings.retain(|binding| binding.key != key);
                if bindings.is_empty() {
                    self.by_subject.remove(&subject);
                }
            }
        }
        let Some((role, subjects)) = binding else { return };
        let namespace = if role.kind == "Role" { key.0.clone() } else { String::new() };
        let role = (namespace, role.name.clone());
        let mut compiled: Vec<Subject> = Vec::new();
        for subject in subjects {
            let Some(one) = compile(subject, &key.0) else { continue };
            let binding = Binding { key: key.clone(), role: role.clone(), to: describe(subject, &key.0) };
            self.by_subject.entry(one.clone()).or_default().push(binding);
            compiled.push(one);
        }
        self.subjects_of.insert(key, compiled);
    }

    /// Forgets the roles, or the bindings, of the cluster or of namespaces: a list follows that tells them all.
    pub fn forget(&mut self, roles: bool, cluster: bool) {
        self.listed |= 1 << (2 * u8::from(roles) + u8::from(cluster));
        if roles {
            self.roles.retain(|(namespace, _), _| namespace.is_empty() != cluster);
            return;
        }
        let keys: Vec<Key> = self.subjects_of.keys().filter(|key| key.0.is_empty() == cluster).cloned().collect();
        for key in keys {
            self.set_binding(key, None);
        }
    }

    /// All four kinds were told.
    pub fn is_whole(&self) -> bool {
        self.listed == 0b1111
    }

    /// The binding by which a request is allowed.
    pub fn allowing<'a>(&'a self, attributes: &'a Attributes) -> Option<&'a Binding> {
        let namespace = attributes.resource.as_ref().map_or("", |about| about.namespace.as_str());
        let mut given = self.given(&attributes.user, namespace);
        given.find(|(_, rules)| rules.iter().any(|rule| permits(rule, attributes))).map(|(binding, _)| binding)
    }

    /// What a user may do in a namespace; without one, in the cluster.
    pub fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a PolicyRule> {
        self.given(user, namespace).flat_map(|(_, rules)| rules.iter())
    }

    fn given<'a>(
        &'a self,
        user: &'a User,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Binding, &'a Arc<[PolicyRule]>)> {
        let groups = user.groups.iter().map(|group| Subject::Group(group.clone()));
        let subjects = std::iter::once(Subject::User(user.name.clone())).chain(groups);
        let bindings = subjects.filter_map(|subject| self.by_subject.get(&subject)).flatten();
        let here = bindings.filter(move |binding| binding.key.0.is_empty() || binding.key.0 == namespace);
        here.filter_map(|binding| Some((binding, self.roles.get(&binding.role)?)))
    }
}

fn compile(subject: &ApiSubject, namespace: &str) -> Option<Subject> {
    match subject.kind.as_str() {
        "User" => Some(Subject::User(subject.name.clone())),
        "Group" => Some(Subject::Group(subject.name.clone())),
        "ServiceAccount" => {
            // In a namespace an account without one is of that namespace.
            let own = subject.namespace.as_deref().filter(|own| !own.is_empty()).unwrap_or(namespace);
            (!own.is_empty()).then(|| Subject::User(format!("system:serviceaccount:{own}:{}", subject.name)))
        }
        _ => None,
    }
}

/// In the words of upstream's reasons.
fn describe(subject: &ApiSubject, namespace: &str) -> String {
    let ApiSubject { kind, name, .. } = subject;
    if kind != "ServiceAccount" {
        return format!("{kind} {name:?}");
    }
    let own = subject.namespace.as_deref().filter(|own| !own.is_empty()).unwrap_or(namespace);
    format!("{kind} {:?}", format!("{name}/{own}"))
}

pub fn permits(rule: &PolicyRule, attributes: &Attributes) -> bool {
    let any = |list: &[String], wanted: &dyn Fn(&str) -> bool| list.iter().any(|one| one == "*" || wanted(one));
    if !any(&rule.verbs, &|verb| verb == attributes.verb) {
        return false;
    }
    let Some(about) = &attributes.resource else {
        let path = attributes.path.as_str();
        let urls = rule.non_resource_urls.as_deref().unwrap_or_default();
        return any(urls, &|url| match url.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == url,
        });
    };
    let ResourceAttributes { group, resource, name, subresource, .. } = about;
    let names = rule.resource_names.as_deref().unwrap_or_default();
    any(rule.api_groups.as_deref().unwrap_or_default(), &|one| one == group)
        && any(rule.resources.as_deref().unwrap_or_default(), &|one| match one.split_once('/') {
            None => subresource.is_empty() && one == resource,
            Some((of, sub)) => !subresource.is_empty() && sub == subresource && (of == "*" || of == resource),
        })
        && (names.is_empty() || names.iter().any(|one| one == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Query;
    use serde_json::{Value, json};

    fn rules(rules: Value) -> Option<Vec<PolicyRule>> {
        Some(serde_json::from_value(rules).unwrap())
    }

    fn key(namespace: &str, name: &str) -> Key {
        (namespace.into(), name.into())
    }

    fn bind(policy: &mut Policy, key: Key, role: (&str, &str), subjects: Value) {
        let role = RoleRef { api_group: None, kind: role.0.into(), name: role.1.into() };
        let subjects: Vec<ApiSubject> = serde_json::from_value(subjects).unwrap();
        policy.set_binding(key, Some((&role, &subjects)));
    }

    fn asks(policy: &Policy, user: &str, groups: &[&str], method: &str, target: &str) -> bool {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let user = Arc::new(User { name: user.into(), groups, ..User::default() });
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(Some(query));
        policy.allowing(&Attributes::of_request(user, &method.parse().unwrap(), path, &query)).is_some()
    }

    #[test]
    fn roles_reach_as_far_as_their_bindings() {
        let mut policy = Policy::default();
        let reader = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}]);
        policy.set_role(key("", "reader"), rules(reader.clone()));
        policy
            .set_role(key("x", "reader"), rules(json!([{"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*"]}])));
        let user = |name: &str| json!([{"kind": "User", "name": name}]);
        bind(&mut policy, key("", "all"), ("ClusterRole", "reader"), user("ann"));
        bind(
            &mut policy,
            key("x", "some"),
            ("ClusterRole", "reader"),
            json!([{"kind": "ServiceAccount", "name": "sa"}]),
        );
        bind(&mut policy, key("x", "own"), ("Role", "reader"), json!([{"kind": "Group", "name": "devs"}]));
        let sa = "system:serviceaccount:x:sa";
        for (user, groups, method, target, allowed) in [
            ("ann", vec![], "GET", "/api/v1/pods", true),
            ("ann", vec![], "GET", "/api/v1/namespaces/y/pods/p", true),
            ("ann", vec![], "GET", "/api/v1/namespaces/y/pods/p/log", true),
            ("ann", vec![], "GET", "/api/v1/namespaces/y/pods/p/status", false),
            ("ann", vec![], "GET", "/api/v1/pods?watch=1", false),
            ("ann", vec![], "DELETE", "/api/v1/namespaces/y/pods/p", false),
            ("ann", vec![], "GET", "/metrics", false),
            (sa, vec![], "GET", "/api/v1/namespaces/x/pods", true),
            (sa, vec![], "GET", "/api/v1/namespaces/y/pods", false),
            (sa, vec![], "GET", "/api/v1/pods", false),
            ("bob", vec!["devs"], "PUT", "/apis/apps/v1/namespaces/x/deployments/d/scale", true),
            ("bob", vec!["devs"], "PUT", "/apis/apps/v1/namespaces/y/deployments/d", false),
            ("bob", vec!["devs"], "GET", "/api/v1/namespaces/x/pods", false),
            ("bob", vec![], "GET", "/apis/apps/v1/namespaces/x/deployments", false),
        ] {
            assert_eq!(asks(&policy, user, &groups, method, target), allowed, "{user} {method} {target}");
        }
        // What is taken back is gone at once, and a role that comes again counts again.
        policy.set_role(key("", "reader"), None);
        assert!(!asks(&policy, "ann", &[], "GET", "/api/v1/pods"));
        policy.set_role(key("", "reader"), rules(reader));
        assert!(asks(&policy, "ann", &[], "GET", "/api/v1/pods"));
        bind(&mut policy, key("", "all"), ("ClusterRole", "reader"), user("eve"));
        assert!(!asks(&policy, "ann", &[], "GET", "/api/v1/pods") && asks(&policy, "eve", &[], "GET", "/api/v1/pods"));
        policy.forget(false, true);
        assert!(
            !asks(&policy, "eve", &[], "GET", "/api/v1/pods")
                && asks(&policy, sa, &[], "GET", "/api/v1/namespaces/x/pods")
        );
    }

    #[test]
    fn bindings_are_described_as_upstream_does() {
        let mut policy = Policy::default();
        for role in [key("", "reader"), key("x", "own")] {
            policy.set_role(role, rules(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}])));
        }
        let account =
            |namespace: Option<&str>| json!([{"kind": "ServiceAccount", "name": "s", "namespace": namespace}]);
        bind(&mut policy, key("", "all"), ("ClusterRole", "reader"), json!([{"kind": "Group", "name": "devs"}]));
        bind(&mut policy, key("x", "some"), ("Role", "own"), account(None));
        bind(&mut policy, key("x", "more"), ("ClusterRole", "reader"), account(Some("y")));
        for (user, group, expected) in [
            ("ann", "devs", "ClusterRoleBinding \"all\" of ClusterRole \"reader\" to Group \"devs\""),
            ("system:serviceaccount:x:s", "", "RoleBinding \"some/x\" of Role \"own\" to ServiceAccount \"s/x\""),
            (
                "system:serviceaccount:y:s",
                "",
                "RoleBinding \"more/x\" of ClusterRole \"reader\" to ServiceAccount \"s/y\"",
            ),
        ] {
            let user = Arc::new(User { name: user.into(), groups: vec![group.into()], ..User::default() });
            let path = "/api/v1/namespaces/x/pods/p";
            let attributes = Attributes::of_request(user, &http::Method::GET, path, &Query::default());
            assert_eq!(policy.allowing(&attributes).map(ToString::to_string).as_deref(), Some(expected));
        }
    }

    #[test]
    fn names_stars_and_paths() {
        let mut policy = Policy::default();
        let list = json!([
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"]},
            {"verbs": ["update"], "apiGroups": ["*"], "resources": ["*/scale"]},
            {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/debug/*"]},
        ]);
        policy.set_role(key("", "r"), rules(list));
        bind(&mut policy, key("", "b"), ("ClusterRole", "r"), json!([{"kind": "User", "name": "u"}]));
        for (method, target, allowed) in [
            ("GET", "/api/v1/namespaces/x/secrets/one", true),
            ("GET", "/api/v1/namespaces/x/secrets/two", false),
            ("GET", "/api/v1/namespaces/x/secrets", false),
            ("PUT", "/apis/apps/v1/namespaces/x/deployments/d/scale", true),
            ("PUT", "/apis/apps/v1/namespaces/x/deployments/d", false),
            ("GET", "/metrics", true),
            ("GET", "/metrics/more", false),
            ("GET", "/debug/a/b", true),
            ("POST", "/metrics", false),
        ] {
            assert_eq!(asks(&policy, "u", &[], method, target), allowed, "{method} {target}");
        }
    }
}
