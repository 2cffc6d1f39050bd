//! What the fields of an object are, as data: one structural schema per type.
//!
//! Strict decoding, defaults, strategic merge, OpenAPI and `explain` all read it. It holds no behaviour of a
//! kind; that is the strategies' part. Built by `build.rs` out of k8s-openapi and `schema/*.tsv`.

pub mod decode;
pub mod openapi;
pub mod protobuf;
pub mod strategic;
pub mod threeway;

use std::collections::HashMap;
use std::io::Read;
use std::sync::LazyLock;

use serde_json::Value;

static TYPES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/types"));
static DOCS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs"));

/// Index of a type in [`Schemas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(u32);

/// The form of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    /// Base64 in JSON.
    Bytes,
    /// RFC 3339, whole seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// A Go duration such as `1m30s`.
    Duration,
    Quantity,
    IntOrString,
    /// Any object.
    Raw,
    /// Any JSON value.
    Json,
    Object(TypeId),
    Array(Box<Shape>),
    Map(Box<Shape>),
}

/// How a strategic merge patch treats a list or an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PatchStrategy {
    /// Lists are merged: by this key where the items are objects, as a set where it is empty.
    pub merge_key: Option<&'static str>,
    /// Fields that the patch does not name are dropped (`$retainKeys`).
    pub retain_keys: bool,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    /// Protobuf field number.
    pub number: u32,
    pub patch: PatchStrategy,
    /// Server-side apply's topology: `atomic`, `map(keys)`, `associative` …; empty where nothing is said.
    pub merge: &'static str,
    /// OpenAPI says so; what is really enforced is validation's part.
    pub required: bool,
    /// Go leaves the field out when it has its zero value.
    pub omit_empty: bool,
    /// Go tells it apart whether the field is missing or has its zero value.
    pub pointer: bool,
    pub default: Option<Value>,
    /// Comes from an inline type: the number counts there.
    pub inlined: bool,
}

/// A type whose fields stand in the outer object in JSON, and in a message of their own in protobuf.
#[derive(Clone, Debug)]
pub struct Inline {
    pub number: u32,
    pub schema: TypeId,
}

#[derive(Debug)]
pub struct ObjectSchema {
    pub name: &'static str,
    /// In protobuf order; those of inline types stand in their place.
    pub fields: Vec<Field>,
    pub inlines: Vec<Inline>,
    by_name: HashMap<&'static str, usize>,
    has_defaults: bool,
}

impl ObjectSchema {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.by_name.get(name).map(|&at| &self.fields[at])
    }

    /// By protobuf number, those of inline types left out. `kind` and `apiVersion` travel outside of the message.
    fn own_field(&self, number: u32) -> Option<&Field> {
        let outside = |field: &&Field| !matches!(field.name, "kind" | "apiVersion") || !self.is_root();
        self.fields.iter().filter(|field| !field.inlined).filter(outside).find(|field| field.number == number)
    }

    /// Has its own `kind`, `apiVersion` and `metadata`, or is one of the few bodies that have no metadata.
    fn is_root(&self) -> bool {
        self.by_name.contains_key("metadata") || self.name.ends_with(".meta.v1.DeleteOptions")
    }
}

/// Group, version and kind of a type that can stand at the root of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gvk {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
}

pub struct Schemas {
    types: Vec<ObjectSchema>,
    by_name: HashMap<&'static str, TypeId>,
    kinds: Vec<(Gvk, TypeId)>,
}

/// The schemas of all built-in types.
pub fn builtin() -> &'static Schemas {
    static BUILTIN: LazyLock<Schemas> = LazyLock::new(|| Schemas::load(inflate(TYPES).leak()));
    &BUILTIN
}

/// Descriptions by `type` and `type.field`. Inflated anew at each call: only documentation asks for them.
pub fn descriptions() -> HashMap<String, String> {
    let text = inflate(DOCS);
    text.lines().filter_map(|line| line.split_once('\t')).map(|(key, doc)| (key.to_owned(), unescape(doc))).collect()
}

impl Schemas {
    pub fn get(&self, id: TypeId) -> &ObjectSchema {
        &self.types[id.0 as usize]
    }

    pub fn ids(&self) -> impl Iterator<Item = TypeId> {
        (0..self.types.len()).map(|at| TypeId(at as u32))
    }

    pub fn find(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).copied()
    }

    pub fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        let matches = |gvk: &Gvk| gvk.kind == kind && gvk.version == version && gvk.group == group;
        self.kinds.iter().find(|(gvk, _)| matches(gvk)).map(|&(_, id)| id)
    }

    /// Field and shape below an object or a map. Of a field that the schema does not know, merge patch's rules hold.
    fn below(&self, shape: Option<&Shape>, name: &str) -> (Option<&Field>, Option<Shape>) {
        match shape {
            Some(Shape::Object(id)) => {
                let field = self.get(*id).field(name);
                (field, field.map(|f| f.shape.clone()))
            }
            Some(Shape::Map(item)) => (None, Some((**item).clone())),
            _ => (None, None),
        }
    }

    /// The kinds that a type is known under.
    pub fn kinds_of(&self, id: TypeId) -> impl Iterator<Item = &Gvk> {
        self.kinds.iter().filter(move |(_, of)| *of == id).map(|(gvk, _)| gvk)
    }

    fn load(text: &'static str) -> Self {
        let lines: Vec<Vec<&'static str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        let names = lines.iter().filter(|l| l[0] == "T").map(|l| l[1]);
        let by_name: HashMap<&'static str, TypeId> = names.enumerate().map(|(i, n)| (n, TypeId(i as u32))).collect();
        let mut raw: Vec<(&'static str, Vec<&[&'static str]>)> = Vec::new();
        let mut kinds = Vec::new();
        for line in &lines {
            match line[0] {
                "T" => raw.push((line[1], Vec::new())),
                "F" => raw.last_mut().expect("a field follows its type").1.push(&line[1..]),
                _ => {
                    if let Some(&id) = by_name.get(line[4]) {
                        kinds.push((Gvk { group: line[1], version: line[2], kind: line[3] }, id));
                    }
                }
            }
        }
        let types = (0..raw.len()).map(|at| ObjectSchema::load(at, &raw, &by_name)).collect::<Vec<_>>();
        Self { types, by_name, kinds }
    }
}

