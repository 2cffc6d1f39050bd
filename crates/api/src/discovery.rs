//! What a client learns of the API before it asks for an object: groups, versions, resources.

use serde_json::{Value, json};

use crate::catalog::{Catalog, Served, Subresource};

/// `/api`: the versions of the core group.
pub fn core_versions(catalog: &Catalog, server_address: &str) -> Value {
    let groups = catalog.groups();
    let versions = groups.iter().find(|(group, _)| group.is_empty()).map_or(&[][..], |(_, versions)| versions);
    let versions: Vec<&str> = versions.iter().copied().filter(|version| is_told(catalog, "", version)).collect();
    json!({"kind": "APIVersions", "versions": versions,
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]})
}

/// The oldest versions of the core group are served and not told of: clients that go by discovery ask for them below `/apis`, where
/// there is no core group, and take that for a broken server.
fn is_told(catalog: &Catalog, group: &str, version: &str) -> bool {
    !group.is_empty() || catalog.of_version(group, version).any(|served| served.resource().stored().version == version)
}

/// `/apis`: the named groups.
pub fn group_list(catalog: &Catalog) -> Value {
    let groups: Vec<Value> = named_groups(catalog).map(|(group, versions)| group_json(group, &versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub fn group(catalog: &Catalog, name: &str) -> Option<Value> {
    let (group, versions) = named_groups(catalog).find(|(group, _)| *group == name)?;
    let mut json = group_json(group, &versions);
    json["kind"] = "APIGroup".into();
    json["apiVersion"] = "v1".into();
    Some(json)
}

fn named_groups(catalog: &Catalog) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    catalog.groups().into_iter().filter(|(group, _)| !group.is_empty())
}

fn group_json(group: &str, versions: &[&str]) -> Value {
    let version = |v: &&str| json!({"groupVersion": format!("{group}/{v}"), "version": v});
    let list: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": group, "versions": list, "preferredVersion": list[0]})
}

/// `/api/v1` and `/apis/GROUP/VERSION`: the resources, subresources after theirs.
pub fn resource_list(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    let mut group_version = String::new();
    for resource in catalog.of_version(group, version) {
        group_version = resource.api_version();
        let mut json = json!({
            "name": resource.path_name(), "singularName": resource.singular_name(), "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.own_verbs(),
        });
        names(resource, &mut json);
        list.push(json);
        for sub in resource.own_subresources() {
            let mut json = json!({
                "name": format!("{}/{}", resource.path_name(), sub.name), "singularName": "",
                "namespaced": resource.namespaced, "kind": resource.kind, "verbs": sub.verbs,
            });
            if let Some((group, version, kind)) = sub.body {
                json["kind"] = kind.into();
                if !group.is_empty() {
                    json["group"] = group.into();
                    json["version"] = version.into();
                }
            }
            list.push(json);
        }
    }
    (!list.is_empty()).then(
        || json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}),
    )
}

fn names(resource: &Served, json: &mut Value) {
    if !resource.short_names.is_empty() {
        json["shortNames"] = json!(resource.short_names);
    }
    if !resource.own_categories().is_empty() {
        json["categories"] = json!(resource.own_categories());
    }
}

/// `/api` and `/apis` in one document each, for clients that ask for `APIGroupDiscoveryList`.
pub fn aggregated(catalog: &Catalog, core: bool, version: &str) -> Value {
    let mut items = Vec::new();
    for (group, versions) in catalog.groups().into_iter().filter(|(group, _)| group.is_empty() == core) {
        let versions: Vec<Value> = versions
            .iter()
            .filter(|v| is_told(catalog, group, v))
            .map(
                |v| json!({"version": v, "freshness": "Current", "resources": aggregated_resources(catalog, group, v)}),
            )
            .collect();
        items.push(json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions}));
    }
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items})
}

fn aggregated_resources(catalog: &Catalog, group: &str, version: &str) -> Vec<Value> {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let rows = catalog.of_version(group, version);
    rows.map(|resource| {
        let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
        let own = kind(resource.group, resource.version, resource.kind);
        let mut json = json!({
            "resource": resource.path_name(), "responseKind": own, "scope": scope,
            "singularResource": resource.singular_name(), "verbs": resource.own_verbs(),
        });
        names(resource, &mut json);
        if !resource.own_subresources().is_empty() {
            let subresource = |sub: &Subresource| {
                let body = sub.body.map_or_else(|| own.clone(), |(g, v, k)| kind(g, v, k));
                json!({"subresource": sub.name, "responseKind": body, "verbs": sub.verbs})
            };
            json["subresources"] = resource.own_subresources().iter().map(subresource).collect();
        }
        json
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_and_named_groups_are_told_apart() {
        let catalog = Catalog::builtin();
        assert_eq!(group_list(&catalog)["groups"][0]["name"], "apps");
        assert!(group(&catalog, "nope").is_none() && resource_list(&catalog, "", "v2").is_none());
        let core = resource_list(&catalog, "", "v1").unwrap();
        let names: Vec<&str> =
            core["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"pods") && names.contains(&"pods/binding"));
        assert_eq!(aggregated(&catalog, true, "v2")["items"].as_array().unwrap().len(), 1);
    }
}
