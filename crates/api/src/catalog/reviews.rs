//! `authentication.k8s.io` and `authorization.k8s.io`: questions that are answered at once, and not stored.

use super::{Resource, Review, row};

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

fn question(review: Review, row: Resource) -> Resource {
    Resource { review: Some(review), verbs: &["create"], ..row }
}

pub(super) fn authentication() -> Vec<Resource> {
    let row = |kind, plural| Resource { namespaced: false, ..row(AUTHENTICATION, "v1", kind, plural) };
    vec![
        question(Review::SelfSubject, row("SelfSubjectReview", "selfsubjectreviews")),
        question(Review::Token, row("TokenReview", "tokenreviews")),
    ]
}

pub(super) fn authorization() -> Vec<Resource> {
    let row = |kind, plural| Resource { namespaced: false, ..row(AUTHORIZATION, "v1", kind, plural) };
    let local = Resource { namespaced: true, ..row("LocalSubjectAccessReview", "localsubjectaccessreviews") };
    vec![
        question(Review::LocalSubjectAccess, local),
        question(Review::SelfSubjectAccess, row("SelfSubjectAccessReview", "selfsubjectaccessreviews")),
        question(Review::SelfSubjectRules, row("SelfSubjectRulesReview", "selfsubjectrulesreviews")),
        question(Review::SubjectAccess, row("SubjectAccessReview", "subjectaccessreviews")),
    ]
}
