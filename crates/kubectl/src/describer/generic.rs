//! Any object, field by field.
use serde_json::Value;
pub fn describe(_: &Value) -> String { String::new() }
