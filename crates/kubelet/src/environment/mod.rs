//! The environment of a container: what its spec says, with the values that come from the pod, the node, config maps,
//! secrets and services. Decides from what it is given; fetches nothing.

mod expand;
pub mod fields;
pub mod services;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Pod, Secret, Service};

pub use expand::expand;
use fields::{FieldError, NodeFacts};

/// The config maps and secrets that a pod refers to, by name, as far as they exist.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub config_maps: BTreeMap<String, ConfigMap>,
    pub secrets: BTreeMap<String, Secret>,
}

/// The names that a spec refers to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct References {
    pub config_maps: Vec<String>,
    pub secrets: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EnvironmentError {
    #[error("configmap \"{0}\" not found")]
    ConfigMap(String),
    #[error("secret \"{0}\" not found")]
    Secret(String),
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    ConfigMapKey { namespace: String, name: String, key: String },
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    SecretKey { namespace: String, name: String, key: String },
    #[error("key {key} of Secret {namespace}/{name} is not text (UTF-8): an environment variable can't hold it")]
    NotText { namespace: String, name: String, key: String },
    #[error("variable {variable}: {source}")]
    Field { variable: String, source: FieldError },
}

pub fn references(container: &Container) -> References {
    let mut found = References::default();
    for from in container.env_from.iter().flatten() {
        found.config_maps.extend(from.config_map_ref.iter().map(|r| r.name.clone()));
        found.secrets.extend(from.secret_ref.iter().map(|r| r.name.clone()));
    }
    for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        found.config_maps.extend(from.config_map_key_ref.iter().map(|r| r.name.clone()));
        found.secrets.extend(from.secret_key_ref.iter().map(|r| r.name.clone()));
    }
    for list in [&mut found.config_maps, &mut found.secrets] {
        list.sort();
        list.dedup();
    }
    found
}

/// All variables of a container, in order: services, then `envFrom`, then `env`; the last of a name wins.
pub fn build(
    pod: &Pod,
    container: &Container,
    services: &[Arc<Service>],
    objects: &Objects,
    node: &NodeFacts,
) -> Result<Vec<(String, String)>, EnvironmentError> {
    let mut variables = Variables::default();
    for (name, value) in services::variables(services) {
        variables.set(name, value);
    }
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            match objects.config_maps.get(&reference.name) {
                Some(map) => map.data.iter().flatten().for_each(|(k, v)| variables.set_if_valid(prefix, k, v)),
                None if reference.optional == Some(true) => {}
                None => return Err(EnvironmentError::ConfigMap(reference.name.clone())),
            }
        }
        if let Some(reference) = &from.secret_ref {
            match objects.secrets.get(&reference.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        let text = secret_text(pod, &reference.name, key, &value.0)?;
                        variables.set_if_valid(prefix, key, &text);
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(EnvironmentError::Secret(reference.name.clone())),
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => Some(variables.expand(variable.value.as_deref().unwrap_or_default())),
            Some(_) => value_from(pod, container, variable, objects, node)?,
        };
        if let Some(value) = value {
            variables.set(variable.name.clone(), value);
        }
    }
    Ok(variables.list)
}

/// The command or the arguments of a container, with the variables put in.
pub fn expand_all(texts: Option<&Vec<String>>, variables: &[(String, String)]) -> Vec<String> {
    let find = |name: &str| variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    texts.into_iter().flatten().map(|text| expand(text, find)).collect()
}

#[derive(Default)]
struct Variables {
    list: Vec<(String, String)>,
    index: BTreeMap<String, usize>,
}

impl Variables {
    fn set(&mut self, name: String, value: String) {
        match self.index.get(&name) {
            Some(&at) => self.list[at].1 = value,
            None => {
                self.index.insert(name.clone(), self.list.len());
                self.list.push((name, value));
            }
        }
    }

    /// A key that can't be a variable's name is left out, as upstream does (it tells by an event; the key is in the map).
    fn set_if_valid(&mut self, prefix: &str, key: &str, value: &str) {
        let name = format!("{prefix}{key}");
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit()) {
            self.set(name, value.to_owned());
        }
    }

    fn expand(&self, text: &str) -> String {
        expand(text, |name| self.index.get(name).map(|&at| self.list[at].1.clone()))
    }
}

fn secret_text(pod: &Pod, name: &str, key: &str, value: &[u8]) -> Result<String, EnvironmentError> {
    String::from_utf8(value.to_vec()).map_err(|_| EnvironmentError::NotText {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: name.to_owned(),
        key: key.to_owned(),
    })
}

/// None: the variable is optional and what it refers to is not there.
fn value_from(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    objects: &Objects,
    node: &NodeFacts,
) -> Result<Option<String>, EnvironmentError> {
    let Some(from) = &variable.value_from else { return Ok(None) };
    let field_error = |source| EnvironmentError::Field { variable: variable.name.clone(), source };
    let namespace = || pod.metadata.namespace.clone().unwrap_or_default();
    if let Some(field) = &from.field_ref {
        return fields::field(pod, &field.field_path, node).map(Some).map_err(field_error);
    }
    if let Some(resource) = &from.resource_field_ref {
        return fields::resource(pod, container, resource, node).map(Some).map_err(field_error);
    }
    if let Some(reference) = &from.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let (name, key) = (reference.name.clone(), reference.key.clone());
        return match objects.config_maps.get(&name) {
            None if optional => Ok(None),
            None => Err(EnvironmentError::ConfigMap(name)),
            Some(map) => match map.data.as_ref().and_then(|data| data.get(&key)) {
                Some(value) => Ok(Some(value.clone())),
                None if optional => Ok(None),
                None => Err(EnvironmentError::ConfigMapKey { namespace: namespace(), name, key }),
            },
        };
    }
    if let Some(reference) = &from.secret_key_ref {
        let optional = reference.optional == Some(true);
        let (name, key) = (reference.name.clone(), reference.key.clone());
        return match objects.secrets.get(&name) {
            None if optional => Ok(None),
            None => Err(EnvironmentError::Secret(name)),
            Some(secret) => match secret.data.as_ref().and_then(|data| data.get(&key)) {
                Some(value) => secret_text(pod, &name, &key, &value.0).map(Some),
                None if optional => Ok(None),
                None => Err(EnvironmentError::SecretKey { namespace: namespace(), name, key }),
            },
        };
    }
    Ok(Some(String::new()))
}

#[cfg(test)]
mod tests;
