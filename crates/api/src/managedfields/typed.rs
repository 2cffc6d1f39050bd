//! Documents by their schema: which fields they set, which differ between two, merging a configuration into an object, and taking
//! fields out of it. Knows nothing of managers.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::set::{FieldSet, Node, children, fields, parts};
use crate::schema::{Field, ObjectSchema, Schemas, Shape, TypeId};

static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
static NULL: Value = Value::Null;

/// How the values of a place belong together.
enum Relation<'a> {
    /// They are one.
    Leaf,
    Struct(&'a ObjectSchema),
    Map(&'a Shape),
    /// A list whose items are told apart: by these fields, or by their value where there are none.
    Items(&'a Shape, Vec<&'static str>),
}

/// A place in a document: its shape, and what the schema says of merging.
#[derive(Clone, Copy)]
struct Place<'a> {
    shape: &'a Shape,
    merge: &'static str,
}

impl<'a> Place<'a> {
    fn below(shape: &'a Shape) -> Self {
        Self { shape, merge: "" }
    }

    fn of(field: &'a Field) -> Self {
        Self { shape: &field.shape, merge: field.merge }
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ItemError {
    #[error(
        "{0}: associative list with keys has an element that omits all key fields {1:?} (and doesn't have default values for any key fields)"
    )]
    NoKey(String, Vec<&'static str>),
    #[error("{0}: duplicate entries for key {1}")]
    Duplicate(String, String),
}

/// What differs between two documents.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Added, or with another value.
    pub changed: FieldSet,
    pub removed: FieldSet,
}

/// A document's type.
#[derive(Clone, Copy)]
pub struct Typed {
    schemas: &'static Schemas,
    id: TypeId,
}

impl Typed {
    pub fn new(schemas: &'static Schemas, id: TypeId) -> Self {
        Self { schemas, id }
    }

    /// The fields that a document sets. Items without keys and items that occur twice are errors: the client must say what it means.
    pub fn fields_of(self, document: &Value) -> Result<FieldSet, ItemError> {
        let mut path = Vec::new();
        self.fields(Place::below(&Shape::Object(self.id)), document, &mut path).map(Into::into)
    }

    /// What became of `old`; of an object that is new, what it has beyond an empty one.
    pub fn compare(self, old: Option<&Value>, new: &Value) -> Comparison {
        let (mut changed, mut removed) = (Node::default(), Node::default());
        let root = Shape::Object(self.id);
        let (old, new) = (Some(old.unwrap_or(&EMPTY)), Some(new));
        self.differences(Place::below(&root), old, new, &mut changed, &mut removed);
        Comparison { changed: changed.into(), removed: removed.into() }
    }

    /// `live` with all that `config` sets.
    pub fn merge(self, live: &Value, config: &Value) -> Value {
        self.merged(Place::below(&Shape::Object(self.id)), Some(live), config)
    }

    /// The document without the members of the set and all that is below them.
    pub fn remove(self, document: &mut Value, set: &FieldSet) {
        self.removed(Place::below(&Shape::Object(self.id)), document, &set.0);
    }

    /// With the fields that hold members as members: who sets `spec.replicas` also wants `spec`.
    pub fn with_parents(self, set: &FieldSet) -> FieldSet {
        self.parents(Place::below(&Shape::Object(self.id)), &set.0, false).into()
    }

