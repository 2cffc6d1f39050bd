//! The versions in which a resource is shown: a row each, beside the stored one. What differs between versions stands in these rows;
//! how documents get from one to another stands in `crate::conversion`.

use std::cmp::Reverse;

use serde_json::Value;

use super::{Subresource, builtin};
use crate::columns::Column;
use crate::conversion::{self, Conversion};
use crate::field::Errors;
use crate::schema::TypeId;

/// A form in which a resource is shown. What is `None` or empty is as the resource says.
#[derive(Clone, Copy)]
pub struct Version {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub schema: TypeId,
    /// To and from the stored version, and this version's own defaults.
    pub conversion: &'static Conversion,
    /// The resource in paths, where it is not called as the resource is. All are understood, the first is shown.
    pub names: &'static [&'static str],
    pub singular: Option<&'static str>,
    pub verbs: Option<&'static [&'static str]>,
    pub subresources: Option<&'static [Subresource]>,
    pub columns: Option<&'static [Column]>,
    /// Fields of field selectors, as this version calls them, and as the stored one does.
    pub fields: &'static [(&'static str, &'static str)],
    /// A deletion that says nothing of dependents leaves them behind.
    pub orphans: bool,
    /// What else must hold of an object (in its stored form) that is made through this version.
    pub validate_create: Option<fn(&Value, &mut Errors)>,
    /// Whether names of new objects may have capital letters.
    pub any_case: bool,
    /// There is a form in protobuf.
    pub protobuf: bool,
    pub style: Style,
}

/// What a version expects of paths, and tells of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Today,
    /// Objects and lists tell their paths.
    Linked,
    /// And there is no metadata: names, versions and links stand in the object. The namespace is a parameter of the query, where
    /// `labels` and `fields` are the selectors.
    Flat,
}

impl Style {
    /// The path of an object.
    pub(super) fn link(self, version: &str, plural: &str, namespace: &str, name: &str) -> Option<String> {
        match self {
            Self::Today => None,
            Self::Linked if namespace.is_empty() => Some(format!("/api/{version}/{plural}/{name}")),
            Self::Linked => Some(format!("/api/{version}/namespaces/{namespace}/{plural}/{name}")),
            Self::Flat if namespace.is_empty() => Some(format!("/api/{version}/{plural}/{name}")),
            Self::Flat => Some(format!("/api/{version}/{plural}/{name}?namespace={namespace}")),
        }
    }
}

/// A version whose documents look as those of the stored one.
pub(super) fn also(group: &'static str, version: &'static str, kind: &'static str) -> Version {
    let schema = builtin().of_kind(group, version, kind);
    let schema = schema.unwrap_or_else(|| panic!("the schemas lack {group}/{version} {kind}"));
    Version {
        group,
        version,
        kind,
        schema,
        conversion: &conversion::SAME,
        names: &[],
        singular: None,
        verbs: None,
        subresources: None,
        columns: None,
        fields: &[],
        orphans: false,
        validate_create: None,
        any_case: false,
        protobuf: true,
        style: Style::Today,
    }
}

impl Version {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Groups as upstream's aggregator ranks its own; others come after them.
const GROUPS: [&str; 21] = [
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "extensions",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
    "storagemigration.k8s.io",
];

pub(super) fn group_rank(group: &str) -> usize {
    GROUPS.iter().position(|known| *known == group).unwrap_or(GROUPS.len())
}

/// The order of versions in a group: stable ones, the newest first, then beta, then alpha; what is no version comes last.
pub(super) fn version_rank(version: &str) -> (Reverse<(u8, u32, u32)>, &str) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, level) = rest.split_at_checked(end)?;
        let major: u32 = major.parse().ok()?;
        let (stability, minor) = match level {
            "" => (3, "0"),
            level => match (level.strip_prefix("beta"), level.strip_prefix("alpha")) {
                (Some(minor), _) => (2, minor),
                (_, Some(minor)) => (1, minor),
                _ => return None,
            },
        };
        Some((stability, major, minor.parse().ok()?))
    };
    (Reverse(parse().unwrap_or((0, 0, 0))), version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ranked_as_upstream_ranks_them() {
        let mut versions = ["x", "v1beta1", "v2", "v1alpha1", "v1", "v1beta3", "v2beta2", "v10", "foo10"];
        versions.sort_by_key(|version| version_rank(version));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta2", "v1beta3", "v1beta1", "v1alpha1", "foo10", "x"]);
    }
}
