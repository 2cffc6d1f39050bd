//! The pod security standards: what of a pod each level in each version forbids. Facts and words are upstream's.
//!
//! Does not own where a level is asked for; that is admission's.

mod baseline;
mod level;
mod restricted;
mod subject;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Map, Value};

pub use level::{Level, LevelVersion, Policy, Version};
use subject::Subject;

/// What is wrong: in a few words, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub reason: String,
    pub detail: String,
}

type Test = fn(&Subject<'_>) -> Option<Violation>;

/// A rule, as it is from each minor version on.
struct Check {
    id: &'static str,
    since: &'static [(u32, Test)],
    /// The check of the level below that this one stands for as well.
    instead_of: &'static str,
}

const fn check(id: &'static str, since: &'static [(u32, Test)]) -> Check {
    Check { id, since, instead_of: "" }
}

impl Check {
    fn at(&self, minor: u32) -> Option<Test> {
        self.since.iter().rev().find(|(since, _)| *since <= minor).map(|(_, test)| *test)
    }
}

/// In the order in which their findings are told.
const BASELINE: &[Check] = &[
    check("appArmorProfile", &[(0, baseline::app_armor)]),
    check("capabilities_baseline", &[(0, baseline::capabilities)]),
    check("hostNamespaces", &[(0, baseline::host_namespaces)]),
    check("hostPathVolumes", &[(0, baseline::host_paths)]),
    check("hostPorts", &[(0, baseline::host_ports)]),
    check("hostProbesAndHostLifecycle", &[(34, baseline::hosts_of_probes)]),
    check("privileged", &[(0, baseline::privileged)]),
    check("procMount", &[(0, baseline::proc_mount), (35, baseline::proc_mount_of_host_users)]),
    check("seLinuxOptions", &[(0, baseline::se_linux), (31, baseline::se_linux_with_engine)]),
    check("seccompProfile_baseline", &[(0, baseline::seccomp_annotations), (19, baseline::seccomp)]),
    check(
        "sysctls",
        &[
            (0, baseline::sysctls::<5>),
            (27, baseline::sysctls::<6>),
            (29, baseline::sysctls::<10>),
            (32, baseline::sysctls::<12>),
            (37, baseline::sysctls::<14>),
        ],
    ),
    check("windowsHostProcess", &[(0, baseline::host_process)]),
];

const RESTRICTED: &[Check] = &[
    check("allowPrivilegeEscalation", &[(8, restricted::escalation), (25, restricted::escalation_on_linux)]),
    Check {
        id: "capabilities_restricted",
        since: &[(22, restricted::capabilities), (25, restricted::capabilities_on_linux)],
        instead_of: "capabilities_baseline",
    },
    Check { id: "procMount_restricted", since: &[(35, baseline::proc_mount)], instead_of: "procMount" },
    Check { id: "restrictedVolumes", since: &[(0, restricted::volumes)], instead_of: "hostPathVolumes" },
    check("runAsNonRoot", &[(0, restricted::non_root), (35, restricted::non_root_of_host_users)]),
    check("runAsUser", &[(23, restricted::user), (35, restricted::user_of_host_users)]),
    Check {
        id: "seccompProfile_restricted",
        since: &[(19, restricted::seccomp), (25, restricted::seccomp_on_linux)],
        instead_of: "seccompProfile_baseline",
    },
];

/// The last minor version that changed a check; later ones are the same.
const NEWEST: u32 = 37;

/// What the level forbids of the pod.
pub fn evaluate(wanted: &LevelVersion, annotations: Option<&Map<String, Value>>, spec: &PodSpec) -> Vec<Violation> {
    if wanted.level == Level::Privileged {
        return Vec::new();
    }
    let minor = match wanted.version {
        Version::Latest => NEWEST,
        Version::Minor(minor) => minor.min(NEWEST),
    };
    let none = Map::new();
    let subject = Subject::new(annotations.unwrap_or(&none), spec);
    let strict: Vec<(&Check, Test)> = match wanted.level {
        Level::Restricted => RESTRICTED.iter().filter_map(|check| Some((check, check.at(minor)?))).collect(),
        _ => Vec::new(),
    };
    let base = BASELINE.iter().filter_map(|check| Some((check, check.at(minor)?)));
    let base = base.filter(|(check, _)| !strict.iter().any(|(stricter, _)| stricter.instead_of == check.id));
    base.chain(strict.iter().copied()).filter_map(|(_, test)| test(&subject)).collect()
}

/// All reasons, with their details.
pub fn details(violations: &[Violation]) -> String {
    let one = |violation: &Violation| match violation.detail.as_str() {
        "" => violation.reason.clone(),
        detail => format!("{} ({detail})", violation.reason),
    };
    violations.iter().map(one).collect::<Vec<_>>().join(", ")
}

pub fn reasons(violations: &[Violation]) -> String {
    violations.iter().map(|violation| violation.reason.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
