//! Namespaces.

use serde_json::Value;

use super::text::{Text, items, text};
use crate::duration::rfc1123;

pub fn describe(out: &mut Text, object: &Value) {
    out.field("Name", text(object, "/metadata/name"));
    out.labels(object);
    out.annotations(object);
    out.field("Status", text(object, "/status/phase"));
    if items(&object["status"]["conditions"]).next().is_some() {
        out.raw("Conditions:\n  Type\tStatus\tLastTransitionTime\tReason\tMessage\n  ----\t------\t------------------\t------\t-------");
        for condition in items(&object["status"]["conditions"]) {
            out.raw(format_args!(
                "  {}\t{}\t{}\t{}\t{}",
                text(condition, "/type"),
                text(condition, "/status"),
                rfc1123(text(condition, "/lastTransitionTime")),
                text(condition, "/reason"),
                text(condition, "/message")
            ));
        }
    }
}
