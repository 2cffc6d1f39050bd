//! The files of volumes that show API objects: config maps, secrets, the pod's own fields. Decides from what it is given.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret, Volume, VolumeProjection,
};

use super::VolumeError;
use crate::environment::fields::{NodeFacts, field, resource_of};
use crate::environment::{Objects, References};

const MODE: i32 = 0o644;

#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub content: Vec<u8>,
    pub mode: u32,
}

/// By path below the volume.
pub type Files = BTreeMap<String, File>;

/// The objects that the volumes of a pod show.
pub fn references(volumes: &[Volume]) -> References {
    let mut found = References::default();
    for volume in volumes {
        found.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        found.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            found.config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
            found.secrets.extend(source.secret.iter().map(|source| source.name.clone()));
        }
    }
    found
}

/// None: the volume shows no API object.
pub fn files(pod: &Pod, volume: &Volume, objects: &Objects, node: &NodeFacts) -> Result<Option<Files>, VolumeError> {
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        let optional = source.optional == Some(true);
        config_map(objects, &source.name, source.items.as_deref(), source.default_mode, optional, &mut files)?;
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let optional = source.optional == Some(true);
        secret(objects, name, source.items.as_deref(), source.default_mode, optional, &mut files)?;
    } else if let Some(source) = &volume.downward_api {
        downward(pod, node, source.items.as_deref(), source.default_mode, &mut files)?;
    } else if let Some(source) = &volume.projected {
        for part in source.sources.iter().flatten() {
            projected(pod, objects, node, volume, source, part, &mut files)?;
        }
    } else {
        return Ok(None);
    }
    if let Some(path) = files.keys().find(|path| escapes(path)) {
        return Err(VolumeError::Path { volume: volume.name.clone(), path: path.clone() });
    }
    Ok(Some(files))
}

fn projected(
    pod: &Pod,
    objects: &Objects,
    node: &NodeFacts,
    volume: &Volume,
    source: &ProjectedVolumeSource,
    part: &VolumeProjection,
    files: &mut Files,
) -> Result<(), VolumeError> {
    let mode = source.default_mode;
    if let Some(map) = &part.config_map {
        config_map(objects, &map.name, map.items.as_deref(), mode, map.optional == Some(true), files)
    } else if let Some(part) = &part.secret {
        secret(objects, &part.name, part.items.as_deref(), mode, part.optional == Some(true), files)
    } else if let Some(part) = &part.downward_api {
        downward(pod, node, part.items.as_deref(), mode, files)
    } else {
        Err(VolumeError::Unsupported {
            volume: volume.name.clone(),
            kind: "projected: only configMap, secret and downwardAPI",
        })
    }
}

fn config_map(
    objects: &Objects,
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    optional: bool,
    files: &mut Files,
) -> Result<(), VolumeError> {
    match objects.config_maps.get(name) {
        Some(map) => select("configmap", name, items, mode, optional, map_data(map), files),
        None if optional => Ok(()),
        None => Err(VolumeError::ConfigMap(name.to_owned())),
    }
}

fn secret(
    objects: &Objects,
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    optional: bool,
    files: &mut Files,
) -> Result<(), VolumeError> {
    match objects.secrets.get(name) {
        Some(secret) => select("secret", name, items, mode, optional, secret_data(secret), files),
        None if optional => Ok(()),
        None => Err(VolumeError::Secret(name.to_owned())),
    }
}

fn map_data(map: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    text.chain(map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()))).collect()
}

fn secret_data(secret: &Secret) -> BTreeMap<&str, &[u8]> {
    secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect()
}

fn select(
    kind: &'static str,
    name: &str,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
    optional: bool,
    data: BTreeMap<&str, &[u8]>,
    files: &mut Files,
) -> Result<(), VolumeError> {
    let file = |content: &[u8], own: Option<i32>| File { content: content.to_vec(), mode: bits(own.or(mode)) };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        files.extend(data.into_iter().map(|(key, content)| (key.to_owned(), file(content, None))));
        return Ok(());
    };
    for item in items {
        match data.get(item.key.as_str()) {
            Some(content) => {
                files.insert(item.path.clone(), file(content, item.mode));
            }
            None if optional => {}
            None => return Err(VolumeError::Key { kind, name: name.to_owned(), key: item.key.clone() }),
        }
    }
    Ok(())
}

fn downward(
    pod: &Pod,
    node: &NodeFacts,
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: Option<i32>,
    files: &mut Files,
) -> Result<(), VolumeError> {
    for item in items.unwrap_or_default() {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(reference), _) => field(pod, &reference.field_path, node)?,
            (None, Some(selector)) => resource_of(pod, selector, node)?,
            (None, None) => String::new(),
        };
        files.insert(item.path.clone(), File { content: value.into_bytes(), mode: bits(item.mode.or(mode)) });
    }
    Ok(())
}

fn bits(mode: Option<i32>) -> u32 {
    u32::try_from(mode.unwrap_or(MODE)).unwrap_or(0) & 0o777
}

/// A path that leads out of the volume, or into the writer's own entries.
fn escapes(path: &str) -> bool {
    path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part.is_empty() || part.starts_with(".."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(volume: serde_json::Value) -> Result<Vec<String>, String> {
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p", "labels": {"b": "2", "a": "1"}}, "spec": {"containers": []}}),
        )
        .unwrap();
        let objects = Objects {
            config_maps: [("cm".to_owned(), serde_json::from_value(json!({"data": {"k": "v", "l": "w"}})).unwrap())]
                .into(),
            secrets: [("s".to_owned(), serde_json::from_value(json!({"data": {"p": "aHVudGVyMg=="}})).unwrap())].into(),
        };
        let files = files(&pod, &volume, &objects, &NodeFacts::default()).map_err(|e| e.to_string())?.unwrap();
        let line = |(path, file): (&String, &File)| {
            format!("{path} {:o} {}", file.mode, String::from_utf8_lossy(&file.content))
        };
        Ok(files.iter().map(line).collect())
    }

    #[test]
    fn files_of_each_source() {
        for (volume, expected) in [
            (json!({"configMap": {"name": "cm"}}), vec!["k 644 v", "l 644 w"]),
            (
                json!({"configMap": {"name": "cm", "defaultMode": 256, "items": [{"key": "k", "path": "d/x"}]}}),
                vec!["d/x 400 v"],
            ),
            (json!({"configMap": {"name": "none", "optional": true}}), vec![]),
            (
                json!({"secret": {"secretName": "s", "items": [{"key": "p", "path": "p", "mode": 384}]}}),
                vec!["p 600 hunter2"],
            ),
            (
                json!({"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}),
                vec!["labels 644 a=\"1\"\nb=\"2\""],
            ),
            (
                json!({"projected": {"defaultMode": 292, "sources": [{"configMap": {"name": "cm"}}, {"secret": {"name": "s"}}]}}),
                vec!["k 444 v", "l 444 w", "p 444 hunter2"],
            ),
        ] {
            let mut volume = volume;
            volume["name"] = "v".into();
            assert_eq!(show(volume.clone()).unwrap(), expected, "{volume}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (volume, expected) in [
            (json!({"name": "v", "configMap": {"name": "none"}}), "configmap \"none\" not found"),
            (json!({"name": "v", "secret": {"secretName": "none"}}), "secret \"none\" not found"),
            (
                json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}}),
                "configmap \"cm\" references non-existent key: z",
            ),
            (
                json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "k", "path": "a/../../x"}]}}),
                "volume v: the path a/../../x leads out of it",
            ),
        ] {
            assert_eq!(show(volume).unwrap_err(), expected);
        }
    }
}
