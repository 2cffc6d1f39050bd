//! The patch that `apply` sends: from what the server has to what a manifest says, deleting what an older manifest said
//! and this one does not. The counterpart of `strategic`, which applies it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{PatchStrategy, Schemas, Shape, TypeId};

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ThreeWayError {
    #[error("{path}: map: {item} does not contain declared merge key: {key}")]
    MergeKey { path: String, key: String, item: String },
}

type Result<T> = std::result::Result<T, ThreeWayError>;

impl Schemas {
    /// `original` is the manifest that was applied last, `modified` the one of now, `current` what the server has.
    /// Without a type it is a JSON merge patch: lists are replaced.
    pub fn three_way(&self, id: Option<TypeId>, original: &Value, modified: &Value, current: &Value) -> Result<Value> {
        let shape = id.map(Shape::Object);
        let empty = Map::new();
        let object = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
        let (original, modified, current) = (object(original), object(modified), object(current));
        let is_empty = original.is_empty();
        let changes = Diff { schemas: self, part: Part::Changes, directives: id.is_some() };
        let deletions = Diff { part: Part::Deletions, ..changes };
        let delta = changes.objects(shape.as_ref(), &current, &modified, false, "")?;
        let gone =
            deletions.objects(shape.as_ref(), if is_empty { &empty } else { &original }, &modified, false, "")?;
        Ok(Value::Object(combine_objects(self, shape.as_ref(), gone, delta)))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// Additions and changes, from the server's state to the manifest.
    Changes,
    /// Deletions, from the last manifest to this one.
    Deletions,
}

#[derive(Clone, Copy)]
struct Diff<'a> {
    schemas: &'a Schemas,
    part: Part,
    /// A strategic patch: lists are merged and directives understood.
    directives: bool,
}

fn item_shape(shape: Option<&Shape>) -> Option<&Shape> {
    match shape {
        Some(Shape::Array(item)) => Some(item),
        _ => None,
    }
}

