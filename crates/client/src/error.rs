//! What can go wrong with a call to kube-apiserver.
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// kube-apiserver understood the call and refused it.
    #[error("{}", .0.message.as_deref().or(.0.reason.as_deref()).unwrap_or("refused without a reason"))]
    Status(Box<Status>),
    /// Nobody answered, or the connection broke before the answer; the same call may succeed later.
    #[error("kube-apiserver is not reachable: {0}")]
    Unreachable(String),
    /// kube-apiserver can't answer now; the same call may succeed later.
    #[error("kube-apiserver is not available: {0}")]
    Unavailable(String),
    /// The gRPC layer refused the call without saying why in the API's terms.
    #[error("kube-apiserver: {code:?}: {message}")]
    Rpc { code: tonic::Code, message: String },
    #[error("{what}: the reply can't be read: {reason}")]
    Decode { what: &'static str, reason: String },
    #[error("{what}: can't be written as JSON: {reason}")]
    Encode { what: &'static str, reason: String },
}

impl Error {
    /// The API's reason: `NotFound`, `Conflict`, …
    pub fn reason(&self) -> Option<&str> {
        match self {
            Error::Status(status) => status.reason.as_deref(),
            _ => None,
        }
    }

    /// The HTTP status that a REST client would have got.
    pub fn code(&self) -> Option<i32> {
        match self {
            Error::Status(status) => status.code,
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.reason() == Some("NotFound")
    }

    /// The object has changed since it was read.
    pub fn is_conflict(&self) -> bool {
        self.reason() == Some("Conflict")
    }

    pub fn is_already_exists(&self) -> bool {
        self.reason() == Some("AlreadyExists")
    }

    /// A watch can't be resumed because the changes since then are gone.
    pub fn is_expired(&self) -> bool {
        matches!(self.reason(), Some("Expired" | "Gone"))
            || matches!(self, Error::Rpc { code: tonic::Code::OutOfRange, .. })
    }

    /// The call may have been carried out or not.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Error::Unreachable(_) | Error::Unavailable(_))
    }

    /// The object is refused for what it is; trying the same again is of no use.
    pub fn is_invalid(&self) -> bool {
        matches!(self.reason(), Some("Invalid" | "BadRequest"))
    }

    /// The namespace is being deleted, and takes no new objects.
    pub fn is_namespace_terminating(&self) -> bool {
        let Error::Status(status) = self else { return false };
        let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
        causes.filter_map(|cause| cause.reason.as_deref()).any(|reason| reason == "NamespaceTerminating")
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        if let Ok(detail) = serde_json::from_slice::<Status>(status.details())
            && detail.status.as_deref() == Some("Failure")
        {
            return Error::Status(Box::new(detail));
        }
        // The cause is said in words by the innermost error.
        let mut message = status.message().to_owned();
        let mut source = std::error::Error::source(&status);
        while let Some(cause) = source {
            message = cause.to_string();
            source = cause.source();
        }
        use tonic::Code::{Aborted, Cancelled, DeadlineExceeded, Unavailable, Unknown};
        // What the peer said itself has no cause on this side.
        let broken = std::error::Error::source(&status).is_some();
        match status.code() {
            Unavailable | Cancelled | Unknown if broken => Error::Unreachable(message),
            // A connection that breaks during a call is Unknown or Cancelled to tonic.
            Unavailable | DeadlineExceeded | Cancelled | Unknown | Aborted => Error::Unavailable(message),
            code => Error::Rpc { code, message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_details_carry_the_status_of_the_api() {
        let json = r#"{"apiVersion":"v1","kind":"Status","metadata":{},"status":"Failure","reason":"NotFound","code":404,
            "message":"pods \"x\" not found"}"#;
        let error: Error = tonic::Status::with_details(tonic::Code::NotFound, "x", json.into()).into();
        assert!(error.is_not_found());
        assert_eq!((error.code(), error.to_string()), (Some(404), "pods \"x\" not found".to_owned()));
        assert!(Error::from(tonic::Status::unavailable("refused")).is_unavailable());
        assert!(Error::from(tonic::Status::out_of_range("too old")).is_expired());
    }
}
