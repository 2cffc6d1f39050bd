//! Tables: what `kubectl get` shows of a kind. The server prints; clients only lay out.

mod autoscaling;
mod cluster;
mod core;
mod network;
pub mod old;
mod pod;
mod rbac;
mod storage;
mod workload;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::meta;
use crate::selector::Selector;

pub use self::autoscaling::HORIZONTAL_POD_AUTOSCALERS;
pub use self::cluster::*;
pub use self::core::*;
pub use self::network::*;
pub use self::pod::PODS;
pub use self::rbac::*;
pub use self::storage::*;
pub use self::workload::*;

/// One column. `priority` 0 is always shown, others with `-o wide`.
pub struct Column {
    pub name: &'static str,
    pub kind: &'static str,
    pub format: &'static str,
    pub description: &'static str,
    pub priority: i32,
    pub cell: fn(&Value, Timestamp) -> Value,
}

pub(crate) const fn text(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value, Timestamp) -> Value,
) -> Column {
    Column { name, kind: "string", format: "", description, priority: 0, cell }
}

pub(crate) const fn integer(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value, Timestamp) -> Value,
) -> Column {
    Column { name, kind: "integer", format: "", description, priority: 0, cell }
}

pub(crate) const fn boolean(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value, Timestamp) -> Value,
) -> Column {
    Column { name, kind: "boolean", format: "", description, priority: 0, cell }
}

pub(crate) const fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

pub(crate) const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name is unique within a namespace, or in the cluster where the kind has no namespaces.",
    priority: 0,
    cell: |object, _| meta::name(object).into(),
};

pub(crate) const AGE: Column = text("Age", "How long ago the object was made.", |object, now| {
    since(meta::text(object, "creationTimestamp"), now).into()
});

/// For kinds that upstream shows by name and age.
pub const PLAIN: &[Column] = &[NAME, AGE];

/// For kinds that upstream brings no columns for.
pub const CREATED: &[Column] =
    &[NAME, text("Created At", "When it was made.", |object, _| meta::text(object, "creationTimestamp").into())];

/// What of each object goes into a table's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IncludeObject {
    #[default]
    Metadata,
    None,
    Object,
}

/// `metav1.Table` without rows.
pub fn table(columns: &[Column], version: &str, list_meta: Value) -> Value {
    let definition = |c: &Column| json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority});
    let mut metadata = list_meta;
    if metadata.is_null() {
        metadata = json!({});
    }
    json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
        "columnDefinitions": columns.iter().map(definition).collect::<Vec<_>>(), "rows": []})
}

pub fn row(columns: &[Column], version: &str, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let cells: Vec<Value> = columns.iter().map(|column| (column.cell)(object, now)).collect();
    let mut row = json!({"cells": cells});
    match include {
        IncludeObject::None => {}
        IncludeObject::Object => row["object"] = object.clone(),
        IncludeObject::Metadata => {
            let api_version = format!("meta.k8s.io/{version}");
            row["object"] =
                json!({"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": object["metadata"]});
        }
    }
    row
}

/// The time since then in upstream's short form: `42s`, `3m5s`, `5h`, `3d2h`, `2y`.
pub fn since(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(then) => duration(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

pub fn duration(seconds: i64) -> String {
    let with = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{small_unit}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => with(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => with(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => with(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if years < 8 => with(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

pub(crate) fn or_none(text: String) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

/// `a=b,c=d` of a map of strings.
pub(crate) fn pairs(map: Option<&Value>) -> String {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> = entries.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
    pairs.join(",")
}

/// A number that is shown as 0 where it is missing.
fn number(object: &Value, path: &str) -> Value {
    meta::at(object, path).cloned().unwrap_or(0.into())
}

/// A text that stands for what is missing.
fn text_or(object: &Value, path: &str, missing: &str) -> Value {
    match meta::text_at(object, path) {
        "" => missing.into(),
        text => text.into(),
    }
}

/// How many entries a list or a map has.
fn count(object: &Value, path: &str) -> usize {
    match meta::at(object, path) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(entries)) => entries.len(),
        _ => 0,
    }
}

fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    meta::at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The texts of a list.
fn texts<'a>(object: &'a Value, path: &str) -> Vec<&'a str> {
    list(object, path).iter().filter_map(Value::as_str).collect()
}

/// A field of all containers of a template.
fn containers(object: &Value, template: &str, field: &str) -> Value {
    let containers = meta::at(object, template).map_or(&[][..], |template| list(template, "spec.containers"));
    let field = |container: &Value| container.get(field).and_then(Value::as_str).map(str::to_owned);
    containers.iter().filter_map(field).collect::<Vec<_>>().join(",").into()
}

/// A `LabelSelector` as text.
fn label_selector(selector: Option<&Value>) -> Value {
    let Some(Ok(selector)) = selector.map(<_ as serde::Deserialize>::deserialize) else { return "<none>".into() };
    match Selector::try_from(&selector) {
        Ok(selector) => or_none(selector.to_string()),
        Err(_) => "<error>".into(),
    }
}

/// The first `most`, and how many more there are.
fn some_of(all: &[String], most: usize) -> String {
    match all.len().checked_sub(most) {
        None | Some(0) => all.join(","),
        Some(more) => format!("{} + {more} more...", all[..most].join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The row of an object at the beginning of time.
    pub(super) fn cells(columns: &[Column], object: &Value) -> String {
        let cell = |column: &Column| match (column.cell)(object, Timestamp::UNIX_EPOCH) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        columns.iter().map(cell).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn durations_in_upstreams_short_form() {
        for (seconds, text) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }
}
