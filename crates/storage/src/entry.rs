//! One object in the cache: its bytes as they are served, and what selectors need of it.

use std::sync::{Mutex, OnceLock};

use api::meta::{VERSION_ROOM, splice_version_into};
use bytes::Bytes;

use crate::event::{self, EventType};
use crate::scan::{Fields, Labels, Selectable};

#[derive(Debug)]
pub struct Entry {
    /// `namespace/name`, or `name`.
    pub key: Box<str>,
    pub revision: i64,
    /// JSON with its resource version.
    pub bytes: Bytes,
    pub labels: Labels,
    pub fields: Fields,
    /// Other encodings, from the first need on: few objects have any.
    others: OnceLock<Box<Others>>,
}

type Others = Mutex<Vec<(usize, Bytes)>>;

/// Encodings that are kept with an entry; the one that was made first makes room for another.
const OTHERS: usize = 4;

impl Entry {
    /// `stored` is what the backend holds: without the resource version.
    pub(crate) fn new(key: &str, stored: &[u8], revision: i64, selectable: &Selectable) -> Self {
        let mut bytes = Vec::with_capacity(stored.len() + VERSION_ROOM);
        splice_version_into(&mut bytes, stored, revision);
        Self::served(key, stored, bytes.into(), revision, selectable)
    }

    /// The entry and the frame in which it is told. The entry's bytes are a part of the frame, so both cost one copy.
    pub(crate) fn framed(
        kind: EventType,
        key: &str,
        stored: &[u8],
        revision: i64,
        selectable: &Selectable,
    ) -> (Self, Bytes) {
        let (before, after) = event::envelope(kind);
        let mut frame = Vec::with_capacity(before.len() + stored.len() + VERSION_ROOM + after.len());
        frame.extend_from_slice(before);
        splice_version_into(&mut frame, stored, revision);
        frame.extend_from_slice(after);
        let frame = Bytes::from(frame);
        let bytes = frame.slice(before.len()..frame.len() - after.len());
        (Self::served(key, stored, bytes, revision, selectable), frame)
    }

    fn served(key: &str, stored: &[u8], bytes: Bytes, revision: i64, selectable: &Selectable) -> Self {
        let (labels, fields) = selectable.pick(stored).unwrap_or_else(|| {
            tracing::error!(key, revision, "etcd holds a value that is not an object; it is served as it is");
            Default::default()
        });
        Self { key: key.into(), revision, bytes, labels, fields, others: OnceLock::new() }
    }

    /// The object in another encoding, made once. `media` is the caller's number for it.
    pub fn other(&self, media: usize, make: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        let mut others = self.others.get_or_init(Box::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, bytes)) = others.iter().find(|(have, _)| *have == media) {
            return bytes.clone();
        }
        let bytes = make(&self.bytes);
        if others.len() >= OTHERS {
            others.remove(0);
        }
        others.push((media, bytes.clone()));
        bytes
    }

    pub fn namespace(&self) -> &str {
        self.key.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    pub fn name(&self) -> &str {
        self.key.split_once('/').map_or(&self.key, |(_, name)| name)
    }
}

/// The object as of another revision: what a watcher is told of a deletion.
pub(crate) fn at_revision(out: &mut Vec<u8>, entry: &Entry, revision: i64) {
    let old = format!("\"resourceVersion\":\"{}\"", entry.revision);
    match memchr::memmem::find(&entry.bytes, old.as_bytes()) {
        Some(at) => {
            out.extend_from_slice(&entry.bytes[..at]);
            out.extend_from_slice(format!("\"resourceVersion\":\"{revision}\"").as_bytes());
            out.extend_from_slice(&entry.bytes[at + old.len()..]);
        }
        None => out.extend_from_slice(&entry.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_can_be_shown_as_of_its_deletion() {
        let entry = Entry::new("default/p", br#"{"kind":"Pod","metadata":{"name":"p"}}"#, 99, &Selectable::default());
        assert_eq!((entry.namespace(), entry.name()), ("default", "p"));
        let mut gone = Vec::new();
        at_revision(&mut gone, &entry, 100);
        assert_eq!(gone, br#"{"kind":"Pod","metadata":{"resourceVersion":"100","name":"p"}}"#);
    }

    #[test]
    fn other_encodings_are_made_once_and_cost_little_while_there_are_none() {
        let stored = br#"{"kind":"Pod","metadata":{"name":"p"}}"#;
        let (entry, frame) = Entry::framed(EventType::Added, "p", stored, 9, &Selectable::default());
        assert!(frame.starts_with(br#"{"type":"ADDED","object":{"kind":"Pod","#) && frame.ends_with(b"}}}\n"));
        let length = |bytes: &[u8]| Bytes::from(bytes.len().to_string());
        let first = entry.other(3, length);
        assert_eq!(first, entry.other(3, |_| unreachable!()));
        assert_eq!(entry.other(4, |_| "x".into()), "x");
        (5..5 + OTHERS).for_each(|media| drop(entry.other(media, |_| "y".into())));
        assert_eq!(entry.other(4, |_| "again".into()), "again");
        assert!(size_of::<OnceLock<Box<Others>>>() <= 16);
    }
}
