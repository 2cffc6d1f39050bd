//! From the bytes of a body to a document that fits its schema: duplicates and unknown fields are found, types
//! are checked, what Go would not write is dropped, structural defaults are filled in.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{ObjectSchema, Schemas, Shape, TypeId};
use crate::budget::{Budget, DecodeError, deep_enough};
use crate::quantity::canonical;

/// Findings of one kind that are told; a client that sends more has seen enough.
const MAX_FINDINGS: usize = 100;
/// Of a name in a path this much is shown.
const MAX_NAME: usize = 200;

/// Reads JSON. Of a field that occurs twice the last value counts, as in Go; `duplicates` tells their paths.
pub fn read_json(bytes: &[u8], duplicates: &mut Vec<String>) -> Result<Value, DecodeError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut reading = Reading { duplicates, path: Vec::new(), budget: Budget::default(), refused: None };
    let value = Reader(&mut reading).deserialize(&mut reader);
    if let Some(refused) = reading.refused {
        return Err(refused);
    }
    let value = value.map_err(|e| DecodeError::Malformed(e.to_string()))?;
    reader.end().map_err(|e| DecodeError::Malformed(e.to_string()))?;
    Ok(value)
}

struct Reading<'a> {
    duplicates: &'a mut Vec<String>,
    path: Vec<Part>,
    budget: Budget,
    /// What made the budget end the reading; the reader's own error would not tell the two apart.
    refused: Option<DecodeError>,
}

impl Reading<'_> {
    fn spend<E: serde::de::Error>(&mut self, text: usize) -> Result<(), E> {
        let deep = deep_enough(self.path.len() + 1);
        deep.and_then(|()| self.budget.node(text)).map_err(|refused| {
            let error = E::custom(&refused);
            self.refused = Some(refused);
            error
        })
    }
}

struct Reader<'a, 'b>(&'a mut Reading<'b>);

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(Value::Null)
    }
    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(value.into())
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(value.into())
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.0.spend(0)?;
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.spend(value.len())?;
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.0.spend(value.len())?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.0.spend(0)?;
        let mut items = Vec::new();
        loop {
            self.0.path.push(Part::Index(items.len()));
            let item = seq.next_element_seed(Reader(self.0))?;
            self.0.path.pop();
            match item {
                Some(item) => items.push(item),
                None => break,
            }
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.0.spend(0)?;
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            self.0.spend(name.len())?;
            if fields.contains_key(&name) {
                let inner = [Part::Name(name.clone())];
                note(self.0.duplicates, self.0.path.iter().chain(&inner));
            }
            self.0.path.push(Part::Name(name));
            let value = map.next_value_seed(Reader(self.0))?;
            if let Some(Part::Name(name)) = self.0.path.pop() {
                fields.insert(name, value);
            }
        }
        Ok(Value::Object(fields))
    }
}

/// One step of a path.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Name(String),
    Index(usize),
}

/// Adds a path to what was found, as long as there are not too many.
pub(crate) fn note<'a>(found: &mut Vec<String>, path: impl Iterator<Item = &'a Part>) {
    if found.len() < MAX_FINDINGS {
        found.push(dotted(path));
    }
}

fn dotted<'a>(path: impl Iterator<Item = &'a Part>) -> String {
    let mut text = String::new();
    for part in path {
        match part {
            Part::Name(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.extend(name.chars().take(MAX_NAME));
            }
            Part::Index(at) => text.push_str(&format!("[{at}]")),
        }
    }
    text
}

/// What [`Schemas::fit`] found.
#[derive(Debug, Default, PartialEq)]
pub struct Findings {
    /// Paths of fields that the type does not have. They were dropped.
    pub unknown: Vec<String>,
    /// The document cannot be read as its type.
    pub wrong: Vec<WrongType>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{path}: expected {expected}, got {got}")]
pub struct WrongType {
    pub path: String,
    pub expected: &'static str,
    pub got: String,
}

impl Schemas {
    /// Makes a document fit its type: drops nulls, unknown fields and what Go omits, and fills in defaults.
    pub fn fit(&self, id: TypeId, document: &mut Value) -> Findings {
        let mut fitting = Fitting { schemas: self, path: Vec::new(), findings: Findings::default(), partial: false };
        fitting.value(&Shape::Object(id), document);
        fitting.findings
    }

