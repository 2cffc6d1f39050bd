//! Label selectors and field selectors: their text, the API's `LabelSelector`, and matching.
//!
//! Does not own which fields of which resource may be selected by.
mod field;
mod parse;

use std::{collections::BTreeMap, collections::BTreeSet, fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as ApiSelector;

use crate::validation::names;

pub use field::{FieldRequirement, FieldSelector, FieldSelectorError};

pub type Labels = BTreeMap<String, String>;

/// Why a text or an API object is no selector. The texts are those of the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    #[error("found '{found}', expected: {expected}")]
    Unexpected { found: String, expected: &'static str },
    #[error("unable to parse requirement: {0}")]
    Requirement(Box<SelectorError>),
    #[error("key: Invalid value: {key:?}: {}", reasons.join("; "))]
    Key { key: String, reasons: Vec<String> },
    #[error("values[{index}][{key}]: Invalid value: {value:?}: {}", reasons.join("; "))]
    Value { key: String, index: usize, value: String, reasons: Vec<String> },
    #[error("values: Invalid value: {values:?}: for 'in', 'notin' operators, values set can't be empty")]
    NoValues { values: Vec<String> },
    #[error("values: Invalid value: {values:?}: values set must be empty for exists and does not exist")]
    SuperfluousValues { values: Vec<String> },
    #[error("values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer")]
    NotAnInteger { value: String },
    #[error("values: Invalid value: {values:?}: for 'Gt', 'Lt' operators, exactly one value is required")]
    NotOneValue { values: Vec<String> },
    #[error("{operator:?} is not a valid label selector operator")]
    Operator { operator: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Also `=` and `==`.
    In,
    /// Also `!=`.
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

impl Requirement {
    pub fn new(
        key: impl Into<String>,
        operator: Operator,
        values: impl IntoIterator<Item = String>,
    ) -> Result<Self, SelectorError> {
        let key = key.into();
        let values: BTreeSet<String> = values.into_iter().collect();
        let reasons = names::qualified_name(&key);
        if !reasons.is_empty() {
            return Err(SelectorError::Key { key, reasons });
        }
        let listed = || values.iter().cloned().collect();
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return Err(SelectorError::NoValues { values: listed() });
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return Err(SelectorError::SuperfluousValues { values: listed() });
            }
            Operator::GreaterThan | Operator::LessThan => match values.first() {
                Some(value) if values.len() == 1 => {
                    value.parse::<i64>().map_err(|_| SelectorError::NotAnInteger { value: value.clone() })?;
                }
                _ => return Err(SelectorError::NotOneValue { values: listed() }),
            },
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            let reasons = names::label_value(value);
            if !reasons.is_empty() {
                return Err(SelectorError::Value { key, index, value: value.clone(), reasons });
            }
        }
        Ok(Self { key, operator, values })
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn operator(&self) -> Operator {
        self.operator
    }

    pub fn values(&self) -> &BTreeSet<String> {
        &self.values
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compare(value, |has, limit| has > limit),
            Operator::LessThan => self.compare(value, |has, limit| has < limit),
        }
    }

    fn compare(&self, value: Option<&String>, holds: impl Fn(i64, i64) -> bool) -> bool {
        let has = value.and_then(|value| value.parse().ok());
        let limit = self.values.first().and_then(|value| value.parse().ok());
        has.zip(limit).is_some_and(|(has, limit)| holds(has, limit))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values = || self.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(f, "{key}={}", values()),
            Operator::In => write!(f, "{key} in ({})", values()),
            Operator::NotIn if self.values.len() == 1 => write!(f, "{key}!={}", values()),
            Operator::NotIn => write!(f, "{key} notin ({})", values()),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{}", values()),
            Operator::LessThan => write!(f, "{key}<{}", values()),
        }
    }
}

/// Requirements that must all hold. None at all selects everything; [`Selector::nothing`] selects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Default for Selector {
    fn default() -> Self {
        Self::everything()
    }
}

impl Selector {
    pub fn everything() -> Self {
        Self { requirements: Vec::new(), nothing: false }
    }

    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// The selector of services and replication controllers: each label must be there with its value.
    ///
    /// The pairs are taken as they are: an object that has been stored has been validated.
    pub fn from_labels(labels: &Labels) -> Self {
        let requirement = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: BTreeSet::from([value.clone()]),
        };
        Self { requirements: labels.iter().map(requirement).collect(), nothing: false }
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The labels that must be there with their values, where the selector says nothing else.
    pub fn as_labels(&self) -> Option<Labels> {
        let label = |one: &Requirement| match (one.operator, one.values.first()) {
            (Operator::In, Some(value)) if one.values.len() == 1 => Some((one.key.clone(), value.clone())),
            _ => None,
        };
        self.requirements.iter().map(label).collect::<Option<_>>().filter(|_| !self.nothing)
    }

    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// As [`Selector::matches`], for an object that may have no labels at all.
    pub fn matches_option(&self, labels: Option<&Labels>) -> bool {
        static NONE: Labels = Labels::new();
        self.matches(labels.unwrap_or(&NONE))
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        parse::requirements(text).map(Self::new)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// An absent API selector selects nothing and an empty one everything; this is the conversion of one that is there.
impl TryFrom<&ApiSelector> for Selector {
    type Error = SelectorError;

    fn try_from(selector: &ApiSelector) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements.push(Requirement::new(key, Operator::In, [value.clone()])?);
        }
        for expression in selector.match_expressions.iter().flatten() {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(SelectorError::Operator { operator: other.to_owned() }),
            };
            let values = expression.values.iter().flatten().cloned();
            requirements.push(Requirement::new(&expression.key, operator, values)?);
        }
        Ok(Self::new(requirements))
    }
}

#[cfg(test)]
mod tests;
