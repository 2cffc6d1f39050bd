//! The default roles and bindings, out of `defaults.txt`. What is missing of them is put back at each start, as upstream does, unless an
//! object says that it is left alone.

use std::collections::BTreeMap;

use api::catalog::Rules;
use api::meta;
use api::status::Status;
use k8s_openapi::api::rbac::v1::{PolicyRule, Subject};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::registry::{Context, Registry};

const TABLE: &str = include_str!("defaults.txt");
const GROUP: &str = "rbac.authorization.k8s.io";
/// `false` on an object: it is not put back.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Makes what is missing, and adds what is missing in what is there.
pub async fn ensure(registry: &Registry) -> Result<(), Status> {
    let context = Context::of_server();
    for object in objects() {
        let plural = format!("{}s", meta::text_at(&object, "kind").to_lowercase());
        let (namespace, name) = (meta::namespace(&object), meta::name(&object));
        let target = registry.target(GROUP, "v1", &plural, namespace, name)?;
        let current = match registry.get_cached(&target, 0).await {
            Ok(entry) => crate::registry::parse(&entry.bytes)?,
            Err(status) if status.code == 404 => match registry.create(&context, &target, object.clone()).await {
                Err(status) if status.reason != "AlreadyExists" => return Err(status),
                _ => continue,
            },
            Err(status) => return Err(status),
        };
        if completed(&current, &object) != current {
            registry.update(&context, &target, Rules::Object, &|current| Ok(completed(current, &object))).await?;
        }
    }
    Ok(())
}

/// What is there, with what is missing of the default.
fn completed(current: &Value, default: &Value) -> Value {
    let mut completed = current.clone();
    let annotation = |object: &Value| object.pointer("/metadata/annotations").and_then(|a| a.get(AUTOUPDATE)).cloned();
    // Another role under a binding's name is somebody's decision.
    if annotation(current) == Some("false".into()) || current.get("roleRef") != default.get("roleRef") {
        return completed;
    }
    for field in ["labels", "annotations"] {
        let wanted = default["metadata"].get(field).and_then(Value::as_object).into_iter().flatten();
        for (name, value) in wanted {
            let metadata = meta::metadata_mut(&mut completed);
            let all = metadata.entry(field).or_insert_with(|| json!({}));
            if let Some(all) = all.as_object_mut() {
                all.entry(name.as_str()).or_insert_with(|| value.clone());
            }
        }
    }
    // The rules of an aggregated role are the controller's.
    if default.get("aggregationRule").is_none() {
        add_missing::<PolicyRule>(&mut completed, default, "rules");
    }
    add_missing::<Subject>(&mut completed, default, "subjects");
    completed
}

fn add_missing<T: DeserializeOwned + PartialEq>(object: &mut Value, default: &Value, field: &str) {
    let read = |value: &Value| T::deserialize(value).ok();
    let there: Vec<T> = object.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(read).collect();
    let wanted = default.get(field).and_then(Value::as_array).into_iter().flatten();
    let missing: Vec<Value> =
        wanted.filter(|value| read(value).is_some_and(|one| !there.contains(&one))).cloned().collect();
    if missing.is_empty() {
        return;
    }
    let fields = object.as_object_mut().expect("what is stored is an object");
    if let Some(list) = fields.entry(field).or_insert_with(|| json!([])).as_array_mut() {
        list.extend(missing);
    }
}

/// All default objects, as they are made.
fn objects() -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["role", name, labels @ ..] => objects.push(role(name, labels)),
            ["aggregate", name, selector, labels @ ..] => {
                let mut object = role(name, labels);
                let selector = BTreeMap::from([(*selector, "true")]);
                object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": selector}]});
                objects.push(object);
            }
            ["bind", name, role, subjects @ ..] => objects.push(binding(name, role, subjects)),
            rule => {
                let rules = objects.last_mut().and_then(|role| role.get_mut("rules")).and_then(Value::as_array_mut);
                rules.expect("a rule follows its role").push(self::rule(rule));
            }
        }
    }
    objects
}

/// The rules of a default cluster role.
pub fn rules_of(name: &str) -> Vec<PolicyRule> {
    let role = objects().into_iter().find(|object| meta::name(object) == name && object.get("rules").is_some());
    role.and_then(|mut role| serde_json::from_value(role["rules"].take()).ok()).unwrap_or_default()
}