    /// Finds the same in a document that tells a part of an object. Nothing is dropped or filled in; numbers and quantities get their form.
    pub fn check(&self, id: TypeId, document: &mut Value) -> Findings {
        let mut fitting = Fitting { schemas: self, path: Vec::new(), findings: Findings::default(), partial: true };
        fitting.value(&Shape::Object(id), document);
        fitting.findings
    }
}

struct Fitting<'a> {
    schemas: &'a Schemas,
    path: Vec<Part>,
    findings: Findings,
    /// What is missing is meant to be missing, and what is empty to be empty.
    partial: bool,
}

impl Fitting<'_> {
    /// The path is only spelled out when there is something to say, but it must be known by then.
    fn within(&mut self, step: Part, walk: impl FnOnce(&mut Self)) {
        self.path.push(step);
        walk(self);
        self.path.pop();
    }

    fn wrong(&mut self, shape: &Shape, value: &Value) {
        let got = match value {
            Value::Null => "null".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            Value::String(text) if text.len() > MAX_NAME => "a long text".to_owned(),
            // YAML reads `yes`, `1` and `null` as other things than texts, and people mean texts.
            scalar if matches!(shape, Shape::String) => format!("{scalar} (put it in quotes to make it a string)"),
            scalar => scalar.to_string(),
        };
        if self.findings.wrong.len() < MAX_FINDINGS {
            let path = dotted(self.path.iter());
            self.findings.wrong.push(WrongType { path, expected: shape.expected(), got });
        }
    }

    fn value(&mut self, shape: &Shape, value: &mut Value) {
        match (shape, &mut *value) {
            (Shape::Object(id), Value::Object(fields)) => self.object(self.schemas.get(*id), fields),
            (Shape::Array(item), Value::Array(items)) => {
                for (at, entry) in items.iter_mut().enumerate() {
                    if scalar_fits(item, entry) {
                        continue;
                    }
                    self.within(Part::Index(at), |walk| walk.value(item, entry));
                }
            }
            (Shape::Map(item), Value::Object(entries)) => {
                for (name, entry) in entries.iter_mut() {
                    // Go reads null as the zero value.
                    if entry.is_null() && matches!(**item, Shape::String | Shape::Bytes) {
                        *entry = Value::String(String::new());
                    }
                    if scalar_fits(item, entry) {
                        continue;
                    }
                    self.within(Part::Name(name.clone()), |walk| walk.value(item, entry));
                }
            }
            (shape, value) if scalar_fits(shape, value) => {}
            (Shape::Quantity, Value::String(text)) => match canonical(text) {
                Ok(form) => *value = Value::String(form),
                Err(_) => self.wrong(shape, value),
            },
            (Shape::Quantity, Value::Number(number)) => match canonical(&number.to_string()) {
                Ok(form) => *value = Value::String(form),
                Err(_) => self.wrong(shape, value),
            },
            (Shape::Int32 | Shape::Int64, Value::Number(number)) => match whole(number) {
                Some(whole) if matches!(shape, Shape::Int64) || i32::try_from(whole).is_ok() => *value = whole.into(),
                _ => self.wrong(shape, value),
            },
            _ => self.wrong(shape, value),
        }
    }

    fn object(&mut self, schema: &ObjectSchema, fields: &mut Map<String, Value>) {
        let mut drop: Vec<String> = Vec::new();
        for (name, value) in fields.iter_mut() {
            let Some(field) = schema.field(name) else {
                let inner = [Part::Name(name.clone())];
                note(&mut self.findings.unknown, self.path.iter().chain(&inner));
                drop.push(name.clone());
                continue;
            };
            if value.is_null() {
                drop.push(name.clone());
                continue;
            }
            if !scalar_fits(&field.shape, value) {
                self.within(Part::Name(field.name.to_owned()), |walk| walk.value(&field.shape, value));
            }
            if field.omit_empty && !self.partial && is_zero(&field.shape, value) {
                drop.push(name.clone());
            }
        }
        if self.partial {
            return;
        }
        for name in drop {
            fields.remove(&name);
        }
        if schema.has_defaults {
            for field in schema.fields.iter() {
                if let Some(default) = &field.default
                    && !fields.contains_key(field.name)
                {
                    fields.insert(field.name.to_owned(), default.clone());
                }
            }
        }
    }
}

