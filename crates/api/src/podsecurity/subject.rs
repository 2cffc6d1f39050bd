//! A pod as the checks look at it: containers of all lists alike, and the words for several of them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    ContainerPort, Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec, Probe, SecurityContext,
};
use serde_json::{Map, Value};

pub struct Subject<'a> {
    pub annotations: &'a Map<String, Value>,
    pub spec: &'a PodSpec,
    pub security: Option<&'a PodSecurityContext>,
    pub containers: Vec<Container<'a>>,
}

pub struct Container<'a> {
    pub name: &'a str,
    pub security: Option<&'a SecurityContext>,
    pub ports: &'a [ContainerPort],
    probes: [Option<&'a Probe>; 3],
    lifecycle: Option<&'a Lifecycle>,
}

macro_rules! container {
    ($one:expr) => {
        Container {
            name: &$one.name,
            security: $one.security_context.as_ref(),
            ports: $one.ports.as_deref().unwrap_or_default(),
            probes: [$one.liveness_probe.as_ref(), $one.readiness_probe.as_ref(), $one.startup_probe.as_ref()],
            lifecycle: $one.lifecycle.as_ref(),
        }
    };
}

impl<'a> Subject<'a> {
    pub fn new(annotations: &'a Map<String, Value>, spec: &'a PodSpec) -> Self {
        let init = spec.init_containers.iter().flatten().map(|one| container!(one));
        let main = spec.containers.iter().map(|one| container!(one));
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(|one| container!(one));
        let containers = init.chain(main).chain(ephemeral).collect();
        Self { annotations, spec, security: spec.security_context.as_ref(), containers }
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).and_then(Value::as_str)
    }

    /// The names of the containers that a test finds wrong.
    pub fn bad(&self, mut test: impl FnMut(&Container<'a>) -> bool) -> Vec<&'a str> {
        self.containers.iter().filter(|container| test(container)).map(|container| container.name).collect()
    }

    pub fn on_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// Root of the pod is nobody on the host.
    pub fn has_own_users(&self) -> bool {
        self.spec.host_users == Some(false)
    }
}

impl<'a> Container<'a> {
    /// The hosts that are named where the kubelet itself asks.
    pub fn hosts(&self) -> impl Iterator<Item = &'a str> {
        let of_probes = self.probes.into_iter().flatten().flat_map(|probe| {
            let http = probe.http_get.as_ref().and_then(|get| get.host.as_deref());
            [http, probe.tcp_socket.as_ref().and_then(|socket| socket.host.as_deref())]
        });
        let handlers = self.lifecycle.into_iter().flat_map(|one| [one.post_start.as_ref(), one.pre_stop.as_ref()]);
        let of_handlers = handlers.flatten().flat_map(|handler: &LifecycleHandler| {
            let http = handler.http_get.as_ref().and_then(|get| get.host.as_deref());
            [http, handler.tcp_socket.as_ref().and_then(|socket| socket.host.as_deref())]
        });
        of_probes.chain(of_handlers).flatten().filter(|host| !host.is_empty())
    }
}

/// `"a", "b"`
pub fn quoted<T: AsRef<str>>(list: impl IntoIterator<Item = T>) -> String {
    let list: Vec<String> = list.into_iter().map(|one| format!("\"{}\"", one.as_ref())).collect();
    list.join(", ")
}

pub fn plural<'a>(one: &'a str, many: &'a str, number: usize) -> &'a str {
    if number == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`
pub fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// Who sets something: the pod, containers, or both.
pub fn setters(pod: bool, bad: &[&str]) -> Option<String> {
    let pod = pod.then(|| "pod".to_owned());
    let list: Vec<String> = pod.into_iter().chain((!bad.is_empty()).then(|| containers(bad))).collect();
    (!list.is_empty()).then(|| list.join(" and "))
}

pub type Set<'a> = BTreeSet<&'a str>;
