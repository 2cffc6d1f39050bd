//! The rows of what governs the cluster: policies, priorities, certificates, devices.

use serde_json::Value;

use super::{AGE, Column, NAME, boolean, count, duration, integer, list, number, or_none, text, text_or};
use crate::meta::{self, at, text_at};

pub const SERVICE_ACCOUNTS: &[Column] =
    &[NAME, text("Secrets", "How many secrets it may use.", |a, _| count(a, "secrets").into()), AGE];

pub const RESOURCE_QUOTAS: &[Column] = &[
    NAME,
    text("Request", "What is used of what may be asked for.", |q, _| used(q, false).into()),
    text("Limit", "What is used of the limits' limit.", |q, _| used(q, true).into()),
    AGE,
];

pub const LEASE_CANDIDATES: &[Column] = &[
    NAME,
    text("LeaseName", "The lease that it would hold.", |c, _| text_at(c, "spec.leaseName").into()),
    text("BinaryVersion", "The version of its program.", |c, _| text_at(c, "spec.binaryVersion").into()),
    text("EmulationVersion", "The version that it behaves as.", |c, _| text_at(c, "spec.emulationVersion").into()),
    text("Strategy", "How the holder is chosen.", |c, _| text_at(c, "spec.strategy").into()),
    AGE,
];

pub const PRIORITY_CLASSES: &[Column] = &[
    NAME,
    integer("Value", "The priority of its pods.", |c, _| number(c, "value")),
    boolean("Global-Default", "Whether pods without a class have it.", |c, _| {
        at(c, "globalDefault").cloned().unwrap_or(false.into())
    }),
    AGE,
    text("PreemptionPolicy", "Whether its pods push others out.", |c, _| text_at(c, "preemptionPolicy").into()),
];

pub const RUNTIME_CLASSES: &[Column] =
    &[NAME, text("Handler", "What runs its pods.", |c, _| text_at(c, "handler").into()), AGE];

pub const WEBHOOK_CONFIGURATIONS: &[Column] =
    &[NAME, integer("Webhooks", "How many there are.", |c, _| count(c, "webhooks").into()), AGE];

const PARAM_KIND: Column = text("ParamKind", "The kind of its parameters.", |p, _| match at(p, "spec.paramKind") {
    Some(kind) => format!("{}/{}", text_at(kind, "apiVersion"), text_at(kind, "kind")).into(),
    None => "<unset>".into(),
});

pub const VALIDATING_ADMISSION_POLICIES: &[Column] =
    &[NAME, integer("Validations", "How many there are.", |p, _| count(p, "spec.validations").into()), PARAM_KIND, AGE];

pub const MUTATING_ADMISSION_POLICIES: &[Column] =
    &[NAME, integer("Mutations", "How many there are.", |p, _| count(p, "spec.mutations").into()), PARAM_KIND, AGE];

pub const ADMISSION_POLICY_BINDINGS: &[Column] = &[
    NAME,
    text("PolicyName", "The policy.", |b, _| text_at(b, "spec.policyName").into()),
    text("ParamRef", "Its parameters.", |b, _| match at(b, "spec.paramRef") {
        Some(param) if text_at(param, "namespace").is_empty() => text_at(param, "name").into(),
        Some(param) => format!("{}/{}", text_at(param, "namespace"), text_at(param, "name")).into(),
        None => "<unset>".into(),
    }),
    AGE,
];

pub const FLOW_SCHEMAS: &[Column] = &[
    NAME,
    text("PriorityLevel", "The level of its requests.", |f, _| {
        text_at(f, "spec.priorityLevelConfiguration.name").into()
    }),
    integer("MatchingPrecedence", "Low numbers are tried first.", |f, _| number(f, "spec.matchingPrecedence")),
    text("DistinguisherMethod", "What makes a flow.", |f, _| text_or(f, "spec.distinguisherMethod.type", "<none>")),
    AGE,
    text("MissingPL", "Whether its level is missing.", |f, _| {
        let dangling = list(f, "status.conditions").iter().find(|c| c["type"] == "Dangling");
        dangling.map_or("?", |c| text_at(c, "status")).into()
    }),
];

