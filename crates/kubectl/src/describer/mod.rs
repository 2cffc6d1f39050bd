//! An object told to a person: one file for each kind that has more to say than its fields.
//! What is asked for beside the object (events, the pods of a node) is fetched here; the files below only tell.

mod configdata;
mod events;
mod generic;
mod namespace;
mod node;
mod pod;
mod replicationcontroller;
mod service;
mod text;

use serde_json::Value;

use crate::error::Result;
use crate::printer::columns::Columns;
use crate::rest::Query;
use crate::select;
use crate::session::{Item, Session};
use text::Text;

pub struct Describer<'a> {
    pub session: &'a Session,
    pub show_events: bool,
}

impl Describer<'_> {
    pub async fn describe(&self, item: &Item) -> Result<String> {
        let mut text = Text::default();
        let object = &item.object;
        let kind = if item.resource.group.is_empty() { item.resource.kind.as_str() } else { "" };
        match kind {
            "Pod" => pod::describe(&mut text, object),
            "Node" => {
                let pods = self.all("pods", "", &format!("spec.nodeName={}", item.name)).await?;
                let lease = self.lease(&item.name).await;
                node::describe(&mut text, object, &pods, &lease);
            }
            "Service" => {
                // Endpoints have the name of their service; one that has none yet is no failure.
                let endpoints = match self.path("endpoints", item).await {
                    Ok(path) => self.session.client.get(&path).await.unwrap_or(Value::Null),
                    Err(_) => Value::Null,
                };
                service::describe(&mut text, object, &endpoints);
            }
            "Endpoints" => service::describe_endpoints(&mut text, object),
            "ReplicationController" => {
                let pods = self.all("pods", &item.namespace, "").await?;
                replicationcontroller::describe(&mut text, object, &pods);
            }
            "Namespace" => namespace::describe(&mut text, object),
            "ConfigMap" => configdata::config_map(&mut text, object),
            "Secret" => configdata::secret(&mut text, object),
            _ => generic::describe(&mut text, object),
        }
        let has_events = !matches!(kind, "Namespace" | "Secret" | "Event");
        if self.show_events && has_events {
            events::describe(&mut text, &self.events(item).await?);
        }
        Ok(Columns::of_description().align(&text.into_string()))
    }

    async fn path(&self, plural: &str, item: &Item) -> Result<String> {
        Ok(self.session.discovery().await?.find(plural)?.object(&item.namespace, &item.name))
    }

    async fn all(&self, plural: &str, namespace: &str, fields: &str) -> Result<Vec<Value>> {
        let resource = self.session.discovery().await?.find(plural)?;
        let query = Query::new().with_some("fieldSelector", fields);
        let found = select::list(self.session, resource, namespace, &query).await?;
        Ok(found.into_iter().map(|item| item.object).collect())
    }

    async fn lease(&self, node: &str) -> Result<Value> {
        let leases = self.session.discovery().await?.find("leases")?;
        self.session.client.get(&leases.object("kube-node-lease", node)).await
    }

    async fn events(&self, item: &Item) -> Result<Vec<Value>> {
        let uid = item.object["metadata"]["uid"].as_str().unwrap_or("");
        // The kubelet names its node where others put a uid.
        let uid = if item.resource.kind == "Node" { String::new() } else { format!(",involvedObject.uid={uid}") };
        let fields = format!("involvedObject.name={},involvedObject.kind={}{uid}", item.name, item.resource.kind);
        let namespace = if item.resource.namespaced { item.namespace.as_str() } else { "" };
        self.all("events", namespace, &fields).await
    }
}
