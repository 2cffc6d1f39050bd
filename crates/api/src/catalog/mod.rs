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
mod old;
mod policy;
mod rbac;
mod resource;
mod reviews;
mod scheduling;
mod storage;
mod storagemigration;
mod subresource;
mod version;

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::columns::{self, Column};
use crate::schema::{Shape, TypeId, builtin};
use crate::strategy::{self, Strategy};

pub use subresource::*;
pub use version::{Style, Version};
use version::{also, group_rank, version_rank};

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
    /// It is a question or a request that is answered at once; its objects are not stored.
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
    /// Which node shall a pod be on?
    Binding,
    /// How are the members of the control plane?
    ComponentStatus,
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

pub const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Resource {
    /// The resource in these versions too.
    fn shown_as(mut self, versions: impl IntoIterator<Item = Version>) -> Self {
        self.versions.extend(versions);
        self
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
    /// The version itself.
    pub form: Version,
    /// Which of the resource's versions it is: 0 is the stored one.
    pub place: usize,
    /// Clients see it.
    pub on: bool,
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

    /// Whether documents are stored as this version has them.
    pub fn is_stored(&self) -> bool {
        self.place == 0
    }

    /// The resource in paths.
    pub fn path_name(&self) -> &'static str {
        self.form.names.first().copied().unwrap_or(self.plural)
    }

    /// What one of it is called.
    pub fn singular_name(&self) -> &'static str {
        self.form.singular.unwrap_or(self.singular)
    }

    pub fn own_verbs(&self) -> &'static [&'static str] {
        self.form.verbs.unwrap_or(self.verbs)
    }

    pub fn own_subresources(&self) -> &'static [Subresource] {
        self.form.subresources.unwrap_or(self.subresources)
    }

    pub fn own_columns(&self) -> &'static [Column] {
        self.form.columns.unwrap_or(self.columns)
    }

    /// Groups of resources are made of what is stored, so that nothing is in one twice.
    pub fn own_categories(&self) -> &'static [&'static str] {
        if self.group == self.resource.stored().group { self.categories } else { &[] }
    }

    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.own_subresources().iter().find(|sub| sub.name == name)
    }

    /// The envelope of a list in this version, out of today's.
    pub fn list_from_stored(&self, list: &mut Value) {
        if self.form.style == Style::Flat {
            crate::conversion::core::list(list);
        }
    }

    /// A document that was fitted to this version, as it is stored; or why it can't be converted.
    pub fn to_stored(&self, document: &mut Value) -> Result<(), String> {
        if self.is_stored() {
            return Ok(());
        }
        (self.form.conversion.default)(document);
        self.form_to_stored(document)?;
        // What has a looser type in this version may be nothing that can be stored.
        let wrong = builtin().fit(self.resource.stored().schema, document).wrong;
        if wrong.is_empty() {
            return Ok(());
        }
        Err(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }

    /// As [`Served::to_stored`], with nothing filled in: what is applied holds what its manager wants and no more.
    pub fn form_to_stored(&self, document: &mut Value) -> Result<(), String> {
        if self.is_stored() {
            return Ok(());
        }
        (self.form.conversion.check)(document)?;
        (self.form.conversion.to_stored)(document);
        if self.form.style != Style::Today {
            crate::meta::metadata_mut(document).remove("selfLink");
        }
        name_kind(document, &self.resource.stored());
        Ok(())
    }

    /// What is stored, as this version has it.
    pub fn from_stored(&self, document: &mut Value) {
        if !self.is_stored() {
            let (namespace, name) = (crate::meta::namespace(document), crate::meta::name(document));
            let link = self.form.style.link(self.version, self.path_name(), namespace, name);
            if let Some(link) = link.filter(|_| !name.is_empty()) {
                crate::meta::metadata_mut(document).insert("selfLink".into(), link.into());
            }
            (self.form.conversion.from_stored)(document);
            name_kind(document, &self.form);
        }
    }
}

fn name_kind(document: &mut Value, version: &Version) {
    let fields = crate::meta::fields_mut(document);
    fields.insert("apiVersion".into(), version.api_version().into());
    fields.insert("kind".into(), version.kind.into());
}

/// All resources at one time. A change makes another one, which takes the place of this one as a whole.
pub struct Catalog {
    resources: Vec<Arc<Resource>>,
    /// What clients see, and all of it.
    served: Vec<Arc<Served>>,
    all: Vec<Arc<Served>>,
    /// By group, version and plural.
    by_path: HashMap<(&'static str, &'static str, &'static str), usize>,
    /// The places of the stored versions, by resource.
    stored: Vec<usize>,
}

impl Catalog {
    /// In the order of discovery.
    pub fn new(resources: Vec<Arc<Resource>>) -> Self {
        Self::with(resources, &HashSet::new())
    }

    /// Without these groups and versions. Their resources are kept and known to the daemons all the same.
    pub fn without(&self, off: &HashSet<(&str, &str)>) -> Arc<Self> {
        Arc::new(Self::with(self.resources.clone(), off))
    }

    fn with(resources: Vec<Arc<Resource>>, off: &HashSet<(&str, &str)>) -> Self {
        let mut served = Vec::new();
        for (at, resource) in resources.iter().enumerate() {
            for (place, &form) in resource.versions.iter().enumerate() {
                let Version { group, version, kind, schema, .. } = form;
                let resource = resource.clone();
                let on = !off.contains(&(group, version));
                served.push(Arc::new(Served { group, version, kind, schema, at, form, place, on, resource }));
            }
        }
        let mut groups: Vec<&str> = Vec::new();
        for one in &served {
            if !groups.contains(&one.group) {
                groups.push(one.group);
            }
        }
        let place = |group: &str| groups.iter().position(|known| *known == group);
        served.sort_by_key(|one| {
            (group_rank(one.group), place(one.group), version_rank(one.version), one.path_name().to_ascii_lowercase())
        });
        let mut by_path = HashMap::new();
        let mut stored = vec![0; resources.len()];
        for (at, one) in served.iter().enumerate() {
            let names =
                if one.form.names.is_empty() { std::slice::from_ref(&one.resource.plural) } else { one.form.names };
            by_path.extend(names.iter().map(|name| ((one.group, one.version, *name), at)));
            if one.is_stored() {
                stored[one.at] = at;
            }
        }
        let on = served.iter().filter(|one| one.on).cloned().collect();
        Self { by_path, resources, served: on, all: served, stored }
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
        self.by_path.get(&(group, version, plural)).map(|&at| &self.all[at])
    }

    /// A resource in the version that is stored.
    pub fn stored_form(&self, of: &Served) -> &Arc<Served> {
        &self.all[self.stored[of.at]]
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
    Resource {
        versions: vec![also(group, version, kind)],
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
            " apps events authentication authorization autoscaling batch certificates networking extensions policy rbac storage \
             admissionregistration scheduling coordination node discovery flowcontrol resource storagemigration"
        );
    }

    #[test]
    fn resources_and_subresources_are_in_the_order_of_their_names() {
        for (group, versions) in Catalog::builtin().groups() {
            for version in versions {
                let catalog = Catalog::builtin();
                let names = catalog.of_version(group, version).map(|served| served.path_name().to_ascii_lowercase());
                let plurals: Vec<String> = names.collect();
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
