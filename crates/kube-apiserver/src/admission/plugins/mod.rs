//! The plugins that there are, and which of them are on.

mod certificates;
mod escalation;
mod event_rate_limit;
mod ingresses;
mod limit_ranger;
mod namespaces;
mod node_restriction;
mod nodes;
mod owners;
mod pod_security;
mod pod_tolerations;
mod pods;
mod priority;
mod resource_quota;
mod runtime_class;
mod service_account;
mod services;
mod storage;

use std::sync::Arc;

use api::meta;
use api::status::Status;

use super::{Admission, Attempt, Configuration, Plugin, mentions};
use crate::authorization::{Authorization, Rbac};
use crate::registry::parse;

pub use event_rate_limit::{EventRateLimit, Limit};
pub use pod_security::{Exemptions, PodSecurity};
pub use pod_tolerations::PodTolerationRestriction;
pub use resource_quota::{Limited, ResourceQuota};

/// What plugins are made of.
struct Parts<'a> {
    authorization: &'a Authorization,
    configuration: &'a Configuration,
}

type Make = fn(&Parts<'_>) -> Arc<dyn Plugin>;

struct Known {
    name: &'static str,
    /// Unless a flag says otherwise.
    on: bool,
    make: Make,
}

const fn on(name: &'static str, make: Make) -> Known {
    Known { name, on: true, make }
}

const fn off(name: &'static str, make: Make) -> Known {
    Known { name, on: false, make }
}

/// In the order in which they run, as upstream's.
const KNOWN: &[Known] = &[
    off(namespaces::NamespaceAutoProvision::NAME, |_| Arc::new(namespaces::NamespaceAutoProvision)),
    on(namespaces::NamespaceLifecycle::NAME, |_| Arc::new(namespaces::NamespaceLifecycle)),
    off(namespaces::NamespaceExists::NAME, |_| Arc::new(namespaces::NamespaceExists)),
    off(pods::LimitPodHardAntiAffinityTopology::NAME, |_| Arc::new(pods::LimitPodHardAntiAffinityTopology)),
    on(limit_ranger::LimitRanger::NAME, |_| Arc::new(limit_ranger::LimitRanger)),
    on(service_account::ServiceAccount::NAME, |_| Arc::new(service_account::ServiceAccount)),
    off(node_restriction::NodeRestriction::NAME, |_| Arc::new(node_restriction::NodeRestriction)),
    on(nodes::TaintNodesByCondition::NAME, |_| Arc::new(nodes::TaintNodesByCondition)),
    off(pods::AlwaysPullImages::NAME, |_| Arc::new(pods::AlwaysPullImages)),
    on(PodSecurity::NAME, |p| Arc::new(p.configuration.pod_security.clone())),
    on(priority::Priority::NAME, |_| Arc::new(priority::Priority)),
    on(pods::DefaultTolerationSeconds::NAME, |_| Arc::new(pods::DefaultTolerationSeconds)),
    off(PodTolerationRestriction::NAME, |p| Arc::new(p.configuration.tolerations.clone())),
    off(EventRateLimit::NAME, |p| Arc::new(EventRateLimit::new(&p.configuration.events))),
    off(pods::ExtendedResourceToleration::NAME, |_| Arc::new(pods::ExtendedResourceToleration)),
    on(storage::DefaultStorageClass::NAME, |_| Arc::new(storage::DefaultStorageClass)),
    on(storage::StorageObjectInUseProtection::NAME, |_| Arc::new(storage::StorageObjectInUseProtection)),
    off(owners::OwnerReferencesPermissionEnforcement::NAME, |p| {
        Arc::new(owners::OwnerReferencesPermissionEnforcement(p.authorization.clone()))
    }),
    on(storage::PersistentVolumeClaimResize::NAME, |_| Arc::new(storage::PersistentVolumeClaimResize)),
    on(runtime_class::RuntimeClass::NAME, |_| Arc::new(runtime_class::RuntimeClass)),
    on(certificates::CertificateApproval::NAME, |p| {
        Arc::new(certificates::CertificateApproval(p.authorization.clone()))
    }),
    on(certificates::CertificateSigning::NAME, |p| Arc::new(certificates::CertificateSigning(p.authorization.clone()))),
    on(certificates::ClusterTrustBundleAttest::NAME, |p| {
        Arc::new(certificates::ClusterTrustBundleAttest(p.authorization.clone()))
    }),
    on(certificates::CertificateSubjectRestriction::NAME, |_| Arc::new(certificates::CertificateSubjectRestriction)),
    on(ingresses::DefaultIngressClass::NAME, |_| Arc::new(ingresses::DefaultIngressClass)),
    off(services::DenyServiceExternalIps::NAME, |_| Arc::new(services::DenyServiceExternalIps)),
    on(ResourceQuota::NAME, |p| Arc::new(ResourceQuota::new(p.configuration.limited.clone()))),
];

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("admission-control plugin {0:?} is unknown")]
pub struct UnknownPlugin(pub String);

