//! `autoscaling/v1`: one field for the processor; other metrics, the behavior and the conditions travel in annotations, in the form in which
//! upstream's versions exchange them. And `autoscaling/v2beta2`, which looks as v2 does.

use serde_json::{Map, Value, json};

use super::{Conversion, annotate, part, take_annotation};
use crate::meta;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

pub const V1: Conversion = Conversion { to_stored, from_stored, ..super::SAME };

/// The annotations are version 1's alone.
pub const V2BETA2: Conversion =
    Conversion { to_stored: drop_annotations, from_stored: drop_annotations, ..super::SAME };

fn drop_annotations(document: &mut Value) {
    for name in [METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR] {
        take_annotation(document, name);
    }
}

fn to_stored(document: &mut Value) {
    let mut read = |name: &str| -> Option<Value> { serde_json::from_str(&take_annotation(document, name)?).ok() };
    let (metrics, current) = (read(METRICS), read(CURRENT_METRICS));
    let (conditions, behavior) = (read(CONDITIONS), read(BEHAVIOR));
    if let Some(spec) = part(document, "spec") {
        let mut all: Vec<Value> = list(metrics).into_iter().map(|metric| metric_of(metric, &SPEC)).collect();
        if let Some(percent) = spec.remove("targetCPUUtilizationPercentage") {
            let target = json!({"type": "Utilization", "averageUtilization": percent});
            all.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
        }
        if !all.is_empty() {
            spec.insert("metrics".into(), all.into());
        }
        if let Some(behavior) =
            behavior.map(lower).filter(|behavior| behavior.as_object().is_some_and(|b| !b.is_empty()))
        {
            spec.insert("behavior".into(), behavior);
        }
    }
    let status = meta::object_mut(document, "status");
    let percent = status.remove("currentCPUUtilizationPercentage");
    let mut all: Vec<Value> = list(current).into_iter().map(|metric| metric_of(metric, &STATUS)).collect();
    if let Some(percent) = percent.filter(|_| all.is_empty()) {
        all.push(json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}));
    }
    if !all.is_empty() {
        status.insert("currentMetrics".into(), all.into());
    }
    let conditions = list(conditions);
    if !conditions.is_empty() {
        status.insert("conditions".into(), conditions.into());
    }
    if status.is_empty() {
        meta::fields_mut(document).remove("status");
    }
}

