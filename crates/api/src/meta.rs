//! Reading and writing the metadata of a decoded document.

use std::io::Write;

use serde_json::{Map, Value};

use k8s_openapi::jiff::Timestamp;

/// Seconds, as `metav1.Time` is written.
pub fn now() -> String {
    format_time(Timestamp::now())
}

/// `seconds` from `now`; the ends of time where it would be past them. Clients choose the seconds.
pub fn time_after(now: Timestamp, seconds: i64) -> Timestamp {
    let later = now.as_second().saturating_add(seconds);
    let last = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(later).unwrap_or(last)
}

pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The metadata of a document, made where it is missing.
pub fn metadata_mut(document: &mut Value) -> &mut Map<String, Value> {
    object_mut(document, "metadata")
}

/// The object in a field, made where it is missing. What is no object becomes one.
pub fn object_mut<'a>(document: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    let entry = fields_mut(document).entry(field).or_insert_with(|| Value::Object(Map::new()));
    fields_mut(entry)
}

/// The fields of an object; what is no object becomes one.
pub fn fields_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("made an object above"),
    }
}

/// A string of the metadata; empty where it is missing.
pub fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or("")
}

/// Labels, annotations or another object of the metadata, where it is there.
pub fn metadata<'a>(document: &'a Value, field: &str) -> Option<&'a Map<String, Value>> {
    document.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_object)
}

pub fn name(document: &Value) -> &str {
    text(document, "name")
}

pub fn namespace(document: &Value) -> &str {
    text(document, "namespace")
}

pub fn is_deleting(document: &Value) -> bool {
    !text(document, "deletionTimestamp").is_empty()
}

pub fn finalizers(document: &Value) -> Vec<&str> {
    let list = document.get("metadata").and_then(|m| m.get("finalizers")).and_then(Value::as_array);
    list.map(|items| items.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// A field by its dotted path (no lists): `spec.nodeName`.
pub fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, step| value.get(step))
}

pub fn text_at<'a>(document: &'a Value, path: &str) -> &'a str {
    at(document, path).and_then(Value::as_str).unwrap_or("")
}

/// The bytes that are kept and served: `apiVersion`, `kind` and `metadata` first, so that [`splice_version`] finds
/// its place without parsing.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    let none = Map::new();
    let fields = document.as_object().unwrap_or(&none);
    let first = ["apiVersion", "kind", "metadata"];
    for name in first {
        let value = fields.get(name).unwrap_or(&Value::Null);
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{name}\":").as_bytes());
        if name == "metadata" {
            out.push(b'{');
            let meta = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "resourceVersion");
            for (at, (name, value)) in meta.enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(&mut out, name);
                out.push(b':');
                write(&mut out, value);
            }
            out.push(b'}');
        } else {
            write(&mut out, value);
        }
    }
    for (name, value) in fields.iter().filter(|(name, _)| !first.contains(&name.as_str())) {
        out.push(b',');
        write(&mut out, name);
        out.push(b':');
        write(&mut out, value);
    }
    out.push(b'}');
    out
}

fn write(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(out, value).expect("writing JSON to memory cannot fail");
}

const METADATA: &[u8] = b"\"metadata\":{";

/// The encoded object with its resource version: stored bytes do not have it, since etcd's revision is known only
/// after the write.
pub fn splice_version(stored: &[u8], version: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(stored.len() + VERSION_ROOM);
    splice_version_into(&mut out, stored, version);
    out
}

/// More than the spliced version takes: its name, quotes, a comma and 20 digits.
pub const VERSION_ROOM: usize = 41;

/// As [`splice_version`], behind what is already in `out`.
pub fn splice_version_into(out: &mut Vec<u8>, stored: &[u8], version: i64) {
    let Some(at) = stored.windows(METADATA.len()).position(|w| w == METADATA).map(|at| at + METADATA.len()) else {
        return out.extend_from_slice(stored);
    };
    out.extend_from_slice(&stored[..at]);
    // Writing into a vector cannot fail.
    let _ = write!(out, "\"resourceVersion\":\"{version}\"");
    if stored.get(at) != Some(&b'}') {
        out.push(b',');
    }
    out.extend_from_slice(&stored[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_have_ends() {
        let now: Timestamp = "2026-11-20T17:10:44Z".parse().unwrap();
        for (seconds, time) in [
            (30, "2026-11-20T17:11:14Z"),
            (-44, "2026-11-20T17:10:00Z"),
            (i64::MAX, "9999-12-30T22:00:00Z"),
            (i64::MIN, "-9999-01-02T01:59:59Z"),
        ] {
            assert_eq!(format_time(time_after(now, seconds)), time, "{seconds}");
        }
    }

    #[test]
    fn stored_bytes_lack_the_version_and_served_ones_have_it() {
        let document = json!({"data": {"a": "\"metadata\":{"}, "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": "x", "resourceVersion": "7"}});
        let stored = encode(&document);
        assert_eq!(
            String::from_utf8_lossy(&stored),
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"\"metadata\":{"}}"#
        );
        let served: Value = serde_json::from_slice(&splice_version(&stored, 42)).unwrap();
        assert_eq!(served["metadata"], json!({"name": "x", "resourceVersion": "42"}));
        assert_eq!(served["data"], document["data"]);
    }
}
