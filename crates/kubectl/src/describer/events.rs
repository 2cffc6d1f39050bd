//! The events of an object, as the last section of its description.

use serde_json::Value;

use super::text::{Text, text};
use crate::duration::since;

pub fn describe(out: &mut Text, events: &[Value]) {
    if events.is_empty() {
        return out.raw("Events:\t<none>");
    }
    let mut events: Vec<&Value> = events.iter().collect();
    events.sort_by_key(|event| last(event).to_owned());
    out.raw("Events:\n  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------");
    for event in events {
        let source = text(event, "/source/component");
        let source = if source.is_empty() { text(event, "/reportingComponent") } else { source };
        let message = text(event, "/message").trim();
        out.raw(format_args!(
            "  {}\t{}\t{}\t{source}\t{message}",
            text(event, "/type"),
            text(event, "/reason"),
            age(event)
        ));
    }
}

fn last(event: &Value) -> &str {
    [text(event, "/series/lastObservedTime"), text(event, "/lastTimestamp"), text(event, "/eventTime")]
        .into_iter()
        .find(|time| !time.is_empty())
        .unwrap_or("")
}

fn age(event: &Value) -> String {
    let first = text(event, "/firstTimestamp");
    let first = if first.is_empty() { text(event, "/eventTime") } else { first };
    let count = event["series"]["count"].as_i64().or_else(|| event["count"].as_i64()).unwrap_or(1);
    match count {
        2.. => format!("{} (x{count} over {})", since(last(event)), since(first)),
        _ => since(if first.is_empty() { last(event) } else { first }),
    }
}
