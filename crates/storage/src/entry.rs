//! One object in the cache: its bytes as they are served, and what selectors need of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use api::meta::splice_version;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The values of the kind's selectable fields, in the kind's order.
pub type Fields = Box<[Box<str>]>;
pub type Labels = BTreeMap<String, String>;

#[derive(Debug)]
pub struct Entry {
    /// `namespace/name`, or `name`.
    pub key: Box<str>,
    pub revision: i64,
    /// JSON with its resource version.
    pub bytes: Bytes,
    pub labels: Labels,
    pub fields: Fields,
}

impl Entry {
    /// `stored` is what the backend holds: without the resource version.
    pub(crate) fn new(key: &str, stored: &[u8], revision: i64, selectable: &[Vec<String>]) -> Self {
        let mut fields = vec![Box::<str>::default(); selectable.len()];
        let mut labels = Labels::new();
        let mut reader = serde_json::Deserializer::from_slice(stored);
        let wanted: Vec<(usize, &[String])> = selectable.iter().map(Vec::as_slice).enumerate().collect();
        let pick = Pick { wanted, depth: Depth::Root, fields: &mut fields, labels: &mut labels };
        if let Err(error) = pick.deserialize(&mut reader) {
            tracing::error!(key, revision, %error, "etcd holds a value that is not an object; it is served as it is");
        }
        Self {
            key: key.into(),
            revision,
            bytes: splice_version(stored, revision).into(),
            labels,
            fields: fields.into_boxed_slice(),
        }
    }

    /// The same object as of another revision: what a watcher is told of a deletion.
    pub(crate) fn at_revision(&self, revision: i64) -> Self {
        let old = format!("\"resourceVersion\":\"{}\"", self.revision);
        let new = format!("\"resourceVersion\":\"{revision}\"");
        let at = self.bytes.windows(old.len()).position(|w| w == old.as_bytes());
        let bytes = match at {
            Some(at) => {
                let mut bytes = Vec::with_capacity(self.bytes.len() + 4);
                bytes.extend_from_slice(&self.bytes[..at]);
                bytes.extend_from_slice(new.as_bytes());
                bytes.extend_from_slice(&self.bytes[at + old.len()..]);
                bytes.into()
            }
            None => self.bytes.clone(),
        };
        Self { key: self.key.clone(), revision, bytes, labels: self.labels.clone(), fields: self.fields.clone() }
    }

    pub fn namespace(&self) -> &str {
        self.key.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    pub fn name(&self) -> &str {
        self.key.split_once('/').map_or(&self.key, |(_, name)| name)
    }
}

/// Labels and the values at `selectable`, out of encoded JSON.
pub fn pick(json: &[u8], selectable: &[Vec<String>]) -> (Labels, Fields) {
    let entry = Entry::new("", json, 0, selectable);
    (entry.labels, entry.fields)
}

/// Reads only what is wanted out of a document and skips the rest without allocating.
struct Pick<'a, 'f> {
    wanted: Vec<(usize, &'a [String])>,
    depth: Depth,
    fields: &'f mut [Box<str>],
    labels: &'f mut Labels,
}

#[derive(Clone, Copy, PartialEq)]
enum Depth {
    Root,
    Metadata,
    Labels,
    Other,
}

impl<'de> DeserializeSeed<'de> for Pick<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Pick<'_, '_> {
    fn found(self, text: &str) {
        for (at, rest) in self.wanted {
            if rest.is_empty() {
                self.fields[at] = text.into();
            }
        }
    }
}

impl<'de> Visitor<'de> for Pick<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.found(if value { "true" } else { "false" });
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.found(&value.to_string());
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.found(&value.to_string());
        Ok(())
    }
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.found(&value.to_string());
        Ok(())
    }
    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.found(value);
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.depth == Depth::Labels {
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                self.labels.insert(key, value);
            }
            return Ok(());
        }
        while let Some(name) = map.next_key::<Name<'_>>()? {
            let name = name.0;
            let inner = self.wanted.iter().filter_map(|(at, path)| match path.split_first() {
                Some((first, rest)) if *first == *name => Some((*at, rest)),
                _ => None,
            });
            let wanted: Vec<_> = inner.collect();
            let depth = match (self.depth, &*name) {
                (Depth::Root, "metadata") => Depth::Metadata,
                (Depth::Metadata, "labels") => Depth::Labels,
                _ => Depth::Other,
            };
            if wanted.is_empty() && depth == Depth::Other {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Pick { wanted, depth, fields: self.fields, labels: self.labels })?;
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_selectors_need_is_read() {
        let json = br#"{"kind":"Pod","metadata":{"name":"p","labels":{"a":"1","b\n":"2"},"annotations":{"labels":{}}},
            "spec":{"nodeName":"n1","hostNetwork":true,"containers":[{"nodeName":"no"}]},"status":{"phase":"Running"}}"#;
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (labels, fields) =
            pick(json, &[path("spec.nodeName"), path("status.phase"), path("spec.hostNetwork"), path("status.podIP")]);
        assert_eq!(labels, Labels::from([("a".into(), "1".into()), ("b\n".into(), "2".into())]));
        assert_eq!(fields.iter().map(|f| &**f).collect::<Vec<_>>(), ["n1", "Running", "true", ""]);
    }

    #[test]
    fn an_object_can_be_shown_as_of_its_deletion() {
        let entry = Entry::new("default/p", br#"{"kind":"Pod","metadata":{"name":"p"}}"#, 99, &[]);
        assert_eq!((entry.namespace(), entry.name()), ("default", "p"));
        let gone = entry.at_revision(100);
        assert_eq!(&gone.bytes[..], br#"{"kind":"Pod","metadata":{"resourceVersion":"100","name":"p"}}"#);
    }
}