fn named(kind: &str, name: &str, labels: &[&str]) -> Value {
    let mut all = Map::from_iter([("kubernetes.io/bootstrapping".to_owned(), "rbac-defaults".into())]);
    all.extend(labels.iter().filter_map(|l| l.split_once('=')).map(|(name, value)| (name.to_owned(), value.into())));
    let annotations = BTreeMap::from([(AUTOUPDATE, "true")]);
    let mut metadata = json!({"name": name, "labels": all, "annotations": annotations});
    let kind = match name.split_once('/') {
        Some((namespace, name)) => {
            metadata["name"] = name.into();
            metadata["namespace"] = namespace.into();
            kind.to_owned()
        }
        None => format!("Cluster{kind}"),
    };
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata})
}

fn role(name: &str, labels: &[&str]) -> Value {
    let mut object = named("Role", name, labels);
    object["rules"] = json!([]);
    object
}

fn rule(words: &[&str]) -> Value {
    let list = |word: &str| -> Vec<String> {
        word.split(',').map(|one| if one == "core" { String::new() } else { one.to_owned() }).collect()
    };
    match words {
        [verbs, paths] => json!({"verbs": list(verbs), "nonResourceURLs": list(paths)}),
        [verbs, groups, resources] => {
            json!({"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)})
        }
        [verbs, groups, resources, names] => json!({"verbs": list(verbs), "apiGroups": list(groups),
            "resources": list(resources), "resourceNames": list(names)}),
        _ => unreachable!("defaults.txt: a rule has two to four words: {words:?}"),
    }
}

fn binding(name: &str, role: &str, subjects: &[&str]) -> Value {
    let mut object = named("RoleBinding", name, &[]);
    let (kind, role) = match role.split_once('/') {
        Some((_, role)) => ("Role", role),
        None => ("ClusterRole", role),
    };
    object["roleRef"] = json!({"apiGroup": GROUP, "kind": kind, "name": role});
    let subject = |word: &&str| match word.split_once(':') {
        Some(("user", name)) => json!({"apiGroup": GROUP, "kind": "User", "name": name}),
        Some(("group", name)) => json!({"apiGroup": GROUP, "kind": "Group", "name": name}),
        Some(("account", account)) => {
            let (namespace, name) = account.split_once(':').unwrap_or(("", account));
            json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
        }
        _ => unreachable!("defaults.txt: a subject is user:, group: or account:, not {word}"),
    };
    let subjects: Vec<Value> = subjects.iter().map(subject).collect();
    if !subjects.is_empty() {
        object["subjects"] = subjects.into();
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_makes_an_object_that_is_valid() {
        let all = objects();
        assert!(all.len() > 40, "{}", all.len());
        for object in all {
            let kind = meta::text_at(&object, "kind");
            let catalog = api::catalog::Catalog::builtin();
            let row = catalog.served().iter().find(|row| row.kind == kind).unwrap();
            let errors = api::strategy::validate_create(row.strategy, &object, row.namespaced, false);
            assert!(errors.is_empty(), "{object}: {:?}", errors.0);
        }
    }

    #[test]
    fn bindings_name_roles_that_are_there() {
        let all = objects();
        let text = |object: &Value, path: &str| meta::text_at(object, path).to_owned();
        let id = |kind: String, namespace: &str, name: String| format!("{kind} {namespace}/{name}");
        let roles: Vec<String> = all
            .iter()
            .filter(|object| object.get("rules").is_some())
            .map(|role| id(text(role, "kind"), meta::namespace(role), meta::name(role).into()))
            .collect();
        for binding in all.iter().filter(|object| object.get("roleRef").is_some()) {
            let kind = text(binding, "roleRef.kind");
            let namespace = if kind == "Role" { meta::namespace(binding) } else { "" };
            let wanted = id(kind, namespace, text(binding, "roleRef.name"));
            assert!(roles.contains(&wanted), "{wanted}");
        }
    }

    #[test]
    fn what_is_missing_comes_back_and_what_is_more_stays() {
        let default = binding("b", "r", &["user:a", "group:g"]);
        let mut current = default.clone();
        current["subjects"] = json!([{"kind": "User", "apiGroup": GROUP, "name": "own"}]);
        current["metadata"]["labels"] = json!({"own": "label"});
        let now = completed(&current, &default);
        assert_eq!(now["subjects"].as_array().map(Vec::len), Some(3));
        assert_eq!(now["metadata"]["labels"], json!({"own": "label", "kubernetes.io/bootstrapping": "rbac-defaults"}));
        assert_eq!(completed(&now, &default), now);
        current["metadata"]["annotations"][AUTOUPDATE] = "false".into();
        assert_eq!(completed(&current, &default), current);
    }
}
