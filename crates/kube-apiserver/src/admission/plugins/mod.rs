//! The plugins that there are, and which of them are on.

mod escalation;
mod limit_ranger;
mod namespaces;
mod node_restriction;
mod nodes;
mod pods;
mod priority;
mod resource_quota;
mod service_account;
mod services;

use std::sync::Arc;

use super::{Admission, Plugin};
use crate::authorization::{Authorization, Rbac};

struct Known {
    name: &'static str,
    /// Unless a flag says otherwise.
    on: bool,
    make: fn() -> Arc<dyn Plugin>,
}

const fn on(name: &'static str, make: fn() -> Arc<dyn Plugin>) -> Known {
    Known { name, on: true, make }
}

const fn off(name: &'static str, make: fn() -> Arc<dyn Plugin>) -> Known {
    Known { name, on: false, make }
}

/// In the order in which they run, as upstream's.
const KNOWN: &[Known] = &[
    off(namespaces::NamespaceAutoProvision::NAME, || Arc::new(namespaces::NamespaceAutoProvision)),
    on(namespaces::NamespaceLifecycle::NAME, || Arc::new(namespaces::NamespaceLifecycle)),
    off(namespaces::NamespaceExists::NAME, || Arc::new(namespaces::NamespaceExists)),
    on(limit_ranger::LimitRanger::NAME, || Arc::new(limit_ranger::LimitRanger)),
    on(service_account::ServiceAccount::NAME, || Arc::new(service_account::ServiceAccount)),
    off(node_restriction::NodeRestriction::NAME, || Arc::new(node_restriction::NodeRestriction)),
    on(nodes::TaintNodesByCondition::NAME, || Arc::new(nodes::TaintNodesByCondition)),
    off(pods::AlwaysPullImages::NAME, || Arc::new(pods::AlwaysPullImages)),
    on(priority::Priority::NAME, || Arc::new(priority::Priority)),
    on(pods::DefaultTolerationSeconds::NAME, || Arc::new(pods::DefaultTolerationSeconds)),
    off(services::DenyServiceExternalIps::NAME, || Arc::new(services::DenyServiceExternalIps)),
    on(resource_quota::ResourceQuota::NAME, || Arc::new(resource_quota::ResourceQuota::default())),
];

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("admission-control plugin {0:?} is unknown")]
pub struct UnknownPlugin(pub String);

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

    /// What always runs comes last: it must see what the others have made of the object.
    pub fn admission(&self, authorization: &Authorization, rbac: &Rbac, by_rbac: bool) -> Admission {
        let made = self.0.iter().filter_map(|name| KNOWN.iter().find(|known| known.name == *name));
        let mut list: Vec<Arc<dyn Plugin>> = made.map(|known| (known.make)()).collect();
        if by_rbac {
            list.push(Arc::new(escalation::Escalation { authorization: authorization.clone(), rbac: rbac.clone() }));
        }
        Admission(list)
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
        for known in KNOWN {
            assert_eq!((known.make)().name(), known.name);
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
