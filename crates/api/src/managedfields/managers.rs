//! The entries of `metadata.managedFields`: reading, changing and writing them.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::set::FieldSet;
use super::{Writer, unmanaged};
use crate::meta::metadata_mut;

/// Of those who update and don't apply, so many are kept apart.
const MAX_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    /// Empty where nobody has said.
    pub time: String,
    pub subresource: String,
    pub fields: FieldSet,
}

impl Entry {
    pub fn new(operation: Operation, writer: Writer<'_>, fields: FieldSet) -> Self {
        Self {
            manager: writer.manager.to_owned(),
            operation,
            api_version: writer.api_version.to_owned(),
            time: writer.time.to_owned(),
            subresource: writer.subresource.to_owned(),
            fields,
        }
    }

    /// The same manager, doing the same. Who applies is the same in every version.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        if text("fieldsType") != "FieldsV1" {
            return None;
        }
        let fields = FieldSet::read(value.get("fieldsV1").unwrap_or(&Value::Object(Map::new()))).ok()?;
        Some(Self {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            time: text("time"),
            subresource: text("subresource"),
            fields,
        })
    }

    fn into_json(self) -> Value {
        let mut entry = Map::new();
        let texts = [
            ("operation", self.operation.word().to_owned()),
            ("fieldsType", "FieldsV1".to_owned()),
            ("manager", self.manager),
            ("apiVersion", self.api_version),
            ("time", self.time),
            ("subresource", self.subresource),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        entry.extend(texts.map(|(field, text)| (field.to_owned(), text.into())));
        entry.insert("fieldsV1".into(), self.fields.into_json());
        entry.into()
    }

    fn order(&self, other: &Self) -> Ordering {
        fn key(entry: &Entry) -> (Operation, [&str; 4]) {
            (entry.operation, [&entry.time, &entry.manager, &entry.api_version, &entry.subresource])
        }
        key(self).cmp(&key(other))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Managers(Vec<Entry>);

impl Managers {
    /// Those of an object as it is stored.
    pub fn of(object: &Value) -> Self {
        let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
        Self(entries.filter_map(Entry::read).collect())
    }

    /// Those that a client has written into its object, if they can be used. One empty entry is the wish that all be forgotten.
    pub fn wanted(object: &Value) -> Option<Self> {
        let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array)?;
        if let [only] = entries.as_slice()
            && only.as_object().is_some_and(Map::is_empty)
        {
            return Some(Self::default());
        }
        let read: Option<Vec<Entry>> = entries.iter().map(Entry::read).collect();
        read.filter(|entries| !entries.is_empty()).map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub fn find(&self, like: &Entry) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.is_same_as(like))
    }

    /// These fields are nobody's any more but those of `except`.
    pub fn give_up(&mut self, fields: &FieldSet, except: Option<&Entry>) {
        if fields.is_empty() {
            return;
        }
        for entry in self.0.iter_mut().filter(|entry| except.is_none_or(|except| !entry.is_same_as(except))) {
            entry.fields.subtract(fields);
        }
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Adds to what the manager has.
    pub fn take(&mut self, entry: Entry) {
        match self.0.iter_mut().find(|own| own.is_same_as(&entry)) {
            Some(own) => {
                own.fields.unite(&entry.fields);
                own.time = entry.time;
            }
            None => self.0.push(entry),
        }
    }

    /// In the place of what the manager has.
    pub fn set(&mut self, entry: Entry) {
        self.0.retain(|own| !own.is_same_as(&entry));
        if !entry.fields.is_empty() {
            self.0.push(entry);
        }
    }

    /// The updates that are longest ago become one entry.
    pub fn cap(&mut self) {
        let updates = self.0.iter().filter(|entry| entry.operation == Operation::Update).count();
        if updates <= MAX_UPDATERS {
            return;
        }
        self.0.sort_by(Entry::order);
        // The entry that they become is one of those that stay.
        let mut surplus = updates - MAX_UPDATERS + 1;
        let (mut kept, mut ancient): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
        for entry in std::mem::take(&mut self.0) {
            if entry.operation == Operation::Apply || surplus == 0 {
                kept.push(entry);
                continue;
            }
            surplus -= 1;
            match ancient.iter_mut().find(|one| one.api_version == entry.api_version) {
                Some(one) => {
                    one.fields.unite(&entry.fields);
                    one.time = entry.time;
                }
                None => ancient.push(Entry { manager: ANCIENT.into(), subresource: String::new(), ..entry }),
            }
        }
        kept.extend(ancient);
        self.0 = kept;
    }

    pub fn write(mut self, object: &mut Value) {
        for entry in &mut self.0 {
            entry.fields.subtract(unmanaged());
        }
        self.0.retain(|entry| !entry.fields.is_empty());
        self.0.sort_by(Entry::order);
        let metadata = metadata_mut(object);
        match self.0.is_empty() {
            true => drop(metadata.remove("managedFields")),
            false => drop(metadata.insert("managedFields".into(), self.0.into_iter().map(Entry::into_json).collect())),
        }
    }
}
