//! Replication controllers: how many pods there shall be and are, and of what template.

use serde_json::Value;

use super::pod;
use super::text::{Text, text};
use crate::printer::table::labels;

pub fn describe(out: &mut Text, object: &Value, pods: &[Value]) {
    out.field("Name", text(object, "/metadata/name"));
    out.field("Namespace", text(object, "/metadata/namespace"));
    out.field("Selector", labels(&object["spec"]["selector"]));
    out.labels(object);
    out.annotations(object);
    let count = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    out.field("Replicas", format_args!("{} current / {} desired", count("/status/replicas"), count("/spec/replicas")));
    let uid = text(object, "/metadata/uid");
    let controlled = |pod: &&Value| {
        let owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.into_iter().any(|owner| owner["controller"] == true && owner["uid"] == uid)
    };
    let phase =
        |wanted: &str| pods.iter().filter(controlled).filter(|pod| text(pod, "/status/phase") == wanted).count();
    out.field(
        "Pods Status",
        format_args!(
            "{} Running / {} Waiting / {} Succeeded / {} Failed",
            phase("Running"),
            phase("Pending"),
            phase("Succeeded"),
            phase("Failed")
        ),
    );
    pod::template(out, &object["spec"]["template"]);
}
