//! The resources that the API has: one row each, by group in the files beside this one. Routing, discovery, OpenAPI, storage keys, gRPC
//! dispatch and tables read these rows; there are no handlers per kind. A new kind is a row and, where it has rules, a strategy.

mod admissionregistration;
mod apps;
mod autoscaling;
mod batch;
mod certificates;
mod coordination;
mod core;
mod discovery;
mod flowcontrol;
mod networking;
mod node;
mod policy;
mod rbac;
mod resource;
mod reviews;
mod scheduling;
mod storage;
mod storagemigration;
mod subresource;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use crate::columns::{self, Column};
use crate::schema::{Shape, TypeId, builtin};
use crate::strategy::{self, Strategy};

pub use subresource::*;

/// One storage, and any number of versions that show it.
pub struct Resource {
    /// The first is the one that is stored.
    pub versions: Vec<Version>,
    /// Lower case, as in paths.
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    /// Groups of resources that `kubectl get` knows by one name.
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
    pub subresources: &'static [Subresource],
    /// `metadata.generation` counts changes of `spec`.
    pub generation: bool,
    /// A replacement of what is not there makes it.
    pub creates_on_update: bool,
    /// A replacement may leave out which version it replaces.
    pub unconditional_update: bool,
    /// A deletion answers with what was deleted, and not with a Status.
    pub returns_deleted: bool,
    /// Fields for field selectors, beside `metadata.name` and `metadata.namespace`.
    pub selectable: &'static [Selectable],
    pub columns: &'static [Column],
    pub strategy: &'static dyn Strategy,
    /// It is a question that is answered at once; its objects are not stored.
    pub review: Option<Review>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// Whose token is it?
    Token,
    /// Who am I?
    SelfSubject,
    /// May somebody do this?
    SubjectAccess,
    /// May somebody do this in this namespace?
    LocalSubjectAccess,
    /// May I do this?
    SelfSubjectAccess,
    /// What may I do in a namespace?
    SelfSubjectRules,
}

/// A field for selectors: its name there, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selectable {
    pub name: &'static str,
    pub path: &'static str,
}

impl AsRef<str> for Selectable {
    fn as_ref(&self) -> &str {
        self.name
    }
}

/// A field that selectors name by its path.
const fn at(path: &'static str) -> Selectable {
    Selectable { name: path, path }
}

/// A form in which a resource is shown.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub schema: TypeId,
}

impl Version {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

pub const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Resource {
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// What a selector sees where the field is missing: the zero value of its type.
    pub fn absent(&self, field: Selectable) -> &'static str {
        let mut shape = Some(&Shape::Object(self.stored().schema));
        for step in field.path.split('.') {
            let Some(Shape::Object(id)) = shape else { return "" };
            shape = builtin().get(*id).field(step).map(|field| &field.shape);
        }
        match shape {
            Some(Shape::Bool) => "false",
            Some(Shape::Int32 | Shape::Int64) => "0",
            _ => "",
        }
    }

    pub fn stored(&self) -> Version {
        self.versions[0]
    }

    /// `pods`, `leases.coordination.k8s.io`: unique in the catalog, and the folder of its keys in etcd.
    pub fn qualified(&self) -> String {
        let group = self.stored().group;
        if group.is_empty() { self.plural.to_owned() } else { format!("{}.{group}", self.plural) }
    }
}

/// A resource in one of its versions: what a path names.
#[derive(Clone)]
pub struct Served {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub schema: TypeId,
    /// Place of the resource in the catalog.
    pub at: usize,
    resource: Arc<Resource>,
}

impl Deref for Served {
    type Target = Resource;
    fn deref(&self) -> &Resource {
        &self.resource
    }
}

impl Served {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }
}

/// All resources at one time. A change makes another one, which takes the place of this one as a whole.
pub struct Catalog {
    resources: Vec<Arc<Resource>>,
    served: Vec<Arc<Served>>,
    /// By group, version and plural.
    by_path: HashMap<(&'static str, &'static str, &'static str), usize>,
}

impl Catalog {
    /// In the order of discovery.
    pub fn new(resources: Vec<Arc<Resource>>) -> Self {
        let mut served = Vec::new();
        for (at, resource) in resources.iter().enumerate() {
            for &Version { group, version, kind, schema } in &resource.versions {
                served.push(Arc::new(Served { group, version, kind, schema, at, resource: resource.clone() }));
            }
        }
        let paths = served.iter().enumerate().map(|(at, one)| ((one.group, one.version, one.plural), at));
        Self { by_path: paths.collect(), resources, served }
    }