pub const PRIORITY_LEVEL_CONFIGURATIONS: &[Column] = &[
    NAME,
    text("Type", "Limited or Exempt.", |p, _| text_at(p, "spec.type").into()),
    text("NominalConcurrencyShares", "Its part of all requests.", |p, _| {
        let own = ["spec.limited.nominalConcurrencyShares", "spec.exempt.nominalConcurrencyShares"];
        own.iter().find_map(|path| at(p, path)).cloned().unwrap_or("<none>".into())
    }),
    text("Queues", "How many queues it has.", |p, _| queuing(p, "queues")),
    text("HandSize", "How many queues a flow may use.", |p, _| queuing(p, "handSize")),
    text("QueueLengthLimit", "How many requests wait in a queue.", |p, _| queuing(p, "queueLengthLimit")),
    AGE,
];

pub const CERTIFICATE_SIGNING_REQUESTS: &[Column] = &[
    NAME,
    AGE,
    text("SignerName", "Who signs it.", |r, _| text_at(r, "spec.signerName").into()),
    text("Requestor", "Who asks for it.", |r, _| text_at(r, "spec.username").into()),
    text("RequestedDuration", "For how long.", |r, _| {
        let seconds = at(r, "spec.expirationSeconds").and_then(Value::as_i64);
        or_none(seconds.map(duration).unwrap_or_default())
    }),
    text("Condition", "Whether it is approved and issued.", |r, _| approval(r).into()),
];

pub const CLUSTER_TRUST_BUNDLES: &[Column] =
    &[NAME, text("SignerName", "Whose certificates they are.", |b, _| text_or(b, "spec.signerName", "<none>"))];

pub const POD_CERTIFICATE_REQUESTS: &[Column] = &[
    NAME,
    text("PodName", "The pod.", |r, _| text_at(r, "spec.podName").into()),
    text("ServiceAccountName", "Its account.", |r, _| text_at(r, "spec.serviceAccountName").into()),
    text("NodeName", "Its node.", |r, _| text_at(r, "spec.nodeName").into()),
    text("SignerName", "Who signs it.", |r, _| text_at(r, "spec.signerName").into()),
    text("State", "Whether it is issued.", |r, _| {
        let states = ["Issued", "Denied", "Failed"];
        let is =
            |state: &&&str| list(r, "status.conditions").iter().any(|c| c["type"] == **state && c["status"] == "True");
        (*states.iter().find(is).unwrap_or(&"Pending")).into()
    }),
];

pub const STORAGE_VERSION_MIGRATIONS: &[Column] = &[
    NAME,
    text("Resource", "What is stored anew.", |m, _| match text_at(m, "spec.resource.group") {
        "" => text_at(m, "spec.resource.resource").into(),
        group => format!("{}.{group}", text_at(m, "spec.resource.resource")).into(),
    }),
];

pub const RESOURCE_CLAIMS: &[Column] =
    &[NAME, text("State", "Whether devices are allocated and in use.", |c, _| claim_state(c).into()), AGE];

pub const RESOURCE_SLICES: &[Column] = &[
    NAME,
    text("Node", "Where its devices are.", |s, _| text_or(s, "spec.nodeName", "<unset>")),
    text("Driver", "The driver that has them.", |s, _| text_at(s, "spec.driver").into()),
    text("Pool", "The pool that they are part of.", |s, _| text_at(s, "spec.pool.name").into()),
    AGE,
];

fn used(quota: &Value, limits: bool) -> String {
    let hard = at(quota, "status.hard").and_then(Value::as_object).into_iter().flatten();
    let of_this = hard.filter(|(name, _)| name.starts_with("limits.") == limits);
    let amount = |(name, hard): (&String, &Value)| {
        let used = at(quota, "status.used").and_then(|used| used.get(name)).and_then(Value::as_str).unwrap_or("0");
        format!("{name}: {used}/{}", hard.as_str().unwrap_or(""))
    };
    let mut all: Vec<String> = of_this.map(amount).collect();
    all.sort();
    all.join(", ")
}

