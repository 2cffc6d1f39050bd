//! Roles and bindings, compiled so that a request looks only at the bindings of its user. Pure.

use std::collections::HashMap;
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

#[derive(Debug)]
struct Binding {
    key: Key,
    role: Key,
}

#[derive(Default)]
pub struct Policy {
    roles: HashMap<Key, Arc<[PolicyRule]>>,
    by_subject: HashMap<Subject, Vec<Arc<Binding>>>,
    subjects_of: HashMap<Key, Vec<Subject>>,
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
        let binding = Arc::new(Binding { key: key.clone(), role: (namespace, role.name.clone()) });
        let mut subjects: Vec<Subject> = subjects.iter().filter_map(|subject| compile(subject, &key.0)).collect();
        subjects.dedup();
        for subject in &subjects {
            self.by_subject.entry(subject.clone()).or_default().push(binding.clone());
        }
        self.subjects_of.insert(key, subjects);
    }

    /// Forgets the roles, or the bindings, of the cluster or of namespaces: a list follows that tells them all.
    pub fn forget(&mut self, roles: bool, cluster: bool) {
        if roles {
            self.roles.retain(|(namespace, _), _| namespace.is_empty() != cluster);
            return;
        }
        let keys: Vec<Key> = self.subjects_of.keys().filter(|key| key.0.is_empty() == cluster).cloned().collect();
        for key in keys {
            self.set_binding(key, None);
        }
    }

    pub fn allows(&self, attributes: &Attributes) -> bool {
        let namespace = attributes.resource.as_ref().map_or("", |about| about.namespace.as_str());
        self.rules(&attributes.user, namespace).any(|rule| permits(rule, attributes))
    }

    /// What a user may do in a namespace; without one, in the cluster.
    pub fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a PolicyRule> {
        let groups = user.groups.iter().map(|group| Subject::Group(group.clone()));
        let subjects = std::iter::once(Subject::User(user.name.clone())).chain(groups);
        let bindings = subjects.filter_map(|subject| self.by_subject.get(&subject)).flatten();
        let here = bindings.filter(move |binding| binding.key.0.is_empty() || binding.key.0 == namespace);
        here.filter_map(|binding| self.roles.get(&binding.role)).flat_map(|rules| rules.iter())
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
        policy.allows(&Attributes::of_request(user, &method.parse().unwrap(), path, &Query::parse(Some(query))))
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