/// The name of the default class of a kind: marked so by one of the annotations, and the newest of several.
async fn default_class(
    attempt: &Attempt<'_>,
    (group, plural): (&str, &str),
    marks: &[&str],
) -> Result<Option<String>, Status> {
    let mut newest: Option<(String, std::cmp::Reverse<String>)> = None;
    for entry in attempt.others(group, "v1", plural, "").await? {
        if !marks.iter().any(|mark| mentions(&entry.bytes, mark)) {
            continue;
        }
        let class = parse(&entry.bytes)?;
        let annotations = meta::metadata(&class, "annotations");
        let marked = |mark: &&str| annotations.and_then(|all| all.get(*mark)).is_some_and(|value| value == "true");
        if marks.iter().any(marked) {
            let made = meta::text(&class, "creationTimestamp").to_owned();
            newest = newest.max(Some((made, std::cmp::Reverse(meta::name(&class).to_owned()))));
        }
    }
    Ok(newest.map(|(_, name)| name.0))
}

/// Which plugins are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugins(Vec<&'static str>);

impl Plugins {
    /// `exactly`: upstream's old flag, the plugins that are on and no others, in the order of the flag.
    pub fn new(exactly: Option<&[String]>, enable: &[String], disable: &[String]) -> Result<Self, UnknownPlugin> {
        let known = |name: &String| {
            let found = KNOWN.iter().find(|known| known.name == name);
            found.map(|known| known.name).ok_or_else(|| UnknownPlugin(name.clone()))
        };
        if let Some(list) = exactly {
            let list = list.iter().filter(|name| *name != "AlwaysAdmit" && !name.is_empty());
            return list.map(known).collect::<Result<_, _>>().map(Self);
        }
        let enable = enable.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let disable = disable.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let on = |known: &&Known| (known.on || enable.contains(&known.name)) && !disable.contains(&known.name);
        Ok(Self(KNOWN.iter().filter(on).map(|known| known.name).collect()))
    }

    /// Whether a plugin of this name is on.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    /// What always runs comes last: it must see what the others have made of the object.
    pub fn admission(
        &self,
        configuration: &Configuration,
        authorization: &Authorization,
        rbac: &Rbac,
        by_rbac: bool,
    ) -> Admission {
        let parts = Parts { authorization, configuration };
        let made = self.0.iter().filter_map(|name| KNOWN.iter().find(|known| known.name == *name));
        let mut list: Vec<Arc<dyn Plugin>> = made.map(|known| (known.make)(&parts)).collect();
        if by_rbac {
            list.push(Arc::new(escalation::Escalation { authorization: authorization.clone(), rbac: rbac.clone() }));
        }
        Admission::of(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's, of which some are not there yet.
    const UPSTREAMS_ORDER: [&str; 39] = [
        "AlwaysAdmit",
        "NamespaceAutoProvision",
        "NamespaceLifecycle",
        "NamespaceExists",
        "LimitPodHardAntiAffinityTopology",
        "LimitRanger",
        "ServiceAccount",
        "NodeRestriction",
        "TaintNodesByCondition",
        "AlwaysPullImages",
        "ImagePolicyWebhook",
        "PodSecurity",
        "PodNodeSelector",
        "PodGroupProtection",
        "Priority",
        "DefaultTolerationSeconds",
        "PodTolerationRestriction",
        "EventRateLimit",
        "ExtendedResourceToleration",
        "DefaultStorageClass",
        "StorageObjectInUseProtection",
        "OwnerReferencesPermissionEnforcement",
        "PersistentVolumeClaimResize",
        "RuntimeClass",
        "CertificateApproval",
        "CertificateSigning",
        "ClusterTrustBundleAttest",
        "CertificateSubjectRestriction",
        "DefaultIngressClass",
        "DenyServiceExternalIPs",
        "PodTopologyLabels",
        "NodeDeclaredFeatureValidator",
        "PodResizeValidator",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionWebhook",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionWebhook",
        "ResourceQuota",
        "AlwaysDeny",
    ];

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_order_is_upstreams_and_names_are_their_own() {
        let places: Vec<_> =
            KNOWN.iter().map(|known| UPSTREAMS_ORDER.iter().position(|name| *name == known.name)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted_by(|a, b| a < b), "{places:?}");
        let (authorization, configuration) = (Authorization::new(Vec::new()), Configuration::default());
        let parts = Parts { authorization: &authorization, configuration: &configuration };
        for known in KNOWN {
            assert_eq!((known.make)(&parts).name(), known.name);
        }
    }

    #[test]
    fn flags_choose_the_plugins() {
        let of = |enable: &[&str], disable: &[&str]| Plugins::new(None, &list(enable), &list(disable)).map(|on| on.0);
        let by_default = of(&[], &[]).unwrap();
        assert!(by_default.contains(&"NamespaceLifecycle") && !by_default.contains(&"NodeRestriction"));
        let mut other = by_default.clone();
        other.retain(|name| *name != "TaintNodesByCondition");
        let place = KNOWN.iter().filter(|known| known.on).position(|known| known.name == "TaintNodesByCondition");
        other.insert(place.unwrap(), "NodeRestriction");
        assert_eq!(of(&["NodeRestriction"], &["TaintNodesByCondition"]), Ok(other));
        assert_eq!(of(&["Nope"], &[]), Err(UnknownPlugin("Nope".into())));
        let exactly = list(&["NodeRestriction", "AlwaysPullImages"]);
        assert_eq!(
            Plugins::new(Some(&exactly), &[], &[]).map(|on| on.0),
            Ok(vec!["NodeRestriction", "AlwaysPullImages"])
        );
        assert_eq!(Plugins::new(Some(&[]), &[], &[]).map(|on| on.0), Ok(vec![]));
    }
}