    fn relation<'a>(self, place: Place<'a>) -> Relation<'a>
    where
        Self: 'a,
    {
        match (place.shape, place.merge) {
            (_, "atomic") => Relation::Leaf,
            (Shape::Object(id), _) => Relation::Struct(self.schemas.get(*id)),
            (Shape::Map(item), _) => Relation::Map(item),
            (Shape::Array(item), "associative") => Relation::Items(item, Vec::new()),
            (Shape::Array(item), merge) => match merge.strip_prefix("map(").and_then(|keys| keys.strip_suffix(')')) {
                Some(keys) => Relation::Items(item, keys.split(',').collect()),
                None => Relation::Leaf,
            },
            _ => Relation::Leaf,
        }
    }

    /// How an item of a list is named in a path.
    fn element(self, item: &Shape, keys: &[&'static str], value: &Value) -> Option<String> {
        if keys.is_empty() {
            return Some(format!("v:{value}"));
        }
        let default = |key: &str| match item {
            Shape::Object(id) => self.schemas.get(*id).field(key).and_then(|field| field.default.as_ref()),
            _ => None,
        };
        let fields = value.as_object()?;
        let named = keys.iter().filter_map(|key| {
            let value = fields.get(*key).filter(|value| !value.is_null()).or_else(|| default(key))?;
            Some((*key, value))
        });
        let named: BTreeMap<&str, &Value> = named.collect();
        if named.is_empty() {
            return None;
        }
        let mut element = b"k:".to_vec();
        serde_json::to_writer(&mut element, &named).ok()?;
        String::from_utf8(element).ok()
    }

    fn fields(self, place: Place<'_>, value: &Value, path: &mut Vec<String>) -> Result<Node, ItemError> {
        let mut node = Node::default();
        match (self.relation(place), value) {
            (Relation::Struct(schema), Value::Object(fields)) => {
                for (name, value) in fields {
                    let element = of_field(name);
                    path.push(element.clone());
                    let mut child = match schema.field(name) {
                        Some(field) => self.fields(Place::of(field), value, path)?,
                        None => Node::leaf(),
                    };
                    child.member |= value.is_null() || value.as_object().is_some_and(Map::is_empty);
                    path.pop();
                    node.add(element, child);
                }
            }
            (Relation::Map(item), Value::Object(entries)) => {
                for (name, value) in entries {
                    let element = of_field(name);
                    path.push(element.clone());
                    let child = self.fields(Place::below(item), value, path)?;
                    path.pop();
                    node.add(element, Node { member: true, ..child });
                }
            }
            (Relation::Items(item, keys), Value::Array(items)) => {
                for value in items {
                    let at = || super::set::shown(&path.iter().map(String::as_str).collect::<Vec<_>>());
                    let Some(element) = self.element(item, &keys, value) else {
                        return Err(ItemError::NoKey(at(), keys));
                    };
                    if node.children.contains_key(&element) {
                        return Err(ItemError::Duplicate(at(), super::set::shown(&[&element])));
                    }
                    path.push(element.clone());
                    let child = self.fields(Place::below(item), value, path)?;
                    path.pop();
                    node.add(element, Node { member: true, ..child });
                }
            }
            (Relation::Items(..), Value::Null) => {}
            _ => node.member = true,
        }
        Ok(node)
    }

    fn differences(
        self,
        place: Place<'_>,
        old: Option<&Value>,
        new: Option<&Value>,
        changed: &mut Node,
        removed: &mut Node,
    ) {
        if old == new {
            return;
        }
        changed.member |= old.is_none();
        removed.member |= new.is_none();
        match (self.relation(place), old.unwrap_or(&NULL), new.unwrap_or(&NULL)) {
            (_, old, new) if is_nothing(old) && is_nothing(new) => changed.member |= !removed.member,
            (
                Relation::Struct(schema),
                before @ (Value::Object(_) | Value::Null),
                after @ (Value::Object(_) | Value::Null),
            ) => {
                for (name, was, is) in pairs(fields(before), fields(after)) {
                    let Some(field) = schema.field(name) else { continue };
                    // What Go always writes was there, empty, as long as its parent was.
                    let nothing = field.always_there(before).filter(|_| old.is_some());
                    let nothing_now = field.always_there(after).filter(|_| new.is_some());
                    let (was, is) = (was.or(nothing), is.or(nothing_now));
                    self.child(Place::of(field), of_field(name), was, is, changed, removed);
                }
            }
            (
                Relation::Map(item),
                before @ (Value::Object(_) | Value::Null),
                after @ (Value::Object(_) | Value::Null),
            ) => {
                for (name, was, is) in pairs(fields(before), fields(after)) {
                    self.child(Place::below(item), of_field(name), was, is, changed, removed);
                }
            }
            (
                Relation::Items(item, keys),
                before @ (Value::Array(_) | Value::Null),
                after @ (Value::Array(_) | Value::Null),
            ) => {
                let (Some(before), Some(after)) = (self.indexed(item, &keys, before), self.indexed(item, &keys, after))
                else {
                    changed.member |= new.is_some();
                    return;
                };
                for (element, is) in &after {
                    let was = before.get(element).map(Vec::as_slice).unwrap_or_default();
                    match (was, is.as_slice()) {
                        ([], [is]) => self.child(Place::below(item), element.clone(), None, Some(is), changed, removed),
                        ([was], [is]) => {
                            self.child(Place::below(item), element.clone(), Some(was), Some(is), changed, removed)
                        }
                        (was, is) if was != is => changed.add(element.clone(), Node::leaf()),
                        _ => {}
                    }
                }
                for (element, was) in before.iter().filter(|(element, _)| !after.contains_key(*element)) {
                    match was.as_slice() {
                        [was] => self.child(Place::below(item), element.clone(), Some(was), None, changed, removed),
                        _ => removed.add(element.clone(), Node::leaf()),
                    }
                }
            }
            _ => changed.member |= new.is_some(),
        }
    }

    fn child(
        self,
        place: Place<'_>,
        element: String,
        old: Option<&Value>,
        new: Option<&Value>,
        changed: &mut Node,
        removed: &mut Node,
    ) {
        let (mut more, mut less) = (Node::default(), Node::default());
        self.differences(place, old, new, &mut more, &mut less);
        // Mostly nothing is removed, and nothing needs a copy of the name.
        if !less.is_empty() {
            removed.add(element.clone(), less);
        }
        changed.add(element, more);
    }

    /// Items by their elements; `None` where some have no keys.
    fn indexed<'a>(
        self,
        item: &Shape,
        keys: &[&'static str],
        list: &'a Value,
    ) -> Option<HashMap<String, Vec<&'a Value>>> {
        let mut index: HashMap<String, Vec<&Value>> = HashMap::new();
        for value in list.as_array().into_iter().flatten() {
            index.entry(self.element(item, keys, value)?).or_default().push(value);
        }
        Some(index)
    }

    fn merged(self, place: Place<'_>, live: Option<&Value>, config: &Value) -> Value {
        match (self.relation(place), live, config) {
            (Relation::Struct(schema), Some(Value::Object(live)), Value::Object(config)) => {
                let mut merged = live.clone();
                for (name, value) in config {
                    let value = match schema.field(name) {
                        Some(field) => self.merged(Place::of(field), live.get(name), value),
                        None => value.clone(),
                    };
                    merged.insert(name.clone(), value);
                }
                Value::Object(merged)
            }
            (Relation::Map(item), Some(Value::Object(live)), Value::Object(config)) => {
                let mut merged = live.clone();
                for (name, value) in config {
                    merged.insert(name.clone(), self.merged(Place::below(item), live.get(name), value));
                }
                Value::Object(merged)
            }
            (Relation::Items(item, keys), Some(Value::Array(live)), Value::Array(config)) => {
                Value::Array(self.merged_items(item, &keys, live, config))
            }
            _ => config.clone(),
        }
    }

    /// The items of the configuration in its order; those that only the object has keep their place among those that both have.
    fn merged_items(self, item: &Shape, keys: &[&'static str], live: &[Value], config: &[Value]) -> Vec<Value> {
        let element = |value: &Value| self.element(item, keys, value).unwrap_or_default();
        let live: Vec<(String, &Value)> = live.iter().map(|value| (element(value), value)).collect();
        let config: Vec<(String, &Value)> = config.iter().map(|value| (element(value), value)).collect();
        let mut of_live: HashMap<&str, Option<&Value>> = HashMap::new();
        for (element, value) in &live {
            // Of what occurs twice nobody can say which one is meant.
            of_live.entry(element).and_modify(|found| *found = None).or_insert(Some(value));
        }
        let wanted: HashMap<&str, usize> =
            config.iter().enumerate().map(|(at, (element, _))| (element.as_str(), at)).collect();
        let merge = |(element, value): &(String, &Value)| {
            self.merged(Place::below(item), of_live.get(element.as_str()).copied().flatten(), value)
        };
        let shared: Vec<usize> = (0..config.len()).filter(|&at| of_live.contains_key(config[at].0.as_str())).collect();
        let (mut next_shared, mut next, mut out) = (0, 0, Vec::with_capacity(live.len().max(config.len())));
        for (element, value) in &live {
            match wanted.get(element.as_str()) {
                None => out.push((*value).clone()),
                Some(&at) if shared.get(next_shared) == Some(&at) => {
                    out.extend(config[next..=at].iter().map(merge));
                    next = at + 1;
                    next_shared += 1;
                }
                // It comes later, in the configuration's order, or has come already.
                Some(_) => {}
            }
        }
        out.extend(config[next..].iter().map(merge));
        out
    }

    fn removed(self, place: Place<'_>, value: &mut Value, set: &Map<String, Value>) {
        // What the set says of a child: nothing, that it goes, or what of it goes.
        let fate = |element: &str| set.get(element).map(parts);
        match (self.relation(place), value) {
            (Relation::Struct(schema), Value::Object(fields)) => {
                fields.retain(|name, value| match fate(&of_field(name)) {
                    Some((true, _)) => false,
                    Some((false, below)) => {
                        if let Some(field) = schema.field(name) {
                            self.removed(Place::of(field), value, below);
                        }
                        true
                    }
                    None => true,
                });
            }
            (Relation::Map(item), Value::Object(entries)) => {
                entries.retain(|name, value| match fate(&of_field(name)) {
                    Some((true, _)) => false,
                    Some((false, below)) => {
                        self.removed(Place::below(item), value, below);
                        true
                    }
                    None => true,
                });
            }
            (Relation::Items(item, keys), Value::Array(items)) => {
                items.retain_mut(|value| match self.element(item, &keys, value).as_deref().and_then(fate) {
                    Some((true, _)) => false,
                    Some((false, below)) => {
                        self.removed(Place::below(item), value, below);
                        true
                    }
                    None => true,
                });
            }
            _ => {}
        }
    }

    fn parents(self, place: Place<'_>, set: &Map<String, Value>, member: bool) -> Node {
        let mut node = Node { member, children: Map::new() };
        for (element, child) in children(set) {
            let (member, below) = parts(child);
            let name = element.strip_prefix("f:");
            let (found, named) = match (self.relation(place), name) {
                (Relation::Struct(schema), Some(name)) => match schema.field(name) {
                    Some(field) => (Some(Place::of(field)), true),
                    None => (None, false),
                },
                (Relation::Map(item) | Relation::Items(item, _), _) => (Some(Place::below(item)), false),
                _ => (None, false),
            };
            match found {
                Some(place) => node.add(element.clone(), self.parents(place, below, member || named)),
                None => drop(node.children.insert(element.clone(), child.clone())),
            }
        }
        node
    }
}

impl Field {
    /// What Go writes of a list or an object where nothing is set, if it writes something.
    fn always_there(&self, parent: &Value) -> Option<&'static Value> {
        match self.shape {
            _ if !parent.is_object() || self.pointer => None,
            Shape::Object(_) => Some(&EMPTY),
            Shape::Array(_) | Shape::Map(_) if !self.omit_empty => Some(&NULL),
            _ => None,
        }
    }
}

/// How a field is named in a path.
fn of_field(field: &str) -> String {
    ["f:", field].concat()
}

/// Null, and what has nothing in it.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The entries of two maps side by side.
fn pairs<'a>(
    old: &'a Map<String, Value>,
    new: &'a Map<String, Value>,
) -> impl Iterator<Item = (&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let both = new.iter().map(|(name, value)| (name.as_str(), old.get(name), Some(value)));
    let gone =
        old.iter().filter(|(name, _)| !new.contains_key(*name)).map(|(name, value)| (name.as_str(), Some(value), None));
    both.chain(gone)
}
