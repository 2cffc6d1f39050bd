//! What of a kind's objects a reader wants.

use api::selector::{FieldSelector, Selector};

use crate::entry::Entry;

#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Empty: all namespaces.
    pub namespace: String,
    /// Empty: all names.
    pub name: String,
    pub labels: Selector,
    /// Position in the kind's selectable fields, the value, and whether it must be equal or must not.
    pub fields: Vec<(usize, String, bool)>,
}

/// A field selector names a field that the kind cannot be selected by.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("field label not supported: {0}")]
pub struct UnsupportedField(pub String);

impl Filter {
    /// `selectable`: the kind's fields for selectors, as dotted paths.
    pub fn new(
        namespace: &str,
        name: &str,
        labels: Selector,
        fields: &FieldSelector,
        selectable: &[impl AsRef<str>],
    ) -> Result<Self, UnsupportedField> {
        let mut filter = Self { namespace: namespace.into(), name: name.into(), labels, fields: Vec::new() };
        for requirement in fields.requirements() {
            let (field, value, equal) = (requirement.field.as_str(), requirement.value.as_str(), requirement.equal);
            match (field, equal) {
                ("metadata.name", true) if filter.name.is_empty() => filter.name = value.into(),
                ("metadata.namespace", true) if filter.namespace.is_empty() => filter.namespace = value.into(),
                _ => {
                    let at = match field {
                        "metadata.name" => NAME,
                        "metadata.namespace" => NAMESPACE,
                        _ => selectable
                            .iter()
                            .position(|path| path.as_ref() == field)
                            .ok_or_else(|| UnsupportedField(field.to_owned()))?,
                    };
                    filter.fields.push((at, value.to_owned(), equal));
                }
            }
        }
        Ok(filter)
    }

    pub fn matches(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || self.namespace == entry.namespace())
            && (self.name.is_empty() || self.name == entry.name())
            && self.fields.iter().all(|(at, value, equal)| (value_at(entry, *at) == value) == *equal)
            && (self.labels.is_everything() || self.labels.matches(&entry.labels))
    }

    /// The value that the kind's first selectable field must have.
    pub(crate) fn first_field(&self) -> Option<&str> {
        self.fields.iter().find(|(at, _, equal)| *at == 0 && *equal).map(|(_, value, _)| value.as_str())
    }
}

/// Positions that every kind has.
const NAME: usize = usize::MAX;
const NAMESPACE: usize = usize::MAX - 1;

fn value_at(entry: &Entry, at: usize) -> &str {
    match at {
        NAME => entry.name(),
        NAMESPACE => entry.namespace(),
        at => entry.fields.get(at).map_or("", |value| value),
    }
}
