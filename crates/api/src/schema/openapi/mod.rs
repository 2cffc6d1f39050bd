//! OpenAPI documents out of the catalog and the schemas: version 2 in one document, version 3 in one per group version.
//!
//! They are made when somebody asks; only the caller keeps them.

mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::{Field, ObjectSchema, Schemas, Shape, TypeId, builtin, descriptions};
use crate::catalog::{Catalog, Handler, Served, Subresource};

pub use wire::encode as encode_v2;

const GVK: &str = "x-kubernetes-group-version-kind";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

#[derive(Clone, Copy, PartialEq)]
enum Version {
    V2,
    V3,
}

impl Version {
    fn reference(self, name: &str) -> String {
        match self {
            Self::V2 => format!("#/definitions/{name}"),
            Self::V3 => format!("#/components/schemas/{name}"),
        }
    }
}

/// `/openapi/v2`
pub fn v2(catalog: &Catalog, release: &str) -> Value {
    let mut document = Document::new(Version::V2, catalog);
    for resource in catalog.served() {
        document.resource(resource);
    }
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": release},
        "paths": document.paths, "definitions": document.definitions()})
}

/// `/openapi/v3`: where the documents are. `hash`: of the document of a group and version.
pub fn v3_index<'a>(catalog: &Catalog, hash: impl Fn(&'static str, &'static str) -> &'a str) -> Value {
    let mut paths = Map::new();
    for (group, versions) in catalog.groups() {
        for version in versions {
            let path = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let url = format!("/openapi/v3/{path}?hash={}", hash(group, version));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// `/openapi/v3/apis/GROUP/VERSION`
pub fn v3(catalog: &Catalog, group: &str, version: &str, release: &str) -> Option<Value> {
    let mut document = Document::new(Version::V3, catalog);
    for resource in catalog.of_version(group, version) {
        document.resource(resource);
    }
    if document.paths.is_empty() {
        return None;
    }
    Some(json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": release},
        "paths": document.paths, "components": {"schemas": document.definitions()}}))
}

struct Document {
    version: Version,
    schemas: &'static Schemas,
    docs: HashMap<String, String>,
    paths: Map<String, Value>,
    wanted: BTreeSet<TypeId>,
    /// Groups and versions that some resource here has: they decide which kinds a shared type is shown under.
    versions: BTreeSet<(&'static str, &'static str)>,
}

impl Document {
    fn new(version: Version, catalog: &Catalog) -> Self {
        let versions = catalog.served().iter().map(|r| (r.group, r.version)).collect();
        let (paths, wanted) = (Map::new(), BTreeSet::new());
        Self { version, schemas: builtin(), docs: descriptions(), paths, wanted, versions }
    }

    fn resource(&mut self, resource: &Served) {
        let prefix = if resource.group.is_empty() {
            format!("/api/{}", resource.version)
        } else {
            format!("/apis/{}/{}", resource.group, resource.version)
        };
        let collection = if resource.namespaced {
            if resource.own_verbs().contains(&"list") {
                let all = self.operation(resource, "list", None);
                self.paths.insert(format!("{prefix}/{}", resource.path_name()), json!({"get": all}));
            }
            format!("{prefix}/namespaces/{{namespace}}/{}", resource.path_name())
        } else {
            format!("{prefix}/{}", resource.path_name())
        };
        let operations = |document: &mut Self, list: &[(&str, &str)], sub: Option<&Subresource>| {
            let operation =
                |(method, action): &(&str, &str)| ((*method).to_owned(), document.operation(resource, action, sub));
            list.iter().map(operation).collect::<Map<_, _>>()
        };
        // Method, action, and the verb that the resource must have.
        let can = |list: &[(&'static str, &'static str, &str)]| -> Vec<(&str, &str)> {
            let has = list.iter().filter(|(_, _, verb)| resource.own_verbs().contains(verb));
            has.map(|(method, action, _)| (*method, *action)).collect()
        };
        let many = can(&[
            ("get", "list", "list"),
            ("post", "post", "create"),
            ("delete", "deletecollection", "deletecollection"),
        ]);
        let one = can(&[
            ("get", "get", "get"),
            ("put", "put", "update"),
            ("patch", "patch", "patch"),
            ("delete", "delete", "delete"),
        ]);
        for (path, list, named) in [(collection.clone(), many, false), (format!("{collection}/{{name}}"), one, true)] {
            if !list.is_empty() {
                let mut item = operations(self, &list, None);
                item.insert("parameters".into(), self.path_parameters(resource, named));
                self.paths.insert(path, item.into());
            }
        }
        for sub in resource.own_subresources() {
            let methods: Vec<(&str, &str)> = sub
                .verbs
                .iter()
                .map(|verb| match *verb {
                    "create" => ("post", "post"),
                    "update" => ("put", "put"),
                    "patch" => ("patch", "patch"),
                    _ => ("get", "get"),
                })
                .collect();
            let mut path = operations(self, &methods, Some(sub));
            path.insert("parameters".into(), self.path_parameters(resource, true));
            self.paths.insert(format!("{collection}/{{name}}/{}", sub.name), path.into());
        }
    }

    fn path_parameters(&self, resource: &Served, named: bool) -> Value {
        let mut list = Vec::new();
        let mut add = |name: &str| list.push(self.parameter(name, "path", "string", "", true));
        if named {
            add("name");
        }
        if resource.namespaced {
            add("namespace");
        }
        list.into()
    }

    fn parameter(&self, name: &str, place: &str, kind: &str, description: &str, required: bool) -> Value {
        let mut parameter = json!({"name": name, "in": place});
        if required {
            parameter["required"] = true.into();
        } else {
            parameter["uniqueItems"] = true.into();
        }
        if !description.is_empty() {
            parameter["description"] = description.into();
        }
        match self.version {
            Version::V2 => parameter["type"] = kind.into(),
            Version::V3 => {
                parameter["schema"] = json!({"type": kind, "uniqueItems": true});
                parameter.as_object_mut().map(|p| p.remove("uniqueItems"));
            }
        }
        parameter
    }

    fn operation(&mut self, resource: &Served, action: &str, sub: Option<&Subresource>) -> Value {
        let body = sub.and_then(|sub| sub.body);
        let (group, version, kind) = body.unwrap_or((resource.group, resource.version, resource.kind));
        let schema = self.schemas.of_kind(group, version, kind).unwrap_or(resource.schema);
        self.wanted.insert(schema);
        let mut parameters = Vec::new();
        let mut query = |name: &str, kind: &str, description: &str| {
            parameters.push(self.parameter(name, "query", kind, description, false));
        };
        let writes = matches!(action, "post" | "put" | "patch");
        if writes || action.starts_with("delete") {
            query("dryRun", "string", "All: nothing is stored.");
        }
        if writes {
            query("fieldManager", "string", "Who makes the change.");
            query("fieldValidation", "string", "Ignore, Warn or Strict: what becomes of unknown and duplicate fields.");
        }
        if action == "patch" {
            query("force", "boolean", "Take fields over from other managers (server-side apply only).");
        }
        if matches!(action, "list" | "deletecollection") {
            for name in ["continue", "fieldSelector", "labelSelector", "resourceVersion", "resourceVersionMatch"] {
                query(name, "string", "");
            }
            query("limit", "integer", "");
            query("timeoutSeconds", "integer", "");
            query("watch", "boolean", "");
        }
        let logs = sub.is_some_and(|sub| matches!(sub.handler, Handler::Logs));
        if logs {
            query("container", "string", "");
            for name in ["follow", "previous", "timestamps"] {
                query(name, "boolean", "");
            }
            for name in ["limitBytes", "sinceSeconds", "tailLines"] {
                query(name, "integer", "");
            }
        }
        let object = self.version.reference(self.schemas.get(schema).name);
        let list = self.schemas.find(&format!("{}List", self.schemas.get(schema).name));
        let answer = match action {
            "list" => list.map_or_else(|| object.clone(), |id| self.reference_to(id)),
            "delete" | "deletecollection" => self.reference_to(self.schemas.find(STATUS).unwrap_or(schema)),
            _ => object.clone(),
        };
        let request = match action {
            "post" | "put" => Some(object),
            "delete" | "deletecollection" => {
                Some(self.reference_to(self.schemas.find(DELETE_OPTIONS).unwrap_or(schema)))
            }
            // The body of a patch is one of several media types and no one schema.
            "patch" => Some(String::new()),
            _ => None,
        };
        // Several groups have the same kinds.
        let group_name = resource.group.split('.').next().unwrap_or("");
        let id = format!("{action}{group_name}{}{}{}", resource.version, resource.kind, sub.map_or("", |sub| sub.name));
        let mut operation = json!({"operationId": id, "x-kubernetes-action": action,
            GVK: {"group": group, "version": version, "kind": kind}});
        let schema_of = |reference: &str| match reference {
            "" => json!({"type": "object"}),
            reference => json!({"$ref": reference}),
        };
        let media = if action == "patch" {
            vec![
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
            ]
        } else {
            vec!["application/json"]
        };
        let answer = if logs { json!({"type": "string"}) } else { schema_of(&answer) };
        match self.version {
            Version::V2 => {
                if let Some(request) = request {
                    parameters
                        .push(json!({"name": "body", "in": "body", "required": true, "schema": schema_of(&request)}));
                }
                operation["consumes"] = json!(media);
                operation["produces"] = json!(["application/json"]);
                operation["schemes"] = json!(["https"]);
                operation["responses"] = json!({"200": {"description": "OK", "schema": answer}});
            }
            Version::V3 => {
                if let Some(request) = request {
                    let content = media.iter().map(|m| ((*m).to_owned(), json!({"schema": schema_of(&request)})));
                    operation["requestBody"] = json!({"required": true, "content": content.collect::<Map<_, _>>()});
                }
                let content = json!({"application/json": {"schema": answer}});
                operation["responses"] = json!({"200": {"description": "OK", "content": content}});
            }
        }
        operation["parameters"] = parameters.into();
        operation
    }

    fn reference_to(&mut self, id: TypeId) -> String {
        self.wanted.insert(id);
        self.version.reference(self.schemas.get(id).name)
    }

    /// The schemas that the paths need, and all that those refer to.
    fn definitions(&mut self) -> Map<String, Value> {
        let mut done = BTreeMap::new();
        let mut scalars = BTreeMap::new();
        while let Some(id) = self.wanted.pop_first() {
            if done.contains_key(&id) {
                continue;
            }
            let schema = self.schemas.get(id);
            let definition = self.definition(id, schema, &mut scalars);
            done.insert(id, (schema.name, definition));
        }
        let mut definitions: Map<String, Value> = done.into_values().map(|(name, d)| (name.to_owned(), d)).collect();
        definitions.extend(scalars.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
        definitions
    }

    fn definition(&mut self, id: TypeId, schema: &ObjectSchema, scalars: &mut BTreeMap<&str, Value>) -> Value {
        let mut properties = Map::new();
        for field in &schema.fields {
            let property = self.property(schema, field, scalars);
            properties.insert(field.name.to_owned(), property);
        }
        let mut definition = json!({"type": "object"});
        if let Some(doc) = self.docs.get(schema.name) {
            definition["description"] = doc.as_str().into();
        }
        let required: Vec<&str> = schema.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
        if !required.is_empty() {
            definition["required"] = json!(required);
        }
        if !properties.is_empty() {
            definition["properties"] = properties.into();
        }
        let served = |gvk: &&super::Gvk| self.versions.contains(&(gvk.group, gvk.version));
        let kinds = self.schemas.kinds_of(id).filter(served);
        let kinds: Vec<Value> =
            kinds.map(|k| json!({"group": k.group, "version": k.version, "kind": k.kind})).collect();
        if !kinds.is_empty() {
            definition[GVK] = kinds.into();
        }
        definition
    }

    fn property(&mut self, schema: &ObjectSchema, field: &Field, scalars: &mut BTreeMap<&str, Value>) -> Value {
        let mut property = self.shape(&field.shape, scalars);
        let doc = self.docs.get(&format!("{}.{}", schema.name, field.name));
        if self.version == Version::V3 && property.get("$ref").is_some() {
            // A reference may not have siblings in version 3.0.
            property = json!({"allOf": [property]});
        }
        if let Some(doc) = doc {
            property["description"] = doc.as_str().into();
        }
        if let Some(default) = &field.default {
            property["default"] = default.clone();
        }
        if let Some(key) = field.patch.merge_key {
            let strategy = if field.patch.retain_keys { "merge,retainKeys" } else { "merge" };
            property["x-kubernetes-patch-strategy"] = strategy.into();
            if !key.is_empty() {
                property["x-kubernetes-patch-merge-key"] = key.into();
            }
        } else if field.patch.retain_keys {
            property["x-kubernetes-patch-strategy"] = "retainKeys".into();
        }
        match (&field.shape, field.merge) {
            (Shape::Array(_), "atomic") => property["x-kubernetes-list-type"] = "atomic".into(),
            (Shape::Array(_), "associative") => property["x-kubernetes-list-type"] = "set".into(),
            (Shape::Array(_), merge) if merge.starts_with("map(") => {
                let keys: Vec<&str> = merge[4..].trim_end_matches(')').split(',').collect();
                property["x-kubernetes-list-type"] = "map".into();
                property["x-kubernetes-list-map-keys"] = json!(keys);
            }
            (_, "atomic") => property["x-kubernetes-map-type"] = "atomic".into(),
            _ => {}
        }
        property
    }

    fn shape(&mut self, shape: &Shape, scalars: &mut BTreeMap<&str, Value>) -> Value {
        let mut scalar = |name: &'static str, schema: Value| {
            let reference = self.version.reference(name);
            scalars.insert(name, schema);
            json!({"$ref": reference})
        };
        match shape {
            Shape::String | Shape::Duration => json!({"type": "string"}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::Double => json!({"type": "number", "format": "double"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::Json => json!({}),
            Shape::Raw => json!({"type": "object"}),
            Shape::Time => {
                scalar("io.k8s.apimachinery.pkg.apis.meta.v1.Time", json!({"type": "string", "format": "date-time"}))
            }
            Shape::MicroTime => scalar(
                "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
                json!({"type": "string", "format": "date-time"}),
            ),
            Shape::Quantity => {
                let description = "A fixed-point number such as 100m, 1.5 or 2Gi.";
                let schema = match self.version {
                    Version::V2 => json!({"type": "string", "description": description}),
                    Version::V3 => {
                        json!({"oneOf": [{"type": "string"}, {"type": "number"}], "description": description})
                    }
                };
                scalar("io.k8s.apimachinery.pkg.api.resource.Quantity", schema)
            }
            Shape::IntOrString => {
                let description = "An integer, or a string that names one.";
                let schema = match self.version {
                    Version::V2 => json!({"type": "string", "format": "int-or-string", "description": description}),
                    Version::V3 => json!({"oneOf": [{"type": "integer"}, {"type": "string"}],
                        "format": "int-or-string", "description": description}),
                };
                scalar("io.k8s.apimachinery.pkg.util.intstr.IntOrString", schema)
            }
            Shape::Object(id) => {
                let reference = self.reference_to(*id);
                json!({"$ref": reference})
            }
            Shape::Array(item) => json!({"type": "array", "items": self.shape(item, scalars)}),
            Shape::Map(item) => json!({"type": "object", "additionalProperties": self.shape(item, scalars)}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_both_versions_has_its_definition() {
        fn check(node: &Value, prefix: &str, definitions: &Map<String, Value>) {
            match node {
                Value::Object(fields) => {
                    if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                        let name = name.strip_prefix(prefix).unwrap_or_else(|| panic!("{name}"));
                        assert!(definitions.contains_key(name), "{name}");
                    }
                    fields.values().for_each(|value| check(value, prefix, definitions));
                }
                Value::Array(items) => items.iter().for_each(|item| check(item, prefix, definitions)),
                _ => {}
            }
        }
        let catalog = Catalog::builtin();
        let two = v2(&catalog, "v1");
        check(&two, "#/definitions/", two["definitions"].as_object().unwrap());
        let three = v3(&catalog, "", "v1", "v1").unwrap();
        check(&three, "#/components/schemas/", three["components"]["schemas"].as_object().unwrap());
        let pod = &two["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(pod["x-kubernetes-patch-merge-key"], "name");
        assert!(v3(&catalog, "no", "v1", "v1").is_none());
    }
}
