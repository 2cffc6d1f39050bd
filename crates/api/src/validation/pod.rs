//! The rules for pods and pod templates.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{Container, PodDNSConfig, PodSpec};

use super::checks::{MAX_INT32, between, ip, named, named_if_set, seconds, supported, supported_if_set};
use super::{affinity, container, ephemeral, names, resources, security, volume};
use crate::field::{Errors, Path};

pub use super::checks::port_number as number;

const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// Whose pods they are: what restarts them and what may end them differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A pod by itself.
    None,
    PodTemplate,
    Job,
    ReplicationController,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
}

impl Owner {
    /// Of controllers whose pods never end.
    fn keeps_running(self) -> bool {
        !matches!(self, Self::None | Self::PodTemplate | Self::Job)
    }
}

pub fn validate(spec: &PodSpec, path: &Path<'_>, owner: Owner, errors: &mut Errors) {
    let volumes = volume::validate(spec.volumes.as_deref().unwrap_or_default(), &path.child("volumes"), errors);
    let claims = resource_claims(spec, &path.child("resourceClaims"), errors);
    let grace = spec.termination_grace_period_seconds.unwrap_or(30);
    let around = container::Surroundings { volumes: &volumes, claims: &claims, grace };
    let mut seen = HashSet::new();
    let containers = path.child("containers");
    if spec.containers.is_empty() {
        errors.required(&containers, "");
    }
    for (at, one) in spec.containers.iter().enumerate() {
        container::validate(one, &containers.index(at), &around, &mut seen, false, errors);
    }
    let init = path.child("initContainers");
    for (at, one) in spec.init_containers.iter().flatten().enumerate() {
        container::validate(one, &init.index(at), &around, &mut seen, true, errors);
    }
    host_ports(spec.host_network == Some(true), &spec.containers, &containers, errors);
    ephemeral::validate(spec, path, &around, &mut seen, owner, errors);
    policies(spec, path, owner, errors);
    placement(spec, path, errors);
    if let Some(context) = &spec.security_context {
        security::pod(spec, context, &path.child("securityContext"), errors);
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&path.child("shareProcessNamespace"), true, why);
    }
    if let Some(overhead) = &spec.overhead {
        resources::amounts(overhead, &path.child("overhead"), errors);
    }
    if let Some(amounts) = &spec.resources {
        resources::validate(amounts, &claims, &path.child("resources"), errors);
    }
}

fn policies(spec: &PodSpec, path: &Path<'_>, owner: Owner, errors: &mut Errors) {
    let restart = spec.restart_policy.as_deref().unwrap_or("");
    let restarts: &[&str] = if owner.keeps_running() { &["Always"] } else { &["Always", "OnFailure", "Never"] };
    if owner == Owner::Job && restart == "Always" {
        errors.required(&path.child("restartPolicy"), "valid values: \"OnFailure\", \"Never\"");
    } else {
        supported(restart, restarts, &path.child("restartPolicy"), errors);
    }
    supported(spec.dns_policy.as_deref().unwrap_or(""), &DNS_POLICIES, &path.child("dnsPolicy"), errors);
    dns(spec.dns_config.as_ref(), spec.dns_policy.as_deref() == Some("None"), &path.child("dnsConfig"), errors);
    let preemption = ["Never", "PreemptLowerPriority"];
    supported_if_set(spec.preemption_policy.as_deref(), &preemption, &path.child("preemptionPolicy"), errors);
    seconds(spec.termination_grace_period_seconds, &path.child("terminationGracePeriodSeconds"), errors);
    if owner.keeps_running() && spec.active_deadline_seconds.is_some() {
        let why = format!("activeDeadlineSeconds in {owner:?} is not Supported");
        errors.forbidden(&path.child("activeDeadlineSeconds"), why);
    } else {
        between(spec.active_deadline_seconds, (1, MAX_INT32), &path.child("activeDeadlineSeconds"), errors);
    }
    if let Some(os) = &spec.os {
        let path = path.child("os");
        supported(&os.name, &["linux", "windows"], &path.child("name"), errors);
    }
}

