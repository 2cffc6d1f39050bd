//! Discovery in both forms, the version, and forms that there are not.

use std::collections::HashSet;

use api::catalog::Catalog;
use http::header;
use serde_json::{Value, json};

use super::{get, there};
use crate::common::Api;
use crate::samples::stored;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

async fn aggregated(api: &Api, path: &str, accept: &str) -> (u16, String, Value) {
    let request = http::Request::builder().method("GET").uri(path).header(header::ACCEPT, accept);
    let response = api.answer(request, &Value::Null).await;
    let (parts, body) = response.into_parts();
    let told = parts.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    (parts.status.as_u16(), told, serde_json::from_slice(&body).unwrap())
}

/// Conformance: "Aggregated Discovery Interface"
///
/// One document for the core and one for all groups name whatever the API serves, with its scope, kind and verbs.
#[tokio::test(flavor = "multi_thread")]
async fn one_document_names_all_that_is_served() {
    let api = Api::start().await;
    let mut found = HashSet::new();
    for path in ["/api", "/apis"] {
        let (code, _, document) = aggregated(&api, path, AGGREGATED).await;
        assert_eq!((code, &document["kind"]), (200, &json!("APIGroupDiscoveryList")));
        for group in document["items"].as_array().unwrap() {
            let name = group["metadata"]["name"].as_str().unwrap_or("");
            for version in group["versions"].as_array().unwrap() {
                for resource in version["resources"].as_array().unwrap() {
                    let is = |served: &&std::sync::Arc<api::catalog::Served>| {
                        (served.group, served.version) == (name, version["version"].as_str().unwrap())
                            && served.path_name() == resource["resource"]
                    };
                    let catalog = Catalog::builtin();
                    let served = catalog.served().iter().find(is).unwrap_or_else(|| panic!("{resource}"));
                    assert_eq!(resource["scope"], if served.namespaced { "Namespaced" } else { "Cluster" });
                    assert_eq!(resource["responseKind"]["kind"], served.kind, "{resource}");
                    let verbs = |of: &Value| of["verbs"].as_array().is_some_and(|verbs| !verbs.is_empty());
                    let parts = resource["subresources"].as_array().into_iter().flatten();
                    assert!(verbs(resource) || parts.into_iter().any(verbs), "{resource}");
                    found.insert((served.api_version(), served.path_name().to_owned()));
                }
            }
        }
    }
    for served in stored() {
        let version = served.api_version();
        assert!(found.contains(&(version.clone(), served.path_name().to_owned())), "{version} {}", served.kind);
    }
}

/// Conformance: "Aggregated Discovery Endpoint Accept Headers"
///
/// The client's first form that there is; whoever asks for no aggregate gets the form of old.
#[tokio::test(flavor = "multi_thread")]
async fn the_form_of_discovery_is_the_clients_choice() {
    let api = Api::start().await;
    for (path, plain) in [("/api", "APIVersions"), ("/apis", "APIGroupList")] {
        for (accept, kind, media) in [
            (AGGREGATED.to_owned(), "APIGroupDiscoveryList", AGGREGATED),
            (format!("{AGGREGATED},application/json"), "APIGroupDiscoveryList", AGGREGATED),
            (
                format!("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,{AGGREGATED}"),
                "APIGroupDiscoveryList",
                AGGREGATED,
            ),
            ("application/json".to_owned(), plain, "application/json"),
            ("*/*".to_owned(), plain, "application/json"),
        ] {
            let (code, told, document) = aggregated(&api, path, &accept).await;
            assert_eq!((code, &document["kind"], told.as_str()), (200, &json!(kind), media), "{path} {accept}");
        }
    }
}

/// Conformance: "Discovery, confirm the groupVerion and a resourcefrom each apiGroup"
/// Conformance: "Discovery, confirm the PreferredVersion for each api group"
#[tokio::test(flavor = "multi_thread")]
async fn each_group_prefers_one_of_its_versions_and_has_resources() {
    let api = Api::start().await;
    let list = there(get(&api, "/apis").await);
    let groups = list["groups"].as_array().unwrap();
    assert!(groups.len() > 15, "{}", groups.len());
    for group in groups {
        let name = group["name"].as_str().unwrap();
        let preferred = &group["preferredVersion"];
        assert!(group["versions"].as_array().unwrap().contains(preferred), "{group}");
        let own = there(get(&api, &format!("/apis/{name}")).await);
        assert_eq!((&own["preferredVersion"], &own["versions"]), (preferred, &group["versions"]), "{name}");
        for version in group["versions"].as_array().unwrap() {
            let group_version = version["groupVersion"].as_str().unwrap();
            assert_eq!(group_version, format!("{name}/{}", version["version"].as_str().unwrap()));
            let resources = there(get(&api, &format!("/apis/{group_version}")).await);
            assert_eq!(
                (&resources["kind"], &resources["groupVersion"]),
                (&json!("APIResourceList"), &json!(group_version))
            );
            let first = &resources["resources"][0];
            assert!(
                first["name"].is_string() && first["kind"].is_string() && first["namespaced"].is_boolean(),
                "{first}"
            );
        }
    }
}

/// Conformance: "Confirm a server version"
#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_of_numbers() {
    let api = Api::start().await;
    let version = there(get(&api, "/version").await);
    for part in ["major", "minor"] {
        assert!(version[part].as_str().unwrap().parse::<u32>().is_ok(), "{version}");
    }
}

/// Conformance: "API metadata HTTP return"
///
/// An answer that is no object of a store has neither a table nor metadata; who takes something else as well gets that.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_metadata_has_no_table() {
    let api = Api::start().await;
    let spec = json!({"nonResourceAttributes": {"path": "/", "verb": "get"}});
    let rows = [
        ("authorization.k8s.io/v1/selfsubjectaccessreviews", json!({"spec": spec})),
        (
            "authorization.k8s.io/v1/subjectaccessreviews",
            json!({"spec": {"user": "ann", "nonResourceAttributes": {"path": "/"}}}),
        ),
        ("authentication.k8s.io/v1/selfsubjectreviews", json!({})),
        ("authentication.k8s.io/v1/tokenreviews", json!({"spec": {"token": "x"}})),
    ];
    for (path, review) in rows {
        let path = format!("/apis/{path}");
        for form in ["Table", "PartialObjectMetadata"] {
            let form = format!("application/json;as={form};v=v1;g=meta.k8s.io");
            for (accept, expected) in [(form.clone(), 406), (format!("{form},application/json"), 201)] {
                let request = http::Request::builder().method("POST").uri(&path).header(header::ACCEPT, &accept);
                let request = request.header(header::CONTENT_TYPE, "application/json");
                assert_eq!(api.answer(request, &review).await.status(), expected, "{path} {accept}");
            }
        }
    }
}
