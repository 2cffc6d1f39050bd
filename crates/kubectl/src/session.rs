//! What every command needs of a server: a connection, its resources and the namespace to work in.

use tokio::sync::OnceCell;

use crate::error::{Error, Result, fail};
use crate::kubeconfig::Connection;
use crate::manifest::Manifest;
use crate::resources::{Discovery, Resource};
use crate::rest::Client;

pub struct Session {
    pub client: Client,
    pub namespace: String,
    /// The namespace was named on the command line, so objects must not name another.
    pub namespace_is_given: bool,
    discovery: OnceCell<Discovery>,
}

/// One object to act on. `object` is what was read of it; from a file, it is the file's.
#[derive(Clone, Debug)]
pub struct Item {
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
    /// The file it came from, or empty.
    pub source: String,
    pub object: serde_json::Value,
}

impl Item {
    pub fn path(&self) -> String {
        self.resource.object(&self.namespace, &self.name)
    }

    /// `pod/a`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.resource.label(), self.name)
    }
}

impl Session {
    pub async fn open(connection: &Connection) -> Result<Self> {
        let (client, namespace) = connection.connect().await?;
        let namespace_is_given = connection.namespace.is_some();
        Ok(Self { client, namespace, namespace_is_given, discovery: OnceCell::new() })
    }

    pub async fn discovery(&self) -> Result<&Discovery> {
        self.discovery.get_or_try_init(|| Discovery::load(&self.client)).await
    }

    /// The object of a manifest, put into its namespace.
    pub async fn item_of(&self, manifest: Manifest) -> Result<Item> {
        crate::manifest::check(&manifest)?;
        let Manifest { source, mut object } = manifest;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let name = text(&object["metadata"]["name"]);
        let mut namespace = text(&object["metadata"]["namespace"]);
        let Some(resource) = self.discovery().await?.of_kind(&version, &kind) else {
            return fail(format!(
                "resource mapping not found for name: {name:?} namespace: {namespace:?} from {source:?}: no matches for kind \
                 {kind:?} in version {version:?}\nensure CRDs are installed first"
            ));
        };
        if !resource.namespaced {
            namespace.clear();
        } else if namespace.is_empty() {
            namespace.clone_from(&self.namespace);
            if !object["metadata"].is_object() {
                object["metadata"] = serde_json::json!({});
            }
            object["metadata"]["namespace"] = namespace.clone().into();
        } else if self.namespace_is_given && namespace != self.namespace {
            return fail(format!(
                "the namespace from the provided object {namespace:?} does not match the namespace {:?}. You must pass \
                 '--namespace={namespace}' to perform this operation.",
                self.namespace
            ));
        }
        Ok(Item { resource: resource.clone(), namespace, name, source, object })
    }

    /// The objects of several manifests; what can't be told is an error of its own.
    pub async fn items_of(&self, manifests: Vec<Manifest>) -> (Vec<Item>, Vec<Error>) {
        let (mut items, mut errors) = (Vec::new(), Vec::new());
        for manifest in manifests {
            match self.item_of(manifest).await {
                Ok(item) => items.push(item),
                Err(error) => errors.push(error),
            }
        }
        (items, errors)
    }
}
