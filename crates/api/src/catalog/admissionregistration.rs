//! `admissionregistration.k8s.io`: webhooks and policies, as objects.

use super::{Resource, STATUS, row};
use crate::{columns, strategy};

const GROUP: &str = "admissionregistration.k8s.io";
const EXTENSIONS: &[&str] = &["api-extensions"];

pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource {
            categories: EXTENSIONS,
            namespaced: false,
            generation: true,
            columns: columns::MUTATING_ADMISSION_POLICIES,
            strategy: &strategy::MutatingAdmissionPolicies,
            unconditional_update: false,
            ..row(GROUP, "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies")
        },
        Resource {
            categories: EXTENSIONS,
            namespaced: false,
            generation: true,
            columns: columns::ADMISSION_POLICY_BINDINGS,
            strategy: &strategy::AdmissionPolicyBindings { validating: false },
            unconditional_update: false,
            ..row(GROUP, "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings")
        },
        Resource {
            categories: EXTENSIONS,
            namespaced: false,
            generation: true,
            columns: columns::WEBHOOK_CONFIGURATIONS,
            strategy: &strategy::WebhookConfigurations { mutating: true },
            unconditional_update: false,
            ..row(GROUP, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations")
        },
        Resource {
            categories: EXTENSIONS,
            namespaced: false,
            subresources: &[STATUS],
            generation: true,
            columns: columns::VALIDATING_ADMISSION_POLICIES,
            strategy: &strategy::ValidatingAdmissionPolicies,
            unconditional_update: false,
            ..row(GROUP, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies")
        },
        Resource {
            categories: EXTENSIONS,
            namespaced: false,
            generation: true,
            columns: columns::ADMISSION_POLICY_BINDINGS,
            strategy: &strategy::AdmissionPolicyBindings { validating: true },
            unconditional_update: false,
            ..row(GROUP, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings")
        },
        Resource {
            categories: EXTENSIONS,
            namespaced: false,
            generation: true,
            columns: columns::WEBHOOK_CONFIGURATIONS,
            strategy: &strategy::WebhookConfigurations { mutating: false },
            unconditional_update: false,
            ..row(GROUP, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations")
        },
    ]
}
