//! YAML to JSON and back, as Kubernetes' clients read and write it: YAML 1.1 with Go's rules, under the budget of all bodies.
//!
//! Syntax is the parser's part; what scalars mean is `resolve`, and writing is `write`.

mod resolve;
mod write;

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Value};

use crate::budget::{Budget, DecodeError, Size, deep_enough, size};
use crate::schema::decode::{Part, note};
use resolve::{Tag, Unresolvable, resolve};

pub use write::render;

const TAGS: &str = "tag:yaml.org,2002:";

/// A document, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The first line is 1.
    pub line: usize,
    pub value: Value,
    /// Fields that occur twice: `line 3: key "a" already set in map`. The last value counts.
    pub repeated: Vec<String>,
    /// Their paths, as [`crate::schema::decode::read_json`] tells them.
    pub duplicates: Vec<String>,
}

/// The one document of a body. Of a field that occurs twice the last value counts; `duplicates` tells their paths.
pub fn read(bytes: &[u8], duplicates: &mut Vec<String>) -> Result<Value, DecodeError> {
    let mut documents = read_documents(bytes)?.into_iter().filter(|document| !document.value.is_null());
    let Some(first) = documents.next() else { return Ok(Value::Null) };
    if let Some(second) = documents.next() {
        let line = second.line;
        return Err(DecodeError::Malformed(format!("line {line}: a second document begins; a body holds one")));
    }
    duplicates.extend(first.duplicates);
    Ok(first.value)
}

/// All documents of a text; those of comments only are null. The budget is that of one body.
pub fn read_documents(bytes: &[u8]) -> Result<Vec<Document>, DecodeError> {
    let text = text_of(bytes)?;
    let mut options = granit_parser::options! { simple_key_max_lookahead: 1024 };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(&text, options);
    let mut reader = Reader::default();
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| malformed(e.marker().line(), &e.info()))?;
        reader.event(event, span)?;
    }
    Ok(reader.documents)
}

fn malformed(line: usize, why: &str) -> DecodeError {
    DecodeError::Malformed(format!("line {line}: {why}"))
}

/// By the mark at its beginning a text is UTF-8 or UTF-16; without one it is UTF-8.
fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks(2).map(|pair| unit([pair[0], pair.get(1).copied().unwrap_or(0xdc)]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.map(Cow::Owned).map_err(|_| DecodeError::Malformed("the text is not UTF-16".into()))
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => std::str::from_utf8(rest)
            .map(Cow::Borrowed)
            .map_err(|_| DecodeError::Malformed("the text is not UTF-8".into())),
    }
}

/// A collection that is not yet closed.
enum Open {
    List { items: Vec<Value>, anchor: usize },
    Map { fields: Map<String, Value>, key: Key, merged: Map<String, Value>, anchor: usize },
}

/// What an open map waits for.
enum Key {
    Awaited,
    Merge,
    Field(String),
}

