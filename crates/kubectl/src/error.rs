//! What a command fails with, and how that is told to a person: the texts that upstream's kubectl prints.
//! Does not own exit statuses other than success and failure, nor usage errors (those are `cli`'s).

use std::collections::BTreeSet;

use serde::Deserialize;

/// A `metav1.Status` that says why a request was refused.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refusal {
    pub code: u16,
    pub reason: String,
    pub message: String,
    pub details: Option<Details>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Details {
    pub kind: String,
    pub name: String,
    pub causes: Vec<Cause>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cause {
    pub field: String,
    pub message: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    #[error("The connection to the server {host} was refused - did you specify the right host or port?")]
    ConnectionRefused { host: String },
    #[error("Unable to connect to the server: {why}")]
    Unreachable { why: String },
    /// A complete sentence, printed behind `error: `.
    #[error("{0}")]
    Message(String),
    /// Printed as it is.
    #[error("{0}")]
    Plain(String),
    /// One for each object that failed.
    #[error("{}", .0.iter().map(Error::told).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Error>),
    /// Everything was said already.
    #[error("")]
    Silent,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `Err` with a message that is printed behind `error: `.
pub fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Message(message.into()))
}

impl Error {
    pub fn is_not_found(&self) -> bool {
        self.has_reason("NotFound")
    }

    pub fn is_conflict(&self) -> bool {
        self.has_reason("Conflict")
    }

    fn has_reason(&self, reason: &str) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.reason == reason)
    }

    /// Says what was being done with which file.
    pub fn when(self, doing: &str, source: &str) -> Self {
        if source.is_empty() {
            return self;
        }
        let told = format!("error when {doing} {source:?}: {self}");
        match self {
            Self::Refused(refusal) => Self::Refused(Box::new(Refusal { message: told, ..*refusal })),
            Self::ConnectionRefused { .. } => self,
            _ => Self::Message(told),
        }
    }

    /// No error, the error, or several.
    pub fn gather(mut errors: Vec<Error>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    /// What one of several failures says.
    fn told(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.told(),
            other => other.to_string(),
        }
    }

    /// The whole text for standard error, without the last newline.
    pub fn report(&self) -> String {
        match self {
            Self::Message(message) => format!("error: {message}"),
            other => other.told(),
        }
    }
}

impl Refusal {
    fn told(&self) -> String {
        match self.reason.as_str() {
            "Unauthorized" => format!("error: You must be logged in to the server ({})", self.message),
            "Invalid" => self.told_invalid(),
            "" => format!("Error from server: {}", self.message),
            reason => format!("Error from server ({reason}): {}", self.message),
        }
    }

    fn told_invalid(&self) -> String {
        let Some(details) = &self.details else {
            return format!("The request is invalid: {}", self.message);
        };
        let subject = if details.kind.is_empty() && details.name.is_empty() {
            "The request is invalid".to_owned()
        } else {
            format!("The {} {:?} is invalid", details.kind, details.name)
        };
        let causes: BTreeSet<String> =
            details.causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        match causes.len() {
            0 => subject,
            1 => format!("{subject}: {}", causes.first().expect("one")),
            _ => {
                let lines: Vec<String> = causes.iter().map(|cause| format!("* {cause}")).collect();
                format!("{subject}: \n{}", lines.join("\n"))
            }
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        // A reader such as `head` that has seen enough is no failure worth a line.
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::Silent } else { Self::Message(error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str, message: &str, causes: &[(&str, &str)]) -> Error {
        let cause = |(field, message): &(&str, &str)| Cause { field: (*field).into(), message: (*message).into() };
        let details = Details { kind: "Pod".into(), name: "a".into(), causes: causes.iter().map(cause).collect() };
        let refusal = Refusal { code: 400, reason: reason.into(), message: message.into(), details: Some(details) };
        Error::Refused(Box::new(refusal))
    }

    #[test]
    fn failures_are_told_as_upstream_does() {
        for (error, told) in [
            (refused("NotFound", "pods \"a\" not found", &[]), "Error from server (NotFound): pods \"a\" not found"),
            (refused("", "odd", &[]), "Error from server: odd"),
            (refused("Invalid", "m", &[("spec", "Required value")]), "The Pod \"a\" is invalid: spec: Required value"),
            (
                refused("Invalid", "m", &[("spec.b", "no"), ("spec.a", "no")]),
                "The Pod \"a\" is invalid: \n* spec.a: no\n* spec.b: no",
            ),
            (Error::Message("x".into()), "error: x"),
            (
                refused("AlreadyExists", "pods \"a\" already exists", &[]).when("creating", "a.yaml"),
                "Error from server (AlreadyExists): error when creating \"a.yaml\": pods \"a\" already exists",
            ),
            (
                Error::Several(vec![Error::Message("x".into()), refused("NotFound", "y", &[])]),
                "x\nError from server (NotFound): y",
            ),
        ] {
            assert_eq!(error.report(), told);
        }
    }
}
