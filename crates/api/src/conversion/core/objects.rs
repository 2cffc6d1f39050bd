//! The other kinds of v1beta1.

use serde_json::{Map, Value, json};

use super::{amounts, metadata, pod};
use crate::conversion::{Conversion, SAME, each, rename};
use crate::meta::{fields_mut, object_mut};

/// Kinds that only have their metadata elsewhere.
pub const PLAIN: Conversion = Conversion {
    to_stored: |document| metadata::to_stored(fields_mut(document)),
    from_stored: |document| metadata::from_stored(fields_mut(document)),
    ..SAME
};

fn reference(fields: &mut Map<String, Value>, stored: bool) {
    let (from, to) = if stored { ("id", "name") } else { ("name", "id") };
    rename(fields, from, to);
}

pub const SERVICE_ACCOUNT: Conversion = Conversion {
    to_stored: |document| {
        metadata::to_stored(fields_mut(document));
        each(document, "secrets[]", &mut |secret| reference(secret, true));
    },
    from_stored: |document| {
        metadata::from_stored(fields_mut(document));
        each(document, "secrets[]", &mut |secret| reference(secret, false));
    },
    ..SAME
};

const ADDRESSES: [&str; 2] = ["subsets[].addresses[]", "subsets[].notReadyAddresses[]"];

pub const ENDPOINTS: Conversion = Conversion {
    to_stored: |document| {
        let fields = fields_mut(document);
        metadata::to_stored(fields);
        let protocol = fields.remove("protocol").unwrap_or_else(|| "TCP".into());
        let (endpoints, references) = (fields.remove("endpoints"), fields.remove("targetRefs"));
        if fields.get("subsets").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            let all = endpoints.as_ref().and_then(Value::as_array).into_iter().flatten();
            let subsets = all.filter_map(|endpoint| subset(endpoint.as_str()?, &protocol, references.as_ref()));
            let subsets: Vec<Value> = subsets.collect();
            if !subsets.is_empty() {
                fields.insert("subsets".into(), subsets.into());
            }
        }
        for path in ADDRESSES {
            each(document, path, &mut |address| {
                rename(address, "IP", "ip");
                if let Some(target) = address.get_mut("targetRef").and_then(Value::as_object_mut) {
                    reference(target, true);
                }
            });
        }
    },
    from_stored: |document| {
        let fields = fields_mut(document);
        metadata::from_stored(fields);
        let (mut endpoints, mut references) = (Vec::new(), Vec::new());
        let subsets = fields.get("subsets").and_then(Value::as_array).cloned().unwrap_or_default();
        let first = subsets.first().and_then(|subset| subset.get("ports")?.get(0)).cloned().unwrap_or_default();
        for subset in &subsets {
            let list = |name: &str| subset.get(name).and_then(Value::as_array).into_iter().flatten();
            for port in list("ports").filter(|port| port.get("name") == first.get("name")) {
                for address in list("addresses") {
                    let endpoint = joined(address, port);
                    if let Some(Value::Object(mut target)) = address.get("targetRef").cloned() {
                        reference(&mut target, false);
                        references.push(json!({"endpoint": endpoint, "targetRef": target}));
                    }
                    endpoints.push(endpoint.into());
                }
            }
        }
        fields.insert("protocol".into(), first.get("protocol").cloned().unwrap_or_else(|| "TCP".into()));
        fields.insert("endpoints".into(), Value::Array(endpoints));
        if !references.is_empty() {
            fields.insert("targetRefs".into(), references.into());
        }
        for path in ADDRESSES {
            each(document, path, &mut |address| {
                rename(address, "ip", "IP");
                if let Some(target) = address.get_mut("targetRef").and_then(Value::as_object_mut) {
                    reference(target, false);
                }
            });
        }
    },
    check: |document| {
        let endpoints = document.get("endpoints").and_then(Value::as_array).into_iter().flatten();
        let wrong = endpoints.filter_map(Value::as_str).find(|endpoint| split(endpoint).is_none());
        wrong.map_or(Ok(()), |endpoint| Err(format!("endpoints: {endpoint:?} is no address and port")))
    },
    ..SAME
};