fn placement(spec: &PodSpec, path: &Path<'_>, errors: &mut Errors) {
    let selector = path.child("nodeSelector");
    for (key, value) in spec.node_selector.iter().flatten() {
        errors.extend(&selector, key, names::qualified_name(key));
        errors.extend(&selector, value, names::label_value(value));
    }
    for (field, value, rule) in [
        ("hostname", &spec.hostname, names::dns_label as fn(&str) -> Vec<String>),
        ("subdomain", &spec.subdomain, names::dns_label),
        ("nodeName", &spec.node_name, names::dns_subdomain),
        ("serviceAccountName", &spec.service_account_name, names::dns_subdomain),
        ("priorityClassName", &spec.priority_class_name, names::dns_subdomain),
        ("runtimeClassName", &spec.runtime_class_name, names::dns_subdomain),
    ] {
        named_if_set(value.as_deref(), rule, &path.child(field), errors);
    }
    if let Some(affinity) = &spec.affinity {
        affinity::validate(affinity, &path.child("affinity"), errors);
    }
    affinity::tolerations(spec.tolerations.as_deref().unwrap_or_default(), &path.child("tolerations"), errors);
    let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    affinity::spreading(constraints, &path.child("topologySpreadConstraints"), errors);
    let aliases = path.child("hostAliases");
    for (at, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = aliases.index(at);
        ip(&alias.ip, &path.child("ip"), errors);
        let hostnames = path.child("hostnames");
        for (at, name) in alias.hostnames.iter().flatten().enumerate() {
            errors.extend(&hostnames.index(at), name, names::dns_subdomain(name));
        }
    }
    let gates = path.child("readinessGates");
    for (at, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = gates.index(at);
        let kind = gate.condition_type.as_str();
        errors.extend(&path.child("conditionType"), kind, names::qualified_name(kind));
    }
    let (gates, mut seen) = (path.child("schedulingGates"), HashSet::new());
    for (at, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let path = gates.index(at);
        errors.extend(&path.child("name"), &gate.name, names::qualified_name(&gate.name));
        if !seen.insert(gate.name.as_str()) {
            errors.duplicate(&path, gate.name.as_str());
        }
    }
    if !seen.is_empty() && spec.node_name.as_deref().is_some_and(|node| !node.is_empty()) {
        errors.forbidden(&path.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
}

fn resource_claims<'a>(spec: &'a PodSpec, path: &Path<'_>, errors: &mut Errors) -> HashSet<&'a str> {
    let mut seen = HashSet::new();
    for (at, claim) in spec.resource_claims.iter().flatten().enumerate() {
        let path = path.index(at);
        let name = path.child("name");
        named(&claim.name, names::dns_label, &name, errors);
        if !seen.insert(claim.name.as_str()) {
            errors.duplicate(&name, claim.name.as_str());
        }
        let shown = || serde_json::to_value(claim).unwrap_or_default();
        match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (None, None) => {
                let why = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.invalid(&path, shown(), why);
            }
            (Some(_), Some(_)) => {
                let why = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.invalid(&path, shown(), why);
            }
            _ => {}
        }
    }
    seen
}

fn dns(config: Option<&PodDNSConfig>, none: bool, path: &Path<'_>, errors: &mut Errors) {
    const MOST_SERVERS: usize = 3;
    const MOST_SEARCHES: usize = 32;
    const LONGEST_SEARCHES: usize = 2048;
    let Some(config) = config else {
        if none {
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        return;
    };
    let (servers, searches) =
        (config.nameservers.as_deref().unwrap_or_default(), config.searches.as_deref().unwrap_or_default());
    let place = path.child("nameservers");
    if none && servers.is_empty() {
        errors.required(&place, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        return;
    }
    if servers.len() > MOST_SERVERS {
        errors.invalid(&place, servers, format!("must not have more than {MOST_SERVERS} nameservers"));
    }
    for (at, server) in servers.iter().enumerate() {
        ip(server, &place.index(at), errors);
    }
    let place = path.child("searches");
    if searches.len() > MOST_SEARCHES {
        errors.invalid(&place, searches, format!("must not have more than {MOST_SEARCHES} search paths"));
    }
    if searches.iter().map(|search| search.len() + 1).sum::<usize>() > LONGEST_SEARCHES + 1 {
        let why =
            format!("must not have more than {LONGEST_SEARCHES} characters (including spaces) in the search list");
        errors.invalid(&place, searches, why);
    }
    for (at, search) in searches.iter().enumerate() {
        let name = search.strip_suffix('.').unwrap_or(search);
        if search != "." {
            errors.extend(&place.index(at), search, names::dns_subdomain(name));
        }
    }
    let place = path.child("options");
    for (at, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().unwrap_or("").is_empty() {
            errors.required(&place.index(at), "must not be empty");
        }
    }
}

/// The same port of the host can be had once in a pod.
fn host_ports(host_network: bool, containers: &[Container], path: &Path<'_>, errors: &mut Errors) {
    let mut taken = HashSet::new();
    for (at, container) in containers.iter().enumerate() {
        let path = path.index(at);
        let path = path.child("ports");
        for (port_at, port) in container.ports.iter().flatten().enumerate() {
            let Some(host) = port.host_port.filter(|p| *p != 0) else { continue };
            let (protocol, address) =
                (port.protocol.as_deref().unwrap_or("TCP"), port.host_ip.as_deref().unwrap_or(""));
            let key = format!("{protocol}/{address}/{host}");
            if !taken.insert(key.clone()) {
                errors.duplicate(&path.index(port_at).child("hostPort"), key);
            }
            if host_network && host != port.container_port {
                let why = "must match `containerPort` when `hostNetwork` is true";
                errors.invalid(&path.index(port_at).child("containerPort"), port.container_port, why);
            }
        }
    }
}

#[cfg(test)]
mod tests;
