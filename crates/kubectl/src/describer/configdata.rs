//! Config maps and secrets. Of a secret only the sizes are told.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::text::{Text, plain, text};

fn decoded(value: &Value) -> usize {
    STANDARD.decode(value.as_str().unwrap_or("")).map_or(0, |bytes| bytes.len())
}

pub fn config_map(out: &mut Text, object: &Value) {
    out.field("Name", text(object, "/metadata/name"));
    out.field("Namespace", text(object, "/metadata/namespace"));
    out.labels(object);
    out.annotations(object);
    out.raw("\nData\n====");
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        out.raw(format_args!("{key}:\n----\n{}\n", plain(value)));
    }
    out.raw("\nBinaryData\n====");
    for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
        out.raw(format_args!("{key}: {} bytes", decoded(value)));
    }
    out.raw("");
}

pub fn secret(out: &mut Text, object: &Value) {
    out.field("Name", text(object, "/metadata/name"));
    out.field("Namespace", text(object, "/metadata/namespace"));
    out.labels(object);
    out.annotations(object);
    out.raw(format_args!("\nType:\t{}\n\nData\n====", text(object, "/type")));
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        out.raw(format_args!("{key}:\t{} bytes", decoded(value)));
    }
}
