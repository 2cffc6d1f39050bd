//! Strategic merge patch: a merge patch that knows, from the schema, which lists are merged by a key.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{PatchStrategy, Schemas, Shape, TypeId};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PatchError {
    #[error("{path}: the patch holds {got:?} for `$patch`; supported: replace, delete, merge")]
    Directive { path: String, got: String },
    #[error("{path}: map: {item} does not contain declared merge key: {key}")]
    MergeKey { path: String, key: String, item: String },
    #[error("{path}: {directive} must be a list")]
    NotAList { path: String, directive: String },
    #[error("the patch deletes the object as a whole")]
    Delete,
}

impl Schemas {
    /// `document` with `patch` applied. The result still has to be fitted and validated.
    pub fn apply_strategic(&self, id: TypeId, document: Value, patch: Value) -> Result<Value, PatchError> {
        if patch.get(DIRECTIVE).is_some_and(|word| word == "delete") {
            return Err(PatchError::Delete);
        }
        merge_value(self, Some(&Shape::Object(id)), document, patch, "")
    }
}

fn merge_value(
    schemas: &Schemas,
    shape: Option<&Shape>,
    old: Value,
    patch: Value,
    path: &str,
) -> Result<Value, PatchError> {
    match (old, patch) {
        (Value::Object(old), Value::Object(patch)) => merge_object(schemas, shape, old, patch, path).map(Value::Object),
        (_, Value::Object(patch)) => merge_object(schemas, shape, Map::new(), patch, path).map(Value::Object),
        (_, patch) => Ok(patch),
    }
}

fn merge_object(
    schemas: &Schemas,
    shape: Option<&Shape>,
    mut old: Map<String, Value>,
    mut patch: Map<String, Value>,
    path: &str,
) -> Result<Map<String, Value>, PatchError> {
    match patch.remove(DIRECTIVE) {
        None => {}
        Some(Value::String(word)) if word == "merge" => {}
        Some(Value::String(word)) if word == "replace" => return Ok(patch),
        Some(Value::String(word)) if word == "delete" => return Ok(Map::new()),
        Some(other) => return Err(PatchError::Directive { path: path.to_owned(), got: other.to_string() }),
    }
    if let Some(keys) = patch.remove(RETAIN_KEYS) {
        let keys = list(keys, path, RETAIN_KEYS)?;
        let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
        old.retain(|name, _| keys.contains(name.as_str()));
    }
    let mut orders = Map::new();
    let directives: Vec<String> = patch.keys().filter(|name| name.starts_with('$')).cloned().collect();
    for name in directives {
        let Some(value) = patch.remove(&name) else { continue };
        if let Some(field) = name.strip_prefix(DELETE_FROM_LIST) {
            let gone = list(value, path, &name)?;
            if let Some(Value::Array(items)) = old.get_mut(field) {
                let gone: HashSet<String> = gone.iter().map(Value::to_string).collect();
                items.retain(|item| !gone.contains(&item.to_string()));
            }
        } else if let Some(field) = name.strip_prefix(ELEMENT_ORDER) {
            orders.insert(field.to_owned(), value);
        }
    }
    for (name, value) in patch {
        if value.is_null() {
            old.remove(&name);
            continue;
        }
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let (field, shape) = schemas.below(shape, &name);
        let was = old.remove(&name);
        let merged = match (was, value, field.map(|f| &f.patch)) {
            (was, Value::Array(items), Some(PatchStrategy { merge_key: Some(key), .. })) => {
                let was = match was {
                    Some(Value::Array(was)) => was,
                    _ => Vec::new(),
                };
                Value::Array(merge_list(schemas, shape.as_ref(), key, was, items, orders.remove(&name), &path)?)
            }
            (was, value, _) => merge_value(schemas, shape.as_ref(), was.unwrap_or(Value::Null), value, &path)?,
        };
        old.insert(name, merged);
    }
    // An order may come alone, without a change of the list.
    for (name, order) in orders {
        if let Some(Value::Array(items)) = old.get_mut(&name)
            && let (Some(field), _) = schemas.below(shape, &name)
            && let Some(key) = field.patch.merge_key
        {
            let server = ranks(items, key);
            *items = ordered(std::mem::take(items), key, &server, &list(order, path, ELEMENT_ORDER)?);
        }
    }
    Ok(old)
}

