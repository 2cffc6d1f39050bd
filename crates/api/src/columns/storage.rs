//! The rows of volumes and what provides them.

use serde_json::Value;

use super::{AGE, Column, NAME, boolean, count, integer, list, text, text_or, texts, wide};
use crate::meta::{self, at, text_at};

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

const ATTRIBUTES_CLASS: Column = text("VolumeAttributesClass", "The class of its mutable attributes.", |v, _| {
    text_or(v, "spec.volumeAttributesClassName", "<unset>")
});
const VOLUME_MODE: Column =
    wide(text("VolumeMode", "A filesystem or a block device.", |v, _| text_or(v, "spec.volumeMode", "<unset>")));
const CLASS: Column = text("StorageClass", "Its storage class.", |v, _| class(v).into());
const STATUS: Column = text("Status", "Where it is in its life.", |v, _| phase(v).into());

pub const PERSISTENT_VOLUMES: &[Column] = &[
    NAME,
    text("Capacity", "How much it holds.", |v, _| text_at(v, "spec.capacity.storage").into()),
    text("Access Modes", "How it may be mounted.", |v, _| modes(&texts(v, "spec.accessModes")).into()),
    text("Reclaim Policy", "What becomes of it after its claim.", |v, _| {
        text_at(v, "spec.persistentVolumeReclaimPolicy").into()
    }),
    STATUS,
    text("Claim", "The claim that has it.", |v, _| match at(v, "spec.claimRef") {
        Some(claim) => format!("{}/{}", text_at(claim, "namespace"), text_at(claim, "name")).into(),
        None => "".into(),
    }),
    CLASS,
    ATTRIBUTES_CLASS,
    text("Reason", "Why it is in this state.", |v, _| text_at(v, "status.reason").into()),
    AGE,
    VOLUME_MODE,
];

pub const PERSISTENT_VOLUME_CLAIMS: &[Column] = &[
    NAME,
    STATUS,
    text("Volume", "The volume that it has.", |c, _| text_at(c, "spec.volumeName").into()),
    text("Capacity", "How much that holds.", |c, _| {
        if bound(c) { text_at(c, "status.capacity.storage").into() } else { "".into() }
    }),
    text("Access Modes", "How it may be mounted.", |c, _| {
        if bound(c) { modes(&texts(c, "status.accessModes")).into() } else { "".into() }
    }),
    CLASS,
    ATTRIBUTES_CLASS,
    AGE,
    VOLUME_MODE,
];

pub const STORAGE_CLASSES: &[Column] = &[
    Column { cell: |c, _| class_name(c), ..NAME },
    text("Provisioner", "Who makes its volumes.", |c, _| text_at(c, "provisioner").into()),
    text("ReclaimPolicy", "What becomes of them after their claims.", |c, _| text_or(c, "reclaimPolicy", "Delete")),
    text("VolumeBindingMode", "When they are bound.", |c, _| text_or(c, "volumeBindingMode", "Immediate")),
    text("AllowVolumeExpansion", "Whether they may grow.", |c, _| flag(c, "allowVolumeExpansion", false)),
    AGE,
];

pub const VOLUME_ATTRIBUTES_CLASSES: &[Column] =
    &[NAME, text("DriverName", "The driver that knows its parameters.", |c, _| text_at(c, "driverName").into()), AGE];

pub const VOLUME_ATTACHMENTS: &[Column] = &[
    NAME,
    text("Attacher", "The driver that attaches.", |a, _| text_at(a, "spec.attacher").into()),
    text("PV", "The volume.", |a, _| text_at(a, "spec.source.persistentVolumeName").into()),
    text("Node", "The node that it is attached to.", |a, _| text_at(a, "spec.nodeName").into()),
    boolean("Attached", "Whether it is.", |a, _| flag(a, "status.attached", false)),
    AGE,
];