impl ObjectSchema {
    fn load(at: usize, raw: &[(&'static str, Vec<&[&'static str]>)], by_name: &HashMap<&'static str, TypeId>) -> Self {
        let (name, rows) = &raw[at];
        let mut fields = Vec::with_capacity(rows.len());
        let mut inlines = Vec::new();
        for row in rows {
            let &[field, value, number, patch, merge, presence, required, default] = *row else {
                unreachable!("build.rs writes eight columns: {row:?}")
            };
            if field == "(inline)" {
                let TypeId(inner) = by_name[value];
                inlines.push(Inline { number: number.parse().unwrap_or(0), schema: by_name[value] });
                let inner = Self::load(inner as usize, raw, by_name).fields;
                fields.extend(inner.into_iter().map(|field| Field { inlined: true, ..field }));
                continue;
            }
            fields.push(Field {
                name: field,
                shape: Shape::load(value, by_name),
                number: number.parse().unwrap_or(0),
                patch: PatchStrategy::load(patch),
                merge: if merge == "-" { "" } else { merge },
                required: required == "1",
                omit_empty: presence == "omitted-when-empty",
                pointer: presence.ends_with("+pointer"),
                default: (default != "-").then(|| serde_json::from_str(default).expect("defaults.tsv holds JSON")),
                inlined: false,
            });
        }
        let by_name = fields.iter().enumerate().map(|(at, f)| (f.name, at)).collect();
        let has_defaults = fields.iter().any(|f| f.default.is_some());
        Self { name, fields, inlines, by_name, has_defaults }
    }
}

impl PatchStrategy {
    fn load(word: &'static str) -> Self {
        let (strategies, key) = word.split_once('(').map_or((word, ""), |(s, k)| (s, k.trim_end_matches(')')));
        let has = |name| strategies.split(',').any(|s| s == name);
        Self { merge_key: has("merge").then_some(key), retain_keys: has("retainKeys") }
    }
}

impl Shape {
    fn load(word: &'static str, by_name: &HashMap<&'static str, TypeId>) -> Self {
        if let Some(item) = word.strip_prefix("[]") {
            return Self::Array(Box::new(Self::load(item, by_name)));
        }
        if let Some(value) = word.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(_, value)| value) {
            return Self::Map(Box::new(Self::load(value, by_name)));
        }
        match word {
            "string" => Self::String,
            "bool" => Self::Bool,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float64" => Self::Double,
            "bytes" => Self::Bytes,
            "time" => Self::Time,
            "microtime" => Self::MicroTime,
            "duration" => Self::Duration,
            "quantity" => Self::Quantity,
            "int-or-string" => Self::IntOrString,
            "raw" | "fields-v1" => Self::Raw,
            // A type that is not in k8s-openapi (old JSON schema forms) is carried as it is.
            _ => by_name.get(word).map_or(Self::Json, |&id| Self::Object(id)),
        }
    }

    /// The word for error messages.
    pub fn expected(&self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Bool => "a boolean",
            Self::Int32 => "a 32-bit integer",
            Self::Int64 => "an integer",
            Self::Double => "a number",
            Self::Bytes => "base64 text",
            Self::Time | Self::MicroTime => "a time such as 2006-01-02T15:04:05Z",
            Self::Duration => "a duration such as 1m30s",
            Self::Quantity => "a quantity such as 500m or 1Gi",
            Self::IntOrString => "an integer or a string",
            Self::Raw | Self::Object(_) => "an object",
            Self::Json => "a value",
            Self::Array(_) => "a list",
            Self::Map(_) => "an object (map)",
        }
    }
}

fn inflate(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::DeflateDecoder::new(bytes).read_to_string(&mut text).expect("build.rs wrote it");
    text
}

fn unescape(doc: &str) -> String {
    doc.replace("\\n", "\n").replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_fields_stand_in_the_outer_type() {
        let schemas = builtin();
        let volume = schemas.get(schemas.find("io.k8s.api.core.v1.Volume").unwrap());
        assert_eq!(volume.field("emptyDir").unwrap().number, 2);
        let pod = schemas.get(schemas.find("io.k8s.api.core.v1.PodSpec").unwrap());
        assert_eq!(pod.field("containers").unwrap().patch.merge_key, Some("name"));
        assert!(pod.field("containers").unwrap().required);
        assert!(pod.field("volumes").unwrap().patch.retain_keys);
        assert_eq!(pod.field("restartPolicy").unwrap().default, Some("Always".into()));
    }

    #[test]
    fn descriptions_are_there() {
        let docs = descriptions();
        assert!(docs["io.k8s.api.core.v1.Pod"].contains("collection of containers"));
        assert!(docs.contains_key("io.k8s.api.core.v1.PodSpec.containers"));
    }
}
