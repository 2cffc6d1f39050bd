//! The plugins that there are, and which of them are on.

mod escalation;
mod node_restriction;
mod nodes;
mod pods;
mod services;

use std::sync::Arc;

use super::{Admission, Plugin};
use crate::authorization::{Authorization, Rbac};

/// In the order in which they run, as upstream's; `true`: on unless a flag says otherwise.
const KNOWN: &[(&str, bool)] = &[
    (pods::AlwaysPullImages::NAME, false),
    (nodes::TaintNodesByCondition::NAME, true),
    (node_restriction::NodeRestriction::NAME, false),
    (pods::DefaultTolerationSeconds::NAME, true),
    (services::DenyServiceExternalIps::NAME, false),
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
            let found = KNOWN.iter().map(|(known, _)| *known).find(|known| known == name);
            found.ok_or_else(|| UnknownPlugin(name.clone()))
        };
        if let Some(list) = exactly {
            let list = list.iter().filter(|name| *name != "AlwaysAdmit" && !name.is_empty());
            return list.map(known).collect::<Result<_, _>>().map(Self);
        }
        let enable = enable.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let disable = disable.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        let on =
            |(name, default): &&(&'static str, bool)| (*default || enable.contains(name)) && !disable.contains(name);
        Ok(Self(KNOWN.iter().filter(on).map(|(name, _)| *name).collect()))
    }

    /// What always runs comes last: it must see what the others have made of the object.
    pub fn admission(&self, authorization: &Authorization, rbac: &Rbac, by_rbac: bool) -> Admission {
        let mut list: Vec<Arc<dyn Plugin>> = self.0.iter().map(|name| plugin(name)).collect();
        if by_rbac {
            list.push(Arc::new(escalation::Escalation { authorization: authorization.clone(), rbac: rbac.clone() }));
        }
        Admission(list)
    }
}

fn plugin(name: &str) -> Arc<dyn Plugin> {
    match name {
        pods::AlwaysPullImages::NAME => Arc::new(pods::AlwaysPullImages),
        pods::DefaultTolerationSeconds::NAME => Arc::new(pods::DefaultTolerationSeconds),
        nodes::TaintNodesByCondition::NAME => Arc::new(nodes::TaintNodesByCondition),
        node_restriction::NodeRestriction::NAME => Arc::new(node_restriction::NodeRestriction),
        services::DenyServiceExternalIps::NAME => Arc::new(services::DenyServiceExternalIps),
        other => unreachable!("{other} is in KNOWN"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_the_plugins() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let of = |enable: &[&str], disable: &[&str]| Plugins::new(None, &list(enable), &list(disable)).map(|on| on.0);
        assert_eq!(of(&[], &[]), Ok(vec!["TaintNodesByCondition", "DefaultTolerationSeconds"]));
        assert_eq!(
            of(&["NodeRestriction"], &["TaintNodesByCondition"]),
            Ok(vec!["NodeRestriction", "DefaultTolerationSeconds"])
        );
        assert_eq!(of(&["Nope"], &[]), Err(UnknownPlugin("Nope".into())));
        let exactly = list(&["NodeRestriction", "AlwaysPullImages"]);
        assert_eq!(
            Plugins::new(Some(&exactly), &[], &[]).map(|on| on.0),
            Ok(vec!["NodeRestriction", "AlwaysPullImages"])
        );
        assert_eq!(Plugins::new(Some(&[]), &[], &[]).map(|on| on.0), Ok(vec![]));
    }
}