pub const CSI_DRIVERS: &[Column] = &[
    NAME,
    boolean("AttachRequired", "Whether its volumes have to be attached.", |d, _| flag(d, "spec.attachRequired", true)),
    boolean("PodInfoOnMount", "Whether it is told of pods.", |d, _| flag(d, "spec.podInfoOnMount", false)),
    boolean("StorageCapacity", "Whether it tells what storage is left.", |d, _| flag(d, "spec.storageCapacity", false)),
    text("TokenRequests", "Audiences of the tokens that it gets.", |d, _| audiences(d)),
    boolean("RequiresRepublish", "Whether it is called again and again.", |d, _| {
        flag(d, "spec.requiresRepublish", false)
    }),
    text("Modes", "Persistent or ephemeral volumes.", |d, _| {
        super::or_none(texts(d, "spec.volumeLifecycleModes").join(","))
    }),
    AGE,
];

pub const CSI_NODES: &[Column] =
    &[NAME, integer("Drivers", "Drivers that the node has.", |n, _| count(n, "spec.drivers").into()), AGE];

pub const CSI_STORAGE_CAPACITIES: &[Column] = &[
    NAME,
    text("StorageClassName", "The class whose storage it is.", |c, _| text_at(c, "storageClassName").into()),
    text("Capacity", "How much is left.", |c, _| text_or(c, "capacity", "<unset>")),
];

fn flag(object: &Value, path: &str, unset: bool) -> Value {
    at(object, path).and_then(Value::as_bool).unwrap_or(unset).into()
}

fn bound(claim: &Value) -> bool {
    !text_at(claim, "spec.volumeName").is_empty()
}

fn phase(volume: &Value) -> &str {
    if meta::is_deleting(volume) { "Terminating" } else { text_at(volume, "status.phase") }
}

fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    at(object, "metadata.annotations").and_then(|all| all.get(key)).and_then(Value::as_str).unwrap_or("")
}

fn class(volume: &Value) -> &str {
    match annotation(volume, CLASS_ANNOTATION) {
        "" => text_at(volume, "spec.storageClassName"),
        class => class,
    }
}

fn class_name(class: &Value) -> Value {
    let default = DEFAULT_CLASS.iter().any(|key| annotation(class, key) == "true");
    format!("{}{}", meta::name(class), if default { " (default)" } else { "" }).into()
}

/// Short, in upstream's order, each once.
fn modes(modes: &[&str]) -> String {
    let known =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    known.iter().filter(|(mode, _)| modes.contains(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn audiences(driver: &Value) -> Value {
    let requests = list(driver, "spec.tokenRequests");
    if requests.is_empty() {
        return "<unset>".into();
    }
    requests.iter().map(|request| text_at(request, "audience")).collect::<Vec<_>>().join(",").into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::cells;
    use super::*;
    use serde_json::json;

    #[test]
    fn rows() {
        let volume = json!({"metadata": {"name": "x"}, "status": {"phase": "Bound"}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "storageClassName": "fast",
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "n", "name": "c"}, "volumeMode": "Block"}});
        assert_eq!(cells(PERSISTENT_VOLUMES, &volume), "x 1Gi RWO,RWX Retain Bound n/c fast <unset>  <unknown> Block");
        let mut claim = json!({"metadata": {"name": "x", "annotations": {CLASS_ANNOTATION: "old"}}, "spec": {},
            "status": {"phase": "Pending", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"]}});
        assert_eq!(cells(PERSISTENT_VOLUME_CLAIMS, &claim), "x Pending    old <unset> <unknown> <unset>");
        claim["spec"]["volumeName"] = "v".into();
        claim["metadata"]["deletionTimestamp"] = "1970-01-01T00:00:00Z".into();
        assert_eq!(cells(PERSISTENT_VOLUME_CLAIMS, &claim), "x Terminating v 1Gi RWOP old <unset> <unknown> <unset>");
        let class = json!({"metadata": {"name": "x", "annotations": {DEFAULT_CLASS[0]: "true"}}, "provisioner": "p"});
        assert_eq!(cells(STORAGE_CLASSES, &class), "x (default) p Delete Immediate false <unknown>");
        let driver =
            json!({"metadata": {"name": "x"}, "spec": {"tokenRequests": [{"audience": "a"}, {"audience": "b"}]}});
        assert_eq!(cells(CSI_DRIVERS, &driver), "x true false false a,b false <none> <unknown>");
    }
}
