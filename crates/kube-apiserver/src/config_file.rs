//! Configuration files of upstream's kinds, in YAML or JSON: read strictly, as nobody looks at them again once the server runs.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// What the file holds; a field that occurs twice is an error.
pub fn read(path: &Path) -> Result<Value, ReadError> {
    let bytes = std::fs::read(path).map_err(|e| ReadError::Unreadable(e.to_string()))?;
    parse(&bytes).map_err(ReadError::Wrong)
}

pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let mut duplicates = Vec::new();
    let value = api::yaml::read(bytes, &mut duplicates).map_err(|e| e.to_string())?;
    match duplicates.first() {
        Some(field) => Err(format!("duplicate field {field:?}")),
        None => Ok(value),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("can't be read: {0}")]
    Unreadable(String),
    #[error("{0}")]
    Wrong(String),
}

/// A document of a kind in one of these versions, without the two fields that say so.
pub fn document<T: DeserializeOwned>(mut value: Value, kind: &str, versions: &[&str]) -> Result<T, String> {
    let take = |value: &mut Value, field: &str| {
        let taken = value.as_object_mut().and_then(|fields| fields.remove(field));
        taken.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let (version, is) = (take(&mut value, "apiVersion"), take(&mut value, "kind"));
    if is != kind || !versions.contains(&version.as_str()) {
        let wanted = versions.first().copied().unwrap_or_default();
        return Err(format!("is {version:?} {is:?}, not {wanted:?} {kind:?}"));
    }
    T::deserialize(value).map_err(|e| e.to_string())
}