fn from_stored(document: &mut Value) {
    drop_annotations(document);
    if let Some(spec) = part(document, "spec") {
        let mut metrics = list(spec.remove("metrics"));
        let behavior = spec.remove("behavior");
        if let Some(at) = metrics.iter().position(is_processor) {
            let percent = metrics.remove(at).pointer("/resource/target/averageUtilization").cloned();
            spec.insert("targetCPUUtilizationPercentage".into(), percent.unwrap_or_default());
        }
        if !metrics.is_empty() {
            let metrics: Vec<Value> = metrics.into_iter().map(|metric| metric_to(metric, &SPEC)).collect();
            annotate(document, METRICS, Value::from(metrics).to_string());
        }
        if let Some(behavior) = behavior {
            annotate(document, BEHAVIOR, upper(behavior).to_string());
        }
    }
    let Some(status) = part(document, "status") else { return };
    let (current, conditions) = (list(status.remove("currentMetrics")), list(status.remove("conditions")));
    let percent = current.iter().find(|metric| metric.pointer("/resource/name").is_some_and(|name| name == "cpu"));
    if let Some(percent) = percent.and_then(|metric| metric.pointer("/resource/current/averageUtilization")) {
        status.insert("currentCPUUtilizationPercentage".into(), percent.clone());
    }
    if !current.is_empty() {
        let current: Vec<Value> = current.into_iter().map(|metric| metric_to(metric, &STATUS)).collect();
        annotate(document, CURRENT_METRICS, Value::from(current).to_string());
    }
    if !conditions.is_empty() {
        annotate(document, CONDITIONS, Value::from(conditions).to_string());
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The one metric that version 1 has a field for.
fn is_processor(metric: &Value) -> bool {
    let target = metric.pointer("/resource/target");
    let has = |name: &str| target.is_some_and(|target| target.get(name).is_some());
    metric.get("type").is_some_and(|kind| kind == "Resource")
        && metric.pointer("/resource/name").is_some_and(|name| name == "cpu")
        && has("averageUtilization")
        && !has("averageValue")
}

/// How metrics of a spec and of a status differ.
struct Side {
    /// What holds the amounts in version 2.
    holder: &'static str,
    /// Prefix of the amounts' names in the annotation.
    prefix: &'static str,
    /// Whether the amounts have a type.
    typed: bool,
}

const SPEC: Side = Side { holder: "target", prefix: "target", typed: true };
const STATUS: Side = Side { holder: "current", prefix: "current", typed: false };

const SOURCES: [&str; 5] = ["object", "pods", "resource", "containerResource", "external"];

/// The names of amounts in the annotation: of objects the average has no prefix.
fn amounts(source: &str, side: &Side) -> [(String, &'static str); 3] {
    let average = if source == "object" { "averageValue".to_owned() } else { format!("{}AverageValue", side.prefix) };
    [
        (format!("{}Value", side.prefix), "value"),
        (average, "averageValue"),
        (format!("{}AverageUtilization", side.prefix), "averageUtilization"),
    ]
}

fn metric_to(mut metric: Value, side: &Side) -> Value {
    for source in SOURCES {
        let Some(fields) = part(&mut metric, source) else { continue };
        let holder = fields.remove(side.holder).unwrap_or_default();
        for (there, here) in amounts(source, side) {
            if let Some(amount) = holder.get(here) {
                fields.insert(there, amount.clone());
            }
        }
        // These are no pointers in upstream's type, so they are always written.
        let always = match (source, side.typed) {
            ("object", _) | ("external", false) => Some(format!("{}Value", side.prefix)),
            ("pods", _) | ("resource" | "containerResource", false) => Some(format!("{}AverageValue", side.prefix)),
            _ => None,
        };
        if let Some(name) = always {
            fields.entry(name).or_insert_with(|| "0".into());
        }
        if let Some(described) = fields.remove("describedObject") {
            fields.insert("target".into(), described);
        }
        if let Some(Value::Object(mut named)) = fields.remove("metric") {
            if let Some(name) = named.remove("name") {
                fields.insert("metricName".into(), name);
            }
            let selector = if source == "external" { "metricSelector" } else { "selector" };
            if let Some(value) = named.remove("selector") {
                fields.insert(selector.into(), value);
            }
        }
    }
    metric
}

fn metric_of(mut metric: Value, side: &Side) -> Value {
    for source in SOURCES {
        let Some(fields) = part(&mut metric, source) else { continue };
        let mut holder = Map::new();
        for (there, here) in amounts(source, side) {
            if let Some(amount) = fields.remove(&there) {
                holder.insert(here.into(), amount);
            }
        }
        // A zero that had to be written says nothing where there is an amount.
        if holder.len() > 1 {
            holder.retain(|_, amount| amount != "0");
        }
        if side.typed {
            let kind = ["averageUtilization", "averageValue"].iter().find(|name| holder.contains_key(**name));
            let kind = match kind {
                Some(&"averageUtilization") => "Utilization",
                Some(_) => "AverageValue",
                None => "Value",
            };
            holder.insert("type".into(), kind.into());
        }
        if let Some(described) = fields.remove("target") {
            fields.insert("describedObject".into(), described);
        }
        let mut named = Map::new();
        if let Some(name) = fields.remove("metricName") {
            named.insert("name".into(), name);
        }
        if let Some(selector) = fields.remove("metricSelector").or_else(|| fields.remove("selector")) {
            named.insert("selector".into(), selector);
        }
        if !named.is_empty() {
            fields.insert("metric".into(), named.into());
        }
        fields.insert(side.holder.into(), holder.into());
    }
    metric
}

/// The behavior in the annotation has the names of Go's fields, which begin with a capital letter.
fn upper(value: Value) -> Value {
    renamed(value, |first| first.to_ascii_uppercase())
}

fn lower(value: Value) -> Value {
    renamed(value, |first| first.to_ascii_lowercase())
}

fn renamed(value: Value, first: fn(char) -> char) -> Value {
    match value {
        Value::Object(fields) => {
            let rename = |name: String| {
                let mut letters = name.chars();
                letters.next().map(|letter| first(letter).to_string() + letters.as_str()).unwrap_or_default()
            };
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (rename(name), renamed(value, first))).collect())
        }
        Value::Array(items) => items.into_iter().map(|item| renamed(item, first)).collect(),
        other => other,
    }
}
