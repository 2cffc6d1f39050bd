//! What the API accepts and nothing honours yet. Who makes such an object is warned. The table can only shrink: a test holds each of its
//! rows to the catalog, and what gets its controller loses its row.

mod fields;

pub use fields::warnings;

/// Resources, as `plural` or `plural.group`, and what does not happen to their objects.
const RESOURCES: &[(&str, &str)] = &[
    ("deployments.apps", "no controller makes replica sets of it"),
    ("replicasets.apps", "no controller makes pods of it"),
    ("statefulsets.apps", "no controller makes pods of it"),
    ("daemonsets.apps", "no controller makes pods of it"),
    ("jobs.batch", "no controller makes pods of it"),
    ("cronjobs.batch", "no controller makes jobs of it"),
    ("horizontalpodautoscalers.autoscaling", "no controller scales by it"),
    ("poddisruptionbudgets.policy", "no eviction is held up by it"),
    ("resourcequotas", "no controller counts what there is, so nothing is held to it"),
    ("persistentvolumes", "no claims are bound to it"),
    ("persistentvolumeclaims", "no volume is bound to it"),
    ("storageclasses.storage.k8s.io", "no volumes are made by it"),
    ("volumeattachments.storage.k8s.io", "no volume is attached by it"),
    ("csidrivers.storage.k8s.io", "volumes of CSI drivers are not supported"),
    ("ingresses.networking.k8s.io", "no controller serves it"),
    ("networkpolicies.networking.k8s.io", "no traffic is held back by it"),
    ("servicecidrs.networking.k8s.io", "service addresses come from --service-cluster-ip-range alone"),
    ("endpointslices.discovery.k8s.io", "services are served from Endpoints alone"),
    ("runtimeclasses.node.k8s.io", "pods do not run under its handler"),
    ("mutatingwebhookconfigurations.admissionregistration.k8s.io", "no webhook is called"),
    ("validatingwebhookconfigurations.admissionregistration.k8s.io", "no webhook is called"),
    ("mutatingadmissionpolicies.admissionregistration.k8s.io", "no policy is evaluated"),
    ("mutatingadmissionpolicybindings.admissionregistration.k8s.io", "no policy is evaluated"),
    ("validatingadmissionpolicies.admissionregistration.k8s.io", "no policy is evaluated"),
    ("validatingadmissionpolicybindings.admissionregistration.k8s.io", "no policy is evaluated"),
    ("certificatesigningrequests.certificates.k8s.io", "no certificate is signed"),
    ("flowschemas.flowcontrol.apiserver.k8s.io", "requests are not put in order by it"),
    ("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", "requests are not put in order by it"),
    ("deviceclasses.resource.k8s.io", "no devices are given to pods"),
    ("resourceclaims.resource.k8s.io", "no devices are given to pods"),
    ("resourceclaimtemplates.resource.k8s.io", "no devices are given to pods"),
    ("resourceslices.resource.k8s.io", "no devices are given to pods"),
    ("storageversionmigrations.storagemigration.k8s.io", "no objects are migrated"),
];

/// What the maker of such an object is told.
pub fn warning(qualified: &str) -> Option<String> {
    let (_, why) = RESOURCES.iter().find(|(resource, _)| *resource == qualified)?;
    Some(format!("{qualified} are stored and not acted upon by this version: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn every_row_is_a_resource_of_the_catalog_and_stands_once() {
        let catalog = Catalog::builtin();
        for (at, (resource, _)) in RESOURCES.iter().enumerate() {
            assert!(catalog.resources().iter().any(|one| one.qualified() == *resource), "{resource}");
            assert!(RESOURCES[..at].iter().all(|(other, _)| other != resource), "{resource}");
        }
        assert_eq!(warning("pods"), None);
        assert!(warning("jobs.batch").is_some_and(|text| text.starts_with("jobs.batch are stored")));
    }
}