fn queuing(level: &Value, field: &str) -> Value {
    let queuing = at(level, "spec.limited.limitResponse.queuing");
    queuing.map_or("<none>".into(), |queuing| number(queuing, field))
}

fn approval(request: &Value) -> String {
    let is = |kind: &str| list(request, "status.conditions").iter().any(|c| c["type"] == kind);
    let mut words = vec![match () {
        () if is("Denied") => "Denied",
        () if is("Approved") => "Approved",
        () => "Pending",
    }];
    if is("Failed") {
        words.push("Failed");
    }
    if !text_at(request, "status.certificate").is_empty() {
        words.push("Issued");
    }
    words.join(",")
}

fn claim_state(claim: &Value) -> String {
    let (deleting, allocated) = (meta::is_deleting(claim), at(claim, "status.allocation").is_some());
    let states = [
        (deleting, "deleted"),
        (!allocated && !deleting, "pending"),
        (allocated, "allocated"),
        (allocated && count(claim, "status.reservedFor") > 0, "reserved"),
    ];
    states.iter().filter(|(is, _)| *is).map(|(_, state)| *state).collect::<Vec<_>>().join(",")
}

pub const COMPONENT_STATUSES: &[Column] = &[
    NAME,
    text("Status", "Whether it is healthy.", |status, _| match condition(status, "status") {
        "True" => "Healthy".into(),
        "False" => "Unhealthy".into(),
        _ => "Unknown".into(),
    }),
    text("Message", "What it has answered.", |status, _| condition(status, "message").into()),
    text("Error", "Why it has not answered.", |status, _| condition(status, "error").into()),
];

/// A field of the one condition that a component has.
fn condition<'a>(status: &'a Value, field: &str) -> &'a str {
    let mut conditions = list(status, "conditions").iter();
    let healthy = conditions.rfind(|condition| text_at(condition, "type") == "Healthy");
    healthy.map_or("", |condition| text_at(condition, field))
}

#[cfg(test)]
mod tests {
    use super::super::tests::cells;
    use super::*;
    use serde_json::json;

    #[test]
    fn rows() {
        let quota = json!({"metadata": {"name": "x"}, "status": {"used": {"pods": "1"},
            "hard": {"pods": "4", "cpu": "2", "limits.cpu": "3"}}});
        assert_eq!(cells(RESOURCE_QUOTAS, &quota), "x cpu: 0/2, pods: 1/4 limits.cpu: 0/3 <unknown>");
        let class = json!({"metadata": {"name": "x"}, "value": 7, "preemptionPolicy": "Never"});
        assert_eq!(cells(PRIORITY_CLASSES, &class), "x 7 false <unknown> Never");
        let mut request = json!({"metadata": {"name": "x"}, "spec": {"signerName": "a/b", "username": "u", "expirationSeconds": 3600}});
        assert_eq!(cells(CERTIFICATE_SIGNING_REQUESTS, &request), "x <unknown> a/b u 60m Pending");
        request["status"] = json!({"conditions": [{"type": "Approved"}], "certificate": "eA=="});
        assert_eq!(cells(CERTIFICATE_SIGNING_REQUESTS, &request), "x <unknown> a/b u 60m Approved,Issued");
        let level = json!({"metadata": {"name": "x"}, "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 5,
            "limitResponse": {"queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}}}}});
        assert_eq!(cells(PRIORITY_LEVEL_CONFIGURATIONS, &level), "x Limited 5 64 8 50 <unknown>");
        let flow = json!({"metadata": {"name": "x"}, "spec": {"matchingPrecedence": 3, "priorityLevelConfiguration": {"name": "l"}}});
        assert_eq!(cells(FLOW_SCHEMAS, &flow), "x l 3 <none> <unknown> ?");
        let claim = json!({"metadata": {"name": "x"}, "status": {"allocation": {}, "reservedFor": [{}]}});
        assert_eq!(cells(RESOURCE_CLAIMS, &claim), "x allocated,reserved <unknown>");
    }
}
