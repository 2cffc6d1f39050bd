//! Fields of honoured kinds that nothing honours yet.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::schema::{Shape, TypeId, builtin};

/// A field that is accepted and stored, and changes nothing.
struct Row {
    /// A type of `core/v1`.
    of: &'static str,
    field: &'static str,
    /// The value, as JSON, that asks for what happens anyway.
    unless: &'static str,
    /// What does not happen.
    why: &'static str,
}

const fn row(of: &'static str, field: &'static str, why: &'static str) -> Row {
    Row { of, field, unless: "", why }
}

const fn unless(of: &'static str, field: &'static str, unless: &'static str, why: &'static str) -> Row {
    Row { of, field, unless, why }
}

const NO_VOLUME: &str = "the node has no such volumes, so the pod does not start";
const NO_OWNER: &str = "files belong to root";
const WINDOWS: &str = "nodes run Linux";
const SELINUX: &str = "containers have the engine's label";
const SECCOMP: &str = "containers have the engine's own profile";
const APPARMOR: &str = "containers have the engine's own profile";
const NO_DEVICES: &str = "no devices are given to pods";
const NO_BALANCER: &str = "there are no load balancers";
const ONE_FAMILY: &str = "services have one address, of the family of --service-cluster-ip-range";

#[rustfmt::skip]
const FIELDS: &[Row] = &[
    row("Volume", "awsElasticBlockStore", NO_VOLUME),
    row("Volume", "azureDisk", NO_VOLUME),
    row("Volume", "azureFile", NO_VOLUME),
    row("Volume", "cephfs", NO_VOLUME),
    row("Volume", "cinder", NO_VOLUME),
    row("Volume", "csi", NO_VOLUME),
    row("Volume", "ephemeral", NO_VOLUME),
    row("Volume", "fc", NO_VOLUME),
    row("Volume", "flexVolume", NO_VOLUME),
    row("Volume", "flocker", NO_VOLUME),
    row("Volume", "gcePersistentDisk", NO_VOLUME),
    row("Volume", "gitRepo", NO_VOLUME),
    row("Volume", "glusterfs", NO_VOLUME),
    row("Volume", "image", NO_VOLUME),
    row("Volume", "iscsi", NO_VOLUME),
    row("Volume", "nfs", NO_VOLUME),
    row("Volume", "persistentVolumeClaim", NO_VOLUME),
    row("Volume", "photonPersistentDisk", NO_VOLUME),
    row("Volume", "portworxVolume", NO_VOLUME),
    row("Volume", "quobyte", NO_VOLUME),
    row("Volume", "rbd", NO_VOLUME),
    row("Volume", "scaleIO", NO_VOLUME),
    row("Volume", "storageos", NO_VOLUME),
    row("Volume", "vsphereVolume", NO_VOLUME),
    row("VolumeProjection", "clusterTrustBundle", NO_VOLUME),
    row("VolumeProjection", "podCertificate", NO_VOLUME),
    row("VolumeProjection", "serviceAccountToken", NO_VOLUME),
    row("ConfigMapVolumeSource", "defaultUser", NO_OWNER),
    row("DownwardAPIVolumeSource", "defaultUser", NO_OWNER),
    row("ProjectedVolumeSource", "defaultUser", NO_OWNER),
    row("SecretVolumeSource", "defaultUser", NO_OWNER),
    row("VolumeMount", "bindMountOptions", "it is mounted without them"),
    unless("VolumeMount", "recursiveReadOnly", r#""Disabled""#, "what is mounted below it stays writable"),
    row("Container", "volumeDevices", "no devices are given to containers"),
    row("Container", "resizePolicy", "containers are not resized while they run"),
    row("Container", "restartPolicyRules", "the container restarts by its restart policy alone"),
    row("EnvVarSource", "fileKeyRef", "the variable is not set"),
    row("ResourceRequirements", "claims", NO_DEVICES),
    row("Probe", "grpc", "the probe is not carried out"),
    row("Lifecycle", "stopSignal", "the signal is the image's"),
    row("SecurityContext", "seLinuxOptions", SELINUX),
    row("SecurityContext", "windowsOptions", WINDOWS),
    unless("SecurityContext", "seccompProfile", r#"{"type":"RuntimeDefault"}"#, SECCOMP),
    unless("SecurityContext", "appArmorProfile", r#"{"type":"RuntimeDefault"}"#, APPARMOR),
    unless("SecurityContext", "procMount", r#""Default""#, "the engine masks parts of /proc"),
    row("PodSecurityContext", "seLinuxOptions", SELINUX),
    row("PodSecurityContext", "seLinuxChangePolicy", SELINUX),
    row("PodSecurityContext", "windowsOptions", WINDOWS),
    unless("PodSecurityContext", "seccompProfile", r#"{"type":"RuntimeDefault"}"#, SECCOMP),
    unless("PodSecurityContext", "appArmorProfile", r#"{"type":"RuntimeDefault"}"#, APPARMOR),
    unless("PodSecurityContext", "fsGroupChangePolicy", r#""Always""#, "the group is always set anew"),
    unless("PodSecurityContext", "supplementalGroupsPolicy", r#""Merge""#, "the image's groups are kept"),
    row("PodSpec", "imagePullSecrets", "images are pulled as the engine is logged in"),
    row("PodSpec", "subdomain", "no name in DNS is made of it"),
    unless("PodSpec", "setHostnameAsFQDN", "false", "the host name is the short one"),
    unless("PodSpec", "hostUsers", "true", "containers have the host's users"),
    unless("PodSpec", "preemptionPolicy", r#""Never""#, "no pod makes room for another"),
    row("PodSpec", "runtimeClassName", "the container runs under the engine's default runtime"),
    row("PodSpec", "topologySpreadConstraints", "the scheduler does not spread pods by them"),
    row("PodSpec", "ephemeralContainers", "they are not started"),
    row("PodSpec", "resourceClaims", NO_DEVICES),
    row("PodSpec", "schedulingGroup", "pods are scheduled one by one"),
    row("PodSpec", "evictionResponders", "no eviction waits for them"),
    row("Affinity", "podAffinity", "the scheduler does not look at other pods"),
    row("Affinity", "podAntiAffinity", "the scheduler does not look at other pods"),
    row("ServiceSpec", "externalIPs", "no traffic to them is forwarded"),
    row("ServiceSpec", "externalName", "no name in DNS is made of it"),
    unless("ServiceSpec", "allocateLoadBalancerNodePorts", "true", "node ports are always allocated"),
    row("ServiceSpec", "healthCheckNodePort", NO_BALANCER),
    row("ServiceSpec", "loadBalancerClass", NO_BALANCER),
    row("ServiceSpec", "loadBalancerIP", NO_BALANCER),
    row("ServiceSpec", "loadBalancerSourceRanges", NO_BALANCER),
    unless("ServiceSpec", "ipFamilyPolicy", r#""SingleStack""#, ONE_FAMILY),
    row("ServiceSpec", "trafficDistribution", "traffic goes to all endpoints alike"),
    row("NodeSpec", "configSource", "the kubelet reads its flags alone"),
    row("NodeSpec", "podPreemptionPolicy", "no pod makes room for another"),
];

/// What to look at in objects of a type: rows of the table, and fields below which there are some.
#[derive(Default)]
struct Look {
    rows: HashMap<&'static str, &'static Row>,
    below: HashMap<&'static str, TypeId>,
}

/// Of the types that have something.
static LOOKS: LazyLock<HashMap<TypeId, Look>> = LazyLock::new(|| {
    let mut looks: HashMap<TypeId, Look> = HashMap::new();
    for row in FIELDS {
        if let Some(id) = builtin().find(&format!("io.k8s.api.core.v1.{}", row.of)) {
            looks.entry(id).or_default().rows.insert(row.field, row);
        }
    }
    // Until no type is found any more above those that are known.
    loop {
        let mut found = Vec::new();
        for id in builtin().ids() {
            for field in &builtin().get(id).fields {
                let Some(below) = innermost(&field.shape).filter(|below| looks.contains_key(below)) else { continue };
                if looks.get(&id).is_none_or(|look| !look.below.contains_key(field.name)) {
                    found.push((id, field.name, below));
                }
            }
        }
        if found.is_empty() {
            return looks;
        }
        for (id, field, below) in found {
            looks.entry(id).or_default().below.insert(field, below);
        }
    }
});

/// The type of what is in a list or a map, or the type itself.
fn innermost(shape: &Shape) -> Option<TypeId> {
    match shape {
        Shape::Object(id) => Some(*id),
        Shape::Array(item) | Shape::Map(item) => innermost(item),
        _ => None,
    }
}

/// Warnings of what an object of the type asks for in vain, each with its place.
pub fn warnings(schema: TypeId, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(schema, object, &mut String::new(), &mut found);
    found
}

fn look(id: TypeId, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let Some(looks) = LOOKS.get(&id) else { return };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let row = looks.rows.get(name.as_str()).filter(|row| row.asks(value));
                let below = looks.below.get(name.as_str());
                if row.is_none() && below.is_none() {
                    continue;
                }
                let before = path.len();
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(name);
                if let Some(row) = row {
                    found.push(format!("{path}: accepted, and not honoured by this version: {}", row.why));
                } else if let Some(below) = below {
                    look(*below, value, path, found);
                }
                path.truncate(before);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let before = path.len();
                path.push_str(&format!("[{at}]"));
                look(id, item, path, found);
                path.truncate(before);
            }
        }
        _ => {}
    }
}

impl Row {
    fn asks(&self, value: &Value) -> bool {
        let nothing = match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        !nothing
            && (self.unless.is_empty() || serde_json::from_str(self.unless).is_ok_and(|unless: Value| unless != *value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::path::Path;

    use serde_json::json;

    use super::*;

    /// What runs pods, schedules them and serves services.
    const READERS: &[&str] = &[
        "kubelet/src",
        "kube-scheduler/src",
        "kube-proxy/src",
        "kube-controller-manager/src/endpoints",
        "kube-controller-manager/src/endpoints.rs",
        "api/src/tolerations.rs",
        "api/src/resources.rs",
    ];

    /// Fields that nothing of these has to read, and why.
    const NEED_NO_READER: &[(&str, &str, &str)] = &[
        ("PodSpec", "automountServiceAccountToken", "admission acts on it: ServiceAccount"),
        ("PodSpec", "priorityClassName", "admission acts on it: Priority"),
        ("PodSpec", "serviceAccount", "the old name of serviceAccountName"),
        ("ServiceSpec", "clusterIPs", "kube-apiserver keeps it equal to clusterIP"),
        ("ServiceSpec", "ipFamilies", "kube-apiserver keeps it equal to the family of clusterIP"),
        ("NodeSpec", "externalID", "tells, and asks for nothing"),
        ("NodeSpec", "providerID", "tells, and asks for nothing"),
        ("NodeSpec", "podCIDRs", "kube-apiserver keeps it equal to podCIDR"),
    ];

    /// Rows whose field has the name of another one, or is read for something else than what it asks for.
    const NAMESAKES: &[(&str, &str)] = &[("Volume", "ephemeral"), ("Volume", "image"), ("PodSpec", "subdomain")];

    fn words(path: &Path, into: &mut HashSet<String>) {
        if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                words(&entry.unwrap().path(), into);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            let of_line = |line: &str| -> Vec<String> {
                line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect()
            };
            into.extend(code.flat_map(of_line));
        }
    }

    /// As k8s-openapi writes it.
    fn snake(name: &str) -> String {
        let letters: Vec<char> = name.chars().collect();
        let mut snake = String::new();
        for (at, letter) in letters.iter().enumerate() {
            let begins = letter.is_uppercase()
                && at > 0
                && (letters[at - 1].is_lowercase() || letters.get(at + 1).is_some_and(|next| next.is_lowercase()));
            snake.push_str(if begins { "_" } else { "" });
            snake.push(letter.to_ascii_lowercase());
        }
        if snake == "type" { "type_".into() } else { snake }
    }

    fn read_words() -> HashSet<String> {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found = HashSet::new();
        READERS.iter().for_each(|reader| words(&crates.join(reader), &mut found));
        found
    }

    fn is_read(words: &HashSet<String>, field: &str) -> bool {
        words.contains(field) || words.contains(&snake(field))
    }

    /// The fields of a type and of all below it that nobody reads. What is below an unread field need not be read.
    fn unread(id: TypeId, words: &HashSet<String>, seen: &mut HashSet<TypeId>, found: &mut BTreeSet<(String, String)>) {
        if !seen.insert(id) {
            return;
        }
        let schema = builtin().get(id);
        let of = schema.name.rsplit('.').next().unwrap();
        for field in &schema.fields {
            let row = FIELDS.iter().any(|row| row.of == of && row.field == field.name);
            if row || NEED_NO_READER.iter().any(|(other, name, _)| *other == of && *name == field.name) {
                continue;
            }
            if !is_read(words, field.name) {
                found.insert((of.to_owned(), field.name.to_owned()));
            } else if let Some(below) = innermost(&field.shape) {
                unread(below, words, seen, found);
            }
        }
    }

    #[test]
    fn what_is_neither_read_nor_in_the_table_does_not_exist() {
        let words = read_words();
        let mut found = BTreeSet::new();
        for kind in ["Pod", "Service", "Node"] {
            let schema = builtin().get(builtin().of_kind("", "v1", kind).unwrap());
            let spec = innermost(&schema.field("spec").unwrap().shape).unwrap();
            unread(spec, &words, &mut HashSet::new(), &mut found);
        }
        assert_eq!(found, BTreeSet::new(), "a reader for these, or a row in FIELDS");
    }

    #[test]
    fn what_is_read_has_no_row() {
        let words = read_words();
        for (at, Row { of, field, unless, why }) in FIELDS.iter().enumerate() {
            let id = builtin().find(&format!("io.k8s.api.core.v1.{of}")).unwrap_or_else(|| panic!("{of}"));
            assert!(builtin().get(id).field(field).is_some(), "{of} has no {field}");
            assert!(FIELDS[..at].iter().all(|row| (row.of, row.field) != (of, field)), "{of}.{field} stands twice");
            assert!(!why.is_empty() && (unless.is_empty() || serde_json::from_str::<Value>(unless).is_ok()));
            let namesake = NAMESAKES.contains(&(of, field));
            assert_eq!(is_read(&words, field), namesake, "{of}.{field} is read, so its row goes");
        }
        for (of, field, why) in NEED_NO_READER {
            let id = builtin().find(&format!("io.k8s.api.core.v1.{of}")).unwrap();
            assert!(builtin().get(id).field(field).is_some() && !is_read(&words, field), "{of}.{field}: {why}");
        }
    }

    #[test]
    fn who_asks_in_vain_is_told_where() {
        let pod = builtin().of_kind("", "v1", "Pod").unwrap();
        let object = json!({"spec": {"subdomain": "s", "hostUsers": true, "imagePullSecrets": [],
            "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "nfs": {"server": "x", "path": "/"}}],
            "initContainers": [{"name": "i", "startupProbe": {"grpc": {"port": 1}},
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, "procMount": "Unmasked"}}]}});
        let told = warnings(pod, &object);
        let places: Vec<&str> = told.iter().map(|text| text.split_once(": ").unwrap().0).collect();
        assert_eq!(
            places,
            [
                "spec.initContainers[0].securityContext.procMount",
                "spec.initContainers[0].startupProbe.grpc",
                "spec.subdomain",
                "spec.volumes[1].nfs",
            ]
        );
        let controller = builtin().of_kind("", "v1", "ReplicationController").unwrap();
        let told = warnings(controller, &json!({"spec": {"template": object}}));
        assert_eq!(told.len(), 4);
        assert!(told[3].starts_with("spec.template.spec.volumes[1].nfs: accepted, and not honoured by this version: "));
    }
}
