//! Paths into an object and what is wrong there: the vocabulary of validation.
//!
//! The words are those of upstream's `field.Error`, since clients show and compare them.

use std::fmt;

use serde_json::Value;

use crate::budget::size;

/// A path such as `spec.containers[0].name`. Cheap to extend; spelled out only in an error.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    pub const fn new(name: &'a str) -> Self {
        Self { parent: None, step: Step::Name(name) }
    }
    pub fn child(&'a self, name: &'a str) -> Path<'a> {
        Self { parent: Some(self), step: Step::Name(name) }
    }
    pub fn index(&'a self, at: usize) -> Path<'a> {
        Self { parent: Some(self), step: Step::Index(at) }
    }
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Self { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Name(name) if self.parent.is_some() => write!(f, ".{name}"),
            Step::Name(name) => f.write_str(name),
            Step::Index(at) => write!(f, "[{at}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// The kinds of field errors; the variant's name in `details.causes[].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Required,
    Invalid,
    Duplicate,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    NotFound,
}

impl Kind {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotFound => "FieldValueNotFound",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::Duplicate => "Duplicate value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::NotFound => "Not found",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub kind: Kind,
    pub path: String,
    pub value: Value,
    pub detail: String,
}

impl Error {
    /// The error without its path, as in `details.causes[].message`.
    pub fn body(&self) -> String {
        let title = self.kind.title();
        let mut text = match self.kind {
            Kind::Required | Kind::Forbidden | Kind::TooLong => title.to_owned(),
            _ => format!("{title}: {}", self.value),
        };
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// More errors of one object help nobody, and an object of a hundred thousand wrong fields is not answered by as many.
const MAX_ERRORS: usize = 500;
/// Of a text that is wrong this much is shown.
const MAX_SHOWN: usize = 4096;

/// Every error of an object, not the first one only.
#[derive(Debug, Default)]
pub struct Errors(pub Vec<Error>);

impl Errors {
    fn push(&mut self, kind: Kind, path: &Path<'_>, value: Value, detail: impl Into<String>) {
        if self.0.len() >= MAX_ERRORS {
            return;
        }
        let value = match value {
            Value::String(text) if text.len() > MAX_SHOWN => text.chars().take(MAX_SHOWN).collect::<String>().into(),
            Value::Array(_) | Value::Object(_) if size(&value).bytes > MAX_SHOWN => "...".into(),
            value => value,
        };
        let mut path = path.to_string();
        if path.len() > MAX_SHOWN {
            path = path.chars().take(MAX_SHOWN).collect();
        }
        self.0.push(Error { kind, path, value, detail: detail.into() });
    }
    pub fn required(&mut self, path: &Path<'_>, detail: &str) {
        self.push(Kind::Required, path, Value::Null, detail);
    }
    pub fn invalid(&mut self, path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(Kind::Invalid, path, value.into(), detail);
    }
    pub fn duplicate(&mut self, path: &Path<'_>, value: impl Into<Value>) {
        self.push(Kind::Duplicate, path, value.into(), "");
    }
    pub fn forbidden(&mut self, path: &Path<'_>, detail: impl Into<String>) {
        self.push(Kind::Forbidden, path, Value::Null, detail);
    }
    pub fn not_found(&mut self, path: &Path<'_>, value: impl Into<Value>) {
        self.push(Kind::NotFound, path, value.into(), "");
    }
    pub fn too_long(&mut self, path: &Path<'_>, limit: usize) {
        self.push(Kind::TooLong, path, Value::Null, format!("may not be more than {limit} bytes"));
    }
    pub fn too_many(&mut self, path: &Path<'_>, count: usize, limit: usize) {
        self.push(Kind::TooMany, path, count.into(), format!("must have at most {limit} items"));
    }
    pub fn not_supported(&mut self, path: &Path<'_>, value: &str, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        self.push(Kind::NotSupported, path, value.into(), format!("supported values: {}", supported.join(", ")));
    }
    pub fn extend(&mut self, path: &Path<'_>, value: &str, details: Vec<String>) {
        for detail in details {
            self.invalid(path, value, detail);
        }
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_bounded() {
        let mut errors = Errors::default();
        for _ in 0..1000 {
            errors.invalid(&Path::new("spec"), "x".repeat(10_000), "");
        }
        assert_eq!(errors.0.len(), MAX_ERRORS);
        assert!(errors.0[0].body().len() < MAX_SHOWN + 100);
    }

    #[test]
    fn errors_read_as_upstreams() {
        let (spec, mut errors) = (Path::new("spec"), Errors::default());
        let containers = spec.child("containers");
        errors.required(&containers.index(0).child("name"), "");
        errors.not_supported(&spec.child("restartPolicy"), "Sometimes", &["Always", "Never"]);
        errors.invalid(&Path::new("metadata").child("name"), "A_b", "must be lower case");
        let text: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "spec.containers[0].name: Required value",
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\"",
                "metadata.name: Invalid value: \"A_b\": must be lower case",
            ]
        );
    }
}
