//! Which resources the server has, and what a person may call them. Does not own objects.

use serde_json::Value;

use crate::error::{Error, Result, fail};
use crate::rest::{Client, escape};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub singular: String,
    pub kind: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
}

impl Resource {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pod`, `lease.coordination.k8s.io`: what stands before a name in messages.
    pub fn label(&self) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { kind } else { format!("{kind}.{}", self.group) }
    }

    /// `pods`, `leases.coordination.k8s.io`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The path of the collection; of all namespaces where `namespace` is empty.
    pub fn collection(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let place = match self.namespaced && !namespace.is_empty() {
            true => format!("/namespaces/{}", escape(namespace)),
            false => String::new(),
        };
        format!("{root}/{}{place}/{}", self.api_version(), self.plural)
    }

    pub fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.collection(namespace), escape(name))
    }

    /// `Pod`'s own name, its plural, singular and short names, in any case; with `.GROUP` or `.VERSION.GROUP` behind.
    fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let (name, place) = name.split_once('.').unwrap_or((&name, ""));
        let called = name == self.plural
            || name == self.singular
            || name == self.kind.to_lowercase()
            || self.short_names.iter().any(|short| short == name);
        let here = place.is_empty()
            || place == self.group
            || place.split_once('.').is_some_and(|(version, group)| version == self.version && group == self.group);
        called && here
    }
}

/// The server's resources: those of the core group first, preferred versions only.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    pub resources: Vec<Resource>,
    /// `v1`, `apps/v1` …
    pub versions: Vec<String>,
}

impl Discovery {
    pub async fn load(client: &Client) -> Result<Self> {
        let (core, groups) = futures::try_join!(client.get("/api/v1"), client.get("/apis"))?;
        let mut found = Self { resources: resources_of("v1", &core), versions: vec!["v1".into()] };
        let mut wanted = Vec::new();
        for group in groups["groups"].as_array().into_iter().flatten() {
            let preferred = &group["preferredVersion"]["groupVersion"];
            let others = group["versions"].as_array().into_iter().flatten().map(|v| &v["groupVersion"]);
            let others = others.filter(|version| *version != preferred);
            wanted.extend(std::iter::once(preferred).chain(others).filter_map(Value::as_str).map(str::to_owned));
        }
        let lists = wanted.iter().map(|version| {
            let path = format!("/apis/{version}");
            async move { client.get(&path).await }
        });
        for (version, list) in wanted.iter().zip(futures::future::try_join_all(lists).await?) {
            found.resources.extend(resources_of(version, &list));
            found.versions.push(version.clone());
        }
        Ok(found)
    }

    pub fn find(&self, name: &str) -> Result<&Resource> {
        let found = self.resources.iter().find(|resource| resource.is_called(name));
        found.ok_or_else(|| Error::Message(format!("the server doesn't have a resource type {name:?}")))
    }

    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.kind == kind && r.api_version() == api_version)
    }

    /// `pods,svc` or a category such as `all`.
    pub fn find_list(&self, names: &str) -> Result<Vec<&Resource>> {
        let mut found = Vec::new();
        for name in names.split(',') {
            if name.is_empty() {
                return fail(format!(
                    "arguments in resource/name form may not have more than one slash or be empty: {names:?}"
                ));
            }
            let has = |r: &&Resource| r.categories.iter().any(|category| category == name);
            // The preferred version of each comes first.
            let mut members: Vec<&Resource> = Vec::new();
            for member in self.resources.iter().filter(has) {
                if !members.iter().any(|m| m.group == member.group && m.plural == member.plural) {
                    members.push(member);
                }
            }
            if members.is_empty() { found.push(self.find(name)?) } else { found.extend(members) }
        }
        Ok(found)
    }
}

/// Subresources are left out: nobody names them.
fn resources_of(group_version: &str, list: &Value) -> Vec<Resource> {
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let all = list["resources"].as_array().into_iter().flatten();
    all.filter(|resource| !text(&resource["name"]).contains('/'))
        .map(|resource| Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: text(&resource["name"]),
            singular: text(&resource["singularName"]),
            kind: text(&resource["kind"]),
            namespaced: resource["namespaced"] == true,
            short_names: texts(&resource["shortNames"]),
            categories: texts(&resource["categories"]),
            verbs: texts(&resource["verbs"]),
        })
        .collect()
}

#[cfg(test)]
pub fn sample() -> Discovery {
    let core = serde_json::json!({"resources": [
        {"name": "pods", "singularName": "pod", "kind": "Pod", "namespaced": true, "shortNames": ["po"], "categories": ["all"]},
        {"name": "pods/status", "singularName": "", "kind": "Pod", "namespaced": true},
        {"name": "services", "singularName": "service", "kind": "Service", "namespaced": true, "shortNames": ["svc"],
         "categories": ["all"]},
        {"name": "nodes", "singularName": "node", "kind": "Node", "namespaced": false, "shortNames": ["no"]},
    ]});
    let leases = serde_json::json!({"resources": [
        {"name": "leases", "singularName": "lease", "kind": "Lease", "namespaced": true}]});
    let mut resources = resources_of("v1", &core);
    resources.extend(resources_of("coordination.k8s.io/v1", &leases));
    Discovery { resources, versions: vec!["v1".into(), "coordination.k8s.io/v1".into()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_many_names() {
        let discovery = sample();
        for name in ["pods", "pod", "po", "Pod", "PODS", "pods.v1."] {
            assert_eq!(discovery.find(name).unwrap().plural, "pods", "{name}");
        }
        for name in ["leases", "lease.coordination.k8s.io", "leases.v1.coordination.k8s.io"] {
            assert_eq!(discovery.find(name).unwrap().kind, "Lease", "{name}");
        }
        for name in ["", "nopes", "pods.apps", "leases.v2.coordination.k8s.io"] {
            let error = discovery.find(name).unwrap_err().to_string();
            assert_eq!(error, format!("the server doesn't have a resource type {name:?}"));
        }
    }

    #[test]
    fn lists_and_categories() {
        let discovery = sample();
        let plurals = |names: &str| {
            let found = discovery.find_list(names).unwrap();
            found.iter().map(|r| r.plural.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(plurals("all"), "pods services");
        assert_eq!(plurals("no,svc"), "nodes services");
        assert!(discovery.find_list("pods,").is_err());
    }

    #[test]
    fn paths() {
        let discovery = sample();
        let path = |kind: &str, namespace: &str| discovery.find(kind).unwrap().object(namespace, "a b");
        assert_eq!(path("pods", "x"), "/api/v1/namespaces/x/pods/a%20b");
        assert_eq!(path("nodes", "x"), "/api/v1/nodes/a%20b");
        assert_eq!(path("leases", ""), "/apis/coordination.k8s.io/v1/leases/a%20b");
    }
}
