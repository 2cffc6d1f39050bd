//! Documents as protobuf messages, for typed Go clients. What a document has is written; what it lacks is the zero value there.

use base64::Engine;
use serde_json::{Map, Value};

use super::MAGIC;
use crate::schema::{ObjectSchema, Schemas, Shape, TypeId, builtin};

impl Schemas {
    /// The message of an object, without the envelope that tells its kind. The document was fitted to the schema.
    pub fn write_protobuf(&self, id: TypeId, document: &Value) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        if let Value::Object(fields) = document {
            self.write_fields(self.get(id), fields, &mut out);
        }
        out
    }

    fn write_fields(&self, schema: &ObjectSchema, fields: &Map<String, Value>, out: &mut Vec<u8>) {
        let outside = |name: &str| schema.is_root() && matches!(name, "kind" | "apiVersion");
        for field in schema.fields.iter().filter(|field| !field.inlined && !outside(field.name)) {
            if let Some(value) = fields.get(field.name) {
                self.write_field(field.number, &field.shape, value, out);
            }
        }
        for inline in &schema.inlines {
            let mut message = Vec::new();
            self.write_fields(self.get(inline.schema), fields, &mut message);
            bytes(inline.number, &message, out);
        }
    }

    fn write_field(&self, number: u32, shape: &Shape, value: &Value, out: &mut Vec<u8>) {
        match (shape, value) {
            (_, Value::Null) => {}
            (Shape::Array(item), Value::Array(items)) => {
                items.iter().for_each(|value| self.write_field(number, item, value, out));
            }
            (Shape::Map(item), Value::Object(entries)) => {
                for (name, value) in entries {
                    let mut entry = Vec::new();
                    bytes(1, name.as_bytes(), &mut entry);
                    self.write_field(2, item, value, &mut entry);
                    bytes(number, &entry, out);
                }
            }
            (Shape::Object(id), Value::Object(fields)) => {
                let mut message = Vec::new();
                self.write_fields(self.get(*id), fields, &mut message);
                bytes(number, &message, out);
            }
            (shape, value) => scalar(number, shape, value, out),
        }
    }
}

fn scalar(number: u32, shape: &Shape, value: &Value, out: &mut Vec<u8>) {
    let text = value.as_str().unwrap_or("");
    match shape {
        Shape::String => bytes(number, text.as_bytes(), out),
        Shape::Bool => integer(number, u64::from(value.as_bool().unwrap_or(false)), out),
        Shape::Int32 | Shape::Int64 => integer(number, value.as_i64().unwrap_or(0) as u64, out),
        Shape::Double => {
            varint(u64::from(number) << 3 | 1, out);
            out.extend_from_slice(&value.as_f64().unwrap_or(0.0).to_le_bytes());
        }
        Shape::Bytes => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text);
            bytes(number, &decoded.unwrap_or_default(), out);
        }
        shape => bytes(number, &scalar_message(shape, value), out),
    }
}

/// Types that are a scalar in JSON and a message in protobuf.
fn scalar_message(shape: &Shape, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let text = value.as_str().unwrap_or("");
    match shape {
        Shape::Quantity => bytes(1, text.as_bytes(), &mut out),
        Shape::IntOrString => match value.as_i64() {
            Some(whole) => {
                integer(1, 0, &mut out);
                integer(2, whole as u64, &mut out);
                bytes(3, b"", &mut out);
            }
            None => {
                integer(1, 1, &mut out);
                integer(2, 0, &mut out);
                bytes(3, text.as_bytes(), &mut out);
            }
        },
        Shape::Time | Shape::MicroTime => {
            if let Ok(time) = text.parse::<jiff::Timestamp>() {
                integer(1, time.as_second() as u64, &mut out);
                integer(2, time.subsec_nanosecond() as u64, &mut out);
            }
        }
        Shape::Duration => {
            let nanoseconds = text.parse::<jiff::SignedDuration>().map_or(0, |duration| duration.as_nanos());
            integer(1, i64::try_from(nanoseconds).unwrap_or(i64::MAX) as u64, &mut out);
        }
        // Whatever is left holds JSON.
        _ => bytes(1, value.to_string().as_bytes(), &mut out),
    }
    out
}

