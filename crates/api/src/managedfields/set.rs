//! Sets of fields, in the very form in which objects carry them (`FieldsV1`): a tree of path elements. No schema, no managers.
//!
//! An element is `f:` and a field's name, `k:` and the keys of an item, `v:` and the value of an item, or `i:` and its place. A node
//! without children is a member of the set; one with children is a member when it holds `.`.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Marks a node that has children as a member itself.
const SELF: &str = ".";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSet(pub(super) Map<String, Value>);

/// A node while it is built: what it is an entry of decides about its name.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub member: bool,
    pub children: Map<String, Value>,
}

impl Node {
    pub fn leaf() -> Self {
        Self { member: true, children: Map::new() }
    }

    pub fn add(&mut self, element: String, child: Node) {
        if let Some(child) = child.finish() {
            self.children.insert(element, child);
        }
    }

    /// Neither a member nor above one.
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    fn finish(self) -> Option<Value> {
        let mut children = self.children;
        match (self.member, children.is_empty()) {
            (false, true) => return None,
            (true, false) => drop(children.insert(SELF.into(), Value::Object(Map::new()))),
            _ => {}
        }
        Some(Value::Object(children))
    }
}

impl From<Node> for FieldSet {
    /// The object itself is no member.
    fn from(root: Node) -> Self {
        Self(root.children)
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum SetError {
    #[error("a set of fields must be an object")]
    NotAnObject,
    #[error("{0:?} is no path element: it must begin with f:, v:, k: or i:")]
    Element(String),
}

impl FieldSet {
    /// From `fieldsV1`, whoever wrote it.
    pub fn read(fields: &Value) -> Result<Self, SetError> {
        let fields = fields.as_object().ok_or(SetError::NotAnObject)?;
        let mut read = Map::new();
        for (element, below) in fields {
            let Self(below) = Self::read(below)?;
            if element == SELF {
                read.insert(SELF.into(), Value::Object(Map::new()));
            } else {
                read.insert(canonical(element)?, Value::Object(below));
            }
        }
        // A mark without children says nothing beside what the node says.
        if read.len() == 1 {
            read.remove(SELF);
        }
        Ok(Self(read))
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The set of these fields, by their names from the root.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let elements: Vec<String> = path.iter().map(|name| format!("f:{name}")).collect();
            let elements: Vec<&str> = elements.iter().map(String::as_str).collect();
            set.unite(&Self::of_path(&elements));
        }
        set
    }

    /// One member.
    pub(super) fn of_path(path: &[&str]) -> Self {
        let nest = |below, element: &&str| Map::from_iter([((*element).to_owned(), Value::Object(below))]);
        Self(path.iter().rev().fold(Map::new(), nest))
    }

    pub fn unite(&mut self, other: &Self) {
        unite(&mut self.0, &other.0);
    }

    /// What is in this one and not in the other.
    pub fn difference(mut self, other: &Self) -> Self {
        self.subtract(other);
        self
    }

    pub fn subtract(&mut self, other: &Self) {
        subtract(&mut self.0, &other.0, false);
    }

    pub fn intersection(&self, other: &Self) -> Self {
        common(&self.0, &other.0).into()
    }

    /// Without the members of the other one and all that is below them.
    pub fn without(mut self, other: &Self) -> Self {
        subtract(&mut self.0, &other.0, true);
        self
    }

    /// The members, each by the elements of its path.
    pub fn members(&self) -> Vec<Vec<&str>> {
        fn walk<'a>(children: &'a Map<String, Value>, path: &mut Vec<&'a str>, found: &mut Vec<Vec<&'a str>>) {
            for (element, node) in children.iter().filter(|(element, _)| *element != SELF) {
                path.push(element);
                let (member, below) = parts(node);
                if member {
                    found.push(path.clone());
                }
                walk(below, path, found);
                path.pop();
            }
        }
        let mut found = Vec::new();
        walk(&self.0, &mut Vec::new(), &mut found);
        found
    }
}

/// Whether a node is a member, and what is below it.
pub(super) fn parts(node: &Value) -> (bool, &Map<String, Value>) {
    let children = fields(node);
    (children.is_empty() || children.contains_key(SELF), children)
}

/// The fields of an object; none of what is no object.
pub(super) fn fields(value: &Value) -> &Map<String, Value> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    value.as_object().unwrap_or(&NONE)
}

/// The children of a node, without the mark.
pub(super) fn children(of: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    of.iter().filter(|(element, _)| *element != SELF)
}

fn unite(into: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (element, node) in children(other) {
        let Some(own) = into.get_mut(element).and_then(Value::as_object_mut) else {
            into.insert(element.clone(), node.clone());
            continue;
        };
        let member = own.is_empty() || own.contains_key(SELF);
        let (also, below) = parts(node);
        unite(own, below);
        own.remove(SELF);
        if (member || also) && !own.is_empty() {
            own.insert(SELF.into(), Value::Object(Map::new()));
        }
    }
}

