//! The rows of horizontal pod autoscalers.

use serde_json::Value;

use super::{AGE, Column, NAME, list, number, text};
use crate::meta::{at, text_at};

pub const HORIZONTAL_POD_AUTOSCALERS: &[Column] = &[
    NAME,
    text("Reference", "What it scales.", |h, _| {
        format!("{}/{}", text_at(h, "spec.scaleTargetRef.kind"), text_at(h, "spec.scaleTargetRef.name")).into()
    }),
    text("Targets", "What is measured, and what it should be.", |h, _| targets(h).into()),
    text("MinPods", "Pods that there are at least.", |h, _| {
        at(h, "spec.minReplicas").cloned().unwrap_or("<unset>".into())
    }),
    text("MaxPods", "Pods that there are at most.", |h, _| number(h, "spec.maxReplicas")),
    text("Replicas", "Pods that there are.", |h, _| number(h, "status.currentReplicas")),
    AGE,
];

const MOST_SHOWN: usize = 2;

fn targets(autoscaler: &Value) -> String {
    let (specs, statuses) = (list(autoscaler, "spec.metrics"), list(autoscaler, "status.currentMetrics"));
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let shown = specs.iter().enumerate().take(MOST_SHOWN).map(|(index, spec)| metric(spec, statuses.get(index)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match specs.len().saturating_sub(MOST_SHOWN) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let kind = text_at(spec, "type");
    let source = match kind {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".to_owned(),
    };
    let target = |field: &str| at(spec, source).and_then(|s| at(s, &format!("target.{field}")));
    let current = |field: &str| {
        let found = status.and_then(|status| at(status, source)).and_then(|s| at(s, &format!("current.{field}")));
        found.map_or_else(|| "<unknown>".to_owned(), shown)
    };
    let percent = |text: String| if text.starts_with('<') { text } else { format!("{text}%") };
    match (kind, target("averageValue")) {
        ("Resource" | "ContainerResource", average) => {
            let name = at(spec, source).map_or("", |s| text_at(s, "name"));
            let (is, wanted) = match average {
                Some(average) => (current("averageValue"), shown(average)),
                None => {
                    let wanted = target("averageUtilization").map_or_else(|| "<auto>".to_owned(), shown);
                    (percent(current("averageUtilization")), percent(wanted))
                }
            };
            format!("{name}: {is}/{wanted}")
        }
        ("Pods", average) => format!("{}/{}", current("averageValue"), average.map(shown).unwrap_or_default()),
        (_, Some(average)) => format!("{}/{} (avg)", current("averageValue"), shown(average)),
        (_, None) => format!("{}/{}", current("value"), target("value").map(shown).unwrap_or_default()),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::tests::cells;
    use super::*;
    use serde_json::json;

    #[test]
    fn targets_and_what_is_measured() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
        let pods = json!({"type": "Pods", "pods": {"target": {"averageValue": "10"}}});
        let object = json!({"type": "Object", "object": {"target": {"value": "5"}}});
        let is = json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}]);
        for (metrics, current, wanted) in [
            (json!([]), json!([]), "<none>"),
            (json!([cpu]), json!([]), "cpu: <unknown>/80%"),
            (json!([cpu]), is, "cpu: 12%/80%"),
            (json!([pods, object]), json!([]), "<unknown>/10, <unknown>/5"),
            (json!([pods, object, cpu]), json!([]), "<unknown>/10, <unknown>/5 + 1 more..."),
        ] {
            let autoscaler = json!({"metadata": {"name": "x"}, "status": {"currentMetrics": current},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 4, "metrics": metrics}});
            let row = format!("x Deployment/d {wanted} <unset> 4 0 <unknown>");
            assert_eq!(cells(HORIZONTAL_POD_AUTOSCALERS, &autoscaler), row);
        }
    }
}
