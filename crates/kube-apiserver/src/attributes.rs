//! Who asks for what. Made once for each request, by one function for REST and one for gRPC, before anything looks at the request, and
//! carried with it to the registry.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::catalog::{Catalog, Style};
use api::selector::FieldSelector;
use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::audit::Trail;
use crate::request::Query;

/// Who asks, as authentication has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// As `UserInfo` and certificate requests have it.
    pub fn to_json(&self) -> Value {
        let mut json = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            json["uid"] = self.uid.as_str().into();
        }
        if !self.extra.is_empty() {
            json["extra"] = json!(self.extra);
        }
        json
    }
}

/// What all that comes after authentication knows of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub user: Arc<User>,
    /// The API's verb (`list`), or the method in lower case where the path is of no resource.
    pub verb: Cow<'static, str>,
    pub path: String,
    /// `None`: the path is of no resource.
    pub resource: Option<ResourceAttributes>,
    /// Who decides about the request leaves notes there.
    pub trail: Trail,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceAttributes {
    pub group: String,
    pub version: String,
    /// Plural, lower case.
    pub resource: String,
    /// Empty: cluster scope, or all namespaces. Of a namespace it is its own name, as upstream has it.
    pub namespace: String,
    /// Empty: the collection.
    pub name: String,
    pub subresource: String,
    /// What follows the subresource.
    pub rest: String,
}

impl Attributes {
    /// What the server itself wants to know of a user's rights. It leaves no notes.
    pub fn question(user: Arc<User>, verb: impl Into<Cow<'static, str>>, resource: ResourceAttributes) -> Self {
        Self { user, verb: verb.into(), resource: Some(resource), ..Self::default() }
    }

    /// Of a request over HTTP.
    pub fn of_request(user: Arc<User>, method: &Method, path: &str, query: &Query) -> Self {
        let path_of = |resource, verb: &'static str| Self {
            user: user.clone(),
            verb: verb.into(),
            path: path.to_owned(),
            resource,
            trail: Trail::default(),
        };
        let Some((resource, old_watch)) = resource_of(path) else { return path_of(None, lower_case(method)) };
        let collection = resource.name.is_empty();
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if collection => "deletecollection",
            Method::DELETE => "delete",
            Method::GET | Method::HEAD if old_watch => "watch",
            Method::GET | Method::HEAD if collection && query.flag("watch") => "watch",
            Method::GET | Method::HEAD if collection => "list",
            Method::GET | Method::HEAD => "get",
            _ => lower_case(method),
        };
        let mut resource = resource;
        if collection && matches!(verb, "list" | "watch" | "deletecollection") {
            resource.name = selected_name(query.text("fieldSelector"));
        }
        path_of(Some(resource), verb)
    }

    /// With what old versions say in another way as today's say it: resources by their name of today, and the namespace of the query. So
    /// who may do something may do it in any version, and in no other way.
    pub fn in_catalog(mut self, catalog: &Catalog, query: &Query) -> Self {
        let Some(about) = &mut self.resource else { return self };
        let Some(form) = catalog.find(&about.group, &about.version, &about.resource) else { return self };
        if about.resource != form.plural {
            about.resource = form.plural.to_owned();
        }
        if form.form.style == Style::Flat && form.namespaced && about.namespace.is_empty() {
            about.namespace = match query.text("namespace") {
                "" if matches!(&*self.verb, "list" | "watch" | "deletecollection") => String::new(),
                "" => "default".to_owned(),
                named => named.to_owned(),
            };
        }
        self
    }

    /// Of a call over gRPC.
    pub fn of_call(user: Arc<User>, verb: &'static str, resource: &rpc::resource::Resource) -> Self {
        let rpc::resource::Resource { group, version, resource, namespace, name, subresource } = resource.clone();
        let base = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let scope = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
        let below = [&name, &subresource].map(|part| if part.is_empty() { String::new() } else { format!("/{part}") });
        let path = format!("{base}{scope}/{resource}{}", below.concat());
        let resource =
            ResourceAttributes { group, version, resource, namespace, name, subresource, rest: String::new() };
        Self { user, verb: verb.into(), path, resource: Some(resource), trail: Trail::default() }
    }
}