fn merge_list(
    schemas: &Schemas,
    shape: Option<&Shape>,
    key: &str,
    items: Vec<Value>,
    patch: Vec<Value>,
    order: Option<Value>,
    path: &str,
) -> Result<Vec<Value>, PatchError> {
    let item_shape = match shape {
        Some(Shape::Array(item)) => Some(&**item),
        _ => None,
    };
    let server = ranks(&items, key);
    if patch.iter().any(|item| item.get(DIRECTIVE).is_some_and(|word| word == "replace")) {
        let keep = |item: &Value| item.get(DIRECTIVE).is_none_or(|word| word != "replace");
        return Ok(patch.into_iter().filter(|item| keep(item)).collect());
    }
    // Deleted items leave a gap, so that places stay what they are.
    let mut places = server.clone();
    let mut items: Vec<Option<Value>> = items.into_iter().map(Some).collect();
    for change in patch {
        let id = identity(&change, key);
        if id.is_empty() {
            let (path, key) = (path.to_owned(), key.to_owned());
            return Err(PatchError::MergeKey { path, key, item: change.to_string() });
        }
        if key.is_empty() {
            if let Entry::Vacant(place) = places.entry(id) {
                place.insert(items.len());
                items.push(Some(change));
            }
        } else if change.get(DIRECTIVE).is_some_and(|word| word == "delete") {
            if let Some(at) = places.remove(&id) {
                items[at] = None;
            }
        } else {
            let at = *places.entry(id).or_insert(items.len());
            if at == items.len() {
                items.push(None);
            }
            let old = items[at].take().unwrap_or(Value::Null);
            items[at] = Some(merge_value(schemas, item_shape, old, change, path)?);
        }
    }
    let items: Vec<Value> = items.into_iter().flatten().collect();
    match order {
        Some(order) => Ok(ordered(items, key, &server, &list(order, path, ELEMENT_ORDER)?)),
        None => Ok(items),
    }
}

/// What tells an item of a merged list from the others: its merge key's value, or itself. Empty where it has none.
fn identity(item: &Value, key: &str) -> String {
    if key.is_empty() {
        return item.to_string();
    }
    item.get(key).filter(|value| !value.is_null()).map(Value::to_string).unwrap_or_default()
}

/// The place of each item; of those that occur twice the first counts.
fn ranks(items: &[Value], key: &str) -> HashMap<String, usize> {
    let mut ranks = HashMap::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        ranks.entry(identity(item, key)).or_insert(at);
    }
    ranks
}

/// Items that the patch names stand in its order; those that only the server has keep their place among them.
fn ordered(items: Vec<Value>, key: &str, server: &HashMap<String, usize>, order: &[Value]) -> Vec<Value> {
    let order = ranks(order, key);
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for item in items {
        let id = identity(&item, key);
        let place = server.get(&id).copied();
        match order.get(&id) {
            Some(&rank) => named.push((rank, place, item)),
            None => others.push((place.unwrap_or(usize::MAX), item)),
        }
    }
    named.sort_by_key(|(rank, ..)| *rank);
    others.sort_by_key(|(place, _)| *place);
    let mut result = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, place, item) in named {
        if let Some(place) = place {
            while let Some((_, other)) = others.next_if(|(at, _)| *at < place) {
                result.push(other);
            }
        }
        result.push(item);
    }
    result.extend(others.map(|(_, item)| item));
    result
}

fn list(value: Value, path: &str, directive: &str) -> Result<Vec<Value>, PatchError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(PatchError::NotAList { path: path.to_owned(), directive: directive.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;
    use serde_json::json;

    fn apply(document: Value, patch: Value) -> Result<Value, PatchError> {
        let id = builtin().of_kind("", "v1", "Pod").unwrap();
        builtin().apply_strategic(id, document, patch)
    }

    #[test]
    fn lists_are_merged_by_key_and_ordered() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}});
        let patch = json!({"spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "2"}, {"name": "c", "image": "3"}]}});
        let merged = apply(pod, patch).unwrap();
        let order: Vec<_> = merged["spec"]["containers"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(order, ["c", "a", "b"]);
        assert_eq!(merged["spec"]["containers"][1]["image"], "2");
    }

    #[test]
    fn items_and_fields_are_deleted_by_directive_and_by_null() {
        let pod = json!({"metadata": {"labels": {"x": "1"}, "finalizers": ["a", "b"]},
            "spec": {"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "a"}, {"name": "b"}]}});
        let patch = json!({"metadata": {"labels": {"x": null}, "$deleteFromPrimitiveList/finalizers": ["a"]},
            "spec": {"containers": [{"name": "b", "$patch": "delete"}],
                     "volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}});
        assert_eq!(
            apply(pod, patch).unwrap(),
            json!({"metadata": {"labels": {}, "finalizers": ["b"]},
                "spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}], "containers": [{"name": "a"}]}})
        );
    }

    #[test]
    fn atomic_lists_and_unknown_fields_are_replaced() {
        let pod = json!({"spec": {"containers": [{"name": "a", "command": ["x", "y"]}], "odd": [1, 2]}});
        let patch = json!({"spec": {"containers": [{"name": "a", "command": ["z"]}], "odd": [3]}});
        let merged = apply(pod, patch).unwrap();
        assert_eq!(merged["spec"], json!({"containers": [{"name": "a", "command": ["z"]}], "odd": [3]}));
    }

    #[test]
    fn an_item_without_its_key_is_an_error_that_names_the_path() {
        let error = apply(json!({}), json!({"spec": {"containers": [{"image": "x"}]}})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.containers: map: {\"image\":\"x\"} does not contain declared merge key: name"
        );
    }
}