    /// The resources that come with the program.
    pub fn builtin() -> Arc<Self> {
        static BUILTIN: LazyLock<Arc<Catalog>> = LazyLock::new(|| {
            let rows = [
                core::rows(),
                apps::rows(),
                reviews::authentication(),
                reviews::authorization(),
                autoscaling::rows(),
                batch::rows(),
                certificates::rows(),
                networking::rows(),
                policy::rows(),
                rbac::rows(),
                storage::rows(),
                admissionregistration::rows(),
                scheduling::rows(),
                coordination::rows(),
                node::rows(),
                discovery::rows(),
                flowcontrol::rows(),
                resource::rows(),
                storagemigration::rows(),
            ];
            Arc::new(Catalog::new(rows.into_iter().flatten().map(Arc::new).collect()))
        });
        BUILTIN.clone()
    }

    pub fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    pub fn served(&self) -> &[Arc<Served>] {
        &self.served
    }

    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Served>> {
        self.by_path.get(&(group, version, plural)).map(|&at| &self.served[at])
    }

    /// What a group and a version show.
    pub fn of_version<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Served>> {
        self.served.iter().filter(move |one| one.group == group && one.version == version)
    }

    /// Groups and their versions, in the order of discovery; the first version is the preferred one.
    pub fn groups(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for one in &self.served {
            match groups.iter_mut().find(|(group, _)| *group == one.group) {
                Some((_, versions)) if versions.contains(&one.version) => {}
                Some((_, versions)) => versions.push(one.version),
                None => groups.push((one.group, vec![one.version])),
            }
        }
        groups
    }
}

/// A row with what most resources have.
fn row(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Resource {
    let schema = builtin().of_kind(group, version, kind);
    let schema = schema.unwrap_or_else(|| panic!("schema/roots.rs lacks {group}/{version} {kind}"));
    Resource {
        versions: vec![Version { group, version, kind, schema }],
        plural,
        singular: kind.to_ascii_lowercase().leak(),
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: VERBS,
        subresources: &[],
        generation: false,
        creates_on_update: false,
        unconditional_update: true,
        returns_deleted: false,
        selectable: &[],
        columns: columns::PLAIN,
        strategy: &strategy::Plain,
        review: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = Vec::new();
        for resource in Catalog::builtin().resources() {
            names.push(resource.qualified());
            names.extend(resource.short_names.iter().map(|n| (*n).to_owned()));
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// As upstream's aggregator ranks its own groups.
    #[test]
    fn groups_are_in_upstreams_order() {
        let catalog = Catalog::builtin();
        let groups: Vec<&str> = catalog.groups().into_iter().map(|(group, _)| group).collect();
        let short: Vec<&str> = groups.iter().map(|group| group.split('.').next().unwrap()).collect();
        assert_eq!(
            short.join(" "),
            " apps authentication authorization autoscaling batch certificates networking policy rbac storage admissionregistration scheduling \
             coordination node discovery flowcontrol resource storagemigration"
        );
    }

    #[test]
    fn resources_and_subresources_are_in_the_order_of_their_names() {
        for (group, versions) in Catalog::builtin().groups() {
            for version in versions {
                let catalog = Catalog::builtin();
                let plurals: Vec<&str> = catalog.of_version(group, version).map(|served| served.plural).collect();
                assert!(plurals.is_sorted(), "{group}/{version}: {plurals:?}");
            }
        }
        for resource in Catalog::builtin().resources() {
            let names: Vec<&str> = resource.subresources.iter().map(|sub| sub.name).collect();
            assert!(names.is_sorted(), "{}: {names:?}", resource.plural);
        }
    }

    #[test]
    fn every_version_of_a_resource_is_found_and_shares_it() {
        let leases = coordination::rows().remove(0);
        let old = Version { version: "v1beta1", ..leases.stored() };
        let both = Resource { versions: vec![leases.stored(), old], ..leases };
        let catalog = Catalog::new(vec![Arc::new(both)]);
        let find = |version| catalog.find("coordination.k8s.io", version, "leases");
        let (new, old) = (find("v1").unwrap(), find("v1beta1").unwrap());
        assert!(Arc::ptr_eq(new.resource(), old.resource()) && find("v2").is_none());
        assert_eq!(old.api_version(), "coordination.k8s.io/v1beta1");
        assert_eq!(catalog.groups(), [("coordination.k8s.io", vec!["v1", "v1beta1"])]);
    }
}
