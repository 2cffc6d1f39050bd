//! `--admission-control-config-file`: what plugins are told beyond being on. Read and checked before anything is bound.

use std::path::{Path, PathBuf};

use api::podsecurity::{LevelVersion, Policy};
use serde::Deserialize;
use serde_json::Value;

use crate::config_file::{self, ReadError, document};

use super::plugins::{
    EventRateLimit, Exemptions, Limit, Limited, PodSecurity, PodTolerationRestriction, ResourceQuota,
};

/// What the plugins that can be told something are told.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    pub events: Vec<Limit>,
    pub pod_security: PodSecurity,
    pub tolerations: PodTolerationRestriction,
    /// What may not be used where no quota covers it.
    pub limited: Vec<Limited>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: can't be read: {why}")]
    Read { path: PathBuf, why: String },
    #[error("{path}: {why}")]
    Wrong { path: PathBuf, why: String },
    #[error("{path}: plugin {plugin}: {why}")]
    Plugin { path: PathBuf, plugin: String, why: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    plugins: Vec<Entry>,
}

/// One plugin: its configuration as it stands there, or where it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    configuration: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventLimits {
    #[serde(default)]
    limits: Vec<Limit>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Quotas {
    #[serde(default)]
    limited_resources: Vec<Limited>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Security {
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    exemptions: Exemptions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
struct Defaults {
    enforce: String,
    enforce_version: String,
    audit: String,
    audit_version: String,
    warn: String,
    warn_version: String,
}

fn read(path: &Path) -> Result<Value, ConfigError> {
    config_file::read(path).map_err(|error| match error {
        ReadError::Unreadable(why) => ConfigError::Read { path: path.into(), why },
        ReadError::Wrong(why) => ConfigError::Wrong { path: path.into(), why },
    })
}

impl Configuration {
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let versions = ["apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1", "apiserver.config.k8s.io/v1alpha1"];
        let wrong = |why| ConfigError::Wrong { path: path.into(), why };
        let file: File = document(read(path)?, "AdmissionConfiguration", &versions).map_err(wrong)?;
        let mut all = Self::default();
        for Entry { name, path: at, configuration } in file.plugins {
            let (value, path) = match configuration {
                Some(value) if !value.is_null() => (value, path.to_owned()),
                _ if at.is_empty() => continue,
                _ => {
                    let at = path.parent().unwrap_or(Path::new("")).join(at);
                    (read(&at)?, at)
                }
            };
            all.add(&name, value).map_err(|why| ConfigError::Plugin { path, plugin: name, why })?;
        }
        Ok(all)
    }

    fn add(&mut self, name: &str, value: Value) -> Result<(), String> {
        match name {
            EventRateLimit::NAME => {
                let versions = ["eventratelimit.admission.k8s.io/v1alpha1"];
                self.events = document::<EventLimits>(value, "Configuration", &versions)?.limits;
                let wrong = self.events.iter().enumerate().find_map(|(at, limit)| Some((at, limit.check()?)));
                match wrong {
                    Some((at, why)) => Err(format!("limits[{at}].{why}")),
                    None if self.events.is_empty() => Err("limits: Invalid value: null: must not be empty".into()),
                    None => Ok(()),
                }
            }
            ResourceQuota::NAME => {
                let versions = [
                    "apiserver.config.k8s.io/v1",
                    "resourcequota.admission.k8s.io/v1",
                    "resourcequota.admission.k8s.io/v1beta1",
                    "resourcequota.admission.k8s.io/v1alpha1",
                ];
                let kind = match value.get("apiVersion").and_then(Value::as_str) {
                    Some("apiserver.config.k8s.io/v1") => "ResourceQuotaConfiguration",
                    _ => "Configuration",
                };
                self.limited = document::<Quotas>(value, kind, &versions)?.limited_resources;
                Ok(())
            }
            PodSecurity::NAME => {
                let versions = ["v1", "v1beta1", "v1alpha1"]
                    .map(|version| format!("pod-security.admission.config.k8s.io/{version}"));
                let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
                let Security { defaults, exemptions } = document(value, "PodSecurityConfiguration", &versions)?;
                self.pod_security = PodSecurity { defaults: defaults.policy()?, exempt: exemptions };
                Ok(())
            }
            PodTolerationRestriction::NAME => {
                let versions = ["podtolerationrestriction.admission.k8s.io/v1alpha1"];
                self.tolerations = document(value, "Configuration", &versions)?;
                Ok(())
            }
            _ => Err("takes no configuration".into()),
        }
    }
}

impl Defaults {
    fn policy(&self) -> Result<Policy, String> {
        let read = |field: &str, level: &str, version: &str| -> Result<LevelVersion, String> {
            let wrong =
                |field: &str, value: &str, why: &str| format!("defaults.{field}: Invalid value: {value:?}: {why}");
            let level_of = |text: &str| text.parse().map_err(|why| wrong(field, text, why));
            let version_of = |text: &str| text.parse().map_err(|why| wrong(&format!("{field}-version"), text, why));
            Ok(LevelVersion {
                level: level_of(if level.is_empty() { "privileged" } else { level })?,
                version: version_of(if version.is_empty() { "latest" } else { version })?,
            })
        };
        Ok(Policy {
            enforce: read("enforce", &self.enforce, &self.enforce_version)?,
            audit: read("audit", &self.audit, &self.audit_version)?,
            warn: read("warn", &self.warn, &self.warn_version)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Configuration, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admission.yaml");
        std::fs::write(&path, text).unwrap();
        let events = "apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\nlimits: [{type: User, qps: 1, burst: 2}]";
        std::fs::write(folder.path().join("events.yaml"), events).unwrap();
        Configuration::read(&path).map_err(|e| e.to_string().rsplit("admission.yaml: ").next().unwrap().to_owned())
    }

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";

    #[test]
    fn plugins_are_told_in_the_file_or_beside_it() {
        let read = of(&format!(
            "{HEAD}- name: EventRateLimit\n  path: events.yaml\n- name: ResourceQuota\n  configuration:\n    apiVersion: apiserver.config.k8s.io/v1\n    kind: ResourceQuotaConfiguration\n    limitedResources: [{{resource: pods, matchContains: [cpu]}}]\n- name: PodSecurity\n  configuration:\n    apiVersion: pod-security.admission.config.k8s.io/v1\n    kind: PodSecurityConfiguration\n    defaults: {{enforce: baseline, enforce-version: v1.30}}\n    exemptions: {{namespaces: [kube-system]}}\n"
        ))
        .unwrap();
        assert_eq!((read.events.len(), read.limited[0].resource.as_str()), (1, "pods"));
        assert_eq!(read.pod_security.defaults.enforce.to_string(), "baseline:v1.30");
        assert_eq!(read.pod_security.exempt.namespaces, ["kube-system"]);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, why) in [
            (
                "kind: Nope\napiVersion: v1",
                "is \"v1\" \"Nope\", not \"apiserver.config.k8s.io/v1\" \"AdmissionConfiguration\"",
            ),
            (
                &*format!("{HEAD}- name: LimitRanger\n  configuration: {{a: 1}}"),
                "plugin LimitRanger: takes no configuration",
            ),
            (
                &*format!(
                    "{HEAD}- name: EventRateLimit\n  configuration: {{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: [{{type: Server, qps: 0, burst: 1}}]}}"
                ),
                "plugin EventRateLimit: limits[0].qps: Invalid value: 0: must be positive",
            ),
            (
                &*format!(
                    "{HEAD}- name: PodSecurity\n  configuration: {{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {{warn: strict}}}}"
                ),
                "plugin PodSecurity: defaults.warn: Invalid value: \"strict\": must be one of privileged, baseline, restricted",
            ),
        ] {
            assert_eq!(of(text).map(|_| ()).unwrap_err(), why, "{text}");
        }
        assert!(of(&format!("{HEAD}- name: X\n  pth: y")).is_err());
    }
}