/// A body: the message with its group, version and kind.
pub fn envelope(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut meta = Vec::with_capacity(api_version.len() + kind.len() + 4);
    bytes(1, api_version.as_bytes(), &mut meta);
    bytes(2, kind.as_bytes(), &mut meta);
    let mut out = Vec::with_capacity(message.len() + meta.len() + 24);
    out.extend_from_slice(MAGIC);
    bytes(1, &meta, &mut out);
    bytes(2, message, &mut out);
    bytes(3, b"", &mut out);
    bytes(4, b"", &mut out);
    out
}

/// The message of a list: its metadata, and the messages of its items.
pub fn list<'a>(metadata: &Value, items: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(1, &meta_message("ListMeta", metadata), &mut out);
    items.for_each(|item| bytes(2, item, &mut out));
    out
}

/// The message of `metav1.PartialObjectMetadata`.
pub fn partial(metadata: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(1, &meta_message("ObjectMeta", metadata), &mut out);
    out
}

/// The message of `metav1.PartialObjectMetadataList`.
pub fn partial_list(metadata: &Value, items: &[Value]) -> Vec<u8> {
    let items: Vec<Vec<u8>> = items.iter().map(|item| partial(&item["metadata"])).collect();
    list(metadata, items.iter().map(Vec::as_slice))
}

/// One event of a watch as it is sent: four bytes of length, and a `metav1.WatchEvent` around the body.
pub fn watch_frame(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(body.len() + 8);
    bytes(1, body, &mut raw);
    let mut event = Vec::with_capacity(raw.len() + kind.len() + 16);
    bytes(1, kind.as_bytes(), &mut event);
    bytes(2, &raw, &mut event);
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &event].concat()
}

fn meta_message(name: &str, metadata: &Value) -> Vec<u8> {
    let schemas = builtin();
    let id = schemas.find(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}"));
    id.map(|id| schemas.write_protobuf(id, metadata)).unwrap_or_default()
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn integer(number: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3, out);
    varint(value, out);
}

fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn through(kind: &str, group: &str, version: &str, document: &Value) -> Value {
        let id = builtin().of_kind(group, version, kind).unwrap();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let body = envelope(&api_version, kind, &builtin().write_protobuf(id, document));
        let mut read = builtin().read_protobuf(&body).unwrap();
        builtin().fit(id, &mut read);
        read
    }

    #[test]
    fn objects_come_back_as_they_were() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b", "empty": ""}, "generation": 3,
                "creationTimestamp": "2026-11-25T20:58:00Z",
                "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u", "controller": true}],
                "managedFields": [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}}}]},
            "spec": {"terminationGracePeriodSeconds": 30, "hostNetwork": true, "dnsPolicy": "Default",
                "restartPolicy": "Always", "schedulerName": "s", "securityContext": {"runAsUser": -1},
                "volumes": [{"name": "v", "hostPath": {"path": "/x", "type": ""}}],
                "containers": [{"name": "c", "image": "i", "imagePullPolicy": "Always",
                    "terminationMessagePath": "/t", "terminationMessagePolicy": "File",
                    "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                    "livenessProbe": {"httpGet": {"port": "http", "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                        "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                    "readinessProbe": {"tcpSocket": {"port": 80}, "timeoutSeconds": 1,
                        "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}}]}});
        let mut expected = pod.clone();
        builtin().fit(builtin().of_kind("", "v1", "Pod").unwrap(), &mut expected);
        assert_eq!(through("Pod", "", "v1", &expected), expected);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque",
            "data": {"k": "AAH/"}});
        assert_eq!(through("Secret", "", "v1", &secret), secret);
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
            "spec": {"renewTime": "2026-11-25T20:58:00.123456Z", "leaseDurationSeconds": 15}});
        assert_eq!(through("Lease", "coordination.k8s.io", "v1", &lease), lease);
    }

    #[test]
    fn a_watch_event_is_framed_by_its_length() {
        let frame = watch_frame("ADDED", b"body");
        assert_eq!(frame, [&[0, 0, 0, 15][..], b"\x0a\x05ADDED\x12\x06\x0a\x04body"].concat());
    }
}