impl Diff<'_> {
    fn objects(
        &self,
        shape: Option<&Shape>,
        from: &Map<String, Value>,
        to: &Map<String, Value>,
        retain_keys: bool,
        path: &str,
    ) -> Result<Map<String, Value>> {
        let mut patch = Map::new();
        for (name, new) in to {
            let Some(old) = from.get(name) else {
                // Null in a manifest means that there shall be none, and there is none.
                if self.part == Part::Changes && !new.is_null() {
                    patch.insert(name.clone(), new.clone());
                }
                continue;
            };
            let (field, shape) = self.schemas.below(shape, name);
            let strategy = field.map(|f| &f.patch).filter(|_| self.directives);
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match (old, new, strategy) {
                (Value::Object(old), Value::Object(new), _) => {
                    let retain_keys = strategy.is_some_and(|s| s.retain_keys);
                    let inner = self.objects(shape.as_ref(), old, new, retain_keys, &path)?;
                    if !inner.is_empty() {
                        patch.insert(name.clone(), inner.into());
                    }
                }
                (Value::Array(old), Value::Array(new), Some(strategy @ PatchStrategy { merge_key: Some(_), .. })) => {
                    self.lists(item_shape(shape.as_ref()), (name, strategy), (old, new), &mut patch, &path)?;
                }
                (old, new, _) if self.part == Part::Changes && old != new => {
                    patch.insert(name.clone(), new.clone());
                }
                _ => {}
            }
        }
        if self.part == Part::Deletions {
            let gone = from.keys().filter(|name| !to.contains_key(*name));
            patch.extend(gone.map(|name| (name.clone(), Value::Null)));
        }
        let kept: Vec<&String> = to.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name).collect();
        let superfluous = from.keys().any(|name| !to.contains_key(name));
        if retain_keys && !kept.is_empty() && (!patch.is_empty() || superfluous) {
            patch.insert("$retainKeys".into(), json!(kept));
        }
        Ok(patch)
    }

    /// A list that is merged: its changed items, and the order in which all shall stand.
    fn lists(
        &self,
        shape: Option<&Shape>,
        (name, strategy): (&str, &PatchStrategy),
        (from, to): (&[Value], &[Value]),
        patch: &mut Map<String, Value>,
        path: &str,
    ) -> Result<()> {
        let key = strategy.merge_key.unwrap_or("");
        if from.is_empty() {
            if self.part == Part::Changes && !to.is_empty() {
                patch.insert(name.to_owned(), to.to_vec().into());
            }
            return Ok(());
        }
        let order = format!("$setElementOrder/{name}");
        if key.is_empty() {
            let missing =
                |of: &[Value], from: &[Value]| of.iter().filter(|v| !from.contains(v)).cloned().collect::<Vec<_>>();
            let (added, gone) = (missing(to, from), missing(from, to));
            if self.part == Part::Changes && from != to {
                if !added.is_empty() {
                    patch.insert(name.to_owned(), added.into());
                }
                patch.insert(order, to.to_vec().into());
            } else if self.part == Part::Deletions && !gone.is_empty() {
                patch.insert(format!("$deleteFromPrimitiveList/{name}"), gone.into());
                patch.insert(order, to.to_vec().into());
            }
            return Ok(());
        }
        let (olds, news) = (keys(from, key, path)?, keys(to, key, path)?);
        let mut items = Vec::new();
        for (id, new) in news.iter().zip(to) {
            match olds.iter().position(|old| old == id) {
                Some(at) => {
                    let (Value::Object(old), Value::Object(new)) = (&from[at], new) else { continue };
                    let mut path = path.to_owned();
                    let _ = write!(path, "[{id}]");
                    let mut inner = self.objects(shape, old, new, strategy.retain_keys, &path)?;
                    if !inner.is_empty() {
                        inner.insert(key.to_owned(), (*id).clone());
                        items.push(Value::Object(inner));
                    }
                }
                None if self.part == Part::Changes => items.push(new.clone()),
                None => {}
            }
        }
        if self.part == Part::Deletions {
            let gone = olds.iter().filter(|old| !news.contains(old));
            items.extend(gone.map(|id| json!({key: id, "$patch": "delete"})));
        }
        if !items.is_empty() || self.part == Part::Changes && olds != news {
            patch.insert(order, news.iter().map(|id| json!({key: id})).collect::<Vec<_>>().into());
        }
        if !items.is_empty() {
            patch.insert(name.to_owned(), items.into());
        }
        Ok(())
    }
}

fn keys<'a>(items: &'a [Value], key: &str, path: &str) -> Result<Vec<&'a Value>> {
    let of = |item: &'a Value| {
        item.get(key).ok_or_else(|| ThreeWayError::MergeKey {
            path: path.into(),
            key: key.into(),
            item: item.to_string(),
        })
    };
    items.iter().map(of).collect()
}

/// Two patches as one: what both touch is taken from `delta`, all else from either.
fn combine_objects(
    schemas: &Schemas,
    shape: Option<&Shape>,
    mut gone: Map<String, Value>,
    delta: Map<String, Value>,
) -> Map<String, Value> {
    for (name, new) in delta {
        let (field, shape) = schemas.below(shape, &name);
        let combined = match (gone.remove(&name), new) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                Value::Object(combine_objects(schemas, shape.as_ref(), old, new))
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                match field.and_then(|f| f.patch.merge_key).filter(|key| !key.is_empty()) {
                    Some(key) => Value::Array(combine_lists(schemas, item_shape(shape.as_ref()), key, old, new)),
                    None => Value::Array(new),
                }
            }
            (_, new) => new,
        };
        gone.insert(name, combined);
    }
    gone
}