/// Verbs and subresources of requests that go on for as long as the client likes (upstream's).
const LONG_VERBS: [&str; 2] = ["watch", "proxy"];
const LONG_SUBRESOURCES: [&str; 5] = ["attach", "exec", "proxy", "log", "portforward"];

impl Attributes {
    pub fn is_long_running(&self) -> bool {
        let long = |about: &ResourceAttributes| LONG_SUBRESOURCES.contains(&about.subresource.as_str());
        LONG_VERBS.contains(&&*self.verb) || self.resource.as_ref().is_some_and(long)
    }

    pub fn is_mutating(&self) -> bool {
        !matches!(&*self.verb, "get" | "list" | "watch")
    }
}

fn lower_case(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "other",
    }
}

/// A list of what has one name is a request about that object.
fn selected_name(fields: &str) -> String {
    let fields: FieldSelector = fields.parse().unwrap_or_default();
    fields.required_value("metadata.name").unwrap_or_default().to_owned()
}

/// `/api/v1/…` and `/apis/GROUP/VERSION/…` with a resource, and whether the path is one of the old ones for watches;
/// `None` for all other paths.
fn resource_of(path: &str) -> Option<(ResourceAttributes, bool)> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let mut found = ResourceAttributes::default();
    match parts.next()? {
        "api" => {}
        "apis" => found.group = parts.next()?.to_owned(),
        _ => return None,
    }
    found.version = parts.next()?.to_owned();
    let decode = |part| percent_decode_str(part).decode_utf8_lossy();
    let mut all = Vec::with_capacity(8);
    all.extend(parts.map(decode));
    let (parts, old_watch) = match all.as_mut_slice() {
        [first, rest @ ..] if first == "watch" => (rest, true),
        parts => (parts, false),
    };
    let own = |sub: &str| sub == "status" || sub == "finalize";
    // Below a namespace is another resource, unless it is a subresource of the namespace itself.
    let parts = match parts {
        [first, namespace, resource, ..] if first == "namespaces" && !own(resource) => {
            found.namespace = std::mem::take(namespace).into_owned();
            &mut parts[2..]
        }
        [first, namespace, ..] if first == "namespaces" => {
            found.namespace = namespace.to_string();
            parts
        }
        parts => parts,
    };
    let mut parts = parts.iter_mut().map(std::mem::take);
    found.resource = parts.next()?.into_owned();
    found.name = parts.next().unwrap_or_default().into_owned();
    found.subresource = parts.next().unwrap_or_default().into_owned();
    found.rest = parts.collect::<Vec<_>>().join("/");
    Some((found, old_watch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, target: &str) -> Attributes {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = method.parse().unwrap();
        Attributes::of_request(Arc::default(), &method, path, &Query::parse(Some(query)))
    }

    #[test]
    fn table_of_paths() {
        let some = |parts: [&str; 6]| Some(parts.map(str::to_owned));
        for (path, expected) in [
            ("/healthz", None),
            ("/api", None),
            ("/api/v1", None),
            ("/apis/apps", None),
            ("/api/v1/pods", some(["", "v1", "", "pods", "", ""])),
            ("/api/v1/nodes/n%2F1/status", some(["", "v1", "", "nodes", "n/1", "status"])),
            ("/api/v1/namespaces", some(["", "v1", "", "namespaces", "", ""])),
            ("/api/v1/namespaces/x", some(["", "v1", "x", "namespaces", "x", ""])),
            ("/api/v1/namespaces/x/finalize", some(["", "v1", "x", "namespaces", "x", "finalize"])),
            ("/api/v1/namespaces/x/pods", some(["", "v1", "x", "pods", "", ""])),
            ("/api/v1/namespaces/x/pods/p/log", some(["", "v1", "x", "pods", "p", "log"])),
            ("/api/v1/watch/namespaces/x/pods/p", some(["", "v1", "x", "pods", "p", ""])),
            (
                "/apis/coordination.k8s.io/v1/namespaces/x/leases/l",
                some(["coordination.k8s.io", "v1", "x", "leases", "l", ""]),
            ),
        ] {
            let parts = |r: ResourceAttributes| [r.group, r.version, r.namespace, r.resource, r.name, r.subresource];
            assert_eq!(of("GET", path).resource.map(parts), expected, "{path}");
        }
    }

    #[test]
    fn table_of_verbs() {
        for (method, target, verb) in [
            ("GET", "/api/v1/pods", "list"),
            ("HEAD", "/api/v1/pods", "list"),
            ("GET", "/api/v1/pods?watch=true", "watch"),
            ("GET", "/api/v1/watch/pods", "watch"),
            ("GET", "/api/v1/namespaces/x/pods/p", "get"),
            ("GET", "/api/v1/namespaces/x/pods/p?watch=1", "get"),
            ("POST", "/api/v1/namespaces/x/pods", "create"),
            ("POST", "/api/v1/namespaces/x/pods/p/binding", "create"),
            ("PUT", "/api/v1/namespaces/x", "update"),
            ("PATCH", "/api/v1/namespaces/x", "patch"),
            ("DELETE", "/api/v1/namespaces/x", "delete"),
            ("DELETE", "/api/v1/namespaces/x/pods", "deletecollection"),
            ("GET", "/metrics", "get"),
            ("POST", "/metrics", "post"),
        ] {
            assert_eq!(of(method, target).verb, verb, "{method} {target}");
        }
    }

    #[test]
    fn old_versions_name_namespaces_in_the_query_and_resources_otherwise() {
        for (method, target, expected) in [
            ("GET", "/api/v1beta1/pods?namespace=x", ["list", "x", "pods", ""]),
            ("GET", "/api/v1beta1/pods", ["list", "", "pods", ""]),
            ("GET", "/api/v1beta1/watch/pods?namespace=x", ["watch", "x", "pods", ""]),
            ("GET", "/api/v1beta1/pods/p", ["get", "default", "pods", "p"]),
            ("POST", "/api/v1beta1/replicationControllers", ["create", "default", "replicationcontrollers", ""]),
            (
                "PUT",
                "/api/v1beta1/replicationcontrollers/c?namespace=x",
                ["update", "x", "replicationcontrollers", "c"],
            ),
            ("DELETE", "/api/v1beta1/pods", ["deletecollection", "", "pods", ""]),
            ("GET", "/api/v1beta1/minions/m?namespace=x", ["get", "", "nodes", "m"]),
            ("GET", "/api/v1beta3/minions/m", ["get", "", "nodes", "m"]),
            ("GET", "/api/v1beta3/namespaces/x/pods/p?namespace=y", ["get", "x", "pods", "p"]),
            ("GET", "/api/v1/pods?namespace=x", ["list", "", "pods", ""]),
            ("GET", "/api/v1/minions", ["list", "", "minions", ""]),
        ] {
            let (_, query) = target.split_once('?').unwrap_or((target, ""));
            let of = of(method, target).in_catalog(&Catalog::builtin(), &Query::parse(Some(query)));
            let about = of.resource.unwrap();
            assert_eq!([&*of.verb, &about.namespace, &about.resource, &about.name], expected, "{target}");
        }
    }

    #[test]
    fn a_list_of_one_name_is_about_that_object() {
        let name = |target: &str| of("GET", target).resource.map(|r| r.name).unwrap_or_default();
        assert_eq!(name("/api/v1/nodes?fieldSelector=metadata.name%3Dn"), "n");
        assert_eq!(name("/api/v1/nodes?fieldSelector=metadata.name!%3Dn"), "");
    }

    #[test]
    fn calls_have_the_attributes_of_the_request_that_they_stand_for() {
        let resource = |namespace: &str, name: &str, subresource: &str| rpc::resource::Resource {
            version: "v1".into(),
            resource: "pods".into(),
            namespace: namespace.into(),
            name: name.into(),
            subresource: subresource.into(),
            ..Default::default()
        };
        let user = Arc::default;
        let call = Attributes::of_call(user(), "patch", &resource("x", "p", "status"));
        assert_eq!(call, of("PATCH", "/api/v1/namespaces/x/pods/p/status"));
        assert_eq!(Attributes::of_call(user(), "list", &resource("", "", "")), of("GET", "/api/v1/pods"));
    }
}
