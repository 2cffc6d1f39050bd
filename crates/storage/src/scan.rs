//! Reads labels and a few fields out of encoded JSON: no document, nothing allocated for what is skipped, and no byte
//! read after the last thing that was wanted.

use std::collections::BTreeMap;

use crate::store::Field;

/// The values of the kind's selectable fields, in the kind's order.
pub type Fields = Box<[Box<str>]>;
pub type Labels = BTreeMap<String, String>;

/// The fields of a kind that selectors may name, as dotted paths taken apart.
#[derive(Debug, Default)]
pub(crate) struct Selectable {
    paths: Vec<Vec<Box<str>>>,
    absent: Fields,
}

impl Selectable {
    /// Paths past the 64th are never found: a set of them is one word.
    pub(crate) fn new(fields: &[Field]) -> Self {
        let paths = fields.iter().map(|field| field.path.split('.').map(Into::into).collect()).collect();
        Self { paths, absent: fields.iter().map(|field| field.absent.as_str().into()).collect() }
    }

    /// `None`: not JSON as far as it was read.
    pub(crate) fn pick(&self, json: &[u8]) -> Option<(Labels, Fields)> {
        let fields = self.absent.clone();
        let left = if self.paths.len() >= 64 { u64::MAX } else { (1 << self.paths.len()) - 1 };
        let mut scan = Scan { json, at: 0, paths: &self.paths, left, unlabelled: true, labels: Labels::new(), fields };
        scan.object(left, 0, Place::Root)?;
        Some((scan.labels, scan.fields))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Metadata,
    Labels,
    Other,
}

struct Scan<'a> {
    json: &'a [u8],
    at: usize,
    paths: &'a [Vec<Box<str>>],
    /// Paths that are still to be found.
    left: u64,
    /// The labels are still to be found.
    unlabelled: bool,
    labels: Labels,
    fields: Fields,
}

impl<'a> Scan<'a> {
    fn done(&self) -> bool {
        self.left == 0 && !self.unlabelled
    }

    fn space(&mut self) {
        while self.json.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.space();
        (*self.json.get(self.at)? == byte).then(|| self.at += 1)
    }

    /// What stands between the quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.json.get(self.at..)?)?;
            if self.json[self.at] == b'"' {
                self.at += 1;
                return Some(&self.json[start..self.at - 1]);
            }
            self.at += 2;
        }
    }

    /// A value that nobody wants.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.space();
            match *self.json.get(self.at)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    self.bare()?;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn bare(&mut self) -> Option<&'a [u8]> {
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':' | b'"') || byte.is_ascii_whitespace();
        let rest = &self.json[self.at..];
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += length;
        (length > 0).then(|| &rest[..length])
    }

    /// `wanted`: the paths that led here.
    fn object(&mut self, wanted: u64, level: usize, place: Place) -> Option<()> {
        self.expect(b'{')?;
        self.space();
        if self.json.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            self.space();
            self.member(name, wanted, level, place)?;
            if self.done() {
                return Some(());
            }
            self.space();
            match *self.json.get(self.at)? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn member(&mut self, name: &[u8], wanted: u64, level: usize, place: Place) -> Option<()> {
        let inner = match (place, name) {
            (Place::Root, b"metadata") => Place::Metadata,
            (Place::Metadata, b"labels") => Place::Labels,
            _ => Place::Other,
        };
        let mut here = 0;
        let mut rest = wanted & self.left;
        while rest != 0 {
            let path = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if self.paths[path].get(level).is_some_and(|step| step.as_bytes() == name) {
                here |= 1 << path;
            }
        }
        match *self.json.get(self.at)? {
            b'{' if here != 0 || inner != Place::Other => {
                self.object(here, level + 1, inner)?;
                if matches!(inner, Place::Metadata | Place::Labels) {
                    self.unlabelled = false;
                }
                // What was not found here is nowhere.
                self.left &= !here;
                Some(())
            }
            b'"' if here != 0 || place == Place::Labels => {
                let text = text(self.string()?)?;
                self.found(here, level, &text);
                if place == Place::Labels {
                    self.labels.insert(self::text(name)?, text);
                }
                Some(())
            }
            b'{' | b'[' | b'"' => self.skip(),
            _ => {
                let value = self.bare()?;
                if here != 0 && value != b"null" {
                    self.found(here, level, std::str::from_utf8(value).ok()?);
                }
                Some(())
            }
        }
    }

    fn found(&mut self, mut paths: u64, level: usize, value: &str) {
        while paths != 0 {
            let path = paths.trailing_zeros() as usize;
            paths &= paths - 1;
            if self.paths[path].len() == level + 1 {
                self.fields[path] = value.into();
                self.left &= !(1 << path);
            }
        }
    }
}

/// A string without its quotes, its escapes resolved.
fn text(raw: &[u8]) -> Option<String> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Some(std::str::from_utf8(raw).ok()?.to_owned());
    }
    serde_json::from_slice(&[b"\"", raw, b"\""].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selectable(paths: &[&str]) -> Selectable {
        Selectable::new(&paths.iter().map(|path| (*path).into()).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_selectors_need_is_read() {
        let json = br#"{"kind":"Pod","metadata":{"name":"p","labels":{"a":"1","b\n":"2"},"annotations":{"labels":{}}},
            "spec":{"nodeName":"n1","hostNetwork":true,"x":[{"nodeName":"no"},{},[]], "n" : -1.5e3 },
            "status":{"phase":"Run\u006eing","podIP":null},"type":"t"}"#;
        for (path, expected) in [
            ("spec.nodeName", "n1"),
            ("status.phase", "Running"),
            ("spec.hostNetwork", "true"),
            ("spec.n", "-1.5e3"),
            ("status.podIP", ""),
            ("status.none", ""),
            ("metadata.name", "p"),
            ("spec", ""),
            ("spec.nodeName.x", ""),
            ("type", "t"),
        ] {
            let (labels, fields) = selectable(&[path, "spec.nodeName"]).pick(json).expect(path);
            assert_eq!(labels, Labels::from([("a".into(), "1".into()), ("b\n".into(), "2".into())]), "{path}");
            assert_eq!(fields.iter().map(|f| &**f).collect::<Vec<_>>(), [expected, "n1"]);
        }
    }

    #[test]
    fn what_is_missing_has_the_zero_value_of_its_type() {
        let fields = [("spec.unschedulable", "false"), ("status.n", "0"), ("x", "")];
        let fields = fields.map(|(path, absent)| Field { path: path.into(), absent: absent.into() });
        let pick = |json: &[u8]| Selectable::new(&fields).pick(json).unwrap().1.join(" ");
        assert_eq!(pick(br#"{"spec":{},"status":{"n":null}}"#), "false 0 ");
        assert_eq!(pick(br#"{"spec":{"unschedulable":true},"status":{"n":3},"x":"y"}"#), "true 3 y");
    }

    #[test]
    fn what_is_no_object_is_refused_and_nothing_panics() {
        let json = br#"{"metadata":{"labels":{"a":"\u00e9"}},"spec":{"nodeName":"n","l":[1,{"x":"]"}]},"status":{}}"#;
        let wanted = selectable(&["spec.none", "status.phase"]);
        assert!(wanted.pick(json).is_some());
        for length in 0..json.len() - 1 {
            assert!(wanted.pick(&json[..length]).is_none(), "{length}");
        }
        for bad in ["", "x", "[]", "{]", r#"{"a":}"#, r#"{"a":]}"#, r#"{"a" 1}"#, r#"{"a":1 2}"#, "{\"a\":\"\\"] {
            assert!(wanted.pick(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
