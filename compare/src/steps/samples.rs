//! Good objects of the kinds that the older server has, made of `crates/api/schema/samples.yaml`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Step;
use crate::server::Server;

/// Where namespaced ones are made; a script makes it.
const NAMESPACE: &str = "samples";

/// Rows of `each: samples`. A kind that the older server has in another version of its group is asked for in that.
pub async fn read(theirs: &mut Server) -> Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/api/schema/samples.yaml");
    let text = std::fs::read_to_string(&path)?;
    let groups = get(theirs, "/apis").await?;
    let mut rows = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let mut object = Value::deserialize(document)?;
        let version = object["apiVersion"].as_str().context("a sample has an apiVersion")?.to_owned();
        let kind = object["kind"].as_str().context("a sample has a kind")?.to_owned();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let mut versions = vec![version.clone()];
        let listed = groups["groups"].as_array().into_iter().flatten().find(|listed| listed["name"] == group);
        let others = listed.and_then(|listed| listed["versions"].as_array()).into_iter().flatten();
        versions.extend(others.filter_map(|version| version["groupVersion"].as_str()).map(str::to_owned));
        for version in versions {
            let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
            let resources = get(theirs, &root).await?;
            let mut resources = resources["resources"].as_array().into_iter().flatten();
            let Some(found) = resources.find(|found| {
                let text = |field: &str| found[field].as_str().unwrap_or("");
                text("kind") == kind && !text("name").contains('/')
            }) else {
                continue;
            };
            let verbs = found["verbs"].as_array().into_iter().flatten();
            if verbs.filter(|verb| *verb == "create" || *verb == "get").count() < 2 {
                break;
            }
            let name = object["metadata"]["name"].as_str().unwrap_or("sample").to_owned();
            object["metadata"]["name"] = name.clone().into();
            object["apiVersion"] = version.clone().into();
            let plural = found["name"].as_str().unwrap_or("");
            let path = match found["namespaced"] == true {
                true => format!("{root}/namespaces/{NAMESPACE}/{plural}"),
                false => format!("{root}/{plural}"),
            };
            rows.push(json!({"object": object, "path": path, "name": name, "kind": kind, "version": version}));
            break;
        }
    }
    Ok(rows)
}

async fn get(server: &mut Server, path: &str) -> Result<Value> {
    let step = Step::read(json!({"do": format!("GET {path}")}))?;
    Ok(server.ask(&step).await?.body)
}