fn joined(address: &Value, port: &Value) -> String {
    let ip = address.get("ip").and_then(Value::as_str).unwrap_or("");
    let port = port.get("port").and_then(Value::as_i64).unwrap_or(0);
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

fn split(endpoint: &str) -> Option<(&str, i32)> {
    let (ip, port) = endpoint.rsplit_once(':')?;
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    Some((ip, port.parse().ok()?))
}

/// One endpoint is a set of its own: the simplest that is right.
fn subset(endpoint: &str, protocol: &Value, references: Option<&Value>) -> Option<Value> {
    let (ip, port) = split(endpoint)?;
    let mut address = json!({"IP": ip});
    let mut references = references.and_then(Value::as_array).into_iter().flatten();
    if let Some(target) = references.rfind(|one| one.get("endpoint").is_some_and(|of| *of == endpoint)) {
        address["targetRef"] = target.get("targetRef").cloned().unwrap_or_default();
    }
    Some(json!({"addresses": [address], "ports": [{"protocol": protocol, "port": port}]}))
}

const NODE_SPEC: [&str; 8] = [
    "configSource",
    "externalID",
    "podCIDR",
    "podCIDRs",
    "podPreemptionPolicy",
    "providerID",
    "taints",
    "unschedulable",
];
const LEGACY_HOST_IP: &str = "LegacyHostIP";

pub const MINION: Conversion = Conversion {
    to_stored: |document| {
        if let Some(status) = document.get_mut("status") {
            each(status, "conditions[]", &mut |condition| rename(condition, "lastProbeTime", "lastHeartbeatTime"));
            pod::conditions(status, "conditions", true);
            amounts::to_stored(status.get_mut("allocatable"));
        }
        let fields = fields_mut(document);
        metadata::to_stored(fields);
        let spec: Map<String, Value> = NODE_SPEC.iter().filter_map(|name| fields.remove_entry(*name)).collect();
        if !spec.is_empty() {
            fields.insert("spec".into(), spec.into());
        }
        let capacity = fields.remove("resources").and_then(|mut resources| {
            amounts::to_stored(resources.get_mut("capacity"));
            fields_mut(&mut resources).remove("capacity")
        });
        let host = fields.remove("hostIP").filter(|host| *host != "");
        if let Some(capacity) = capacity {
            object_mut(document, "status").insert("capacity".into(), capacity);
        }
        if let Some(host) = host {
            let addresses = object_mut(document, "status").entry("addresses").or_insert_with(|| json!([]));
            let Some(addresses) = addresses.as_array_mut() else { return };
            if !addresses.iter().any(|address| address.get("address") == Some(&host)) {
                addresses.push(json!({"type": LEGACY_HOST_IP, "address": host}));
            }
        }
    },
    from_stored: |document| {
        let fields = fields_mut(document);
        metadata::from_stored(fields);
        if let Some(Value::Object(spec)) = fields.remove("spec") {
            fields.extend(spec);
        }
        let Some(status) = fields.get_mut("status") else { return };
        each(status, "conditions[]", &mut |condition| rename(condition, "lastHeartbeatTime", "lastProbeTime"));
        pod::conditions(status, "conditions", false);
        amounts::from_stored(status.get_mut("allocatable"));
        let addresses = status.get("addresses").and_then(Value::as_array).cloned().unwrap_or_default();
        let of = |kind: &str| addresses.iter().find(|address| address.get("type").is_some_and(|is| *is == kind));
        let host = of(LEGACY_HOST_IP).or_else(|| of("InternalIP")).and_then(|address| address.get("address")).cloned();
        let capacity = status.as_object_mut().and_then(|status| status.remove("capacity"));
        fields.extend(host.map(|host| ("hostIP".to_owned(), host)));
        if let Some(mut capacity) = capacity {
            amounts::from_stored(Some(&mut capacity));
            fields.insert("resources".into(), json!({"capacity": capacity}));
        }
    },
    ..SAME
};

pub const EVENT: Conversion = Conversion {
    to_stored: |document| {
        let fields = fields_mut(document);
        metadata::to_stored(fields);
        let source: Map<String, Value> = [("source", "component"), ("host", "host")]
            .into_iter()
            .filter_map(|(here, stored)| Some((stored.to_owned(), fields.remove(here)?)))
            .collect();
        if !source.is_empty() {
            fields.insert("source".into(), source.into());
        }
        // The oldest events know one time.
        if let Some(time) = fields.remove("timestamp")
            && !fields.contains_key("firstTimestamp")
        {
            fields.insert("firstTimestamp".into(), time.clone());
            fields.insert("lastTimestamp".into(), time);
            fields.insert("count".into(), 1.into());
        }
        each(document, "involvedObject", &mut |about| reference(about, true));
    },
    from_stored: |document| {
        each(document, "involvedObject", &mut |about| reference(about, false));
        let fields = fields_mut(document);
        metadata::from_stored(fields);
        if let Some(Value::Object(mut source)) = fields.remove("source") {
            rename(&mut source, "component", "source");
            fields.extend(source);
        }
        if let Some(time) = fields.get("firstTimestamp").cloned() {
            fields.insert("timestamp".into(), time);
        }
    },
    ..SAME
};

const QUOTAS: [&str; 3] = ["/spec/hard", "/status/hard", "/status/used"];

pub const RESOURCE_QUOTA: Conversion = Conversion {
    to_stored: |document| {
        metadata::to_stored(fields_mut(document));
        QUOTAS.iter().for_each(|list| amounts::to_stored(document.pointer_mut(list)));
    },
    from_stored: |document| {
        metadata::from_stored(fields_mut(document));
        QUOTAS.iter().for_each(|list| amounts::from_stored(document.pointer_mut(list)));
    },
    ..SAME
};

const LIMITS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

pub const LIMIT_RANGE: Conversion = Conversion {
    to_stored: |document| {
        metadata::to_stored(fields_mut(document));
        each(document, "spec.limits[]", &mut |limit| {
            LIMITS.iter().for_each(|list| amounts::to_stored(limit.get_mut(*list)))
        });
    },
    from_stored: |document| {
        metadata::from_stored(fields_mut(document));
        each(document, "spec.limits[]", &mut |limit| {
            LIMITS.iter().for_each(|list| amounts::from_stored(limit.get_mut(*list)))
        });
    },
    ..SAME
};

/// Binds a pod to a host; today's binding has the pod's name, and the node as its target.
pub const BINDING: Conversion = Conversion {
    to_stored: |document| {
        let fields = fields_mut(document);
        metadata::to_stored(fields);
        let (pod, host) = (fields.remove("podID"), fields.remove("host"));
        fields.insert("target".into(), json!({"kind": "Node", "name": host.unwrap_or_else(|| "".into())}));
        if let Some(pod) = pod {
            object_mut(document, "metadata").insert("name".into(), pod);
        }
    },
    from_stored: |document| {
        let fields = fields_mut(document);
        let target = fields.remove("target").unwrap_or_default();
        metadata::from_stored(fields);
        if let Some(pod) = fields.get("id").cloned() {
            fields.insert("podID".into(), pod);
        }
        fields.insert("host".into(), target.get("name").cloned().unwrap_or_else(|| "".into()));
    },
    ..SAME
};
