//! Nodes: their conditions and amounts, and what their pods take of these.

use std::collections::BTreeMap;

use api::quantity::{Format, Quantity};
use serde_json::Value;

use super::text::{Text, items, or_none, plain, text};
use crate::duration::{rfc1123, since};
use crate::error::Result;

const ROLE: &str = "node-role.kubernetes.io/";
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub fn describe(out: &mut Text, object: &Value, pods: &[Value], lease: &Result<Value>) {
    let (spec, status) = (&object["spec"], &object["status"]);
    out.field("Name", text(object, "/metadata/name"));
    let names = object["metadata"]["labels"].as_object().into_iter().flatten();
    let roles: Vec<&str> = names.filter_map(|(key, _)| key.strip_prefix(ROLE)).collect();
    out.field("Roles", or_none(&roles.join(",")));
    out.labels(object);
    out.annotations(object);
    out.field("CreationTimestamp", rfc1123(text(object, "/metadata/creationTimestamp")));
    taints(out, &spec["taints"]);
    out.field("Unschedulable", spec["unschedulable"] == true);
    match lease {
        Err(error) => out.field("Lease", format_args!("Failed to get lease: {error}")),
        Ok(lease) => {
            let time = |pointer: &str| match text(lease, pointer) {
                "" => "<unset>".to_owned(),
                time => rfc1123(time),
            };
            out.line("Lease:");
            out.inside(|out| {
                let holder = text(lease, "/spec/holderIdentity");
                out.field("HolderIdentity", if holder.is_empty() { "<unset>" } else { holder });
                out.field("AcquireTime", time("/spec/acquireTime"));
                out.field("RenewTime", time("/spec/renewTime"));
            });
        }
    }
    if items(&status["conditions"]).next().is_some() {
        out.raw("Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
        out.raw("  ----\t------\t-----------------\t------------------\t------\t-------");
        for condition in items(&status["conditions"]) {
            out.raw(format_args!(
                "  {} \t{} \t{} \t{} \t{} \t{}",
                text(condition, "/type"),
                text(condition, "/status"),
                heard(text(condition, "/lastHeartbeatTime")),
                rfc1123(text(condition, "/lastTransitionTime")),
                text(condition, "/reason"),
                text(condition, "/message")
            ));
        }
    }
    out.line("Addresses:");
    out.inside(|out| {
        for address in items(&status["addresses"]) {
            out.field(text(address, "/type"), text(address, "/address"));
        }
    });
    for (title, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        let Some(amounts) = status[field].as_object().filter(|amounts| !amounts.is_empty()) else { continue };
        out.line(format_args!("{title}:"));
        out.inside(|out| amounts.iter().for_each(|(name, amount)| out.field(name, plain(amount))));
    }
    system(out, &status["nodeInfo"]);
    if !text(spec, "/podCIDR").is_empty() {
        out.field("PodCIDR", text(spec, "/podCIDR"));
    }
    let ranges: Vec<String> = items(&spec["podCIDRs"]).map(plain).collect();
    if !ranges.is_empty() {
        out.field("PodCIDRs", ranges.join(","));
    }
    if !text(spec, "/providerID").is_empty() {
        out.field("ProviderID", text(spec, "/providerID"));
    }
    running(out, pods, &status["allocatable"]);
}

/// Go's zero time stands for never.
fn heard(time: &str) -> String {
    rfc1123(if time.is_empty() { "0001-01-01T00:00:00Z" } else { time })
}

fn taints(out: &mut Text, taints: &Value) {
    let mut title = "Taints:";
    for taint in items(taints) {
        let value = text(taint, "/value");
        let value = if value.is_empty() { String::new() } else { format!("={value}") };
        out.line(format_args!("{title}\t{}{value}:{}", text(taint, "/key"), text(taint, "/effect")));
        title = "";
    }
    if !title.is_empty() {
        out.line(format_args!("{title}\t<none>"));
    }
}

fn system(out: &mut Text, info: &Value) {
    out.line("System Info:");
    out.inside(|out| {
        for (name, pointer) in [
            ("Machine ID", "/machineID"),
            ("System UUID", "/systemUUID"),
            ("Boot ID", "/bootID"),
            ("Kernel Version", "/kernelVersion"),
            ("OS Image", "/osImage"),
            ("Operating System", "/operatingSystem"),
            ("Architecture", "/architecture"),
            ("Container Runtime Version", "/containerRuntimeVersion"),
            ("Kubelet Version", "/kubeletVersion"),
        ] {
            out.field(name, text(info, pointer));
        }
    });
}

type Amounts = BTreeMap<String, Quantity>;

/// What a pod takes: the sum of its containers, or the most of one that runs before them.
fn taken(pod: &Value, field: &str) -> Amounts {
    let of = |container: &Value| -> Amounts {
        let amounts = container["resources"][field].as_object().into_iter().flatten();
        amounts.filter_map(|(name, amount)| Some((name.clone(), plain(amount).parse().ok()?))).collect()
    };
    let mut total = Amounts::new();
    for container in items(&pod["spec"]["containers"]) {
        add(&mut total, of(container));
    }
    let mut beside = Amounts::new();
    for container in items(&pod["spec"]["initContainers"]) {
        if text(container, "/restartPolicy") == "Always" {
            add(&mut beside, of(container));
            add(&mut total, of(container));
            continue;
        }
        let mut alone = of(container);
        add(&mut alone, beside.clone());
        for (name, amount) in alone {
            let most = total.get(&name).map_or(amount, |held| (*held).max(amount));
            total.insert(name, most);
        }
    }
    total
}

fn add(total: &mut Amounts, more: Amounts) {
    for (name, amount) in more {
        let sum = total.get(&name).map_or(amount, |held| *held + amount);
        total.insert(name, sum);
    }
}

fn share(amounts: &Amounts, resource: &str, allocatable: &Value) -> String {
    let zero = Quantity::new(0, Format::DecimalSI);
    let amount = amounts.get(resource).copied().unwrap_or(zero);
    let whole = plain(&allocatable[resource]).parse::<Quantity>().unwrap_or(zero);
    let percent = if whole.is_zero() { 0 } else { amount.nano_value() * 100 / whole.nano_value() };
    format!("{amount} ({percent}%)")
}

fn running(out: &mut Text, pods: &[Value], allocatable: &Value) {
    let over = |pod: &&Value| matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let pods: Vec<&Value> = pods.iter().filter(|pod| !over(pod)).collect();
    out.raw(format_args!("Non-terminated Pods:\t({} in total)", pods.len()));
    out.raw("  Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    out.raw("  ---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    for pod in pods {
        let (request, limit) = (taken(pod, "requests"), taken(pod, "limits"));
        out.raw(format_args!(
            "  {}\t{}\t\t{}\t{}\t{}\t{}\t{}",
            text(pod, "/metadata/namespace"),
            text(pod, "/metadata/name"),
            share(&request, "cpu", allocatable),
            share(&limit, "cpu", allocatable),
            share(&request, "memory", allocatable),
            share(&limit, "memory", allocatable),
            since(text(pod, "/metadata/creationTimestamp"))
        ));
        add(&mut requests, request);
        add(&mut limits, limit);
    }
    out.raw("Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)");
    out.raw("  Resource\tRequests\tLimits\n  --------\t--------\t------");
    let extended = allocatable.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let others = extended.filter(|name| !RESOURCES.contains(name) && *name != "pods");
    for resource in RESOURCES.into_iter().chain(others) {
        let (request, limit) = (share(&requests, resource, allocatable), share(&limits, resource, allocatable));
        out.raw(format_args!("  {resource}\t{request}\t{limit}"));
    }
}
