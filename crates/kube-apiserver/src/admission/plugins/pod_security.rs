//! `PodSecurity`: the labels of a namespace say which of the pod security standards its pods are held to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::meta;
use api::podsecurity::{Level, LevelVersion, Policy, Violation, details, evaluate, reasons};
use api::status::Status;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;
use serde_json::Value;

use crate::admission::{Attempt, Operation, Plugin, typed};
use crate::attributes::Attributes;
use crate::registry::parse;

/// Of the pods that are there when a namespace gets another level.
const MAX_CHECKED: usize = 3000;
const MAX_TIME: Duration = Duration::from_secs(1);
/// They give the pod no other rights.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

/// Annotations of audit events.
const ENFORCED: &str = "pod-security.kubernetes.io/enforce-policy";
const AUDITED: &str = "pod-security.kubernetes.io/audit-violations";
const EXEMPT: &str = "pod-security.kubernetes.io/exempt";

/// What holds where labels say nothing, and who is not held to it.
#[derive(Clone, Debug, Default)]
pub struct PodSecurity {
    pub defaults: Policy,
    pub exempt: Exemptions,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Exemptions {
    pub usernames: Vec<String>,
    pub runtime_classes: Vec<String>,
    pub namespaces: Vec<String>,
}

impl PodSecurity {
    pub const NAME: &str = "PodSecurity";
}

#[async_trait]
impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn handles(&self, attempt: &Attempt<'_>) -> bool {
        if attempt.operation == Operation::Delete {
            return false;
        }
        let (resource, sub) = (attempt.target.resource(), attempt.context.subresource());
        match (resource.group, resource.plural) {
            ("", "pods") => !IGNORED.contains(&sub),
            ("", "namespaces") => sub.is_empty(),
            _ => sub.is_empty() && template_of(resource.group, resource.plural).is_some(),
        }
    }

    async fn validate(&self, attempt: &Attempt<'_>, object: &Value) -> Result<(), Status> {
        let resource = attempt.target.resource();
        if resource.plural == "namespaces" {
            return self.of_namespace(attempt, object).await;
        }
        let namespace = &attempt.target.namespace;
        let Attributes { user, trail, .. } = &attempt.context.attributes;
        if self.exempt.namespaces.contains(namespace) {
            trail.note(EXEMPT, || "namespace");
            return Ok(());
        }
        if self.exempt.usernames.contains(&user.name) {
            trail.note(EXEMPT, || "user");
            return Ok(());
        }
        let policy = self.policy(attempt, namespace).await?;
        let is_pod = resource.plural == "pods";
        if policy.is_privileged() {
            if is_pod {
                trail.note(ENFORCED, || policy.enforce.to_string());
            }
            return Ok(());
        }
        // Nobody reads what would be noted where no events are written.
        let audits = trail.is_on() && policy.audit.level != Level::Privileged;
        if !is_pod && !audits && policy.warn.level == Level::Privileged {
            return Ok(());
        }
        let path = if is_pod { "" } else { template_of(resource.group, resource.plural).unwrap_or("") };
        let Some(pod) = object.pointer(path).filter(|pod| pod.get("spec").is_some()) else { return Ok(()) };
        if is_pod && attempt.old.is_some_and(|old| !is_significant(object, old)) {
            return Ok(());
        }
        let spec: PodSpec = typed(&pod["spec"])?;
        if spec.runtime_class_name.as_ref().is_some_and(|name| self.exempt.runtime_classes.contains(name)) {
            trail.note(EXEMPT, || "runtimeClass");
            return Ok(());
        }
        let violations = |wanted: &LevelVersion| evaluate(wanted, meta::metadata(pod, "annotations"), &spec);
        let would = |wanted: &LevelVersion, found: &[Violation]| {
            format!("would violate PodSecurity \"{wanted}\": {}", details(found))
        };
        if audits {
            let found = violations(&policy.audit);
            if !found.is_empty() {
                trail.note(AUDITED, || would(&policy.audit, &found));
            }
        }
        if is_pod {
            trail.note(ENFORCED, || policy.enforce.to_string());
            let found = violations(&policy.enforce);
            if !found.is_empty() {
                let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, details(&found));
                return Err(attempt.forbidden(meta::name(object), why));
            }
        }
        let found = violations(&policy.warn);
        if !found.is_empty() {
            attempt.context.warn(would(&policy.warn, &found));
        }
        Ok(())
    }
}

impl PodSecurity {
    /// What a namespace asks for.
    async fn policy(&self, attempt: &Attempt<'_>, name: &str) -> Result<Policy, Status> {
        let namespace = attempt.registry.target("", "v1", "namespaces", "", name)?;
        // The cache has the labels read already.
        if let Ok(entry) = attempt.registry.get_cached(&namespace, 0).await {
            let label = |name: &str| entry.labels.get(name).map(|value| &**value);
            return Ok(Policy::of_labels(label, &self.defaults).0);
        }
        let namespace = attempt.other("", "v1", "namespaces", "", name).await?.unwrap_or_default();
        Ok(Policy::of_labels(label_of(&namespace), &self.defaults).0)
    }