#[derive(Default)]
struct Reader {
    documents: Vec<Document>,
    budget: Budget,
    open: Vec<Open>,
    anchors: HashMap<usize, (Value, Size)>,
    /// The value of the document, once it is complete.
    root: Option<Value>,
    line: usize,
    repeated: Vec<String>,
    duplicates: Vec<String>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), DecodeError> {
        let line = span.start.line();
        match event {
            Event::DocumentStart(..) => {
                self.budget.node(0)?;
                self.anchors.clear();
                self.line = line;
            }
            Event::DocumentEnd => {
                self.documents.push(Document {
                    line: self.line,
                    value: self.root.take().unwrap_or(Value::Null),
                    repeated: std::mem::take(&mut self.repeated),
                    duplicates: std::mem::take(&mut self.duplicates),
                });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let tag = tag.map_or(Tag::None, |tag| {
                    tag.suffix_in_namespace(TAGS).map_or(Tag::Other, |name| Tag::named(&name))
                });
                if let Some(Open::Map { key: key @ Key::Awaited, .. }) = self.open.last_mut()
                    && text == "<<"
                    && (tag == Tag::Merge || plain && tag == Tag::None)
                {
                    *key = Key::Merge;
                    return Ok(());
                }
                let value = resolve(&text, plain, tag).map_err(|why| malformed(line, &told(&text, &why)))?;
                self.budget.node(text.len())?;
                deep_enough(self.open.len() + 1)?;
                self.keep(anchor, &value)?;
                self.value(value, line)?;
            }
            Event::SequenceStart(_, anchor, _) => self.open(Open::List { items: Vec::new(), anchor })?,
            Event::MappingStart(_, anchor, _) => {
                self.open(Open::Map { fields: Map::new(), key: Key::Awaited, merged: Map::new(), anchor })?
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (value, anchor) = match self.open.pop() {
                    Some(Open::List { items, anchor }) => (Value::Array(items), anchor),
                    Some(Open::Map { mut fields, merged, anchor, .. }) => {
                        for (name, value) in merged {
                            fields.entry(name).or_insert(value);
                        }
                        (Value::Object(fields), anchor)
                    }
                    None => return Ok(()),
                };
                self.keep(anchor, &value)?;
                self.value(value, line)?;
            }
            Event::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(&anchor) else {
                    return Err(malformed(line, "an anchor's value contains itself"));
                };
                // Before it is copied: what makes aliases dangerous is what they become.
                self.budget.take(Size { depth: self.open.len() + size.depth, ..*size })?;
                let value = value.clone();
                self.value(value, line)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, open: Open) -> Result<(), DecodeError> {
        self.budget.node(0)?;
        deep_enough(self.open.len() + 1)?;
        self.open.push(open);
        Ok(())
    }

    /// Anchored values are kept beside the document, so they count twice.
    fn keep(&mut self, anchor: usize, value: &Value) -> Result<(), DecodeError> {
        if anchor != 0 {
            let size = size(value);
            self.budget.take(Size { depth: 0, ..size })?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(())
    }

    /// A complete value goes where the innermost open collection waits for it.
    fn value(&mut self, value: Value, line: usize) -> Result<(), DecodeError> {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List { items, .. }) => items.push(value),
            Some(Open::Map { fields, key, merged, .. }) => match std::mem::replace(key, Key::Awaited) {
                Key::Awaited => *key = Key::Field(key_text(value, line)?),
                Key::Merge => merge(merged, value, line)?,
                Key::Field(name) => {
                    if fields.contains_key(&name) {
                        self.repeat(&name, line);
                    }
                    if let Some(Open::Map { fields, .. }) = self.open.last_mut() {
                        fields.insert(name, value);
                    }
                }
            },
        }
        Ok(())
    }

    fn repeat(&mut self, name: &str, line: usize) {
        let path: Vec<Part> = self
            .open
            .iter()
            .map(|open| match open {
                Open::List { items, .. } => Part::Index(items.len()),
                Open::Map { key: Key::Field(name), .. } => Part::Name(name.clone()),
                Open::Map { .. } => Part::Name(name.to_owned()),
            })
            .collect();
        note(&mut self.duplicates, path.iter());
        if self.repeated.len() < self.duplicates.len() {
            let name: String = name.chars().take(200).collect();
            self.repeated.push(format!("line {line}: key {name:?} already set in map"));
        }
    }
}

/// Earlier maps of a merge count more than later ones.
fn merge(merged: &mut Map<String, Value>, value: Value, line: usize) -> Result<(), DecodeError> {
    let maps = match value {
        Value::Array(items) => items,
        other => vec![other],
    };
    for map in maps {
        let Value::Object(fields) = map else {
            return Err(malformed(line, "map merge requires map or sequence of maps as the value"));
        };
        for (name, value) in fields {
            merged.entry(name).or_insert(value);
        }
    }
    Ok(())
}

fn key_text(value: Value, line: usize) -> Result<String, DecodeError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null => Err(malformed(line, "a key must be a text, not null; put it in quotes")),
        Value::Array(_) | Value::Object(_) => Err(malformed(line, "a key must be a text, not a collection")),
    }
}

fn told(text: &str, why: &Unresolvable) -> String {
    let text: String = text.chars().take(100).collect();
    match why {
        Unresolvable::NotJson => format!("JSON has no number {text}; put it in quotes if it is meant as a text"),
        Unresolvable::Tag(name) => format!("cannot decode `{text}` as a !!{name}"),
        Unresolvable::Binary => "!!binary value contains invalid base64 data, or no text".to_owned(),
    }
}

#[cfg(test)]
mod tests;
