//! Objects in protobuf, as typed Go clients send them: driven by the same schema as JSON.
//!
//! A body is the four bytes `k8s\0` and a `runtime.Unknown`, whose raw part is the object's own message.

use base64::Engine;
use serde_json::{Map, Number, Value};

mod write;

use super::{Field, ObjectSchema, Schemas, Shape, TypeId};

use crate::budget::{Budget, DecodeError, deep_enough, size};
pub use write::{envelope, list, partial, partial_list, watch_frame};

pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ProtobufError {
    #[error("the body does not begin with the four bytes k8s\\0")]
    Magic,
    #[error("the body ends within a field of {0}")]
    Truncated(String),
    #[error("{kind} in version {api_version:?} is not known")]
    UnknownKind { api_version: String, kind: String },
    #[error("{path}: {what}")]
    Field { path: String, what: &'static str },
    #[error(transparent)]
    Budget(#[from] DecodeError),
}

impl From<ProtobufError> for DecodeError {
    fn from(error: ProtobufError) -> Self {
        match error {
            ProtobufError::Budget(error) => error,
            error => Self::Malformed(error.to_string()),
        }
    }
}

impl Schemas {
    /// The document with `apiVersion` and `kind`, before it is fitted.
    pub fn read_protobuf(&self, body: &[u8]) -> Result<Value, ProtobufError> {
        let body = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
        let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
        for part in Wire(body) {
            let (number, value) = part.map_err(|()| ProtobufError::Truncated("runtime.Unknown".into()))?;
            match (number, value) {
                (1, Part::Bytes(meta)) => {
                    for part in Wire(meta) {
                        let (number, value) = part.map_err(|()| ProtobufError::Truncated("TypeMeta".into()))?;
                        match (number, value) {
                            (1, Part::Bytes(text)) => api_version = String::from_utf8_lossy(text).into_owned(),
                            (2, Part::Bytes(text)) => kind = String::from_utf8_lossy(text).into_owned(),
                            _ => {}
                        }
                    }
                }
                (2, Part::Bytes(bytes)) => raw = bytes,
                _ => {}
            }
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let Some(id) = self.of_kind(group, version, &kind) else {
            return Err(ProtobufError::UnknownKind { api_version, kind });
        };
        let mut document = self.message(id, raw, &kind, 0, &mut Budget::default())?;
        document.insert("apiVersion".into(), api_version.into());
        document.insert("kind".into(), kind.into());
        Ok(Value::Object(document))
    }

    fn message(
        &self,
        id: TypeId,
        bytes: &[u8],
        path: &str,
        depth: usize,
        budget: &mut Budget,
    ) -> Result<Map<String, Value>, ProtobufError> {
        let mut fields = Map::new();
        self.fields(self.get(id), bytes, path, depth, budget, &mut fields)?;
        Ok(fields)
    }

    fn fields(
        &self,
        schema: &ObjectSchema,
        bytes: &[u8],
        path: &str,
        depth: usize,
        budget: &mut Budget,
        into: &mut Map<String, Value>,
    ) -> Result<(), ProtobufError> {
        deep_enough(depth)?;
        budget.node(0)?;
        for part in Wire(bytes) {
            let (number, part) = part.map_err(|()| ProtobufError::Truncated(path.to_owned()))?;
            // In protobuf an inline type is a message of its own; in JSON its fields stand in the outer one.
            if let Some(inline) = schema.inlines.iter().find(|inline| inline.number == number) {
                let Part::Bytes(bytes) = part else { continue };
                self.fields(self.get(inline.schema), bytes, path, depth + 1, budget, into)?;
                continue;
            }
            let Some(field) = schema.own_field(number) else { continue };
            self.field(field, part, path, depth, budget, into)?;
        }
        Ok(())
    }

    fn field(
        &self,
        field: &Field,
        part: Part<'_>,
        path: &str,
        depth: usize,
        budget: &mut Budget,
        into: &mut Map<String, Value>,
    ) -> Result<(), ProtobufError> {
        let path = format!("{path}.{}", field.name);
        match &field.shape {
            Shape::Array(item) => {
                let list = into.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(list) = list else { return Ok(()) };
                match (&**item, part) {
                    // Numbers of one list may be packed into one part.
                    (Shape::Int32 | Shape::Int64, Part::Bytes(packed)) => {
                        let mut rest = packed;
                        while !rest.is_empty() {
                            let number = varint(&mut rest).map_err(|()| ProtobufError::Truncated(path.clone()))?;
                            budget.node(0)?;
                            list.push((number as i64).into());
                        }
                    }
                    (item, part) => list.push(self.value(item, part, &path, depth, budget)?),
                }
            }
            Shape::Map(item) => {
                let Part::Bytes(entry) = part else { return Ok(()) };
                let (mut key, mut value) = (String::new(), None);
                for part in Wire(entry) {
                    let (number, part) = part.map_err(|()| ProtobufError::Truncated(path.clone()))?;
                    match (number, part) {
                        (1, Part::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
                        (2, part) => value = Some(self.value(item, part, &path, depth, budget)?),
                        _ => {}
                    }
                }
                let value = match value {
                    Some(value) => value,
                    None => self.value(item, Part::Bytes(&[]), &path, depth, budget)?,
                };
                let map = into.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(map) = map {
                    budget.node(key.len())?;
                    map.insert(key, value);
                }
            }
            shape => {
                let value = self.value(shape, part, &path, depth, budget)?;
                into.insert(field.name.into(), value);
            }
        }
        Ok(())
    }

    fn value(
        &self,
        shape: &Shape,
        part: Part<'_>,
        path: &str,
        depth: usize,
        budget: &mut Budget,
    ) -> Result<Value, ProtobufError> {
        budget.node(match &part {
            Part::Bytes(bytes) if !matches!(shape, Shape::Object(_)) => bytes.len(),
            _ => 0,
        })?;
        let wrong = |what| ProtobufError::Field { path: path.to_owned(), what };
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map(Value::String).map_err(|_| wrong("is not UTF-8"));
        match (shape, part) {
            (Shape::Bool, Part::Number(number)) => Ok(Value::Bool(number != 0)),
            (Shape::Int32, Part::Number(number)) => Ok(Value::from(number as i32)),
            (Shape::Int64, Part::Number(number)) => Ok(Value::from(number as i64)),
            (Shape::Double, Part::Fixed(bits)) => {
                Ok(Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number))
            }
            (Shape::String, Part::Bytes(bytes)) => text(bytes),
            (Shape::Bytes, Part::Bytes(bytes)) => {
                Ok(Value::String(base64::engine::general_purpose::STANDARD.encode(bytes)))
            }
            (Shape::Object(id), Part::Bytes(bytes)) => {
                self.message(*id, bytes, path, depth + 1, budget).map(Value::Object)
            }
            (shape @ (Shape::Raw | Shape::Json), Part::Bytes(bytes)) => {
                let value = scalar_message(shape, bytes, path)?;
                let size = size(&value);
                deep_enough(depth + size.depth)?;
                budget.take(size)?;
                Ok(value)
            }
            (shape, Part::Bytes(bytes)) => scalar_message(shape, bytes, path),
            _ => Err(wrong("has another wire type than its schema says")),
        }
    }
}

/// Types that are a scalar in JSON and a message in protobuf.
fn scalar_message(shape: &Shape, bytes: &[u8], path: &str) -> Result<Value, ProtobufError> {
    let wrong = |what| ProtobufError::Field { path: path.to_owned(), what };
    let (mut numbers, mut texts) = ([0i64; 4], [&[][..]; 4]);
    for part in Wire(bytes) {
        let (number, part) = part.map_err(|()| ProtobufError::Truncated(path.to_owned()))?;
        match (number, part) {
            (at @ 1..=3, Part::Number(number)) => numbers[at as usize] = number as i64,
            (at @ 1..=3, Part::Bytes(text)) => texts[at as usize] = text,
            _ => {}
        }
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| wrong("is not UTF-8"));
    match shape {
        Shape::Quantity => text(texts[1]).map(Value::String),
        Shape::IntOrString if numbers[1] == 0 => Ok(Value::from(numbers[2] as i32)),
        Shape::IntOrString => text(texts[3]).map(Value::String),
        // Go's zero time is absent.
        Shape::Time | Shape::MicroTime if bytes.is_empty() => Ok(Value::Null),
        Shape::Time | Shape::MicroTime => {
            let time = jiff::Timestamp::new(numbers[1], numbers[2] as i32).map_err(|_| wrong("is not a time"))?;
            let format = if *shape == Shape::Time { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%6fZ" };
            Ok(Value::String(time.strftime(format).to_string()))
        }
        Shape::Duration => Ok(Value::String(format!("{}ns", numbers[1]))),
        Shape::Raw | Shape::Json => {
            serde_json::from_slice(texts[1]).map_err(|_| wrong("holds something that is not JSON"))
        }
        _ => Err(wrong("has another wire type than its schema says")),
    }
}

enum Part<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// The parts of a message. An error ends it.
struct Wire<'a>(&'a [u8]);

impl<'a> Iterator for Wire<'a> {
    type Item = Result<(u32, Part<'a>), ()>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = part(&mut self.0);
        if part.is_err() {
            self.0 = &[];
        }
        Some(part)
    }
}

fn part<'a>(rest: &mut &'a [u8]) -> Result<(u32, Part<'a>), ()> {
    let tag = varint(rest)?;
    let number = u32::try_from(tag >> 3).map_err(|_| ())?;
    let value = match tag & 7 {
        0 => Part::Number(varint(rest)?),
        1 => Part::Fixed(u64::from_le_bytes(take(rest, 8)?.try_into().map_err(|_| ())?)),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| ())?;
            Part::Bytes(take(rest, length)?)
        }
        5 => {
            let bytes: [u8; 4] = take(rest, 4)?.try_into().map_err(|_| ())?;
            Part::Fixed(f64::from(f32::from_le_bytes(bytes)).to_bits())
        }
        _ => return Err(()),
    };
    Ok((number, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], ()> {
    let (taken, left) = rest.split_at_checked(length).ok_or(())?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, ()> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(())
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::*;
    use serde_json::json;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, bytes.len() as u8];
        out.extend_from_slice(bytes);
        out
    }

    fn body(kind: &str, raw: Vec<u8>) -> Vec<u8> {
        let meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, &raw)].concat()
    }

    #[test]
    fn a_config_map_and_a_pod_with_inline_volume() {
        let entry = [field(1, b"k"), field(2, b"v")].concat();
        let raw = [field(1, &field(1, b"name")), field(2, &entry)].concat();
        assert_eq!(
            builtin().read_protobuf(&body("ConfigMap", raw)).unwrap(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "name"}, "data": {"k": "v"}})
        );
        // spec(2).volumes(1) with name(1) and, inline(2), hostPath(1).path(1); containerPort of a container's port.
        let volume = [field(1, b"v"), field(2, &field(1, &field(1, b"/x")))].concat();
        let port = vec![3 << 3, 80];
        let container = [field(1, b"c"), field(6, &port)].concat();
        let spec = [field(1, &volume), field(2, &container), vec![4 << 3, 30]].concat();
        let pod = builtin().read_protobuf(&body("Pod", field(2, &spec))).unwrap();
        assert_eq!(
            pod["spec"],
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}],
                "containers": [{"name": "c", "ports": [{"containerPort": 80}]}], "terminationGracePeriodSeconds": 30})
        );
    }

    #[test]
    fn garbage_is_an_error() {
        for garbage in [&b"{}"[..], b"k8s\0\xff", b"k8s\0\x0a\xff\xff\xff\xff\x7f", b"k8s\0"] {
            assert!(builtin().read_protobuf(garbage).is_err(), "{garbage:?}");
        }
    }
}