    /// Labels must be right; of the pods that a new level would refuse the client is warned.
    async fn of_namespace(&self, attempt: &Attempt<'_>, namespace: &Value) -> Result<(), Status> {
        let name = meta::name(namespace);
        let policy_of = |namespace: &Value| Policy::of_labels(label_of(namespace), &self.defaults);
        let (policy, wrong) = policy_of(namespace);
        let before = attempt.old.map(policy_of);
        let same = before.as_ref().is_some_and(|(_, before)| before.0 == wrong.0);
        if !wrong.is_empty() && !same {
            return Err(Status::invalid("", "Namespace", name, &wrong));
        }
        let exempt = self.exempt.namespaces.iter().any(|exempt| exempt == name);
        let Some((before, _)) = before else {
            if exempt && !policy.is_privileged() && policy != self.defaults {
                attempt.context.warn(ignored(name, &policy, namespace));
            }
            return Ok(());
        };
        let stricter = policy.enforce.version != before.enforce.version || policy.enforce.level > before.enforce.level;
        if policy.enforce.level == Level::Privileged || policy.enforce == before.enforce || !stricter {
            return Ok(());
        }
        if exempt {
            if policy != self.defaults {
                attempt.context.warn(ignored(name, &policy, namespace));
            }
            return Ok(());
        }
        for warning in self.of_pods(attempt, name, &policy.enforce).await? {
            attempt.context.warn(warning);
        }
        Ok(())
    }

    async fn of_pods(
        &self,
        attempt: &Attempt<'_>,
        namespace: &str,
        wanted: &LevelVersion,
    ) -> Result<Vec<String>, Status> {
        let entries = attempt.others("", "v1", "pods", namespace).await?;
        let (start, mut checked) = (Instant::now(), 0);
        // One name and the number of pods for each finding.
        let mut findings: BTreeMap<String, (String, usize)> = BTreeMap::new();
        let mut pods = 0;
        for entry in &entries {
            if checked >= MAX_CHECKED || start.elapsed() > MAX_TIME {
                pods += 1;
                continue;
            }
            let pod = parse(&entry.bytes)?;
            let spec: PodSpec = typed(&pod["spec"])?;
            if spec.runtime_class_name.as_ref().is_some_and(|name| self.exempt.runtime_classes.contains(name)) {
                continue;
            }
            pods += 1;
            checked += 1;
            let found: Vec<Violation> = evaluate(wanted, meta::metadata(&pod, "annotations"), &spec);
            if !found.is_empty() {
                let name = meta::name(&pod).to_owned();
                let entry = findings.entry(reasons(&found)).or_insert_with(|| (name, 0));
                entry.1 += 1;
            }
        }
        let mut warnings = Vec::new();
        if checked < pods {
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {checked} of {pods} existing pods"
            ));
        }
        if !findings.is_empty() {
            warnings.push(format!(
                "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{wanted}\""
            ));
        }
        let mut told: Vec<String> = findings
            .into_iter()
            .map(|(reasons, (name, number))| match number {
                1 => format!("{name}: {reasons}"),
                2 => format!("{name} (and 1 other pod): {reasons}"),
                more => format!("{name} (and {} other pods): {reasons}", more - 1),
            })
            .collect();
        told.sort_unstable();
        warnings.extend(told);
        Ok(warnings)
    }
}

fn label_of<'a>(object: &'a Value) -> impl Fn(&str) -> Option<&'a str> {
    let labels = meta::metadata(object, "labels");
    move |name| labels?.get(name).and_then(Value::as_str)
}

/// Where the pods that the objects of a kind make are described.
fn template_of(group: &str, plural: &str) -> Option<&'static str> {
    match (group, plural) {
        ("", "podtemplates") => Some("/template"),
        ("", "replicationcontrollers") | ("batch", "jobs") => Some("/spec/template"),
        ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets") => Some("/spec/template"),
        ("batch", "cronjobs") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

fn ignored(name: &str, policy: &Policy, namespace: &Value) -> String {
    let labels = meta::metadata(namespace, "labels");
    let asked = |mode: &str| {
        let label = format!("pod-security.kubernetes.io/{mode}");
        labels.is_some_and(|labels| labels.contains_key(&label) || labels.contains_key(&format!("{label}-version")))
    };
    let modes = [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)];
    let modes = modes.iter().filter(|(mode, wanted)| wanted.level != Level::Privileged && asked(mode));
    let list: Vec<String> = modes.map(|(mode, wanted)| format!("{mode}={wanted}")).collect();
    let list = list.join(", ");
    format!("namespace {name:?} is exempt from Pod Security, and the policy ({list}) will be ignored")
}

/// Images and containers are what a change of a pod can bring in; all else was looked at when it was made.
fn is_significant(pod: &Value, old: &Value) -> bool {
    let images = |pod: &Value, list: &str| -> Vec<(String, String)> {
        let containers = pod["spec"].get(list).and_then(Value::as_array).into_iter().flatten();
        let text =
            |container: &Value, field: &str| container.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        containers.map(|container| (text(container, "name"), text(container, "image"))).collect()
    };
    let of_images = |pod: &Value, list: &str| images(pod, list).into_iter().map(|(_, image)| image).collect::<Vec<_>>();
    if ["containers", "initContainers"].iter().any(|list| of_images(pod, list) != of_images(old, list)) {
        return true;
    }
    let before = images(old, "ephemeralContainers");
    images(pod, "ephemeralContainers").iter().any(|container| !before.contains(container))
}