/// A scalar that needs no change and nothing to be said of it: the common case, without a path.
fn scalar_fits(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::String, Value::String(_)) | (Shape::Bool, Value::Bool(_)) | (Shape::Json, _) => true,
        (Shape::Raw, Value::Object(_)) | (Shape::Double, Value::Number(_)) => true,
        (Shape::IntOrString, Value::String(_)) => true,
        (Shape::Int32 | Shape::IntOrString, Value::Number(n)) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        (Shape::Int64, Value::Number(n)) => n.as_i64().is_some(),
        (Shape::Quantity, Value::String(text)) => canonical(text).is_ok_and(|form| form == *text),
        (Shape::Time | Shape::MicroTime, Value::String(text)) => text.parse::<jiff::Timestamp>().is_ok(),
        (Shape::Duration, Value::String(_)) => true,
        (Shape::Bytes, Value::String(text)) => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        _ => false,
    }
}

fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9e15).map(|n| n as i64))
}

/// What Go's `omitempty` leaves out. An object that is not a map is never empty to Go.
fn is_zero(shape: &Shape, value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty() && !matches!(shape, Shape::IntOrString),
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0) && !matches!(shape, Shape::IntOrString),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty() && matches!(shape, Shape::Map(_)),
        Value::Null => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;
    use serde_json::json;

    fn fit(kind: &str, mut document: Value) -> (Value, Findings) {
        let id = builtin().of_kind("", "v1", kind).unwrap();
        let findings = builtin().fit(id, &mut document);
        (document, findings)
    }

    #[test]
    fn duplicates_are_told_by_path_and_the_last_counts() {
        let mut duplicates = Vec::new();
        let value = read_json(br#"{"a":[{"b":1,"b":2}],"a2":1}"#, &mut duplicates).unwrap();
        assert_eq!(value, json!({"a": [{"b": 2}], "a2": 1}));
        assert_eq!(duplicates, ["a[0].b"]);
    }

    #[test]
    fn garbage_and_depth_are_refused() {
        let read = |text: &str| read_json(text.as_bytes(), &mut Vec::new()).map_err(|e| e.to_string());
        assert!(read("{").unwrap_err().contains("EOF"));
        assert!(read("{} {}").is_err());
        assert!(read(&"[".repeat(100_000)).unwrap_err().contains("nested deeper than 100"));
        assert!(read(&format!("[{}]", "0,".repeat(500_000) + "0")).unwrap_err().contains("more than 400000 values"));
    }

    #[test]
    fn unknown_fields_are_found_and_dropped_and_defaults_filled_in() {
        let (pod, findings) = fit(
            "Pod",
            json!({"metadata": {"creationTimestamp": null, "name": "x"}, "spec": {"nodeName": "", "containers": [
                {"name": "c", "imag": "y", "resources": {"limits": {"cpu": 1, "memory": "0.5Gi", "example.com/x": 1e3}}, "ports": [{"containerPort": 80}]}]}}),
        );
        assert_eq!(findings.unknown, ["spec.containers[0].imag"]);
        assert_eq!(findings.wrong, []);
        assert_eq!(pod["metadata"], json!({"name": "x"}));
        assert!(pod["spec"].get("nodeName").is_none());
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["resources"]["limits"], json!({"cpu": "1", "memory": "512Mi", "example.com/x": "1k"}));
        assert_eq!(container["ports"][0]["protocol"], "TCP");
        assert_eq!(container["terminationMessagePolicy"], "File");
    }

    #[test]
    fn wrong_types_are_told_by_path() {
        let (_, findings) = fit(
            "Pod",
            json!({"metadata": {"labels": {"a": 1}}, "spec": {"containers": {"name": "c"}, "hostNetwork": "yes"}}),
        );
        let wrong: Vec<String> = findings.wrong.iter().map(ToString::to_string).collect();
        assert_eq!(
            wrong,
            [
                "metadata.labels.a: expected a string, got 1 (put it in quotes to make it a string)",
                "spec.containers: expected a list, got an object",
                "spec.hostNetwork: expected a boolean, got \"yes\"",
            ]
        );
    }
}