/// Takes the members of the other tree out of this one; `below`: and all that is below them.
fn subtract(from: &mut Map<String, Value>, other: &Map<String, Value>, below: bool) {
    for (element, node) in children(other) {
        let Some(Value::Object(own)) = from.get_mut(element) else { continue };
        let (others, their) = parts(node);
        if others && below {
            from.remove(element);
            continue;
        }
        let member = (own.is_empty() || own.remove(SELF).is_some()) && !others;
        subtract(own, their, below);
        match (member, own.is_empty()) {
            (false, true) => drop(from.remove(element)),
            (true, false) => drop(own.insert(SELF.into(), Value::Object(Map::new()))),
            _ => {}
        }
    }
}

/// What both trees have.
fn common(own: &Map<String, Value>, other: &Map<String, Value>) -> Node {
    let mut node = Node::default();
    for (element, child) in children(own) {
        let Some((others, below)) = other.get(element).map(parts) else { continue };
        let (member, children) = parts(child);
        node.add(element.clone(), Node { member: member && others, ..common(children, below) });
    }
    node
}

/// Go writes the keys of an item in the order of their names; others may not.
fn canonical(element: &str) -> Result<String, SetError> {
    let wrong = || SetError::Element(element.chars().take(200).collect());
    let (kind, rest) = element.split_once(':').ok_or_else(wrong)?;
    match kind {
        "f" => Ok(element.to_owned()),
        "i" => rest.parse::<u32>().map(|at| format!("i:{at}")).map_err(|_| wrong()),
        "v" => serde_json::from_str::<Value>(rest).map(|value| format!("v:{value}")).map_err(|_| wrong()),
        "k" => match serde_json::from_str::<Value>(rest) {
            Ok(keys) if keys.is_object() => Ok(format!("k:{keys}")),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

/// A path as messages show it: `.spec.containers[name="web"].image`.
pub fn shown(path: &[&str]) -> String {
    let mut text = String::new();
    for element in path {
        let (kind, rest) = element.split_once(':').unwrap_or(("f", element));
        match kind {
            "f" => text.push_str(&format!(".{rest}")),
            "v" => text.push_str(&format!("[={rest}]")),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                text.push_str(&format!("[{}]", keys.join(",")));
            }
            _ => text.push_str(&format!("[{rest}]")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(json: Value) -> FieldSet {
        FieldSet::read(&json).unwrap()
    }

    #[test]
    fn sets_are_united_subtracted_and_intersected() {
        let a = set(json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}, "f:d": {}}));
        let b = set(json!({"f:a": {"f:b": {}}, "f:e": {"f:f": {}}}));
        let mut both = a.clone();
        both.unite(&b);
        assert_eq!(both, set(json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}, "f:d": {}, "f:e": {"f:f": {}}})));
        assert_eq!(a.clone().difference(&b), set(json!({"f:a": {".": {}, "f:c": {}}, "f:d": {}})));
        assert_eq!(b.clone().difference(&a), set(json!({"f:e": {"f:f": {}}})));
        assert_eq!(a.intersection(&b), set(json!({"f:a": {"f:b": {}}})));
        assert_eq!(a.clone().difference(&a), FieldSet::default());
        // A member without children and one with are the same member.
        assert_eq!(set(json!({"f:a": {}})).intersection(&a), set(json!({"f:a": {}})));
        assert_eq!(
            a.clone().difference(&set(json!({"f:a": {}}))),
            set(json!({"f:a": {"f:b": {}, "f:c": {}}, "f:d": {}}))
        );
        let mut lone = set(json!({"f:a": {}}));
        lone.unite(&b);
        assert_eq!(lone, set(json!({"f:a": {".": {}, "f:b": {}}, "f:e": {"f:f": {}}})));
    }

    #[test]
    fn whole_subtrees_are_left_out() {
        let all = set(json!({"f:status": {"f:phase": {}}, "f:spec": {".": {}, "f:x": {}, "f:y": {"f:z": {}}}}));
        let ignored = FieldSet::of_fields(&[&["status"], &["spec", "y"]]);
        assert_eq!(all.without(&ignored), set(json!({"f:spec": {".": {}, "f:x": {}}})));
    }

    #[test]
    fn what_clients_write_is_checked_and_made_canonical() {
        let read = set(json!({"f:ports": {"k:{\"protocol\":\"TCP\", \"containerPort\":80}": {".": {}}}}));
        assert_eq!(read.into_json(), json!({"f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {}}}));
        for wrong in [json!({"x": {}}), json!({"q:a": {}}), json!({"k:1": {}}), json!({"i:a": {}}), json!({"v:": {}})] {
            assert!(matches!(FieldSet::read(&wrong), Err(SetError::Element(_))), "{wrong}");
        }
        assert_eq!(FieldSet::read(&json!({"f:a": 1})), Err(SetError::NotAnObject));
    }

    #[test]
    fn paths_are_shown_as_upstreams() {
        let set = set(
            json!({"f:spec": {"f:c": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}}, "f:f": {"v:\"a\"": {}, "i:3": {}}}}),
        );
        let paths: Vec<String> = set.members().iter().map(|path| shown(path)).collect();
        assert_eq!(
            paths,
            [
                ".spec.c[containerPort=80,protocol=\"TCP\"]",
                ".spec.c[containerPort=80,protocol=\"TCP\"].name",
                ".spec.f[3]",
                ".spec.f[=\"a\"]"
            ]
        );
    }
}
