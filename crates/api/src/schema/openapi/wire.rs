//! The OpenAPI version 2 document in protobuf (`openapi.v2.Document` of the gnostic project), which upstream's
//! kubectl asks for. Only the parts that our documents have are written; the numbers are the fields' numbers there.

use serde_json::{Map, Value};

/// The document that [`super::v2`] made, in protobuf.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    out.message(8, |paths| {
        named(paths, 2, &document["paths"], path);
    });
    out.message(9, |definitions| named(definitions, 1, &document["definitions"], schema));
    out.0
}

#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
    fn text(&mut self, number: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(number, text.as_bytes());
        }
    }
    fn texts(&mut self, number: u64, value: &Value) {
        value.as_array().into_iter().flatten().for_each(|text| self.text(number, text));
    }
    fn flag(&mut self, number: u64, value: &Value) {
        if value == &Value::Bool(true) {
            self.varint(number << 3);
            self.varint(1);
        }
    }
    fn message(&mut self, number: u64, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// A map as a list of name and value.
fn named(out: &mut Message, number: u64, map: &Value, write: fn(&mut Message, &Value)) {
    for (name, value) in fields(map) {
        out.message(number, |entry| {
            entry.bytes(1, name.as_bytes());
            entry.message(2, |inner| write(inner, value));
        });
    }
}

/// Any value travels as YAML text, and JSON is YAML.
fn any(out: &mut Message, value: &Value) {
    out.bytes(2, value.to_string().as_bytes());
}

fn extensions(out: &mut Message, number: u64, object: &Value) {
    for (name, value) in fields(object).filter(|(name, _)| name.starts_with("x-")) {
        out.message(number, |entry| {
            entry.bytes(1, name.as_bytes());
            entry.message(2, |inner| any(inner, value));
        });
    }
}

fn path(out: &mut Message, path: &Value) {
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(value) = path.get(method) {
            out.message(number, |inner| operation(inner, value));
        }
    }
    parameters(out, 9, &path["parameters"]);
}

fn operation(out: &mut Message, operation: &Value) {
    out.text(5, &operation["operationId"]);
    out.texts(6, &operation["produces"]);
    out.texts(7, &operation["consumes"]);
    parameters(out, 8, &operation["parameters"]);
    out.message(9, |responses| {
        for (code, response) in fields(&operation["responses"]) {
            responses.message(1, |entry| {
                entry.bytes(1, code.as_bytes());
                entry.message(2, |value| {
                    value.message(1, |inner| {
                        inner.text(1, &response["description"]);
                        inner.message(2, |item| item.message(1, |inner| schema(inner, &response["schema"])));
                    });
                });
            });
        }
    });
    out.texts(10, &operation["schemes"]);
    extensions(out, 13, operation);
}

fn parameters(out: &mut Message, number: u64, list: &Value) {
    for parameter in list.as_array().into_iter().flatten() {
        out.message(number, |item| {
            item.message(1, |inner| match parameter["in"].as_str() {
                Some("body") => inner.message(1, |body| {
                    body.text(2, &parameter["name"]);
                    body.text(3, &parameter["in"]);
                    body.flag(4, &parameter["required"]);
                    body.message(5, |inner| schema(inner, &parameter["schema"]));
                }),
                place => inner.message(2, |other| {
                    // Query parameters are the third form and those in the path the fourth.
                    let (form, kind, unique) = if place == Some("query") { (3, 6, 20) } else { (4, 5, 19) };
                    other.message(form, |inner| {
                        inner.flag(1, &parameter["required"]);
                        inner.text(2, &parameter["in"]);
                        inner.text(3, &parameter["description"]);
                        inner.text(4, &parameter["name"]);
                        inner.text(kind, &parameter["type"]);
                        inner.flag(unique, &parameter["uniqueItems"]);
                    });
                }),
            });
        });
    }
}

fn schema(out: &mut Message, value: &Value) {
    out.text(1, &value["$ref"]);
    out.text(2, &value["format"]);
    out.text(4, &value["description"]);
    if let Some(default) = value.get("default") {
        out.message(5, |inner| any(inner, default));
    }
    out.texts(19, &value["required"]);
    if let Some(item) = value.get("additionalProperties") {
        out.message(21, |either| either.message(1, |inner| schema(inner, item)));
    }
    if let Some(kind) = value.get("type") {
        out.message(22, |item| item.text(1, kind));
    }
    if let Some(item) = value.get("items") {
        out.message(23, |items| items.message(1, |inner| schema(inner, item)));
    }
    if let Some(properties) = value.get("properties") {
        out.message(25, |inner| named(inner, 1, properties, schema));
    }
    extensions(out, 31, value);
}