fn combine_lists(
    schemas: &Schemas,
    shape: Option<&Shape>,
    key: &str,
    mut gone: Vec<Value>,
    delta: Vec<Value>,
) -> Vec<Value> {
    let mut result = Vec::with_capacity(gone.len() + delta.len());
    for new in delta {
        let same = gone.iter().position(|old| old.get(key) == new.get(key));
        result.push(match (same.map(|at| gone.remove(at)), new) {
            (Some(Value::Object(old)), Value::Object(new)) => Value::Object(combine_objects(schemas, shape, old, new)),
            (_, new) => new,
        });
    }
    result.extend(gone);
    result
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;
    use proptest::prelude::*;

    fn patch(original: Value, modified: Value, current: Value) -> Value {
        let id = builtin().of_kind("", "v1", "Pod");
        builtin().three_way(id, &original, &modified, &current).unwrap()
    }

    #[test]
    fn patches() {
        let spec = |containers: Value| json!({"spec": {"containers": containers}});
        for (what, original, modified, current, expected) in [
            ("nothing", json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "b": 2}), json!({})),
            ("drift is undone", json!({"a": 1}), json!({"a": 1}), json!({"a": 2}), json!({"a": 1})),
            ("a field is gone", json!({"a": 1, "b": 1}), json!({"a": 1}), json!({"a": 1, "b": 1}), json!({"b": null})),
            ("others' fields stay", json!({}), json!({"a": 1}), json!({"a": 1, "b": 1}), json!({})),
            (
                "labels",
                json!({"metadata": {"labels": {"x": "1", "y": "1"}}}),
                json!({"metadata": {"labels": {"x": "2"}}}),
                json!({"metadata": {"labels": {"x": "1", "y": "1", "z": "1"}}}),
                json!({"metadata": {"labels": {"x": "2", "y": null}}}),
            ),
            (
                "an item's field",
                spec(json!([{"name": "a", "image": "1"}])),
                spec(json!([{"name": "a", "image": "2"}])),
                spec(json!([{"name": "a", "image": "1", "imagePullPolicy": "Always"}, {"name": "b"}])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a", "image": "2"}]}}),
            ),
            (
                "items come and go",
                spec(json!([{"name": "a"}, {"name": "b"}])),
                spec(json!([{"name": "c"}, {"name": "a"}])),
                spec(json!([{"name": "a"}, {"name": "b"}])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
                    "containers": [{"name": "c"}, {"name": "b", "$patch": "delete"}]}}),
            ),
            (
                "the order alone",
                spec(json!([{"name": "a"}, {"name": "b"}])),
                spec(json!([{"name": "b"}, {"name": "a"}])),
                spec(json!([{"name": "a"}, {"name": "b"}])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}),
            ),
            (
                "a set",
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"finalizers": ["a", "c"]}}),
                json!({"metadata": {"finalizers": ["a", "b", "x"]}}),
                json!({"metadata": {"$setElementOrder/finalizers": ["a", "c"], "finalizers": ["c"],
                    "$deleteFromPrimitiveList/finalizers": ["b"]}}),
            ),
            (
                "another source of a volume",
                json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
                json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}}),
                json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
                json!({"spec": {"$setElementOrder/volumes": [{"name": "v"}],
                    "volumes": [{"name": "v", "$retainKeys": ["hostPath", "name"], "hostPath": {"path": "/x"}, "emptyDir": null}]}}),
            ),
            (
                "an atomic list",
                spec(json!([{"name": "a", "args": ["x"]}])),
                spec(json!([{"name": "a", "args": ["x", "y"]}])),
                spec(json!([{"name": "a", "args": ["x"]}])),
                json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a", "args": ["x", "y"]}]}}),
            ),
        ] {
            assert_eq!(patch(original, modified, current), expected, "{what}");
        }
    }

    #[test]
    fn without_a_type_lists_are_replaced() {
        let of = |items: Value| json!({"spec": {"items": items}});
        let (original, modified) = (of(json!([{"name": "a"}])), of(json!([{"name": "b"}])));
        let patch = builtin().three_way(None, &original, &modified, &original).unwrap();
        assert_eq!(patch, modified);
    }

    #[test]
    fn an_item_without_its_key_is_an_error() {
        let of = |item: Value| json!({"spec": {"containers": [item]}});
        let id = builtin().of_kind("", "v1", "Pod");
        let error =
            builtin().three_way(id, &json!({}), &of(json!({"image": "x"})), &of(json!({"name": "a"}))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.containers: map: {\"image\":\"x\"} does not contain declared merge key: name"
        );
    }

    /// Everything that the manifest says is so; lists that are merged may hold more.
    fn holds(schemas: &Schemas, shape: Option<&Shape>, manifest: &Value, result: &Value, key: Option<&str>) -> bool {
        match (manifest, result) {
            (Value::Object(fields), Value::Object(found)) => fields.iter().all(|(name, value)| {
                let (field, shape) = schemas.below(shape, name);
                let key = field.and_then(|f| f.patch.merge_key);
                found.get(name).is_some_and(|found| holds(schemas, shape.as_ref(), value, found, key))
            }),
            (Value::Array(items), Value::Array(found)) => match key {
                None => items == found,
                Some("") => items.iter().all(|item| found.contains(item)),
                Some(key) => items.iter().all(|item| {
                    let same = found.iter().find(|found| found.get(key) == item.get(key));
                    same.is_some_and(|found| holds(schemas, item_shape(shape), item, found, None))
                }),
            },
            (manifest, result) => manifest == result,
        }
    }

    fn pods() -> impl Strategy<Value = Value> {
        let labels = prop::collection::btree_map("[a-c]", "[0-1]", 0..3);
        let container = ("[a-c]", "[0-1]", prop::collection::vec("[x-z]", 0..3), prop::bool::ANY);
        let containers = prop::collection::vec(container, 0..4);
        let finalizers = prop::collection::btree_set("[a-c]", 0..3);
        let volumes = prop::collection::btree_map("[v-w]", prop::bool::ANY, 0..3);
        (labels, containers, finalizers, volumes).prop_map(|(labels, containers, finalizers, volumes)| {
            let mut seen = Vec::new();
            let containers: Vec<Value> = containers
                .into_iter()
                .filter(|(name, ..)| {
                    !seen.contains(name) && {
                        seen.push(name.clone());
                        true
                    }
                })
                .map(|(name, image, args, tty)| {
                    let mut container = json!({"name": name, "image": image, "args": args});
                    if tty {
                        container["tty"] = true.into();
                    }
                    container
                })
                .collect();
            let volume = |(name, host): (String, bool)| match host {
                true => json!({"name": name, "hostPath": {"path": "/x"}}),
                false => json!({"name": name, "emptyDir": {}}),
            };
            let volumes: Vec<Value> = volumes.into_iter().map(volume).collect();
            json!({"metadata": {"labels": labels, "finalizers": finalizers},
                "spec": {"containers": containers, "volumes": volumes}})
        })
    }

    proptest! {
        #[test]
        fn applied_to_the_current_state_it_gives_what_the_manifest_says(
            original in pods(), modified in pods(), current in pods()
        ) {
            let schemas = builtin();
            let id = schemas.of_kind("", "v1", "Pod").unwrap();
            let patch = schemas.three_way(Some(id), &original, &modified, &current).unwrap();
            let result = schemas.apply_strategic(id, current.clone(), patch.clone()).unwrap();
            prop_assert!(
                holds(schemas, Some(&Shape::Object(id)), &modified, &result, None),
                "patch {patch}\nresult {result}\nmanifest {modified}\ncurrent {current}\noriginal {original}"
            );
            // Applied again, nothing is left to do.
            let again = schemas.three_way(Some(id), &modified, &modified, &result).unwrap();
            let once_more = schemas.apply_strategic(id, result.clone(), again).unwrap();
            prop_assert_eq!(once_more, result);
        }
    }
}
